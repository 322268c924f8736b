"""Documents in Elasticsearch 8, for many API processes and many nodes.

One index per collection, found through an alias (see `elasticsearch_indices`). Only the core of
the server is asked for: no scripts, no update or delete by query.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from freezer_api.errors import DocumentExists, DocumentNotFound, StoreUnavailable, VersionConflict
from freezer_api.store.base import (
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
from freezer_api.store.elasticsearch_places import Places
from freezer_api.store.elasticsearch_reads import RecentReads, State
from freezer_api.store.elasticsearch_refresh import Refreshes
from freezer_api.store.elasticsearch_searches import WHOLE, WINDOW, Searches
from freezer_api.store.elasticsearch_upgrade import Upgrade
from freezer_api.store.entries import check_id, document_of, entry_of
from freezer_api.store.freshness import Freshness
from freezer_api.store.leaves import exists_for
from freezer_api.store.mappings import (
    REMEMBERED_WRITES,
    body_of,
    key_of,
    stamp_of,
    stored_of,
    write_ids,
)
from freezer_api.store.windows import Hit
from freezer_model.clock import Clock

__all__ = ["Cluster", "ElasticsearchStore"]

DELETE_ATTEMPTS = 100
"""How often a deletion meets a document that was just replaced before it gives up."""
_MISSING = frozenset({404})
_CONFLICT = frozenset({409})
_MISSING_OR_CONFLICT = _MISSING | _CONFLICT


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
        self._places = Places(self._connection, self._indices, sleep)
        self._searches = Searches(self._connection, self._places, self._refreshes, window)
        self._reads = RecentReads()
        self._new_id = new_id
        self._sleep = sleep
        self._instants = _Instants(clock)

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """Read the document by its id, which needs no refresh."""
        hit = self._places.at(collection, lambda place: self._hit(place, collection, document_id))
        stored = stored_of(_in_scope(hit, collection, scope, document_id))
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

        self._places.at(collection, write)
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

        self._places.at(collection, write)
        return _written(body)

    def delete(
        self, collection: Collection, scope: Scope, document_id: str, version: int | None = None
    ) -> None:
        """Remove the document as it was when its scope was judged, else judge again."""

        def find(place: Place) -> Hit:
            hit = self._hit(place, collection, document_id)
            return _in_scope(hit, collection, scope, document_id)

        hit = self._places.at(collection, find)
        for _attempt in range(DELETE_ATTEMPTS):
            if version not in {None, hit["_source"]["version"]}:
                raise VersionConflict(collection, document_id)
            if self._erase(collection, document_id, hit):
                return
            try:
                hit = self._places.at(collection, find)
            except DocumentNotFound:
                # It was there when we came: our own deletion, repeated after a lost answer,
                # or somebody else's at the same time. It is gone, as was asked.
                return
        raise VersionConflict(collection, document_id)

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """Refresh, so that everybody's acknowledged writes are seen, then ask for the page."""
        return self._searches.page(collection, scope, query, page).documents

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """The same request, with what the very copy that answers knows of the whole."""
        return self._searches.find(collection, scope, query, page)

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """Refresh and count."""
        return self._searches.count(collection, scope, query)

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """Refresh, and sum up what the writes left: no document is read."""
        return self._searches.fingerprint(collection, scope, query)

    def walk(self, collection: Collection) -> Iterator[Stored]:
        """Page by page, each where the collection is by then."""
        pages = Walk()
        while hits := self._places.at(
            collection, lambda place: pages.read(self._connection, place)
        ):
            yield from map(stored_of, hits)

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

        return self._places.at(collection, write)

    def ready(self) -> bool:
        """Whether every index is there, and can be searched."""
        try:
            places = self._indices.places()
            if len(places) < len(Collection):
                return False
            everywhere = ",".join(place.index for place in places.values())
            self._connection.call(
                "POST", f"/{everywhere}/_search", {"size": 0, "terminate_after": 1}, params=WHOLE
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
        self._places.forget()

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

        return self._places.at(collection, erase)

    def _write_marks(self) -> dict[str, Any]:
        write_id = self._new_id()
        return {"write_id": [write_id], "stamp": stamp_of(write_id)}


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
    return stored_of({"_source": body})
