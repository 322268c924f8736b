"""Backups over HTTP."""

import falcon

from freezer_api.http.edge import Edge
from freezer_api.schemas import backups as schemas
from freezer_api.services.backups import BackupService


class Backups:
    """/backups."""

    def __init__(self, backups: BackupService, edge: Edge) -> None:
        self._backups = backups
        self._edge = edge

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        caller = self._edge.admit(req, "backups:get_all")
        criteria = self._edge.bodies.optional(req)
        found = self._backups.search(caller, criteria, self._edge.paging.page(req))
        resp.media = {"backups": [backup.document for backup in found]}

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
        resp.media = self._backups.get(caller, backup_id).document

    on_head = on_get

    def on_patch(self, req: falcon.Request, resp: falcon.Response, backup_id: str) -> None:
        """Change."""
        caller = self._edge.admit(req, "backups:update")
        body = self._edge.bodies.checked(req, schemas.UPDATE)
        resp.media = self._backups.update(caller, backup_id, body).document

    def on_delete(self, req: falcon.Request, resp: falcon.Response, backup_id: str) -> None:
        """Forget."""
        caller = self._edge.admit(req, "backups:delete")
        self._backups.delete(caller, backup_id)
        resp.status = falcon.HTTP_204
