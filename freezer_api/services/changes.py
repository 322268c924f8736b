"""Changes of stored documents that lose nobody else's: read, decide, replace, and again if needed."""

from collections.abc import Callable, Iterator
from typing import Any

from freezer_api.errors import (
    DocumentExists,
    DocumentNotFound,
    PreconditionFailed,
    VersionConflict,
)
from freezer_api.services.tags import ANYTHING, Expected
from freezer_api.services.turns import Turns
from freezer_api.store.base import Collection, DocumentStore, Page, Query, Scope, Stored

Sleep = Callable[[float], None]

_ATTEMPTS = 100
"""Each round of a race has a winner, so that 32 callers at once are through after 32 rounds."""
_LONGEST_PAUSE_SECONDS = 0.05
_WALK = 500


class Changes:
    """Changes documents of a store by compare-and-set."""

    def __init__(self, store: DocumentStore, sleep: Sleep) -> None:
        self._store = store
        self._sleep = sleep
        self._turns = Turns()

    def apply(
        self,
        collection: Collection,
        scope: Scope,
        document_id: str,
        change: Callable[[dict[str, Any]], dict[str, Any] | None],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The document after `change`, which gets the present one and may be called again.

        `change` returns the new document, or None to leave it. Raises DocumentNotFound,
        PreconditionFailed, whatever `change` raises, and VersionConflict if others were faster a
        hundred times.
        """
        with self._turns.turn(collection, document_id):
            return self._applied(collection, scope, document_id, change, expected)

    def apply_or_insert(
        self,
        collection: Collection,
        scope: Scope,
        document_id: str,
        change: Callable[[dict[str, Any]], dict[str, Any] | None],
        fresh: dict[str, Any],
        *,
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The document after `change`, or `fresh` where there was none.

        Raises DocumentExists for an id outside the scope, and as `apply`.
        """
        try:
            return self.apply(collection, scope, document_id, change, expected)
        except DocumentNotFound:
            pass
        expected.check_absent()
        try:
            return self._store.insert(collection, document_id, fresh)
        except DocumentExists:
            # Outside the scope, or made by a simultaneous call inside it.
            try:
                return self.apply(collection, scope, document_id, change, expected)
            except DocumentNotFound:
                raise DocumentExists(collection, document_id) from None

    def remove(
        self,
        collection: Collection,
        scope: Scope,
        document_id: str,
        expected: Expected = ANYTHING,
    ) -> None:
        """Remove the document in the expected state. DocumentNotFound, PreconditionFailed."""
        if expected.is_anything:
            self._store.delete(collection, scope, document_id)
            return
        stored = self._store.get(collection, scope, document_id)
        expected.check(stored)
        try:
            self._store.delete(collection, scope, document_id, stored.version)
        except VersionConflict as error:
            raise PreconditionFailed("The document was changed at this very moment") from error

    def ids_of(self, collection: Collection, scope: Scope, query: Query) -> list[str]:
        """The ids of all documents that the query wants, however many."""
        return list(self._walk(collection, scope, query))

    def _applied(
        self,
        collection: Collection,
        scope: Scope,
        document_id: str,
        change: Callable[[dict[str, Any]], dict[str, Any] | None],
        expected: Expected,
    ) -> Stored:
        for attempt in range(_ATTEMPTS):
            stored = self._store.get(collection, scope, document_id)
            expected.check(stored)
            changed = change(dict(stored.document))
            if changed is None:
                return stored
            try:
                return self._store.replace(collection, document_id, changed, stored.version)
            except VersionConflict:
                self._sleep(min(_LONGEST_PAUSE_SECONDS, 0.001 * (attempt + 1)))
        raise VersionConflict(collection, document_id)

    def _walk(self, collection: Collection, scope: Scope, query: Query) -> Iterator[str]:
        offset = 0
        while True:
            page = Page(limit=_WALK, offset=offset)
            found = self._store.search(collection, scope, query, page)
            for stored in found:
                yield stored.document_id
            if len(found) < _WALK:
                return
            offset += len(found)
