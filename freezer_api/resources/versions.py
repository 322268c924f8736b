"""GET /: which versions of the API there are. GET /healthcheck: whether to send requests here."""

from pathlib import Path

import falcon

UPDATED = "2018-02-21T13:30:00"


class Versions:
    """The versions document. Its links lead to the host under which the caller sees us."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 300 with the one version."""
        version = {
            "id": "v2",
            "status": "CURRENT",
            "updated": UPDATED,
            "links": [{"href": f"{req.prefix}/v2/", "rel": "self"}],
        }
        resp.status = falcon.HTTP_300
        resp.media = {"versions": [version]}

    on_head = on_get


class Healthcheck:
    """Lives as long as the process does, and until the operator puts a file in the way."""

    def __init__(self, disabled_by: Path) -> None:
        self._disabled_by = disabled_by

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 OK, or 503 while the file is there."""
        resp.content_type = falcon.MEDIA_TEXT
        if self._disabled_by.exists():
            resp.status = falcon.HTTP_503
            resp.text = "DISABLED BY FILE"
        else:
            resp.text = "OK"

    on_head = on_get
