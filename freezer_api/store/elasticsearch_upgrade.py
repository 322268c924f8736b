"""Move a collection to an index with a newer mapping while others read and write it.

How nothing is lost, whatever the others do and whenever this program dies:

- The copy follows the sequence numbers of the old index: every write, of whatever release, gives
  its document a new and higher one. A pass copies what has one between the last pass's end and
  the global checkpoint, below which nothing is ever taken back. Copies carry the number as their
  external version, so an older state never replaces a newer one, two copies at once do no harm,
  and a copy that was killed goes on from the end of its last pass.
- What was deleted is found by counting: the copy holds every document of the old index, so where
  it holds more in a range of creation times, some of these are gone from the old index.
- The switch blocks writes to the old index (the block waits for those under way), copies the last
  of them, compares, and in one step hands the alias over and removes the old index. Programs
  that meet the block wait; it takes about a second.
- Only who holds the turn may block and switch. The turn is an alias of the new index; it is
  taken, given back and spent in steps of which Elasticsearch carries out all or nothing, and only
  if the turn is where it is believed to be. A program that was killed with the turn in its hand
  loses it to whoever has waited for WAIT_SECONDS: another upgrade goes on with the switch, a
  service lifts the block and lets the old index live.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import Collection
from freezer_api.store.elasticsearch_connection import Connection, Sleep
from freezer_api.store.elasticsearch_copy import Copy
from freezer_api.store.elasticsearch_indices import NOT_FOR_WRITING, Indices
from freezer_api.store.elasticsearch_refusals import IndexGone
from freezer_api.store.mappings import MAPPING_VERSION

WAIT_SECONDS = 20
"""How long another upgrade's turn is respected after its last sign of life."""
HEALTH_SECONDS = 60

_MISSING = frozenset({404})
_NOT_IN_TIME = frozenset({408})
Tell = Callable[[str], None]


