"""Jobs over HTTP."""

from typing import Any

import falcon

from freezer_api.errors import UnknownEvent
from freezer_api.http.conditional import expected_of, is_known, show
from freezer_api.http.edge import Edge
from freezer_api.http.listing import show_page, show_unchanged
from freezer_api.http.paging import CREATED, flag
from freezer_api.schemas import jobs as schemas
from freezer_api.schemas.validator import Schema
from freezer_api.services.job_documents import with_defaults
from freezer_api.services.job_pages import JobsAsked
from freezer_api.services.jobs import JobService
from freezer_api.services.sightings import Sightings
from freezer_api.store.base import SortKey
from freezer_model.job import JobEvent
from freezer_model.job_events import REQUESTABLE

_SORTABLE = {
    **CREATED,
    "time_created": SortKey.CREATION,
    "time_started": SortKey.TIME,
    "last_run": SortKey.TIME,
    "job_schedule.time_created": SortKey.CREATION,
    "job_schedule.time_started": SortKey.TIME,
}
_SEE_ALL = "jobs:get_all_projects"


class Jobs:
    """/jobs."""

    def __init__(self, jobs: JobService, edge: Edge, sightings: Sightings) -> None:
        self._jobs = jobs
        self._edge = edge
        self._sightings = sightings

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List; with all_projects those of every project, for whom that is allowed."""
        caller = self._edge.admit(req, "jobs:get_all")
        sees_all = self._edge.allows(caller, _SEE_ALL)
        criteria = self._edge.bodies.optional(req)
        self._sightings.note(caller.project_id, criteria)
        asked = JobsAsked(
            criteria=criteria,
            page=self._edge.paging.page(req, _SORTABLE),
            everywhere=flag(req, "all_projects") and sees_all,
            sees_processes=sees_all,
        )
        if req.if_none_match:
            tag = self._jobs.tag(caller, asked)
            if tag is not None and is_known(req, tag):
                show_unchanged(resp, tag)
                return
        found = self._jobs.search(caller, asked)
        show_page(resp, "jobs", found.documents, found.total, found.tag)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create."""
        caller = self._edge.admit(req, "jobs:create")
        body = _job_body(self._edge, req, schemas.CREATE)
        resp.media = {"job_id": self._jobs.create(caller, body)}
        resp.status = falcon.HTTP_201


class Job:
    """/jobs/{job_id}."""

    def __init__(self, jobs: JobService, edge: Edge) -> None:
        self._jobs = jobs
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Show; of any project to whom that is allowed."""
        caller = self._edge.admit(req, "jobs:get")
        everywhere = self._edge.allows(caller, _SEE_ALL)
        stored = self._jobs.get(caller, job_id, everywhere=everywhere)
        show(resp, stored.document, stored.version)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Create or replace."""
        caller = self._edge.admit(req, "jobs:create")
        body = _job_body(self._edge, req, schemas.CREATE)
        stored = self._jobs.replace(caller, job_id, body, expected_of(req))
        resp.media = {"job_id": job_id, "version": stored.version}
        resp.status = falcon.HTTP_201

    def on_patch(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Change."""
        caller = self._edge.admit(req, "jobs:update")
        body = _job_body(self._edge, req, schemas.UPDATE)
        stored = self._jobs.update(caller, job_id, body, expected_of(req))
        resp.media = {"job_id": job_id, "version": stored.version}

    def on_delete(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Remove."""
        caller = self._edge.admit(req, "jobs:delete")
        self._jobs.delete(caller, job_id, expected_of(req))
        resp.status = falcon.HTTP_204


class JobEvents:
    """/jobs/{job_id}/event."""

    def __init__(self, jobs: JobService, edge: Edge) -> None:
        self._jobs = jobs
        self._edge = edge

    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Ask for start, stop or abort."""
        caller = self._edge.admit(req, "jobs:event:create")
        event = _event_of(self._edge.bodies.required(req))
        resp.media = {"result": self._jobs.request_event(caller, job_id, event)}
        resp.status = falcon.HTTP_202


def _job_body(edge: Edge, req: falcon.Request, schema: Schema) -> dict[str, Any]:
    # The defaults first: an action may be valid only with them.
    body = with_defaults(edge.bodies.required(req))
    schema.check(body)
    return body


def _event_of(body: dict[str, Any]) -> JobEvent:
    words = [str(event) for event in REQUESTABLE]
    if len(body) != 1 or next(iter(body)) not in words:
        raise UnknownEvent(f"The body must hold one event: {', '.join(words)}")
    return JobEvent(next(iter(body)))
