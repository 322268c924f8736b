"""How a list is answered: the page, its total, its tag."""

from collections.abc import Sequence

import falcon

from freezer_api.http.conditional import COVERS_HEADER
from freezer_api.store.base import COUNTED, Document, Found

TOTAL_HEADER = "X-Total-Count"
AT_LEAST_HEADER = "X-Total-Count-At-Least"


def documents_of(found: Found) -> list[Document]:
    """The documents of a page as the store has them."""
    return [stored.document for stored in found.documents]


def show_page(
    resp: falcon.Response,
    name: str,
    documents: Sequence[Document],
    total: int | None,
    tag: str | None = None,
) -> None:
    """Answer with the documents of one page; a `tag` is that of the whole search."""
    resp.media = {name: documents}
    if total is None:
        resp.set_header(AT_LEAST_HEADER, str(COUNTED + 1))
    else:
        resp.set_header(TOTAL_HEADER, str(total))
    if tag is not None:
        show_unchanged(resp, tag)


def show_unchanged(resp: falcon.Response, tag: str) -> None:
    """Set the tag of a whole search: a weak one, for it stands for the documents, not for bytes."""
    resp.etag = f'W/"{tag}"'
    resp.set_header(COVERS_HEADER, "query")
