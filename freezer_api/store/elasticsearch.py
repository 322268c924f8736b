"""Documents in Elasticsearch 8, for many API processes and many nodes.

One index per collection, found through an alias (see `elasticsearch_indices`). Only the core of
the server is asked for: no scripts, no update or delete by query.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from freezer_api.errors import DocumentExists, DocumentNotFound, StoreUnavailable, VersionConflict
from freezer_api.store.base import (
    COUNTED,
    Collection,
    Contents,
    Document,
    Found,
    Page,
    Query,
    Scope,
    Stored,
)
from freezer_api.store.elasticsearch_bulk import Walk, adopt
from freezer_api.store.elasticsearch_connection import Cluster, Connection, Sleep
from freezer_api.store.elasticsearch_indices import Indices, Place
from freezer_api.store.elasticsearch_reads import RecentReads, State
from freezer_api.store.elasticsearch_refresh import Refreshes
from freezer_api.store.elasticsearch_refusals import IndexGone, WriteBlocked
from freezer_api.store.elasticsearch_upgrade import Upgrade, give_back, switch_of
from freezer_api.store.entries import check_id, document_of, entry_of
from freezer_api.store.freshness import Freshness
from freezer_api.store.leaves import conditions_of, exists_for, is_watched
from freezer_api.store.mappings import (
    FINGERPRINT,
    REMEMBERED_WRITES,
    body_of,
    fingerprint_of,
    key_of,
    query_of,
    sort_of,
    stamp_of,
    write_ids,
)
from freezer_api.store.windows import Hit, hits_of
from freezer_model.clock import Clock

__all__ = ["Cluster", "ElasticsearchStore"]

WINDOW = 10_000
"""What the server's `max_result_window` allows in one answer, unless an operator changes it."""
DELETE_ATTEMPTS = 20
"""How often a deletion meets a document that was just replaced before it gives up."""
MOVING_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, *[0.8] * 18)
"""Seconds between the attempts to find a collection that an upgrade moves: 15 in all."""

BRIEF_PAUSES = MOVING_PAUSES[:5]

_MISSING = frozenset({404})
_CONFLICT = frozenset({409})
_MISSING_OR_CONFLICT = _MISSING | _CONFLICT
_Result = TypeVar("_Result")


