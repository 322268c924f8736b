"""Documents in the memory of this process: for tests, and as the plainest reading of the promise.

It keeps nothing when the process ends.
"""

import threading
from dataclasses import dataclass, replace

from freezer_api.errors import DocumentExists, DocumentNotFound, VersionConflict
from freezer_api.store.base import (
    Collection,
    Contents,
    Document,
    Page,
    Query,
    Scope,
    Stored,
)
from freezer_api.store.entries import Entry, check_id, document_of, entry_of
from freezer_api.store.leaves import conditions_of, in_scope

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    document_id: str
    version: int
    entry: Entry


class MemoryStore:
    """A DocumentStore and ManagedStore in dictionaries, which keep the order of insertion."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[Collection, dict[str, _Row]] = {name: {} for name in Collection}

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """Return the document; a fresh copy each time."""
        with self._lock:
            row = self._row_in_scope(collection, scope, document_id)
        return _stored(row)

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        """Store a new document."""
        check_id(document_id)
        row = _Row(document_id=document_id, version=1, entry=entry_of(document))
        with self._lock:
            if document_id in self._rows[collection]:
                raise DocumentExists(collection, document_id)
            self._rows[collection][document_id] = row
        return _stored(row)

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        """Replace the document if its version is still the given one."""
        entry = entry_of(document)
        with self._lock:
            row = self._row(collection, document_id)
            if row.version != version:
                raise VersionConflict(collection, document_id)
            row = replace(row, version=version + 1, entry=entry)
            self._rows[collection][document_id] = row
        return _stored(row)

    def delete(self, collection: Collection, scope: Scope, document_id: str) -> None:
        """Remove the document."""
        with self._lock:
            self._row_in_scope(collection, scope, document_id)
            del self._rows[collection][document_id]

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """Look at every document of the collection."""
        conditions = conditions_of(query)
        with self._lock:
            rows = list(self._rows[collection].values())
        wanted = [
            row
            for row in rows
            if in_scope(row.entry.terms, scope)
            and conditions.hold(row.entry.terms, row.entry.time_stamp)
        ]
        return [_stored(row) for row in wanted[page.offset : page.offset + page.limit]]

    def ready(self) -> bool:
        """Memory is always there."""
        return True

    def close(self) -> None:
        """There is nothing to release."""

    def prepare(self) -> None:
        """There is nothing to make."""

    def describe(self) -> list[Contents]:
        """One row for each collection."""
        with self._lock:
            return [
                Contents(name=str(name), version=SCHEMA_VERSION, documents=len(rows))
                for name, rows in self._rows.items()
            ]

    def remove(self) -> None:
        """Forget every document."""
        with self._lock:
            for rows in self._rows.values():
                rows.clear()

    def _row(self, collection: Collection, document_id: str) -> _Row:
        row = self._rows[collection].get(document_id)
        if row is None:
            raise DocumentNotFound(collection, document_id)
        return row

    def _row_in_scope(self, collection: Collection, scope: Scope, document_id: str) -> _Row:
        row = self._row(collection, document_id)
        if not in_scope(row.entry.terms, scope):
            raise DocumentNotFound(collection, document_id)
        return row


def _stored(row: _Row) -> Stored:
    return Stored(
        document_id=row.document_id, document=document_of(row.entry.text), version=row.version
    )
