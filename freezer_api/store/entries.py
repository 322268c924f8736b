"""What a store keeps of a document: its text, its terms, its time. The same for every store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from freezer_api.errors import BadRequest
from freezer_api.store.base import Document
from freezer_api.store.leaves import terms_of, time_stamp_of

MAX_ID_BYTES = 512
"""The longest document id that Elasticsearch takes, in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document that can be stored."""

    text: str = field(repr=False)
    """The document as JSON in plain ASCII, so that control characters, lone surrogates and
    integers of any size come back from every database as they went in."""
    terms: frozenset[str] = field(repr=False)
    time_stamp: int | None


def entry_of(document: Document) -> Entry:
    """The document, ready to be stored. Raises BadRequest for what is not JSON."""
    terms = terms_of(document)
    return Entry(text=_to_text(document), terms=terms, time_stamp=time_stamp_of(document))


def document_of(text: str) -> dict[str, Any]:
    """The document of an entry's text: a new one each time, free to be changed."""
    document: dict[str, Any] = json.loads(text)
    return document


def is_storable_id(document_id: str) -> bool:
    """Whether the id is one that every store takes: 1 to 512 bytes of Unicode without NUL."""
    try:
        size = len(document_id.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MAX_ID_BYTES and "\0" not in document_id


def check_id(document_id: str) -> None:
    """Raise BadRequest for an id that is not storable."""
    if not is_storable_id(document_id):
        raise BadRequest(
            f"A document id is a text of 1 to {MAX_ID_BYTES} bytes in UTF-8 without NUL"
        )


def _to_text(document: Document) -> str:
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError) as error:
        raise BadRequest("The document holds a value that JSON cannot express") from error


def _plain(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
