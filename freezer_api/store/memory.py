"""Documents in the memory of this process: for tests, and as the plainest reading of the promise.

It keeps nothing when the process ends.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from freezer_api.errors import DocumentExists, DocumentNotFound, VersionConflict
from freezer_api.store.base import (
    Collection,
    Contents,
    Document,
    Found,
    Order,
    Page,
    Query,
    Scope,
    SortKey,
    Stored,
)
from freezer_api.store.entries import Entry, check_id, document_of, entry_of
from freezer_api.store.leaves import conditions_of, in_scope, is_watched

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    document_id: str
    version: int
    entry: Entry
    write: int
    """The number of the write that made it so: never the same twice."""


class MemoryStore:
    """A DocumentStore and ManagedStore in dictionaries, which keep the order of insertion."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writes = itertools.count(1)
        self._rows: dict[Collection, dict[str, _Row]] = {name: {} for name in Collection}

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """Return the document; a fresh copy each time."""
        with self._lock:
            row = self._row_in_scope(collection, scope, document_id)
        return _stored(row)

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        """Store a new document."""
        check_id(document_id)
        entry = entry_of(document)
        with self._lock:
            if document_id in self._rows[collection]:
                raise DocumentExists(collection, document_id)
            write = next(self._writes)
            row = _Row(document_id=document_id, version=1, entry=entry, write=write)
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
            write = next(self._writes)
            row = replace(row, version=version + 1, entry=entry, write=write)
            self._rows[collection][document_id] = row
        return _stored(row)

    def delete(
        self, collection: Collection, scope: Scope, document_id: str, version: int | None = None
    ) -> None:
        """Remove the document."""
        with self._lock:
            row = self._row_in_scope(collection, scope, document_id)
            if version not in {None, row.version}:
                raise VersionConflict(collection, document_id)
            del self._rows[collection][document_id]

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """Look at every document of the collection."""
        return self.find(collection, scope, query, page).documents

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """Look at every document of the collection."""
        wanted = self._wanted(collection, scope, query)
        window = _ordered(wanted, page.order)[page.offset : page.offset + page.limit]
        return Found(
            documents=[_stored(row) for row in window],
            total=len(wanted),
            fingerprint=_fingerprint(wanted) if is_watched(collection, query) else None,
        )

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """Look at every document of the collection."""
        return len(self._wanted(collection, scope, query))

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """Look at every document of the collection, if the query is watched."""
        if not is_watched(collection, query):
            return None
        return _fingerprint(self._wanted(collection, scope, query))

    def walk(self, collection: Collection) -> Iterator[Stored]:
        """Every document that is there now."""
        with self._lock:
            rows = list(self._rows[collection].values())
        yield from map(_stored, rows)

    def adopt(
        self, collection: Collection, batch: Sequence[Stored], *, overwrite: bool = False
    ) -> int:
        """Store all of them or none."""
        arrivals: dict[str, _Row] = {}
        for stored in batch:
            check_id(stored.document_id)
            row = _Row(
                document_id=stored.document_id,
                version=stored.version,
                entry=entry_of(stored.document),
                write=next(self._writes),
            )
            arrivals.setdefault(stored.document_id, row)
        with self._lock:
            rows = self._rows[collection]
            wanted = {
                name: row
                for name, row in arrivals.items()
                if name not in rows or (overwrite and _stored(rows[name]) != _stored(row))
            }
            rows.update(wanted)
        return len(wanted)

    def ready(self) -> bool:
        """Memory is always there."""
        return True

    def close(self) -> None:
        """There is nothing to release."""

    def prepare(self) -> None:
        """There is nothing to make."""

    def upgrade(self, _tell: Callable[[str], None]) -> None:
        """There is no other schema."""
        self.prepare()

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

    def _wanted(self, collection: Collection, scope: Scope, query: Query) -> list[_Row]:
        conditions = conditions_of(query)
        with self._lock:
            rows = list(self._rows[collection].values())
        return [
            row
            for row in rows
            if in_scope(row.entry.terms, scope)
            and conditions.hold(row.entry.terms, row.entry.time_stamp)
        ]

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


def _ordered(rows: list[_Row], order: Order) -> list[_Row]:
    if order.key is SortKey.CREATION:
        return rows[::-1] if order.descending else rows
    sign = -1 if order.descending else 1
    # Sorting is stable, and the rows are in order of creation.
    return sorted(
        rows,
        key=lambda row: (row.entry.time_stamp is None, sign * (row.entry.time_stamp or 0)),
    )


def _fingerprint(rows: list[_Row]) -> str:
    # Whatever comes in or changes has a later number; what only goes away lowers the count.
    latest = max((row.write for row in rows), default=0)
    return f"{len(rows)}-{latest}"


def _stored(row: _Row) -> Stored:
    return Stored(
        document_id=row.document_id, document=document_of(row.entry.text), version=row.version
    )
