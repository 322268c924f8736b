"""What the Elasticsearch store's indices look like, and what is written to and asked of them.

Nothing of a document is mapped field by field: values of changing types would be refused, and a
thousand field names fill an index. A document is one opaque text, found by its terms.
"""

import base64
import functools
import hashlib
from dataclasses import dataclass
from typing import Any

from freezer_api.store.base import Collection, Order, Scope, SortKey, Stored
from freezer_api.store.entries import Entry, document_of
from freezer_api.store.leaves import Conditions, digest, scope_terms

MAPPING_VERSION = 2
"""Part of the index names. A change of the mapping or of `leaves.terms_of` is a new version, and a
new entry in LAYOUTS."""

_FIELDS: dict[str, Any] = {
    # JSON as text: an object would lose large integers and lone surrogates on the way.
    "document": {"type": "object", "enabled": False},
    "document_id": {"type": "keyword"},
    "terms": {"type": "keyword", "doc_values": False},
    # The sort: microseconds of the creation, which replacements keep; then the id.
    "created": {"type": "long"},
    "version": {"type": "long"},
    "time_stamp": {"type": "long"},
    # Who wrote: tells our own write, repeated after a lost answer, from somebody else's.
    "write_id": {"type": "keyword", "index": False, "doc_values": False},
}

