"""GET /v2: the home document, which names the ways from here."""

import json
from typing import Any

import falcon

MEDIA_TYPE = "application/json-home"


class Home:
    """A JSON home document."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 with the relations."""
        resp.content_type = MEDIA_TYPE
        resp.data = _DOCUMENT

    on_head = on_get


def _relation(template: str, allow: list[str], *names: str) -> dict[str, Any]:
    return {
        "href-template": template,
        "href-vars": {name: f"param/{name}" for name in names},
        "hints": {"allow": allow, "formats": {"application/json": {}}},
    }


_DOCUMENT = json.dumps(
    {
        "resources": {
            "rel/backups": _relation(
                "/v2/{project_id}/backups/{backup_id}", ["GET"], "project_id", "backup_id"
            ),
            "rel/jobs": _relation(
                "/v2/{project_id}/jobs{?all_projects,offset,limit}",
                ["GET", "POST"],
                "project_id",
                "all_projects",
                "offset",
                "limit",
            ),
            "rel/job": _relation(
                "/v2/{project_id}/jobs/{job_id}",
                ["GET", "PATCH", "POST", "DELETE"],
                "project_id",
                "job_id",
            ),
        }
    }
).encode("ascii")
