"""When an index is refreshed: before a search, unless it would show nothing new."""

from collections.abc import Iterator
from contextlib import contextmanager

from freezer_api.store.base import Collection
from freezer_api.store.elasticsearch_connection import Connection
from freezer_api.store.elasticsearch_indices import Place
from freezer_api.store.freshness import Freshness


class Refreshes:
    """The refreshes of one store. Without a Freshness, there is one before every search."""

    def __init__(self, connection: Connection, freshness: Freshness | None) -> None:
        self._connection = connection
        self._freshness = freshness

    def before_search(self, collection: Collection, place: Place) -> None:
        """Make the next search see what this service has acknowledged until now."""
        if self._freshness is None:
            self._refresh(place)
            return
        needed = self._freshness.refresh_needed(collection, place.layout.version)
        if needed is not None and self._refresh(place):
            self._freshness.refreshed(needed)

    @contextmanager
    def around_write(self, collection: Collection, place: Place) -> Iterator[None]:
        """Remember that the index has news, whatever became of the write."""
        try:
            yield
        finally:
            if self._freshness is not None:
                self._freshness.written(collection, place.layout.version)

    def _refresh(self, place: Place) -> bool:
        """Whether every copy that is there was refreshed."""
        answer = self._connection.call("POST", f"/{place.index}/_refresh")
        return bool(answer.body["_shards"]["failed"] == 0)
