"""Reports of a scheduler on many of its jobs at once.

A path of its own: /jobs knows GET and POST only, as it always did.
"""

from typing import Any

import falcon

from freezer_api.errors import DocumentNotFound, VersionConflict
from freezer_api.http.edge import Edge
from freezer_api.http.errors import answer_to
from freezer_api.identity.context import Context
from freezer_api.schemas import jobs as schemas
from freezer_api.services.jobs import JobService
from freezer_model.errors import InvalidDocument


class JobReports:
    """/job-reports."""

    def __init__(self, jobs: JobService, edge: Edge) -> None:
        self._jobs = jobs
        self._edge = edge

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Take each report: a job is changed, or refused, by itself."""
        caller = self._edge.admit(req, "jobs:update")
        body = self._edge.bodies.checked(req, schemas.REPORTS)
        resp.media = {"jobs": [self._reported(caller, report) for report in body["jobs"]]}

    def _reported(self, caller: Context, report: dict[str, Any]) -> dict[str, Any]:
        job_id = report["job_id"]
        changes = {key: value for key, value in report.items() if key != "job_id"}
        try:
            stored = self._jobs.update(caller, job_id, changes)
        except (DocumentNotFound, InvalidDocument, VersionConflict) as error:
            refused = answer_to(error)
            return {
                "job_id": job_id,
                "code": refused.status,
                "title": refused.title,
                "description": str(error),
            }
        return {"job_id": job_id, "version": stored.version}
