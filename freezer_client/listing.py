"""Read a whole list in pages although it changes meanwhile.

The API pages by offset over whatever fits the search at that moment, in an order that never changes.
A job that completes between two pages moves all later ones forward, and a naive walk would jump
over some. Here every page begins with a document that is known from the page before. If it does
not, the walk steps back until it does. So a document that fits all the time is always returned.
"""

from collections.abc import Callable, Iterable
from typing import Any

from freezer_client.errors import ApiUnavailable

PAGE_DOCUMENTS = 1000
"""Servers allow 10,000 by default; a thousand jobs are some megabytes."""

SMALLEST_SERVER_LIMIT = 100
"""Operators may set the limit as low as this. A page of this length may be cut, so it is no end."""

_MOST_STEPS_BACK = 50

Document = dict[str, Any]


def read_all(
    read_page: Callable[[int, int], list[Document]],
    identity: Callable[[Document], str],
    *,
    offset: int = 0,
    page_documents: int = PAGE_DOCUMENTS,
) -> list[Document]:
    """Every document from `offset` on, each once, as it was read last.

    `read_page(offset, limit)` returns one page, one below SMALLEST_SERVER_LIMIT and `limit` only
    at the end. Raises ApiUnavailable if the list changes so fast that no two pages fit together.
    """
    certainly_whole = min(page_documents, SMALLEST_SERVER_LIMIT)
    found: dict[str, Document] = {}
    position = offset
    overlap = 1
    steps_back = 0
    while True:
        page = read_page(position, page_documents)
        joined = position == offset or (bool(page) and identity(page[0]) in found)
        if not joined:
            steps_back += 1
            if steps_back > _MOST_STEPS_BACK:
                raise ApiUnavailable("listing", "the list changed under each of many readings")
            overlap *= 2
            position = max(offset, position - overlap)
            continue
        _remember(found, page, identity)
        if len(page) < certainly_whole:
            return list(found.values())
        overlap = 1
        position += len(page) - overlap


def _remember(
    found: dict[str, Document], page: Iterable[Document], identity: Callable[[Document], str]
) -> None:
    for document in page:
        found[identity(document)] = document
