"""Actions over HTTP."""

import falcon

from freezer_api.http.conditional import expected_of, show
from freezer_api.http.edge import Edge
from freezer_api.http.listing import documents_of, show_page
from freezer_api.schemas import actions as schemas
from freezer_api.services.actions import ActionService


class Actions:
    """/actions."""

    def __init__(self, actions: ActionService, edge: Edge) -> None:
        self._actions = actions
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        caller = self._edge.admit(req, "actions:get_all")
        criteria = self._edge.bodies.optional(req)
        page = self._edge.paging.page(req)
        found = self._actions.search(caller, criteria, page)
        show_page(resp, "actions", documents_of(found), found.total)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create."""
        caller = self._edge.admit(req, "actions:create")
        body = self._edge.bodies.checked(req, schemas.CREATE)
        resp.media = {"action_id": self._actions.create(caller, body)}
        resp.status = falcon.HTTP_201


class Action:
    """/actions/{action_id}."""

    def __init__(self, actions: ActionService, edge: Edge) -> None:
        self._actions = actions
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, action_id: str) -> None:
        """Show."""
        caller = self._edge.admit(req, "actions:get")
        stored = self._actions.get(caller, action_id)
        show(resp, stored.document, stored.version)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response, action_id: str) -> None:
        """Create or replace."""
        caller = self._edge.admit(req, "actions:replace")
        body = self._edge.bodies.checked(req, schemas.CREATE)
        stored = self._actions.replace(caller, action_id, body, expected_of(req))
        resp.media = {"action_id": action_id, "version": stored.version}
        resp.status = falcon.HTTP_201

    def on_patch(self, req: falcon.Request, resp: falcon.Response, action_id: str) -> None:
        """Change."""
        caller = self._edge.admit(req, "actions:update")
        body = self._edge.bodies.checked(req, schemas.UPDATE)
        stored = self._actions.update(caller, action_id, body, expected_of(req))
        resp.media = {"action_id": action_id, "version": stored.version}

    def on_delete(self, req: falcon.Request, resp: falcon.Response, action_id: str) -> None:
        """Remove."""
        caller = self._edge.admit(req, "actions:delete")
        self._actions.delete(caller, action_id, expected_of(req))
        resp.status = falcon.HTTP_204
