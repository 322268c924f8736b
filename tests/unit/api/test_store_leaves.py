"""What documents offer and what queries ask for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_api.errors import BadRequest
from freezer_api.store import leaves
from freezer_api.store.base import EVERYWHERE, Collection, Query, Scope
from freezer_api.store.entries import document_of, entry_of
from freezer_api.store.leaves import (
    conditions_of,
    digest,
    field_term,
    in_scope,
    terms_of,
    time_stamp_of,
    word_term,
)

TEXTS = st.text(st.characters(codec=None), max_size=5)  # every code point, surrogates too
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | TEXTS
    | st.floats(allow_nan=False).filter(lambda number: abs(number) != float("inf"))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=4).map(
    lambda body: {**body, "project_id": "ours"}
)


def leaves_with_paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """A recursive second opinion on what a document's leaves are."""
    if isinstance(value, dict):
        return [
            leaf for key, inner in value.items() for leaf in leaves_with_paths(inner, (*path, key))
        ]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves_with_paths(inner, path)]
    return [(path, value)]


@given(DOCUMENTS)
def test_every_leaf_is_offered_by_name_and_by_path(document: dict[str, Any]) -> None:
    offered = terms_of(document)
    found = leaves_with_paths(document)
    for path, value in found:
        assert field_term(path[-1], value) in offered
        assert field_term(".".join(path), value) in offered
    fields = {term for term in offered if term.startswith("f")}
    assert len(fields) <= 2 * len(found)


@given(DOCUMENTS)
def test_documents_survive_the_text_form(document: dict[str, Any]) -> None:
    text = entry_of(document).text
    assert text.isascii()
    assert document_of(text) == document


@given(SCALARS, SCALARS)
def test_terms_are_equal_exactly_if_the_values_are(one: Any, other: Any) -> None:
    same_kind = isinstance(one, bool) == isinstance(other, bool)
    same = same_kind and one == other
    assert (field_term("x", one) == field_term("x", other)) is same


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_field_and_value_cannot_be_confused(f1: str, v1: str, f2: str, v2: str) -> None:
    same = (f1, v1) == (f2, v2)
    assert (field_term(f1, v1) == field_term(f2, v2)) is same
    digests = {digest(Collection.JOBS, field_term(f, v)) for f, v in ((f1, v1), (f2, v2))}
    assert (len(digests) == 1) is same


@given(DOCUMENTS)
def test_whole_values_are_words(document: dict[str, Any]) -> None:
    offered = terms_of(document)
    for _path, value in leaves_with_paths(document):
        if isinstance(value, str):
            assert word_term(value) in offered
            assert word_term(value.casefold()) in offered


def test_digests_differ_by_collection() -> None:
    term = field_term("a", 1)
    assert len({digest(collection, term) for collection in Collection}) == len(Collection)
    assert {len(digest(Collection.JOBS, "x" * size)) for size in (0, 1, 100_000)} == {16}


@pytest.mark.parametrize(
    ("levels", "allowed"), [(leaves.MAX_DEPTH - 2, True), (leaves.MAX_DEPTH + 1, False)]
)
def test_depth_is_bounded(levels: int, allowed: bool) -> None:  # noqa: FBT001 - the table's column
    deep: Any = 1
    for _level in range(levels):
        deep = {"x": deep}
    document = {"project_id": "ours", "deep": deep}
    if allowed:
        assert document_of(entry_of(document).text) == document
    else:
        with pytest.raises(BadRequest, match="nested"):
            entry_of(document)


def test_long_names_above_many_leaves_are_refused() -> None:
    """One long key and many short ones below it would be gigabytes of dotted paths."""
    below = {f"{number}": number for number in range(20_000)}
    with pytest.raises(BadRequest, match="field names"):
        terms_of({"project_id": "ours", "x" * 500_000: below})


def test_a_session_of_a_thousand_jobs_fits() -> None:
    jobs = {
        f"{number:032x}": {
            "client_id": f"project_host-{number}",
            "status": "completed",
            "result": "success",
            "time_started": 1_447_000_000 + number,
            "time_ended": 1_447_000_100 + number,
        }
        for number in range(1000)
    }
    document = {"project_id": "ours", "session_id": "s", "jobs": jobs}
    assert json.loads(entry_of(document).text) == document


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"backup_metadata": {"time_stamp": 5}, "timestamp": 6}, 5),
        ({"backup_metadata": {"time_stamp": "5"}}, 5),
        ({"backup_metadata": {"time_stamp": 5.9}}, 5),
        ({"backup_metadata": {"time_stamp": -0.5}}, -1),
        ({"backup_metadata": {"time_stamp": "soon"}, "timestamp": 6}, 6),
        ({"backup_metadata": [5], "timestamp": 6}, 6),
        ({"backup_metadata": {"time_stamp": "", "timestamp": 5}, "timestamp": 6}, 5),
        ({"timestamp": True}, None),
        ({"timestamp": 10**400}, None),
        ({"timestamp": 2**63}, None),
        ({"timestamp": "9" * 19}, None),
        ({"timestamp": "\N{SUPERSCRIPT TWO}"}, None),
        ({"timestamp": float("nan")}, None),
        ({}, None),
    ],
)
def test_time_stamp(document: dict[str, Any], expected: int | None) -> None:
    assert time_stamp_of(document) == expected


def test_scopes_open_by_project_or_by_one_field() -> None:
    document = terms_of({"project_id": "theirs", "client": {"is_central": True}})
    assert in_scope(document, EVERYWHERE)
    assert in_scope(document, Scope(project_id="theirs"))
    assert not in_scope(document, Scope(project_id="ours"))
    assert in_scope(document, Scope(project_id="ours", or_match=("is_central", True)))
    assert not in_scope(document, Scope(project_id="ours", or_match=("is_central", False)))


def test_too_many_conditions_are_refused() -> None:
    with pytest.raises(BadRequest, match="257 conditions"):
        conditions_of(Query(words=("x",) * (leaves.MAX_CONDITIONS + 1)))
