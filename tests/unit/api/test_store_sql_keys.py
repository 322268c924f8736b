"""Keys of the SQL store: distinct like digests, and near each other where values are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_api.store.base import Collection, Scalar
from freezer_api.store.leaves import (
    collection_term,
    field_term,
    project_term,
    terms_of,
    value_of,
    word_term,
)
from freezer_api.store.sql_keys import PLACE_BYTES, key_of, keys_of

FIELDS = st.text(max_size=12)
SCALARS: st.SearchStrategy[Scalar] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
)


def place_of(term: str) -> int:
    return int.from_bytes(key_of(Collection.BACKUPS, term)[:PLACE_BYTES], "big")


@given(FIELDS, FIELDS, st.text(max_size=30))
def test_terms_of_one_text_have_one_place_whatever_the_field(
    one: str, other: str, value: str
) -> None:
    assert place_of(field_term(one, value)) == place_of(field_term(other, value))


@pytest.mark.parametrize("value", ["node-7", "Node", "", "/srv/data", 1_700_000_000, 4.5, "2:3"])
def test_a_whole_value_lies_beside_its_word(value: str | float) -> None:
    assert place_of(field_term("backup_metadata.x", value)) == place_of(word_term(str(value)))


def test_times_follow_each_other() -> None:
    places = [place_of(field_term("time_stamp", 1_700_000_000 + second)) for second in range(5)]
    assert [place - places[0] for place in places] == list(range(5))


@given(st.dictionaries(FIELDS, SCALARS | st.lists(SCALARS, max_size=3), max_size=6))
def test_every_term_has_a_key_of_its_own(document: dict[str, object]) -> None:
    terms = terms_of({**document, "project_id": "ours"})
    keys = keys_of(Collection.JOBS, terms)
    assert len(keys) == len(terms)
    assert {len(key) for key in keys} == {16}
    assert keys.isdisjoint(keys_of(Collection.BACKUPS, terms))


@given(FIELDS, st.text(max_size=300))
def test_a_term_tells_its_value(field: str, value: str) -> None:
    assert value_of(field_term(field, value)) == value
    assert value_of(project_term(value)) == value
    assert value_of(collection_term()) == ""
