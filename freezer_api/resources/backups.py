"""Backups over HTTP."""

import falcon

from freezer_api.http.conditional import expected_of, show
from freezer_api.http.edge import Edge
from freezer_api.http.listing import documents_of, show_page
from freezer_api.http.paging import CREATED
from freezer_api.schemas import backups as schemas
from freezer_api.services.backups import BackupService
from freezer_api.store.base import SortKey

_SORTABLE = {
    **CREATED,
    "time_stamp": SortKey.TIME,
    "backup_metadata.time_stamp": SortKey.TIME,
}


class Backups:
    """/backups."""

    def __init__(self, backups: BackupService, edge: Edge) -> None:
        self._backups = backups
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        caller = self._edge.admit(req, "backups:get_all")
        criteria = self._edge.bodies.optional(req)
        page = self._edge.paging.page(req, _SORTABLE)
        found = self._backups.search(caller, criteria, page)
        show_page(resp, "backups", documents_of(found), found.total)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Record."""
        caller = self._edge.admit(req, "backups:create")
        body = self._edge.bodies.checked(req, schemas.CREATE)
        resp.media = {"backup_id": self._backups.create(caller, body)}
        resp.status = falcon.HTTP_201


class Backup:
    """/backups/{backup_id}."""

    def __init__(self, backups: BackupService, edge: Edge) -> None:
        self._backups = backups
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response, backup_id: str) -> None:
        """Show."""
        caller = self._edge.admit(req, "backups:get")
        stored = self._backups.get(caller, backup_id)
        show(resp, stored.document, stored.version)

    on_head = on_get

    def on_patch(self, req: falcon.Request, resp: falcon.Response, backup_id: str) -> None:
        """Change."""
        caller = self._edge.admit(req, "backups:update")
        body = self._edge.bodies.checked(req, schemas.UPDATE)
        resp.media = self._backups.update(caller, backup_id, body, expected_of(req)).document

    def on_delete(self, req: falcon.Request, resp: falcon.Response, backup_id: str) -> None:
        """Forget."""
        caller = self._edge.admit(req, "backups:delete")
        self._backups.delete(caller, backup_id, expected_of(req))
        resp.status = falcon.HTTP_204
