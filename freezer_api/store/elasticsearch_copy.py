"""Copy the documents of one index to another, and keep up with what changes meanwhile.

What makes this complete is told in `elasticsearch_upgrade`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from freezer_api.errors import BadRequest, StoreUnavailable
from freezer_api.store.base import Collection
from freezer_api.store.elasticsearch_connection import Connection, Operation
from freezer_api.store.entries import document_of, entry_of
from freezer_api.store.mappings import body_of, stamp_of, write_ids

FEW = 200
"""So many writes are copied within the switch."""
MOST_PASSES = 20
"""A cluster that is written to faster than we copy is caught within the switch."""
MOST_AT_ONCE = 1000
SIZE_OF_ANSWERS = 4 * 1024 * 1024
"""Characters of documents at once: they may have a million each, and 512 MB of memory must do."""
IDS_AT_ONCE = 5000
ATTEMPTS = 50
PROGRESS = 20_000

_PASSED = "copied_below"
_WHOLE = {"allow_partial_search_results": "false"}


class Copy:
    """One index that becomes what another one is."""

    def __init__(
        self,
        connection: Connection,
        source: str,
        target: str,
        collection: Collection,
        tell: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._source = source
        self._target = target
        self._collection = collection
        self._tell = tell
        self._size = 500
        self._count_copied = 0

    def follow(self) -> None:
        """Copy until only a few writes are missing, and take out what is deleted."""
        for _pass in range(MOST_PASSES):
            start, end = self._passed(), self._checkpoint() + 1
            if end - start <= FEW:
                break
            self._copy_between(start, end)
        self._drop_deleted()

    def finish(self) -> None:
        """Become the same, while nobody writes to the source.

        Raises StoreUnavailable if the two differ in the end, with which nothing must be switched.
        """
        self._copy_between(self._passed(), self._settled() + 1)
        self._drop_deleted()
        ours, theirs = self._summary(self._target), self._summary(self._source)
        if ours != theirs:
            raise StoreUnavailable(
                f"{self._target} is not the same as {self._source} (documents and versions: "
                f"{ours} and {theirs}). The old index stays in use. Remove {self._target}, then "
                "run the upgrade again"
            )

    def _copy_between(self, start: int, end: int) -> None:
        """Copy what has a sequence number from `start` to below `end`."""
        self._refresh(self._source)
        written = start
        for hits in self._pages(start, end):
            self._connection.bulk([self._copied(hit) for hit in hits])  # 409: it is there, or newer
            self._count_copied += len(hits)
            last = hits[-1]["_seq_no"]
            if last - written >= PROGRESS:
                written = last
                self._note(last + 1)
                self._tell(
                    f"{self._collection}: {self._count_copied} documents copied, to write {last} of {end}"
                )
        self._note(end)

    def _pages(self, start: int, end: int) -> Iterator[list[dict[str, Any]]]:
        while True:
            hits = self._search(
                self._source,
                {
                    "query": {"range": {"_seq_no": {"gte": start, "lt": end}}},
                    "sort": [{"_seq_no": "asc"}],
                    "seq_no_primary_term": True,
                    "size": self._size,
                    "track_total_hits": False,
                    "_source": {"excludes": ["terms"]},
                },
            )
            if not hits:
                return
            yield hits
            start = hits[-1]["_seq_no"] + 1
            mean = sum(len(hit["_source"]["document"]) for hit in hits) // len(hits) + 1
            self._size = max(1, min(MOST_AT_ONCE, SIZE_OF_ANSWERS // mean))

    def _copied(self, hit: dict[str, Any]) -> Operation:
        """The document as it is written today, with all that makes it this very document."""
        source = hit["_source"]
        try:
            entry = entry_of(document_of(source["document"]))
        except BadRequest as error:
            raise StoreUnavailable(
                f"The document {source['document_id']!r} of {self._collection} cannot be copied: "
                f"{error}. Change or delete it, then run this again"
            ) from error
        body = body_of(self._collection, source["document_id"], entry)
        body |= {name: source[name] for name in ("version", "created", "write_id")}
        body["stamp"] = stamp_of(write_ids(source)[0])
        target = {
            "_index": self._target,
            "_id": hit["_id"],
            "version": hit["_seq_no"] + 1,  # external versions begin with 1, these with 0
            "version_type": "external",
        }
        return Operation(kind="index", target=target, body=body)

    def _drop_deleted(self) -> None:
        """Remove from the target what the source has no more."""
        self._refresh(self._source)
        self._refresh(self._target)
        bounds = self._connection.call(
            "POST",
            f"/{self._target}/_search",
            {
                "size": 0,
                "track_total_hits": False,
                "aggregations": {"bounds": {"stats": {"field": "created"}}},
            },
            params=_WHOLE,
        ).body["aggregations"]["bounds"]
        if bounds["count"]:
            # The sums are floating point numbers, which are exact up to the year 2255.
            self._drop_deleted_between(int(bounds["min"]), int(bounds["max"]))

    def _drop_deleted_between(self, low: int, high: int) -> None:
        """The same among those that were created from `low` to `high`."""
        pending = [(low, high)]
        while pending:
            low, high = pending.pop()
            ours = self._count(self._target, low, high)
            if ours == self._count(self._source, low, high):
                continue
            if ours > IDS_AT_ONCE and low < high:
                middle = (low + high) // 2
                pending += [(low, middle), (middle + 1, high)]
            else:
                self._drop_those_not_in_source(low, high)

    def _drop_those_not_in_source(self, low: int, high: int) -> None:
        after: list[Any] | None = None
        while True:
            asked = {
                "query": _created(low, high),
                "sort": [{"created": "asc"}, {"document_id": "asc"}],
                "size": IDS_AT_ONCE,
                "version": True,
                "_source": False,
                "track_total_hits": False,
            }
            hits = self._search(self._target, asked | ({"search_after": after} if after else {}))
            if not hits:
                return
            after = hits[-1]["sort"]
            # By id, which needs no refresh: what is there again is kept, in whichever state.
            found = self._connection.call(
                "POST",
                f"/{self._source}/_mget",
                {"docs": [{"_id": hit["_id"], "_source": False} for hit in hits]},
            ).body["docs"]
            gone = [hit for hit, one in zip(hits, found, strict=True) if not one.get("found")]
            self._drop(gone)

    def _drop(self, gone: list[dict[str, Any]]) -> None:
        if not gone:
            return
        self._connection.bulk(
            [
                Operation(
                    kind="delete",
                    target={
                        "_index": self._target,
                        "_id": hit["_id"],
                        "version": hit["_version"],
                        "version_type": "external_gte",  # 409: somebody copied it anew
                    },
                )
                for hit in gone
            ]
        )
        self._refresh(self._target)

    def _summary(self, index: str) -> tuple[int, int]:
        """How many documents the index has, and the sum of their versions."""
        self._refresh(index)
        body = self._connection.call(
            "POST",
            f"/{index}/_search",
            {
                "size": 0,
                "track_total_hits": True,
                "aggregations": {"versions": {"sum": {"field": "version"}}},
            },
            params=_WHOLE,
        ).body
        return int(body["hits"]["total"]["value"]), int(body["aggregations"]["versions"]["value"])

    def _settled(self) -> int:
        """The checkpoint, once no write is on its way; there comes none, since they are blocked."""
        for _attempt in range(ATTEMPTS):
            numbers = self._numbers()
            if numbers["global_checkpoint"] == numbers["max_seq_no"]:
                return numbers["max_seq_no"]
        raise StoreUnavailable(
            f"The copies of {self._source} on other nodes do not catch up: look at the health of "
            "the cluster, then run this again"
        )

    def _checkpoint(self) -> int:
        """The sequence number up to which no write can be taken back by the loss of a node."""
        return self._numbers()["global_checkpoint"]

    def _numbers(self) -> dict[str, int]:
        """The sequence numbers of the primary shard."""
        wanted = "indices.*.shards.*.routing.primary,indices.*.shards.*.seq_no"
        stats = self._connection.call(
            "GET",
            f"/{self._source}/_stats/indexing",
            params={"level": "shards", "filter_path": wanted},
        ).body
        for copy in stats.get("indices", {}).get(self._source, {}).get("shards", {}).get("0", []):
            if copy["routing"]["primary"]:
                numbers: dict[str, int] = copy["seq_no"]
                return numbers
        raise StoreUnavailable(f"The index {self._source} has no primary shard at the moment")

    def _passed(self) -> int:
        """Below which sequence number all was copied, also by a run before this one."""
        mapping = self._connection.call("GET", f"/{self._target}/_mapping").body
        meta = mapping[self._target]["mappings"].get("_meta", {})
        return int(meta.get(_PASSED, {}).get(self._source, 0))

    def _note(self, end: int) -> None:
        meta = {"_meta": {_PASSED: {self._source: end}}}
        self._connection.call("PUT", f"/{self._target}/_mapping", meta)

    def _count(self, index: str, low: int, high: int) -> int:
        asked = {"query": _created(low, high)}
        return int(self._connection.call("POST", f"/{index}/_count", asked).body["count"])

    def _refresh(self, index: str) -> None:
        self._connection.call("POST", f"/{index}/_refresh")

    def _search(self, index: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self._connection.call("POST", f"/{index}/_search", body, params=_WHOLE)
        hits: list[dict[str, Any]] = answer.body["hits"]["hits"]
        return hits


def _created(low: int, high: int) -> dict[str, Any]:
    return {"range": {"created": {"gte": low, "lte": high}}}
