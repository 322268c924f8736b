"""Reading a list that changes meanwhile: nothing that fits all the time is ever missing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_client.errors import ApiUnavailable
from freezer_client.listing import read_all

PAGE = 5


def pages_of(fitting: Any, before_page: Any = lambda _number: None) -> Any:
    """Serve pages of the numbers that fit, which `before_page` may change."""
    asked = []

    def read_page(offset: Any, limit: Any) -> Any:
        before_page(len(asked))
        asked.append(offset)
        return [{"id": str(number)} for number in sorted(fitting)[offset : offset + limit]]

    return read_page, asked


def read(read_page: Any, offset: Any = 0) -> Any:
    listed = read_all(
        read_page, lambda document: document["id"], offset=offset, page_documents=PAGE
    )
    return [int(document["id"]) for document in listed]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 9, 10, 23])
def test_a_quiet_list_is_read_in_order(count: int) -> None:
    read_page, _asked = pages_of(set(range(count)))
    assert read(read_page) == list(range(count))


def test_a_short_list_is_read_at_once() -> None:
    read_page, asked = pages_of(set(range(4)))
    read(read_page)
    assert asked == [0]


def test_a_list_may_be_read_from_the_middle() -> None:
    read_page, _asked = pages_of(set(range(12)))
    assert read(read_page, offset=7) == list(range(7, 12))


def test_what_leaves_the_front_makes_nothing_else_disappear() -> None:
    fitting = set(range(20))

    def shrink(page_number: Any) -> None:
        if page_number == 1:
            fitting.difference_update({0, 1, 2})

    read_page, _asked = pages_of(fitting, shrink)
    assert set(range(3, 20)) <= set(read(read_page))


def test_what_joins_the_front_is_not_listed_twice() -> None:
    fitting = set(range(10, 30))

    def grow(page_number: Any) -> None:
        if page_number == 1:
            fitting.update({0, 1})

    read_page, _asked = pages_of(fitting, grow)
    assert sorted(read(read_page)) == list(range(10, 30))


def test_the_later_reading_of_a_document_counts() -> None:
    pages = iter([[{"id": "a"}, {"id": "b", "status": "old"}], [{"id": "b", "status": "new"}]])
    listed = read_all(lambda _o, _l: next(pages), lambda d: d["id"], page_documents=2)
    assert listed == [{"id": "a"}, {"id": "b", "status": "new"}]


def test_a_server_that_cuts_long_pages_loses_nothing() -> None:
    def read_page(offset: Any, limit: Any) -> Any:
        return [{"id": str(number)} for number in range(250)][offset : offset + min(limit, 100)]

    assert len(read_all(read_page, lambda document: document["id"])) == 250


@given(
    st.sets(st.integers(0, 60), max_size=40),
    st.lists(st.tuples(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60))), max_size=8),
)
def test_whatever_comes_and_goes_what_fits_all_the_time_is_listed_once(
    fitting: Any, changes: Any
) -> None:
    fitting = set(fitting)
    always = set(fitting)
    ever = set(fitting)

    def change(page_number: Any) -> None:
        if 0 < page_number <= len(changes):
            gone, come = changes[page_number - 1]
            fitting.difference_update(gone)
            fitting.update(come)
            always.intersection_update(fitting)
            ever.update(come)

    read_page, _asked = pages_of(fitting, change)
    listed = read(read_page)
    assert len(listed) == len(set(listed))
    assert always <= set(listed) <= ever


def test_a_list_that_never_stands_still_is_an_error_and_no_endless_loop() -> None:
    fresh = iter(range(10**6))

    def read_page(_offset: Any, limit: Any) -> Any:
        return [{"id": str(next(fresh))} for _ in range(limit)]

    with pytest.raises(ApiUnavailable, match="changed"):
        read(read_page)
