"""The grammar of searches: what a caller may ask, read into a Query."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from freezer_api.store.base import Query, Scalar
from freezer_model.errors import InvalidDocument

_ALL = "_all"
_EPOCH = re.compile(r"-?[0-9]{1,18}\Z", re.ASCII)

_LANGUAGES = frozenset(
    {
        "_source",
        "aggregations",
        "aggs",
        "bool",
        "filter",
        "post_filter",
        "query",
        "query_string",
        "runtime_mappings",
        "script",
        "script_fields",
        "simple_query_string",
    }
)
"""What a search engine's own language begins with. Whoever speaks it here must not believe that he
was understood: ignored like other unknown keys, it would find everything."""

Condition = tuple[str, Scalar]


def query_from(criteria: Mapping[str, Any], *, timed: bool = False) -> Query:
    """The query that the criteria mean; unknown keys are ignored, wrong shapes InvalidDocument.

    `timed`: whether time bounds count (they do for backups).
    """
    for key in criteria:
        if key in _LANGUAGES:
            raise InvalidDocument(key, "is no kind of condition: use match, match_not, match_or")
    match: list[Condition] = []
    words: list[str] = []
    for path, field, value in _pairs(criteria, "match"):
        if field == _ALL:
            found_match, found_words = _all(path, value)
            match += found_match
            words += found_words
        else:
            match.append((field, _scalar(path, value)))
    return Query(
        match=tuple(match),
        match_not=_plain(criteria, "match_not"),
        match_or=_plain(criteria, "match_or"),
        words=tuple(words),
        time_after=_bound(criteria, "time_after") if timed else None,
        time_before=_bound(criteria, "time_before") if timed else None,
    )


def _pairs(criteria: Mapping[str, Any], key: str) -> Iterator[tuple[str, str, Any]]:
    """Path, field and value of each condition under the key."""
    entries = criteria.get(key)
    if entries is None:
        return
    if isinstance(entries, dict):
        entries = [entries]
    if not isinstance(entries, list):
        raise InvalidDocument(key, 'must be a list of objects as in [{"field": "value"}]')
    for position, entry in enumerate(entries):
        path = f"{key}.{position}"
        if not isinstance(entry, dict):
            raise InvalidDocument(path, 'must be an object as in {"field": "value"}')
        if key == "match_or" and len(entry) > 1:
            raise InvalidDocument(path, "must hold one field; give each alternative by itself")
        for field, value in entry.items():
            yield f"{path}.{field}"[:200], field, value


def _plain(criteria: Mapping[str, Any], key: str) -> tuple[Condition, ...]:
    conditions = []
    for path, field, value in _pairs(criteria, key):
        if field == _ALL:
            raise InvalidDocument(path, "may stand in match only")
        conditions.append((field, _scalar(path, value)))
    return tuple(conditions)


def _scalar(path: str, value: Any) -> Scalar:
    if isinstance(value, (dict, list)):
        raise InvalidDocument(path, "must be text, a number, true, false or null")
    scalar: Scalar = value
    return scalar


def _all(path: str, value: Any) -> tuple[list[Condition], list[str]]:
    """What `_all` means: conditions if it is a JSON list or object, else words."""
    if value is None or isinstance(value, (bool, dict, list)):
        raise InvalidDocument(path, "must be text to look for")
    text = str(value)
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return [], text.split()
    if not isinstance(decoded, (dict, list)):
        return [], text.split()
    conditions = [
        (field, _scalar(inner, found))
        for inner, field, found in _pairs({"match": decoded}, "match")
        if field != _ALL
    ]
    return conditions, []


def _bound(criteria: Mapping[str, Any], key: str) -> int | None:
    value = criteria.get(key)
    if value is None:
        return None
    if isinstance(value, str) and _EPOCH.match(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidDocument(key, "must be a number of seconds since 1970")
    return value
