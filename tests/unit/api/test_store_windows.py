"""Pages from a server with a narrow window."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from freezer_api.store.base import Order, Page, SortKey
from freezer_api.store.windows import FAR, Hit, hits_of


class Server:
    """Documents of these instants, never more than `window` in one answer, as Elasticsearch has it.

    The order is that of the server: descending by creation at will, ids ascending always.
    """

    def __init__(self, instants: list[int], window: int, *, descending: bool = False) -> None:
        sign = -1 if descending else 1
        self._sign = sign
        self.keys = sorted((sign * instant, f"{n:08d}") for n, instant in enumerate(instants))
        self.window = window
        self.asked = 0

    def _some(self, keys: list[tuple[int, str]], start: int, size: int) -> list[tuple[int, str]]:
        assert start + size <= self.window
        self.asked += 1
        return keys[start : start + size]

    def hits(
        self, *, size: int, start: int = 0, after: list[Any] | None = None, bare: bool = False
    ) -> list[Hit]:
        assert not (start and after)
        keys = self.keys
        if after:
            place = (self._sign * after[0], after[1])
            keys = [key for key in keys if key > place]
        return [
            {"sort": [self._sign * key[0], key[1]]} | ({} if bare else {"id": key[1]})
            for key in self._some(keys, start, size)
        ]

    def instants(self, *, size: int, start: int, since: int | None) -> list[int]:
        keys = self.keys
        if since is not None:
            keys = [key for key in keys if key[0] >= self._sign * since]
        return [self._sign * key[0] for key in self._some(keys, start, size)]

    def page(self, page: Page) -> list[str]:
        return [key[1] for key in self.keys[page.offset : page.offset + page.limit]]


crowds = st.lists(st.integers(0, 12), max_size=60)
"""Many documents of one instant."""


@given(
    crowds | st.integers(0, 60).map(lambda size: list(range(size))),
    st.integers(1, 30),
    st.integers(0, 70),
    st.integers(1, 50),
    st.builds(Order, key=st.sampled_from(SortKey), descending=st.booleans()),
)
def test_a_page_is_a_slice(
    instants: list[int], window: int, offset: int, limit: int, order: Order
) -> None:
    page = Page(offset=offset, limit=limit, order=order)
    server = Server(instants, window, descending=order.descending)
    assert [hit["id"] for hit in hits_of(page, server, window)] == server.page(page)


@given(st.integers(FAR, FAR + 40), st.integers(0, 40), st.integers(FAR - 20, FAR + 40))
def test_a_far_page_within_the_window_is_a_slice(size: int, crowd: int, offset: int) -> None:
    server = Server([max(n, crowd * 25) for n in range(size)], 2 * FAR)
    page = Page(offset=offset)
    assert [hit["id"] for hit in hits_of(page, server, 2 * FAR)] == server.page(page)


def test_near_the_start_one_request_is_enough() -> None:
    server = Server(list(range(100)), 20)
    hits_of(Page(offset=10, limit=10), server, 20)
    assert server.asked == 1


def test_a_far_page_takes_two_requests() -> None:
    server = Server(list(range(3 * FAR)), 4 * FAR)
    hits_of(Page(offset=2 * FAR), server, 4 * FAR)
    assert server.asked == 2


def test_far_beyond_the_end_the_way_ends_there() -> None:
    server = Server(list(range(100)), 20)
    assert hits_of(Page(offset=10**30), server, 20) == []
    assert server.asked == 6
