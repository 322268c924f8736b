"""The store in memory, which finds the documents of one job or client without looking at all."""

from collections.abc import Sequence

from freezer_api.store.base import Collection, Document, Query, Scope, Stored
from freezer_api.store.memory import MemoryStore

_KEYS = ("job_id", "client_id")
_INDEXED = (Collection.JOBS, Collection.RUNS)


class IndexedStore(MemoryStore):
    """A MemoryStore whose searches by a job's or client's id look at its documents only.

    A document's ids never change here, as in a real fleet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[tuple[Collection, str, str], dict[str, None]] = {}

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        stored = super().insert(collection, document_id, document)
        for key in _KEYS:
            if isinstance(value := document.get(key), str):
                self._ids.setdefault((collection, key, value), {})[document_id] = None
        return stored

    def _wanted(self, collection: Collection, scope: Scope, query: Query) -> list:  # type: ignore[type-arg] # rows are private
        named = _named(query.match)
        if named is None or collection not in _INDEXED:
            return super()._wanted(collection, scope, query)
        rows = self._rows[collection]
        ids = self._ids.get((collection, *named), {})
        everything = self._rows
        self._rows = {**everything, collection: {name: rows[name] for name in ids if name in rows}}
        try:
            return super()._wanted(collection, scope, query)
        finally:
            self._rows = everything


def _named(match: Sequence[tuple[str, object]]) -> tuple[str, str] | None:
    for key, value in match:
        if key in _KEYS and isinstance(value, str):
            return key, value
    return None