class ElasticsearchStore:
    """A DocumentStore and ManagedStore in the indices `PREFIX_COLLECTION_vN`.

    A search refreshes the index first, so it sees every write that was acknowledged to anybody.
    With a Freshness that all writers of a service share it does so only if one of them has written
    since, or half a second has passed; what another service writes is then seen that much later.
    Measured with 100,000 jobs on a busy machine of two cores: a refresh without news takes 3 ms;
    a write that refreshes takes 59 ms instead of 7, and one that waits for the next refresh takes
    a second. So many writes in a row share one refresh, and nobody pays who does not search.

    Each write carries an id of its own, so that one which was repeated after its answer was lost
    knows itself again. Calls that meet an upgrade of the mapping wait for it a moment and go on in
    the new index.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        index_prefix: str,
        clock: Clock,
        new_id: Callable[[], str],
        replicas: int | None = None,
        window: int = WINDOW,
        sleep: Sleep = time.sleep,
        freshness: Freshness | None = None,
    ) -> None:
        self._connection = Connection(cluster, sleep=sleep)
        self._refreshes = Refreshes(self._connection, freshness)
        self._indices = Indices(self._connection, index_prefix, replicas)
        self._reads = RecentReads()
        self._places: Mapping[Collection, Place] = {}
        self._new_id = new_id
        self._window = window
        self._sleep = sleep
        self._instants = _Instants(clock)

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """Read the document by its id, which needs no refresh."""
        hit = self._at(collection, lambda place: self._hit(place, collection, document_id))
        stored = _stored(_in_scope(hit, collection, scope, document_id))
        self._reads.note(collection, document_id, hit)
        return stored

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        """Create the document; two creations of one id collide in the server."""
        check_id(document_id)
        body = body_of(collection, document_id, entry_of(document))
        body |= {"version": 1, "created": self._instants.next(), **self._write_marks()}

        def write(place: Place) -> None:
            if not self._write(place, collection, body, {"op_type": "create"}):
                hit = self._hit_or_none(place, collection, document_id)
                if hit is None or not _is_mine(hit, body):
                    raise DocumentExists(collection, document_id)

        self._at(collection, write)
        return _written(body)

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        """Replace the document if the server still holds the very state that had the version.

        Whoever has read that state in this process need not read it again.
        """
        body = body_of(collection, document_id, entry_of(document))
        body |= {"version": version + 1, **self._write_marks()}

        def write(place: Place) -> None:
            read = self._reads.take(place, collection, document_id, version)
            if read is not None and self._succeed(place, collection, body, read):
                return
            hit = self._hit(place, collection, document_id)
            if hit["_source"]["version"] != version:
                _require_mine(hit, body, collection, document_id)
            elif not self._succeed(place, collection, body, State.of(hit)):
                hit = self._hit(place, collection, document_id)
                _require_mine(hit, body, collection, document_id)

        self._at(collection, write)
        return _written(body)

    def delete(
        self, collection: Collection, scope: Scope, document_id: str, version: int | None = None
    ) -> None:
        """Remove the document as it was when its scope was judged, else judge again."""

        def find(place: Place) -> Hit:
            hit = self._hit(place, collection, document_id)
            return _in_scope(hit, collection, scope, document_id)

        hit = self._at(collection, find)
        for _attempt in range(DELETE_ATTEMPTS):
            if version not in {None, hit["_source"]["version"]}:
                raise VersionConflict(collection, document_id)
            if self._erase(collection, document_id, hit):
                return
            try:
                hit = self._at(collection, find)
            except DocumentNotFound:
                # It was there when we came: our own deletion, repeated after a lost answer,
                # or somebody else's at the same time. It is gone, as was asked.
                return
        raise VersionConflict(collection, document_id)

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """Refresh, so that everybody's acknowledged writes are seen, then ask for the page."""
        return self._found(collection, scope, query, page, known={}).documents

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """The same request. Total and fingerprint are those of the very copy that answers.

        Two requests may meet two copies, of which one knows a write that the other does not yet:
        an older answer with a younger fingerprint would be kept for ever.
        """
        # A project's documents are counted however many there are: one list of one term.
        heard = query == Query() and scope.project_id is not None and not scope.or_match
        known: dict[str, Any] = {"track_total_hits": True if heard else COUNTED + 1}
        if is_watched(collection, query):
            known["aggregations"] = FINGERPRINT
        return self._found(collection, scope, query, page, known=known)

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """Refresh and count."""
        wanted = {"query": query_of(collection, scope, conditions_of(query))}

        def ask(place: Place) -> int:
            self._refreshes.before_search(collection, place)
            answer = self._connection.call("POST", f"/{place.index}/_count", wanted)
            return int(answer.body["count"])

        return self._at(collection, ask)

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """Refresh, and sum up what the writes left: no document is read."""
        if not is_watched(collection, query):
            return None
        wanted = query_of(collection, scope, conditions_of(query))

        def ask(place: Place) -> str | None:
            if not place.layout.has_stamps:
                return None
            self._refreshes.before_search(collection, place)
            asked = {"query": wanted, "aggregations": FINGERPRINT, "size": 0}
            return _fingerprint(self._search(place, {**asked, "track_total_hits": False}))

        return self._at(collection, ask)

    def walk(self, collection: Collection) -> Iterator[Stored]:
        """Page by page, each where the collection is by then."""
        pages = Walk()
        while hits := self._at(collection, lambda place: pages.read(self._connection, place)):
            yield from map(_stored, hits)

    def adopt(
        self, collection: Collection, batch: Sequence[Stored], *, overwrite: bool = False
    ) -> int:
        """Each document by itself: what was written before a failure stays."""
        bodies: dict[str, dict[str, Any]] = {}
        for stored in batch:
            check_id(stored.document_id)
            body = body_of(collection, stored.document_id, entry_of(stored.document))
            body |= {"version": stored.version, "created": 0, **self._write_marks()}
            bodies.setdefault(key_of(collection, stored.document_id), body)
        for body in bodies.values():
            body["created"] = self._instants.next()
        if not bodies:
            return 0

        def write(place: Place) -> int:
            with self._refreshes.around_write(collection, place):
                return adopt(self._connection, place, bodies, overwrite=overwrite)

        return self._at(collection, write)

    def ready(self) -> bool:
        """Whether every index is there, and can be searched."""
        try:
            places = self._indices.places()
            if len(places) < len(Collection):
                return False
            everywhere = ",".join(place.index for place in places.values())
            self._connection.call(
                "POST", f"/{everywhere}/_search", {"size": 0, "terminate_after": 1}, params=_WHOLE
            )
        except StoreUnavailable:
            return False
        return True

    def close(self) -> None:
        """Close every connection."""
        self._connection.close()

    def prepare(self) -> None:
        """Make the templates, indices and aliases that are missing, and wait for the indices."""
        self._indices.prepare()

    def describe(self) -> list[Contents]:
        """Count each index that is in use."""
        rows = []
        for collection, place in self._indices.places().items():
            self._refreshes.before_search(collection, place)
            counted = self._connection.call("GET", f"/{place.index}/_count").body["count"]
            rows.append(
                Contents(name=place.index, version=place.layout.version, documents=int(counted))
            )
        return rows

    def upgrade(self, tell: Callable[[str], None]) -> None:
        """Move each collection to an index with the newest mapping, while it is used."""
        self._indices.make_missing()
        for collection in Collection:
            Upgrade(
                self._connection, self._indices, collection, new_id=self._new_id, sleep=self._sleep
            ).run(tell)

    def remove(self) -> None:
        """Delete the indices and the templates."""
        self._indices.remove()
        self._places = {}

    def _at(self, collection: Collection, do: Callable[[Place], _Result]) -> _Result:
        """What `do` returns at the place of the collection, wherever an upgrade moves it to.

        Raises StoreUnavailable if there is no place, or if none takes writes for too long.
        """
        try:
            return self._wherever(collection, do, MOVING_PAUSES)
        except _SwitchUnfinished as unfinished:
            give_back(self._connection, self._indices, collection, unfinished.holder)
        return self._wherever(collection, do, BRIEF_PAUSES)

    def _wherever(
        self, collection: Collection, do: Callable[[Place], _Result], pauses: tuple[float, ...]
    ) -> _Result:
        holder: str | None = None
        unexplained = 0
        for pause in pauses:
            if pause:
                self._sleep(pause)
            place = self._place(collection)
            try:
                return do(place)
            except IndexGone:
                self._places = {}
            except WriteBlocked:
                self._places = {}
                holder = switch_of(self._connection, self._indices, collection)
                # A block lasts a moment longer than the turn of whoever is relieved of it.
                unexplained = 0 if holder else unexplained + 1
                if unexplained >= len(BRIEF_PAUSES) and self._place(collection) == place:
                    raise  # it is no upgrade that blocks, so it will not pass
        if holder:
            raise _SwitchUnfinished(holder)
        return do(self._place(collection))

    def _place(self, collection: Collection) -> Place:
        place = self._places.get(collection)
        if place is None:
            found = self._indices.places()
            if collection not in found:
                raise StoreUnavailable(
                    f"Elasticsearch has no index behind {self._indices.alias(collection)}. "
                    "`freezer-manage db sync` makes the indices"
                )
            self._places = found
            place = found[collection]
        return place

    def _found(
        self,
        collection: Collection,
        scope: Scope,
        query: Query,
        page: Page,
        *,
        known: dict[str, Any],
    ) -> Found:
        """The page; `known` asks for more, of which the last request's answer counts."""
        wanted = query_of(collection, scope, conditions_of(query))

        def look(place: Place) -> Found:
            asked = {"query": wanted, "sort": sort_of(page.order)}
            more = {"track_total_hits": False, **known}
            if not place.layout.has_stamps:
                more.pop("aggregations", None)
            if place.layout.keeps_terms:
                more["_source"] = {"excludes": ["terms"]}
            last: dict[str, Any] = {}

            def ask(
                *, size: int, start: int = 0, after: list[Any] | None = None, bare: bool = False
            ) -> list[Hit]:
                window = {"size": size, "from": start} | ({"search_after": after} if after else {})
                if bare:
                    body = asked | window | {"_source": False, "track_total_hits": False}
                    answer = self._search(place, body, filter_path="hits.hits.sort")
                else:
                    answer = self._search(place, asked | window | more)
                    last.update(answer)
                hits: list[Hit] = answer.get("hits", {}).get("hits", [])
                return hits

            self._refreshes.before_search(collection, place)
            documents = [_stored(hit) for hit in hits_of(page, ask, self._window)]
            if known and not last:  # the walk ended before the page
                ask(size=0)
            return Found(documents=documents, total=_total(last), fingerprint=_fingerprint(last))

        return self._at(collection, look)

    def _search(self, place: Place, body: dict[str, Any], **params: str) -> dict[str, Any]:
        path = f"/{place.index}/_search"
        return self._connection.call("POST", path, body, params=_WHOLE | params).body

    def _hit(self, place: Place, collection: Collection, document_id: str) -> Hit:
        hit = self._hit_or_none(place, collection, document_id)
        if hit is None:
            raise DocumentNotFound(collection, document_id)
        return hit

    def _hit_or_none(self, place: Place, collection: Collection, document_id: str) -> Hit | None:
        answer = self._connection.call(
            "GET",
            f"/{place.index}/_doc/{key_of(collection, document_id)}",
            params={"_source_excludes": "terms"} if place.layout.keeps_terms else None,
            expected=_MISSING,
        )
        return answer.body if answer.body["found"] else None

    def _succeed(
        self, place: Place, collection: Collection, body: dict[str, Any], before: State
    ) -> bool:
        """Write what follows the state; whether the document still was in it."""
        earlier = before.write_ids[: REMEMBERED_WRITES - 1]
        body["created"] = before.created
        body["write_id"] = [body["write_id"][0], *earlier]
        return self._write(place, collection, body, before.unchanged)

    def _write(
        self,
        place: Place,
        collection: Collection,
        body: dict[str, Any],
        conditions: dict[str, str],
    ) -> bool:
        """Whether the conditions held."""
        with self._refreshes.around_write(collection, place):
            answer = self._connection.call(
                "PUT",
                f"/{place.index}/_doc/{key_of(collection, body['document_id'])}",
                place.layout.fitted(body),
                params=conditions,
                expected=_CONFLICT,
            )
        return answer.status != 409

    def _erase(self, collection: Collection, document_id: str, hit: Hit) -> bool:
        """Whether the document was still as the hit has it, in the index that the hit is of."""

        def erase(place: Place) -> bool:
            if place.index != hit["_index"]:
                return False  # an upgrade has moved it, and numbered it anew
            with self._refreshes.around_write(collection, place):
                answer = self._connection.call(
                    "DELETE",
                    f"/{place.index}/_doc/{key_of(collection, document_id)}",
                    params=State.of(hit).unchanged,
                    expected=_MISSING_OR_CONFLICT,
                )
            return answer.status == 200

        return self._at(collection, erase)

    def _write_marks(self) -> dict[str, Any]:
        write_id = self._new_id()
        return {"write_id": [write_id], "stamp": stamp_of(write_id)}