class Upgrade:
    """The move of one collection."""

    def __init__(
        self,
        connection: Connection,
        indices: Indices,
        collection: Collection,
        *,
        new_id: Callable[[], str],
        sleep: Sleep,
    ) -> None:
        self._connection = connection
        self._indices = indices
        self._collection = collection
        self._new_id = new_id
        self._sleep = sleep
        self._target = indices.name(collection)

    def run(self, tell: Tell) -> None:
        """Move the collection, telling what happens. Nothing is done where nothing is to do.

        May be killed and run again at any time, and run twice at once. Raises StoreUnavailable;
        the old index is then in use as before.
        """
        place = self._indices.places().get(self._collection)
        if place is None:
            raise StoreUnavailable(
                f"There is nothing to upgrade behind {self._indices.alias(self._collection)}. "
                "`freezer-manage db sync` makes the indices"
            )
        if place.layout.version == MAPPING_VERSION:
            tell(f"{self._collection}: {place.index} is up to date")
            return
        self._indices.make(self._collection, {_turn(self._indices, self._collection): {}})
        copy = Copy(self._connection, place.index, self._target, self._collection, tell)
        try:
            copy.follow()
            self._wait_for_copies(place.index)
            mine = self._take_turn(tell)
            if mine:
                self._switch(place.index, mine, copy)
        except IndexGone:
            if not self._is_done():
                raise
        tell(f"{self._collection}: moved from {place.index} to {self._target}")

    def _wait_for_copies(self, source: str) -> None:
        """Wait until the new index survives the loss of a node if the old one does."""
        if self._health(source, "yellow") != "green":
            return
        if self._health(self._target, "green") != "green":
            raise StoreUnavailable(
                f"The copies of {self._target} on other nodes do not become ready. "
                "Look at the health of the cluster, then run the upgrade again"
            )

    def _health(self, index: str, wanted: str) -> str:
        answer = self._connection.call(
            "GET",
            f"/_cluster/health/{index}",
            params={"wait_for_status": wanted, "timeout": f"{HEALTH_SECONDS}s"},
            expected=_NOT_IN_TIME,
        )
        return str(answer.body["status"])

    def _take_turn(self, tell: Tell) -> str | None:
        """The name under which we have the turn; None if another upgrade has switched meanwhile."""
        free = _turn(self._indices, self._collection)
        mine = f"{_switches(self._indices, self._collection)}{self._new_id()}"
        holder: str | None = None
        seconds = 0
        while not self._hand_over(free, mine):
            if self._is_done():
                return None
            found = switch_of(self._connection, self._indices, self._collection)
            if found == mine:  # the answer was lost
                break
            if seconds == 0:
                tell(f"{self._collection}: another upgrade is switching, or was killed: waiting")
            seconds = seconds + 1 if found == holder else 1
            holder = found
            if seconds > WAIT_SECONDS and self._hand_over(holder, mine):
                break
            self._sleep(1)
        return mine

    def _hand_over(self, holder: str | None, mine: str) -> bool:
        """Whether the turn was the holder's and is ours now. None: nobody's, not even free."""
        actions: list[dict[str, Any]] = [{"add": {"index": self._target, "alias": mine}}]
        if holder:
            actions.append(_only_if(self._target, holder))
        answer = self._connection.call("POST", "/_aliases", {"actions": actions}, expected=_MISSING)
        return answer.status == 200

    def _switch(self, source: str, mine: str, copy: Copy) -> None:
        try:
            # Answered when the writes that were under way are done.
            self._connection.call("PUT", f"/{source}/_block/write")
            copy.finish()
            self._hand_over_alias(source, mine)
        except BaseException:
            with suppress(StoreUnavailable):  # then a service that has waited will do it
                give_back(self._connection, self._indices, self._collection, mine)
            raise

    def _hand_over_alias(self, source: str, mine: str) -> None:
        alias = self._indices.alias(self._collection)
        actions = [
            _only_if(self._target, mine),
            {"add": {"index": self._target, "alias": alias, **NOT_FOR_WRITING}},
            {"remove_index": {"index": source}},
        ]
        answer = self._connection.call("POST", "/_aliases", {"actions": actions}, expected=_MISSING)
        if answer.status == 404 and not self._is_done():
            raise StoreUnavailable(
                f"The switch from {source} took too long, and a service lifted the block on "
                "writes. Nothing is lost and nothing has changed: run the upgrade again, when "
                "there is less to do"
            )

    def _is_done(self) -> bool:
        place = self._indices.places().get(self._collection)
        return place is not None and place.index == self._target


def switch_of(connection: Connection, indices: Indices, collection: Collection) -> str | None:
    """The name under which an upgrade has the turn to switch, if one has."""
    pattern = f"{_switches(indices, collection)}*"
    answer = connection.call("GET", f"/_alias/{pattern}", expected=_MISSING)
    for details in answer.body.values():
        if isinstance(details, dict):
            for alias in details.get("aliases", {}):
                return str(alias)
    return None


def give_back(
    connection: Connection, indices: Indices, collection: Collection, holder: str
) -> None:
    """Take the turn from the holder, let the old index be written again, and free the turn.

    Nothing happens if the holder has it no more.
    """
    target = indices.name(collection)
    actions = [_only_if(target, holder)]
    taken = connection.call("POST", "/_aliases", {"actions": actions}, expected=_MISSING)
    if taken.status == 404:
        return
    source = indices.places()[collection].index
    connection.call("PUT", f"/{source}/_settings", {"index.blocks.write": None})
    free = {"index": target, "alias": _turn(indices, collection)}
    connection.call("POST", "/_aliases", {"actions": [{"add": free}]})


def _turn(indices: Indices, collection: Collection) -> str:
    return f"{indices.alias(collection)}_turn"


def _switches(indices: Indices, collection: Collection) -> str:
    return f"{indices.alias(collection)}_switch_"


def _only_if(index: str, alias: str) -> dict[str, Any]:
    """Remove the alias; if it is not there, do none of what is asked beside it."""
    return {"remove": {"index": index, "alias": alias, "must_exist": True}}
