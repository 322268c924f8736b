"""A page of any size at any depth, from a server that answers only within a window.

Elasticsearch refuses pages that end beyond 10,000. Further on, the walk goes from hit to hit: each
request starts after the sort values of the last one. It needs no point in time, since creation
fixes the order: only deletions in between can shift it, as they do between any two pages.
"""

from typing import Any, Protocol

from freezer_api.store.base import Page

Hit = dict[str, Any]


class Ask(Protocol):
    """One search request: `size` hits from `start` on, or after the sort values `after`."""

    def __call__(
        self,
        *,
        size: int,
        start: int = 0,
        after: list[Any] | None = None,
        bare: bool = False,
    ) -> list[Hit]:
        """The hits, in order. Bare ones have their sort values only."""
        ...


def hits_of(page: Page, ask: Ask, window: int) -> list[Hit]:
    """The hits of the page, in as few requests as the window allows."""
    if page.offset + page.limit <= window:
        return ask(size=page.limit, start=page.offset)
    after: list[Any] | None = None
    left = page.offset
    while left:
        size = min(left, window)
        passed = ask(size=size, after=after, bare=True)
        if len(passed) < size:
            return []
        after = passed[-1]["sort"]
        left -= size
    return _gathered(page.limit, ask, window, after)


def _gathered(limit: int, ask: Ask, window: int, after: list[Any] | None) -> list[Hit]:
    found: list[Hit] = []
    while len(found) < limit:
        size = min(limit - len(found), window)
        hits = ask(size=size, after=after)
        found += hits
        if len(hits) < size:
            break
        after = hits[-1]["sort"]
    return found
