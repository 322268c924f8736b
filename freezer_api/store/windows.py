"""A page of any size at any depth, from a server that answers only within a window.

Elasticsearch refuses pages that end beyond 10,000, and one that ends there makes it sort 10,000
documents of each part of the index by their ids, which takes a fifth of a second. So a page far
from the start is found by its instant: which one is at that position is told by a sort by creation
alone, which is a tenth of the work. Where that does not tell, the walk goes from hit to hit: each
request starts after the sort values of the last one.

It needs no point in time, since creation fixes the order: only deletions in between can shift it,
as they do between any two pages.
"""

from contextlib import suppress
from typing import Any, Protocol

from freezer_api.store.base import Page, SortKey

Hit = dict[str, Any]

FAR = 1_000
"""A position up to which a page is asked for as such."""

TIES = 16
"""How many documents of one instant are looked at. One process makes no two."""


class Server(Protocol):
    """The documents that a query finds, in the order of the page."""

    def hits(
        self, *, size: int, start: int = 0, after: list[Any] | None = None, bare: bool = False
    ) -> list[Hit]:
        """So many hits from `start` on, or after the sort values. Bare ones have nothing else."""
        ...

    def instants(self, *, size: int, start: int, since: int | None) -> list[int]:
        """When they were created, from `start` on, counted from the first of the instant."""
        ...


def hits_of(page: Page, server: Server, window: int) -> list[Hit]:
    """The hits of the page, in as few requests as the window allows."""
    inside = page.offset + page.limit <= window
    if inside and page.offset < FAR:
        return server.hits(size=page.limit, start=page.offset)
    if page.order.key is SortKey.CREATION:
        with suppress(_Crowded):
            return _found_by_instant(page, server, window)
    if inside:
        return server.hits(size=page.limit, start=page.offset)
    return _walked(page, server, window)


class _Crowded(Exception):
    """Too many documents have one instant."""


def _found_by_instant(page: Page, server: Server, window: int) -> list[Hit]:
    found = _instant_at(page.offset, server, window)
    if found is None:
        return []
    instant, ties = found
    # No id is empty, so every document of that instant comes after this.
    return _gathered(ties + page.limit, server, window, [instant, ""])[ties:]


def _instant_at(offset: int, server: Server, window: int) -> tuple[int, int] | None:
    """The instant at that position, and how many documents before it have the same.

    None beyond the end. Raises _Crowded if it cannot be told.
    """
    since: int | None = None
    first = 0  # the position of the first document of that instant
    while True:
        position = min(offset, first + window - 1)
        start = max(position - first - TIES, 0)
        size = position - first - start + 1
        seen = server.instants(size=size, start=start, since=since)
        if len(seen) < size:
            return None
        # Those of one instant lie side by side.
        ties = seen.count(seen[-1]) - 1
        all_alike = ties == size - 1
        if position == offset and (start == 0 or not all_alike):
            return seen[-1], ties
        if all_alike:
            raise _Crowded
        since, first = seen[-1], position - ties


def _walked(page: Page, server: Server, window: int) -> list[Hit]:
    after: list[Any] | None = None
    left = page.offset
    while left:
        size = min(left, window)
        passed = server.hits(size=size, after=after, bare=True)
        if len(passed) < size:
            return []
        after = passed[-1]["sort"]
        left -= size
    return _gathered(page.limit, server, window, after)


def _gathered(limit: int, server: Server, window: int, after: list[Any] | None) -> list[Hit]:
    found: list[Hit] = []
    while len(found) < limit:
        size = min(limit - len(found), window)
        hits = server.hits(size=size, after=after)
        found += hits
        if len(hits) < size:
            break
        after = hits[-1]["sort"]
    return found
