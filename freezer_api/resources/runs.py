"""Runs of jobs over HTTP."""

import falcon

from freezer_api.http.conditional import show
from freezer_api.http.edge import Edge
from freezer_api.http.listing import documents_of, show_page
from freezer_api.schemas import runs as schemas
from freezer_api.services.runs import RunService


class Runs:
    """/jobs/{job_id}/runs."""

    def __init__(self, runs: RunService, edge: Edge) -> None:
        self._runs = runs
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """List."""
        caller = self._edge.admit(req, "jobs:runs:get_all")
        found = self._runs.search(caller, job_id, self._edge.paging.page(req))
        show_page(resp, "runs", documents_of(found), found.total)

    on_head = on_get


class Run:
    """/jobs/{job_id}/runs/{run_id}."""

    def __init__(self, runs: RunService, edge: Edge) -> None:
        self._runs = runs
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str, run_id: str) -> None:
        """Show."""
        caller = self._edge.admit(req, "jobs:runs:get")
        stored = self._runs.get(caller, job_id, run_id)
        show(resp, stored.document, stored.version)

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
