"""A store that tells how long its calls take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import (
    Collection,
    Document,
    DocumentStore,
    Found,
    Page,
    Query,
    Scope,
    Stored,
)


class StoreMeter(Protocol):
    """Is told of every call."""

    def observe(self, operation: str, collection: str, seconds: float, *, failed: bool) -> None:
        """A call has ended. `failed`: the store was not available; refusals are no failures."""
        ...


class Measured:
    """A DocumentStore that behaves as the one inside. `seconds` is a clock that only grows."""

    def __init__(
        self, store: DocumentStore, meter: StoreMeter, seconds: Callable[[], float]
    ) -> None:
        self._store = store
        self._meter = meter
        self._seconds = seconds

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """As the store inside."""
        with self._timed("get", collection):
            return self._store.get(collection, scope, document_id)

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        """As the store inside."""
        with self._timed("insert", collection):
            return self._store.insert(collection, document_id, document)

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        """As the store inside."""
        with self._timed("replace", collection):
            return self._store.replace(collection, document_id, document, version)

    def delete(
        self, collection: Collection, scope: Scope, document_id: str, version: int | None = None
    ) -> None:
        """As the store inside."""
        with self._timed("delete", collection):
            self._store.delete(collection, scope, document_id, version)

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """As the store inside."""
        with self._timed("search", collection):
            return self._store.search(collection, scope, query, page)

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """As the store inside."""
        with self._timed("search", collection):
            return self._store.find(collection, scope, query, page)

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """As the store inside."""
        with self._timed("count", collection):
            return self._store.count(collection, scope, query)

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """As the store inside."""
        with self._timed("fingerprint", collection):
            return self._store.fingerprint(collection, scope, query)

    def ready(self) -> bool:
        """As the store inside."""
        return self._store.ready()

    def close(self) -> None:
        """As the store inside."""
        self._store.close()

    @contextmanager
    def _timed(self, operation: str, collection: Collection) -> Iterator[None]:
        began = self._seconds()
        failed = False
        try:
            yield
        except StoreUnavailable:
            failed = True
            raise
        finally:
            self._meter.observe(operation, collection, self._seconds() - began, failed=failed)
