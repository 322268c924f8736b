"""Questions that may find many documents. Each refreshes the index first, where it has news.

So an answer has every write that was acknowledged to anybody of this service.
"""

import functools
from collections.abc import Callable
from typing import Any

from freezer_api.store.base import (
    COUNTED,
    Collection,
    Found,
    Order,
    Page,
    Query,
    Scope,
    Stored,
)
from freezer_api.store.elasticsearch_connection import Connection
from freezer_api.store.elasticsearch_indices import Place
from freezer_api.store.elasticsearch_places import Places
from freezer_api.store.elasticsearch_refresh import Refreshes
from freezer_api.store.leaves import conditions_of, is_watched
from freezer_api.store.mappings import (
    FINGERPRINT,
    Layout,
    fingerprint_of,
    query_of,
    sort_of,
    stored_of,
)
from freezer_api.store.windows import Hit, hits_of

WINDOW = 10_000
"""What the server's `max_result_window` allows in one answer, unless an operator changes it."""

WHOLE = {"allow_partial_search_results": "false"}
"""Half an answer is none: a document that is missing from a list ends a schedule."""


class Searches:
    """Searches of a store."""

    def __init__(
        self, connection: Connection, places: Places, refreshes: Refreshes, window: int
    ) -> None:
        self._connection = connection
        self._places = places
        self._refreshes = refreshes
        self._window = window

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """The page. Total and fingerprint are those of the very copy that answers.

        Two requests may meet two copies, of which one knows a write that the other does not yet:
        an older answer with a younger fingerprint would be kept for ever.
        """
        # A project's documents are counted however many there are: one list of one term.
        heard = query == Query() and scope.project_id is not None and not scope.or_match
        known: dict[str, Any] = {"track_total_hits": True if heard else COUNTED + 1}
        if is_watched(collection, query):
            known["aggregations"] = FINGERPRINT
        return self._found(collection, scope, query, page, known=known)

    def page(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """The documents of the page, and nothing of the whole result."""
        return self._found(collection, scope, query, page, known={})

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """How many the query wants."""
        wanted = {"query": query_of(collection, scope, conditions_of(query))}

        def ask(place: Place) -> int:
            self._refreshes.before_search(collection, place)
            answer = self._connection.call("POST", f"/{place.index}/_count", wanted)
            return int(answer.body["count"])

        return self._places.at(collection, ask)

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """The sum of what the writes left: no document is read."""
        if not is_watched(collection, query):
            return None
        wanted = query_of(collection, scope, conditions_of(query))

        def ask(place: Place) -> str | None:
            if not place.layout.has_stamps:
                return None
            self._refreshes.before_search(collection, place)
            asked = {"query": wanted, "aggregations": FINGERPRINT, "size": 0}
            return _fingerprint(self._search(place, {**asked, "track_total_hits": False}))

        return self._places.at(collection, ask)

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
            self._refreshes.before_search(collection, place)
            asked = _Asked(
                search=functools.partial(self._search, place),
                layout=place.layout,
                query=wanted,
                order=page.order,
                known=known,
            )
            documents = [stored_of(hit) for hit in hits_of(page, asked, self._window)]
            return asked.found(documents)

        return self._places.at(collection, look)

    def _search(self, place: Place, body: dict[str, Any], **params: str) -> dict[str, Any]:
        path = f"/{place.index}/_search"
        return self._connection.call("POST", path, body, params=WHOLE | params).body


class _Asked:
    """One question, asked window by window."""

    def __init__(
        self,
        *,
        search: Callable[..., dict[str, Any]],
        layout: Layout,
        query: dict[str, Any],
        order: Order,
        known: dict[str, Any],
    ) -> None:
        self._search = search
        self._query = query
        self._sort = sort_of(order)
        self._since = "lte" if order.descending else "gte"
        self._known = known
        self._more = {"track_total_hits": False, **known}
        if not layout.has_stamps:
            self._more.pop("aggregations", None)
        if layout.keeps_terms:
            self._more["_source"] = {"excludes": ["terms"]}
        self._last: dict[str, Any] = {}

    def hits(
        self, *, size: int, start: int = 0, after: list[Any] | None = None, bare: bool = False
    ) -> list[Hit]:
        """The hits of one request."""
        asked: dict[str, Any] = {"query": self._query, "sort": self._sort, "size": size}
        asked |= {"search_after": after} if after else {"from": start}
        if bare:
            return _hits(self._search(asked | _BARE, filter_path="hits.hits.sort"))
        self._last = self._search(asked | self._more)
        return _hits(self._last)

    def instants(self, *, size: int, start: int, since: int | None) -> list[int]:
        """The instants of one request, which sorts by nothing else."""
        query = self._query
        if since is not None:
            later = {"range": {"created": {self._since: since}}}
            query = {"bool": {"filter": [query, later]}}
        asked = {"query": query, "sort": self._sort[:1], "size": size, "from": start}
        answer = self._search(asked | _BARE, filter_path="hits.hits.sort")
        return [hit["sort"][0] for hit in _hits(answer)]

    def found(self, documents: list[Stored]) -> Found:
        """The documents, with what the last answer knows of the whole."""
        if self._known and not self._last:  # the way ended before the page
            self.hits(size=0)
        last = self._last
        return Found(documents=documents, total=_total(last), fingerprint=_fingerprint(last))


_BARE = {"_source": False, "track_total_hits": False}


def _hits(answer: dict[str, Any]) -> list[Hit]:
    hits: list[Hit] = answer.get("hits", {}).get("hits", [])
    return hits


def _total(answer: dict[str, Any]) -> int | None:
    total = answer.get("hits", {}).get("total")
    return None if total is None or total["relation"] != "eq" else int(total["value"])


def _fingerprint(answer: dict[str, Any]) -> str | None:
    aggregations = answer.get("aggregations")
    return None if aggregations is None else fingerprint_of(aggregations)
