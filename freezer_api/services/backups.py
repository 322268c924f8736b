"""What can be done with the records of backups."""

from collections.abc import Callable, Mapping
from typing import Any

from freezer_api.identity.context import Context
from freezer_api.services.changes import Changes
from freezer_api.services.documents import own_scope
from freezer_api.services.search import query_from
from freezer_api.services.tags import ANYTHING, Expected
from freezer_api.store.base import Collection, DocumentStore, Found, Page, Stored
from freezer_model.backup import BackupRecord, BackupStatus

_BACKUPS = Collection.BACKUPS


class BackupService:
    """Backups of a project. They hold exactly what was posted, and who posted it."""

    def __init__(
        self, *, store: DocumentStore, changes: Changes, new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._changes = changes
        self._new_id = new_id

    def create(self, context: Context, body: Mapping[str, Any]) -> str:
        """Record a backup, return its id. Raises InvalidDocument."""
        record = BackupRecord.from_body(_flat(body))
        backup_id = self._new_id()
        document = {
            "backup_id": backup_id,
            "user_id": context.user_id,
            "project_id": context.project_id,
        }
        self._store.insert(_BACKUPS, backup_id, document | _document_part(record))
        return backup_id

    def get(self, context: Context, backup_id: str) -> Stored:
        """One backup. Raises DocumentNotFound."""
        return self._store.get(_BACKUPS, own_scope(context), backup_id)

    def search(self, context: Context, criteria: dict[str, Any], page: Page) -> Found:
        """Those that the criteria want. Raises InvalidDocument."""
        query = query_from(criteria, timed=True, within="backup_metadata")
        return self._store.find(_BACKUPS, own_scope(context), query, page)

    def update(
        self,
        context: Context,
        backup_id: str,
        body: Mapping[str, Any],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The backup after its status or metadata changed. Raises as BackupRecord.updated."""

        def change(document: dict[str, Any]) -> dict[str, Any]:
            record = _record(document).updated(body)
            return document | _document_part(record)

        return self._changes.apply(_BACKUPS, own_scope(context), backup_id, change, expected)

    def delete(self, context: Context, backup_id: str, expected: Expected = ANYTHING) -> None:
        """Forget the record. Raises DocumentNotFound."""
        self._changes.remove(_BACKUPS, own_scope(context), backup_id, expected)


def _document_part(record: BackupRecord) -> dict[str, Any]:
    return {"status": str(record.status), "backup_metadata": dict(record.metadata)}


def _flat(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body as clients post it, also if it is a backup as the API answers it."""
    metadata = body.get("backup_metadata")
    if isinstance(metadata, Mapping) and "backup_name" not in body:
        return {**metadata, "status": body.get("status")}
    return body


def _record(document: Mapping[str, Any]) -> BackupRecord:
    return BackupRecord(
        metadata=document["backup_metadata"], status=BackupStatus(document["status"])
    )
