"""Runs of jobs over HTTP."""

import falcon

from freezer_api.http.edge import Edge
from freezer_api.schemas import runs as schemas
from freezer_api.services.runs import RunService


class Runs:
    """/jobs/{job_id}/runs."""

    def __init__(self, runs: RunService, edge: Edge) -> None:
        self._runs = runs
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """List, the newest first."""
        caller = self._edge.admit(req, "jobs:runs:get_all")
        found = self._runs.search(caller, job_id, self._edge.paging.page(req))
        resp.media = {"runs": [run.document for run in found]}

    on_head = on_get


class Run:
    """/jobs/{job_id}/runs/{run_id}."""

    def __init__(self, runs: RunService, edge: Edge) -> None:
        self._runs = runs
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str, run_id: str) -> None:
        """Show."""
        caller = self._edge.admit(req, "jobs:runs:get")
        resp.media = self._runs.get(caller, job_id, run_id).document

    on_head = on_get

    def on_put(self, req: falcon.Request, resp: falcon.Response, job_id: str, run_id: str) -> None:
        """Begin, renew or end."""
        caller = self._edge.admit(req, "jobs:runs:update")
        body = self._edge.bodies.checked(req, schemas.REPORT)
        answer = self._runs.report(caller, job_id, run_id, body)
        resp.media = {
            "run_id": run_id,
            "lease_until": answer.lease_until,
            "was_lost": answer.was_lost,
        }
