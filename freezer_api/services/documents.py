"""Small rules that bodies of all kinds share: absent fields, own ids, scopes."""

import re
from collections.abc import Mapping
from typing import Any

from freezer_api.identity.context import Context
from freezer_api.schemas.parts import ID_PATTERN, ID_REASON
from freezer_api.store.base import EVERYWHERE, Scope
from freezer_model.errors import InvalidDocument

_MOST_ID_CHARACTERS = 255


def present(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are there: null means absent."""
    return {key: value for key, value in body.items() if value is not None}


def check_id(field: str, value: str) -> str:
    """The id that a caller chose for a document of his. Raises InvalidDocument."""
    if not re.match(ID_PATTERN, value) or len(value) > _MOST_ID_CHARACTERS:
        raise InvalidDocument(field, f"{ID_REASON}, at most {_MOST_ID_CHARACTERS}")
    return value


def own_scope(context: Context) -> Scope:
    """The documents of the project that the request is about."""
    return Scope(project_id=context.project_id)


def read_scope(context: Context, *, everywhere: bool) -> Scope:
    """The same, or all documents."""
    return EVERYWHERE if everywhere else own_scope(context)
