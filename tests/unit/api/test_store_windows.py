"""Pages from a server with a narrow window."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from freezer_api.store.base import Page
from freezer_api.store.windows import Hit, hits_of


class Server:
    """`size` documents, never more than `window` in one answer, as Elasticsearch has it."""

    def __init__(self, size: int, window: int) -> None:
        self.numbers = range(size)
        self.window = window
        self.asked = 0

    def ask(
        self, *, size: int, start: int = 0, after: list[Any] | None = None, bare: bool = False
    ) -> list[Hit]:
        assert start + size <= self.window
        assert not (start and after)
        self.asked += 1
        first = after[0] + 1 if after else start
        return [
            {"sort": [number]} | ({} if bare else {"number": number})
            for number in self.numbers[first : first + size]
        ]


@given(st.integers(0, 40), st.integers(1, 10), st.integers(0, 50), st.integers(1, 50))
def test_a_page_is_a_slice(size: int, window: int, offset: int, limit: int) -> None:
    server = Server(size, window)
    hits = hits_of(Page(offset=offset, limit=limit), server.ask, window)
    assert [hit["number"] for hit in hits] == list(range(size))[offset : offset + limit]


def test_within_the_window_one_request_is_enough() -> None:
    server = Server(100, 20)
    hits_of(Page(offset=10, limit=10), server.ask, 20)
    assert server.asked == 1


def test_far_beyond_the_end_the_walk_ends_there() -> None:
    server = Server(100, 20)
    assert hits_of(Page(offset=10**30), server.ask, 20) == []
    assert server.asked == 6
