"""Clients over HTTP."""

from typing import Any

import falcon

from freezer_api.http.conditional import expected_of, show
from freezer_api.http.edge import Edge
from freezer_api.http.listing import documents_of, show_page
from freezer_api.schemas import clients as schemas
from freezer_api.services.clients import ClientService

_OWN, _CENTRAL = "clients:create", "clients:create_central"


class Clients:
    """/clients."""

    def __init__(self, clients: ClientService, edge: Edge) -> None:
        self._clients = clients
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        caller = self._edge.admit(req, "clients:get_all")
        criteria = self._edge.bodies.optional(req)
        page = self._edge.paging.page(req)
        found = self._clients.search(caller, criteria, page)
        show_page(resp, "clients", documents_of(found), found.total)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Register."""
        # Whoever may make neither kind of client is refused before anything is read.
        caller = req.context.caller
        may_own = self._edge.allows(caller, _OWN)
        if not may_own:
            self._edge.admit(req, _CENTRAL)
        body = _flat(self._edge.bodies.required(req))
        schemas.REGISTER.check(body)
        if body.get("is_central") or not may_own:
            self._edge.admit(req, _CENTRAL if body.get("is_central") else _OWN)
        resp.media = {"client_id": self._clients.register(caller, body)}
        resp.status = falcon.HTTP_201


class Client:
    """/clients/{client_id}."""

    def __init__(self, clients: ClientService, edge: Edge) -> None:
        self._clients = clients
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, client_id: str) -> None:
        """Show."""
        caller = self._edge.admit(req, "clients:get")
        stored = self._clients.get(caller, client_id)
        show(resp, stored.document, stored.version)

    on_head = on_get

    def on_delete(self, req: falcon.Request, resp: falcon.Response, client_id: str) -> None:
        """Forget."""
        caller = self._edge.admit(req, "clients:delete")
        self._clients.delete(caller, client_id, expected_of(req))
        resp.status = falcon.HTTP_204


def _flat(body: dict[str, Any]) -> dict[str, Any]:
    """The body as clients post it, also if it is a client as the API answers it."""
    inner = body.get("client")
    return inner if isinstance(inner, dict) and "client_id" not in body else body
