"""Reads the JSON body of a request, whatever was sent.

Sizes and nesting are capped. Lone surrogates are taken: names of files that are no valid text come
that way. Numbers that JSON does not know (NaN, Infinity) are refused, as is one too large for a
float. Of a key that occurs twice the last one counts.
"""

import json
import math
from typing import Any, NoReturn

import falcon

from freezer_api.errors import BadRequest
from freezer_api.http.errors import BodyTooLarge, MalformedBody
from freezer_api.schemas.validator import Schema
from freezer_model.errors import InvalidDocument


class Bodies:
    """Reads bodies within limits."""

    def __init__(self, *, max_bytes: int, max_nesting: int) -> None:
        self._max_bytes = max_bytes
        self._max_nesting = max_nesting

    def checked(self, req: falcon.Request, schema: Schema) -> dict[str, Any]:
        """The body, which obeys the schema."""
        body = self.required(req)
        schema.check(body)
        return body

    def required(self, req: falcon.Request) -> dict[str, Any]:
        """The body, an object.

        Raises MalformedBody, BodyTooLarge, BadRequest for one that breaks off, and InvalidDocument
        where it is missing, nested too deeply or no object.
        """
        raw = self._bytes(req)
        if not raw.strip():
            raise InvalidDocument("", "The request needs a JSON body")
        body = self._parsed(raw)
        if not isinstance(body, dict):
            raise InvalidDocument("", "The body must be a JSON object")
        return body

    def optional(self, req: falcon.Request) -> dict[str, Any]:
        """The body, or an empty object if there is none or it is null. Raises as `required`."""
        raw = self._bytes(req)
        body = self._parsed(raw) if raw.strip() else None
        if body is None:
            return {}
        if not isinstance(body, dict):
            raise InvalidDocument("", "The body must be a JSON object")
        return body

    def _bytes(self, req: falcon.Request) -> bytes:
        length = req.content_length
        if length is None:
            if not req.env.get("wsgi.input_terminated"):
                return b""
            raw = self._read(req)
        elif length > self._max_bytes:
            raise self._too_large()
        else:
            raw = req.bounded_stream.read()
        if len(raw) > self._max_bytes:
            raise self._too_large()
        return raw

    def _read(self, req: falcon.Request) -> bytes:
        """A body that comes in chunks, but no more than one byte too many of it."""
        try:
            raw: bytes = req.stream.read(self._max_bytes + 1)
        except OSError as error:  # what servers raise for chunks that they cannot read
            raise BadRequest("The body breaks off, or its chunks are wrong") from error
        return raw

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body may have at most {self._max_bytes} bytes")

    def _parsed(self, raw: bytes) -> Any:
        try:
            body = json.loads(
                raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite
            )
        except RecursionError as error:
            raise self._too_deep() from error
        except ValueError as error:
            raise MalformedBody(f"The body is not valid JSON: {_reason(error)}") from error
        # Only what has that many brackets can be that deep, which most bodies have not.
        if raw.count(b"{") + raw.count(b"[") > self._max_nesting and _deeper(
            body, self._max_nesting
        ):
            raise self._too_deep()
        return body

    def _too_deep(self) -> InvalidDocument:
        return InvalidDocument("", f"The body is nested deeper than {self._max_nesting} levels")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error) if isinstance(error, _NotANumber) else "a number has too many digits"


class _NotANumber(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _NotANumber(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NotANumber("a number is too large")
    return number


def _deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return any(isinstance(value, (dict, list)) for value in level)


def _children(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