class _SwitchUnfinished(StoreUnavailable):
    """An upgrade has had the turn to switch for longer than a switch takes."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"An upgrade of the indices does not come to its end: {holder}")
        self.holder = holder


_WHOLE = {"allow_partial_search_results": "false"}
"""Half an answer is none: a document that is missing from a list ends a schedule."""


class _Instants:
    """Microseconds of creation, each later than the one before in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        now = int(self._clock().timestamp() * 1_000_000)
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last


def _in_scope(hit: Hit, collection: Collection, scope: Scope, document_id: str) -> Hit:
    if not exists_for(scope, document_of(hit["_source"]["document"])):
        raise DocumentNotFound(collection, document_id)
    return hit


def _is_mine(hit: Hit, body: dict[str, Any]) -> bool:
    """Whether the write of the body is among the last ones of the document."""
    return body["write_id"][0] in write_ids(hit["_source"])


def _require_mine(hit: Hit, body: dict[str, Any], collection: Collection, document_id: str) -> None:
    if not _is_mine(hit, body):
        raise VersionConflict(collection, document_id)


def _written(body: dict[str, Any]) -> Stored:
    return _stored({"_source": body})


def _stored(hit: Hit) -> Stored:
    source = hit["_source"]
    return Stored(
        document_id=source["document_id"],
        document=document_of(source["document"]),
        version=source["version"],
    )


def _total(answer: dict[str, Any]) -> int | None:
    total = answer.get("hits", {}).get("total")
    return None if total is None or total["relation"] != "eq" else int(total["value"])


def _fingerprint(answer: dict[str, Any]) -> str | None:
    aggregations = answer.get("aggregations")
    return None if aggregations is None else fingerprint_of(aggregations)