# The last write id as a number, to be summed up over what a query finds: its fingerprint.
_STAMP = {"stamp": {"type": "long", "index": False}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One version of the mapping.

    A program serves every version that LAYOUTS has; an upgrade moves documents to the newest.
    """

    version: int
    mapping: dict[str, Any]
    settings: dict[str, Any]

    def fitted(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body without the fields that this version does not have."""
        known = self.mapping["properties"]
        return {name: value for name, value in body.items() if name in known}

    @property
    def has_stamps(self) -> bool:
        """Whether a query has a fingerprint."""
        return "stamp" in self.mapping["properties"]

    @property
    def keeps_terms(self) -> bool:
        """Whether an answer holds the terms too, which nobody reads, unless told not to."""
        return "_source" not in self.mapping


LAYOUTS: dict[int, Layout] = {
    1: Layout(
        version=1,
        mapping={"dynamic": "strict", "properties": _FIELDS},
        settings={},
    ),
    2: Layout(
        version=2,
        mapping={
            "dynamic": "strict",
            # They can be made from the document again, and are most of what would be stored.
            "_source": {"excludes": ["terms"]},
            "properties": _FIELDS | _STAMP,
        },
        # Sorted on disk as lists are asked for: the first page of a million documents is then
        # read off, not looked for.
        settings={
            "index.sort.field": ["created", "document_id"],
            "index.sort.order": ["asc", "asc"],
        },
    ),
}

TEMPLATE_PRIORITY = 200
"""Above the templates of Elasticsearch itself (100), which match names of other forms anyway."""

REMEMBERED_WRITES = 8
"""How many others may replace a document while one of us still waits for his answer."""

_STAMP_BYTES = 5
"""Sums of 8,000 stamps are exact in the floating point numbers of the server's aggregations. Beyond
that they are rounded, and a rounded sum changes with its parts as well."""

FINGERPRINT = {"stamps": {"stats": {"field": "stamp", "missing": 0}}}
"""The aggregation that tells a fingerprint."""


def index_template(patterns: list[str], *, replicas: int | None, custom: str) -> dict[str, Any]:
    """What a new index with the newest mapping is made from.

    An operator's component template named `custom`, if there is one, has the say on settings.
    """
    newest = LAYOUTS[MAPPING_VERSION]
    return {
        "index_patterns": patterns,
        "priority": TEMPLATE_PRIORITY,
        "allow_auto_create": False,
        "composed_of": [custom],
        "ignore_missing_component_templates": [custom],
        "version": MAPPING_VERSION,
        "template": {
            "mappings": newest.mapping,
            "settings": {"number_of_shards": 1, **_copies(replicas), **newest.settings},
        },
    }


def guard_template(patterns: list[str]) -> dict[str, Any]:
    """Keeps the server from making an index by itself if somebody writes to one that is gone."""
    return {
        "index_patterns": patterns,
        "priority": TEMPLATE_PRIORITY - 1,
        "allow_auto_create": False,
    }


def _copies(replicas: int | None) -> dict[str, Any]:
    """Without a number of replicas, two or more nodes keep one."""
    if replicas is None:
        return {"auto_expand_replicas": "0-1"}
    return {"number_of_replicas": replicas}


def key_of(collection: Collection, document_id: str) -> str:
    """The id of a document within its index."""
    # Never the caller's text: an id of ".." would make the URL another one.
    return digest(collection, document_id).hex()


def body_of(collection: Collection, document_id: str, entry: Entry) -> dict[str, Any]:
    """What is indexed of a document, but for version, creation and write id."""
    return {
        "document_id": document_id,
        "document": entry.text,
        "terms": _keywords(collection, entry.terms),
        "time_stamp": entry.time_stamp,
    }


def stored_of(hit: dict[str, Any]) -> Stored:
    """The document of a hit, or of the body that was written."""
    source = hit["_source"]
    return Stored(
        document_id=source["document_id"],
        document=document_of(source["document"]),
        version=source["version"],
    )


def sort_of(order: Order) -> list[dict[str, Any]]:
    """What the server sorts by. Every value has a place, so a walk can go on after any hit."""
    creation = [{"created": "asc"}, {"document_id": "asc"}]
    direction = "desc" if order.descending else "asc"
    if order.key is SortKey.CREATION:
        return [{"created": direction}, {"document_id": "asc"}]
    return [{"time_stamp": {"order": direction, "missing": "_last"}}, *creation]


def write_ids(source: dict[str, Any]) -> list[str]:
    """The last writes of a document, newest first. The first release kept one, as a text."""
    ids: str | list[str] = source["write_id"]
    return [ids] if isinstance(ids, str) else ids


def stamp_of(write_id: str) -> int:
    """The number of a write."""
    digested = hashlib.blake2b(write_id.encode(), digest_size=_STAMP_BYTES).digest()
    return int.from_bytes(digested, "big")


def fingerprint_of(aggregations: dict[str, Any]) -> str:
    """The fingerprint of what the aggregation looked at."""
    stamps = aggregations["stamps"]
    return "-".join(str(stamps[name] or 0) for name in ("count", "min", "max", "sum"))


def query_of(collection: Collection, scope: Scope, conditions: Conditions) -> dict[str, Any]:
    """Filters only: no scores, and nothing of the caller's is more than an opaque keyword."""
    alternatives = [some for some in (scope_terms(scope), *conditions.some) if some]
    filters = [_any_of(_keywords(collection, some)) for some in alternatives]
    every = _keywords(collection, conditions.every)
    filters += [{"term": {"terms": keyword}} for keyword in every]
    if conditions.bounded:
        bounds = {"gte": conditions.time_after, "lte": conditions.time_before}
        present = {name: bound for name, bound in bounds.items() if bound is not None}
        filters.append({"range": {"time_stamp": present}})
    barred = _keywords(collection, conditions.none)
    return {
        "bool": {
            "filter": filters,
            "must_not": [{"terms": {"terms": barred}}] if barred else [],
        }
    }


def _any_of(keywords: list[str]) -> dict[str, Any]:
    """A single keyword as such: the server knows how many documents have it.

    As a set of one it looked at all of a project's million documents for the total of a page.
    """
    return {"terms": {"terms": keywords}} if len(keywords) > 1 else {"term": {"terms": keywords[0]}}


def _keywords(collection: Collection, some_terms: frozenset[str]) -> list[str]:
    return sorted(
        _remembered_keyword(collection, term) if len(term) <= _SHORT else _keyword(collection, term)
        for term in some_terms
    )


def _keyword(collection: Collection, term: str) -> str:
    return base64.urlsafe_b64encode(digest(collection, term)).decode().rstrip("=")


_SHORT = 200
_REMEMBERED = 16_384
"""Most terms of a document are those of the version that it replaces, or of its like: without this
a tenth of a change's time goes into writing them down. Up to some 5 MiB."""

_remembered_keyword = functools.lru_cache(maxsize=_REMEMBERED)(_keyword)
