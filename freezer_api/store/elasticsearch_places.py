"""Where each collection is, also while an upgrade of the mapping moves it."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import Collection
from freezer_api.store.elasticsearch_connection import Connection, Sleep
from freezer_api.store.elasticsearch_indices import Indices, Place
from freezer_api.store.elasticsearch_refusals import IndexGone, WriteBlocked
from freezer_api.store.elasticsearch_upgrade import give_back, switch_of

MOVING_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, *[0.8] * 18)
"""Seconds between the attempts to find a collection that an upgrade moves: 15 in all."""

BRIEF_PAUSES = MOVING_PAUSES[:7]
"""2.3 seconds, of which a busy cluster takes one to lift a block."""

_Result = TypeVar("_Result")


class Places:
    """The places that were found last, for several threads."""

    def __init__(self, connection: Connection, indices: Indices, sleep: Sleep) -> None:
        self._connection = connection
        self._indices = indices
        self._sleep = sleep
        self._known: Mapping[Collection, Place] = {}

    def at(self, collection: Collection, do: Callable[[Place], _Result]) -> _Result:
        """What `do` returns at the place of the collection, wherever an upgrade moves it to.

        Raises StoreUnavailable if there is no place, or if none takes writes for too long.
        """
        try:
            return self._wherever(collection, do, MOVING_PAUSES)
        except _SwitchUnfinished as unfinished:
            give_back(self._connection, self._indices, collection, unfinished.holder)
        return self._wherever(collection, do, BRIEF_PAUSES)

    def of(self, collection: Collection) -> Place:
        """Where the collection was when we last looked. Raises StoreUnavailable if it is nowhere."""
        place = self._known.get(collection)
        if place is None:
            found = self._indices.places()
            if collection not in found:
                raise StoreUnavailable(
                    f"Elasticsearch has no index behind {self._indices.alias(collection)}. "
                    "`freezer-manage db sync` makes the indices"
                )
            self._known = found
            place = found[collection]
        return place

    def forget(self) -> None:
        """Look again before the next call."""
        self._known = {}

    def _wherever(
        self, collection: Collection, do: Callable[[Place], _Result], pauses: tuple[float, ...]
    ) -> _Result:
        holder: str | None = None
        unexplained = 0
        for pause in pauses:
            if pause:
                self._sleep(pause)
            place = self.of(collection)
            try:
                return do(place)
            except IndexGone:
                self._known = {}
            except WriteBlocked:
                self._known = {}
                holder = switch_of(self._connection, self._indices, collection)
                # A block lasts a moment longer than the turn of whoever is relieved of it.
                unexplained = 0 if holder else unexplained + 1
                if unexplained >= len(BRIEF_PAUSES) and self.of(collection) == place:
                    raise  # it is no upgrade that blocks, so it will not pass
        if holder:
            raise _SwitchUnfinished(holder)
        return do(self.of(collection))


class _SwitchUnfinished(StoreUnavailable):
    """An upgrade has had the turn to switch for longer than a switch takes."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"An upgrade of the indices does not come to its end: {holder}")
        self.holder = holder
