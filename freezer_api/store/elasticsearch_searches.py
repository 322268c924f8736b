"""Questions that may find many documents. Each refreshes the index first, where it has news.

So an answer has every write that was acknowledged to anybody of this service.
"""

from typing import Any

from freezer_api.store.base import COUNTED, Collection, Found, Page, Query, Scope
from freezer_api.store.elasticsearch_connection import Connection
from freezer_api.store.elasticsearch_indices import Place
from freezer_api.store.elasticsearch_places import Places
from freezer_api.store.elasticsearch_refresh import Refreshes
from freezer_api.store.leaves import conditions_of, is_watched
from freezer_api.store.mappings import (
    FINGERPRINT,
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
            documents = [stored_of(hit) for hit in hits_of(page, ask, self._window)]
            if known and not last:  # the walk ended before the page
                ask(size=0)
            return Found(documents=documents, total=_total(last), fingerprint=_fingerprint(last))

        return self._places.at(collection, look)

    def _search(self, place: Place, body: dict[str, Any], **params: str) -> dict[str, Any]:
        path = f"/{place.index}/_search"
        return self._connection.call("POST", path, body, params=WHOLE | params).body


def _total(answer: dict[str, Any]) -> int | None:
    total = answer.get("hits", {}).get("total")
    return None if total is None or total["relation"] != "eq" else int(total["value"])


def _fingerprint(answer: dict[str, Any]) -> str | None:
    aggregations = answer.get("aggregations")
    return None if aggregations is None else fingerprint_of(aggregations)
