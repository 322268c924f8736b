"""Reads the parameters of lists from the URL."""

import re
from collections.abc import Mapping

import falcon

from freezer_api.http.errors import InvalidParameter
from freezer_api.store.base import BY_CREATION, Order, Page, SortKey

DEFAULT_LIMIT = 10
_FAR = 2**62
_DIRECTIONS = ("asc", "desc")

Sortable = Mapping[str, SortKey]
"""The fields that a list can be ordered by, as callers name them."""

CREATED: Sortable = {"created": SortKey.CREATION}
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off", "none", ""})


class Paging:
    """Reads `limit` and `offset`; no page is longer than `max_limit`."""

    def __init__(self, *, max_limit: int) -> None:
        self._max_limit = max_limit

    def page(self, req: falcon.Request, sortable: Sortable = CREATED) -> Page:
        """The window and the order that the caller wants. 0 counts as not given.

        Raises InvalidParameter.
        """
        limit = _natural(req, "limit") or DEFAULT_LIMIT
        return Page(
            limit=min(limit, self._max_limit),
            offset=min(_natural(req, "offset"), _FAR),
            order=_order(req, sortable),
        )


def flag(req: falcon.Request, name: str) -> bool:
    """A parameter that is true or false, in any spelling. Raises InvalidParameter."""
    text = _last(req, name).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidParameter(f'The "{name}" parameter is invalid. It must be true or false.')


def _last(req: falcon.Request, name: str) -> str:
    """The last value of a parameter; empty where there is none, as in `limit=,`."""
    given = req.get_param_as_list(name) or [""]
    return given[-1]


def _order(req: falcon.Request, sortable: Sortable) -> Order:
    given = req.get_param_as_list("sort") or []
    if not given:
        return BY_CREATION
    field, colon, direction = given[0].partition(":")
    if len(given) > 1 or field not in sortable or (colon and direction not in _DIRECTIONS):
        raise InvalidParameter(
            'The "sort" parameter is invalid. It must be FIELD:asc or FIELD:desc with one of the '
            f"fields {', '.join(sortable)}."
        )
    return Order(key=sortable[field], descending=direction == "desc")


def _natural(req: falcon.Request, name: str) -> int:
    text = (_last(req, name) or "0").strip()
    if not re.fullmatch(r"\+?[0-9]+", text, re.ASCII):
        raise InvalidParameter(
            f'The "{name}" parameter is invalid. It must be an integer of 0 or more.'
        )
    # Beyond 18 digits the number no longer matters, and thousands of them would be an error.
    return int(text) if len(text) <= 18 else _FAR
