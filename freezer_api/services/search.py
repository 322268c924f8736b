"""The grammar of searches: what a caller may ask, read into a Query."""

import itertools
import json
import math
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
Group = tuple[Condition, ...]

_MAX_GROUPS = 64
"""What the alternatives of one `match_or` may multiply to."""


def query_from(
    criteria: Mapping[str, Any], *, timed: bool = False, within: str | None = None
) -> Query:
    """The query that the criteria mean; unknown keys are ignored, wrong shapes InvalidDocument.

    `timed`: whether time bounds count (they do for backups). `within`: the field below which the
    collection's documents keep what callers wrote; a dotted path may begin there too.
    """
    for key in criteria:
        if key in _LANGUAGES:
            raise InvalidDocument(key, "is no kind of condition: use match, match_not, match_or")
    match: list[Group] = []
    words: list[str] = []
    for path, field, value in _pairs(criteria, "match"):
        if field == _ALL:
            found_match, found_words = _all(path, value)
            match += [_spellings(*condition, within) for condition in found_match]
            words += found_words
        else:
            match.append(_spellings(field, _scalar(path, value), within))
    barred = [_condition(*each) for each in _pairs(criteria, "match_not")]
    return Query(
        match=tuple(group[0] for group in match if len(group) == 1),
        match_not=tuple(spelt for each in barred for spelt in _spellings(*each, within)),
        match_or=(*(group for group in match if len(group) > 1), *_groups(criteria, within)),
        words=tuple(words),
        time_after=_bound(criteria, "time_after") if timed else None,
        time_before=_bound(criteria, "time_before") if timed else None,
    )


def _spellings(field: str, value: Scalar, within: str | None) -> Group:
    """The condition, and what else its dotted path may mean."""
    if within is None or "." not in field or field.startswith(f"{within}."):
        return ((field, value),)
    return ((field, value), (f"{within}.{field}", value))


def _groups(criteria: Mapping[str, Any], within: str | None) -> Iterator[Group]:
    """The alternatives of `match_or` turned inside out.

    All fields of one alternative must hold, and one alternative is enough: that is so if of each
    choice of one field from every alternative at least one holds.
    """
    alternatives = [
        [_condition(*each) for each in _pairs_of(path, entry)]
        for path, entry in _entries(criteria.get("match_or"), "match_or")
        if entry
    ]
    if not alternatives:
        return
    if math.prod(len(fields) for fields in alternatives) > _MAX_GROUPS:
        raise InvalidDocument("match_or", "has too many alternatives of several fields")
    for choice in itertools.product(*alternatives):
        spelt = [_spellings(*condition, within) for condition in choice]
        yield tuple(itertools.chain.from_iterable(spelt))


def _pairs(criteria: Mapping[str, Any], key: str) -> Iterator[tuple[str, str, Any]]:
    """Path, field and value of each condition under the key."""
    for path, entry in _entries(criteria.get(key), key):
        yield from _pairs_of(path, entry)


def _entries(entries: object, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if entries is None:
        return
    if not isinstance(entries, list):
        raise InvalidDocument(key, 'must be a list of objects as in [{"field": "value"}]')
    for position, entry in enumerate(entries):
        path = f"{key}.{position}"
        if not isinstance(entry, dict):
            raise InvalidDocument(path, 'must be an object as in {"field": "value"}')
        yield path, entry


def _pairs_of(path: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for field, value in entry.items():
        yield f"{path}.{field}"[:200], field, value


def _condition(path: str, field: str, value: Any) -> Condition:
    if field == _ALL:
        raise InvalidDocument(path, "may stand in match only")
    return field, _scalar(path, value)


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
    if isinstance(decoded, dict):
        decoded = [decoded]
    if not isinstance(decoded, list):
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
