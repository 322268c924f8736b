"""Sessions over HTTP."""

from typing import Any

import falcon

from freezer_api.errors import SessionActionInvalid
from freezer_api.http.conditional import expected_of, show
from freezer_api.http.edge import Edge
from freezer_api.http.listing import documents_of, show_page
from freezer_api.identity.context import Context
from freezer_api.schemas import sessions as schemas
from freezer_api.services.memberships import Memberships
from freezer_api.services.sessions import RunAnswer, SessionService


class Sessions:
    """/sessions."""

    def __init__(self, sessions: SessionService, edge: Edge) -> None:
        self._sessions = sessions
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        caller = self._edge.admit(req, "sessions:get_all")
        criteria = self._edge.bodies.optional(req)
        page = self._edge.paging.page(req)
        found = self._sessions.search(caller, criteria, page)
        show_page(resp, "sessions", documents_of(found), found.total)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create."""
        caller = self._edge.admit(req, "sessions:create")
        body = self._edge.bodies.checked(req, schemas.CREATE)
        resp.media = {"session_id": self._sessions.create(caller, body)}
        resp.status = falcon.HTTP_201


class Session:
    """/sessions/{session_id}."""

    def __init__(self, sessions: SessionService, edge: Edge) -> None:
        self._sessions = sessions
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, session_id: str) -> None:
        """Show."""
        caller = self._edge.admit(req, "sessions:get")
        stored = self._sessions.get(caller, session_id)
        show(resp, stored.document, stored.version)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response, session_id: str) -> None:
        """Create or replace."""
        caller = self._edge.admit(req, "sessions:replace")
        body = self._edge.bodies.checked(req, schemas.CREATE)
        stored = self._sessions.replace(caller, session_id, body, expected_of(req))
        resp.media = {"session_id": session_id, "version": stored.version}
        resp.status = falcon.HTTP_201

    def on_patch(self, req: falcon.Request, resp: falcon.Response, session_id: str) -> None:
        """Change."""
        caller = self._edge.admit(req, "sessions:update")
        body = self._edge.bodies.checked(req, schemas.UPDATE)
        stored = self._sessions.update(caller, session_id, body, expected_of(req))
        resp.media = {"session_id": session_id, "version": stored.version}

    def on_delete(self, req: falcon.Request, resp: falcon.Response, session_id: str) -> None:
        """Remove."""
        caller = self._edge.admit(req, "sessions:delete")
        self._sessions.delete(caller, session_id, expected_of(req))
        resp.status = falcon.HTTP_204


class SessionActions:
    """/sessions/{session_id}/action."""

    def __init__(self, sessions: SessionService, edge: Edge) -> None:
        self._sessions = sessions
        self._edge = edge

    def on_post(self, req: falcon.Request, resp: falcon.Response, session_id: str) -> None:
        """Report the start or the end of a job."""
        caller = self._edge.admit(req, "sessions:action:create")
        body = self._edge.bodies.required(req)
        answer = self._run(caller, session_id, body)
        resp.media = {"result": answer.result, "session_tag": answer.session_tag}
        resp.status = falcon.HTTP_202

    def _run(self, caller: Context, session_id: str, body: dict[str, Any]) -> RunAnswer:
        if set(body) == {"start"}:
            schemas.START.check(body["start"])
            start = body["start"]
            return self._sessions.start(
                caller, session_id, start["job_id"], int(start["current_tag"])
            )
        if set(body) == {"end"}:
            schemas.END.check(body["end"])
            end = body["end"]
            return self._sessions.end(
                caller, session_id, end["job_id"], int(end["current_tag"]), end["result"]
            )
        raise SessionActionInvalid("The body must hold one action: start, end")


class SessionJobs:
    """/sessions/{session_id}/jobs/{job_id}."""

    def __init__(self, memberships: Memberships, edge: Edge) -> None:
        self._memberships = memberships
        self._edge = edge

    def on_put(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        session_id: str,
        job_id: str,
    ) -> None:
        """Put the job into the session."""
        caller = self._edge.admit(req, "sessions:job:add")
        self._memberships.join(caller, session_id, job_id)
        resp.status = falcon.HTTP_204

    def on_delete(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        session_id: str,
        job_id: str,
    ) -> None:
        """Take the job out of the session."""
        caller = self._edge.admit(req, "sessions:job:remove")
        self._memberships.leave(caller, session_id, job_id)
        resp.status = falcon.HTTP_204
