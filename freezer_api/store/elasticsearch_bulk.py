"""Whole collections of the Elasticsearch store: read page by page, written many at a time."""

from collections.abc import Iterator
from typing import Any

from freezer_api.errors import StoreUnavailable
from freezer_api.store.elasticsearch_connection import Connection, Operation
from freezer_api.store.elasticsearch_indices import Place
from freezer_api.store.entries import document_of
from freezer_api.store.mappings import REMEMBERED_WRITES, write_ids
from freezer_api.store.windows import Hit

FIRST_PAGE = 500
LARGEST_PAGE = 2000
SIZE_OF_PAGES = 4 * 1024 * 1024
"""Characters of documents in one request or answer: a document may have a million."""

Bodies = dict[str, dict[str, Any]]


class Walk:
    """The way through a collection, in the order of creation."""

    def __init__(self) -> None:
        self._after: list[Any] | None = None
        self._size = FIRST_PAGE

    def read(self, connection: Connection, place: Place) -> list[Hit]:
        """The next documents; none at the end."""
        if self._after is None:
            connection.call("POST", f"/{place.index}/_refresh")
        asked: dict[str, Any] = {
            "query": {"match_all": {}},
            "sort": [{"created": "asc"}, {"document_id": "asc"}],
            "size": self._size,
            "track_total_hits": False,
            "_source": {"excludes": ["terms"]},
        }
        if self._after:
            asked["search_after"] = self._after
        answer = connection.call(
            "POST",
            f"/{place.index}/_search",
            asked,
            params={"allow_partial_search_results": "false"},
        )
        hits: list[Hit] = answer.body["hits"]["hits"]
        if hits:
            self._after = hits[-1]["sort"]
            mean = sum(len(hit["_source"]["document"]) for hit in hits) // len(hits) + 1
            self._size = max(1, min(LARGEST_PAGE, SIZE_OF_PAGES // mean))
        return hits


def adopt(connection: Connection, place: Place, bodies: Bodies, *, overwrite: bool) -> int:
    """Create the documents, by their keys; returns how many were written."""
    written = 0
    taken: Bodies = {}
    for some in _portions(bodies):
        operations = [
            Operation(
                kind="create",
                target={"_index": place.index, "_id": key},
                body=place.layout.fitted(body),
            )
            for key, body in some.items()
        ]
        for (key, body), status in zip(some.items(), connection.bulk(operations), strict=True):
            if status == 409:
                taken[key] = body
            else:
                written += 1
    return written + (_overwrite(connection, place, taken) if overwrite else 0)


def _overwrite(connection: Connection, place: Place, bodies: Bodies) -> int:
    """Make what is there the same, in its old place; returns how much was not the same."""
    written = 0
    for some in _portions(bodies):
        found = connection.call(
            "POST",
            f"/{place.index}/_mget",
            {"docs": [{"_id": key, "_source": {"excludes": ["terms"]}} for key in some]},
        ).body["docs"]
        operations = [
            _replacement(place, hit, some[hit["_id"]])
            for hit in found
            if hit.get("found") and _differs(hit["_source"], some[hit["_id"]])
        ]
        if operations and 409 in connection.bulk(operations):
            raise StoreUnavailable(
                "Somebody writes to the store while it is filled: stop every freezer-api, then "
                "run this again"
            )
        written += len(operations)
    return written


def _replacement(place: Place, hit: Hit, body: dict[str, Any]) -> Operation:
    source = hit["_source"]
    ids = [body["write_id"][0], *write_ids(source)][:REMEMBERED_WRITES]
    body |= {"created": source["created"], "write_id": ids}
    target = {
        "_index": place.index,
        "_id": hit["_id"],
        "if_seq_no": hit["_seq_no"],
        "if_primary_term": hit["_primary_term"],
    }
    return Operation(kind="index", target=target, body=place.layout.fitted(body))


def _differs(source: dict[str, Any], body: dict[str, Any]) -> bool:
    return bool(
        source["version"] != body["version"]
        or (
            source["document"] != body["document"]
            and document_of(source["document"]) != document_of(body["document"])
        )
    )


def _portions(bodies: Bodies) -> Iterator[Bodies]:
    """Of a size that the server takes."""
    portion: Bodies = {}
    size = 0
    for key, body in bodies.items():
        portion[key] = body
        size += len(body["document"])
        if size > SIZE_OF_PAGES:
            yield portion
            portion, size = {}, 0
    if portion:
        yield portion
