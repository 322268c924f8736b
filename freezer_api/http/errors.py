"""Errors become answers here, and nowhere else: one table from error to status and title.

Bad bodies and parameters are errors of this floor, since only it knows what HTTP is.
"""

import json
import logging
from typing import Any, NamedTuple

import falcon

from freezer_api.errors import (
    AccessForbidden,
    ApiError,
    BadRequest,
    DocumentExists,
    DocumentNotFound,
    KeystoneUnavailable,
    MissingCredential,
    PreconditionFailed,
    RequestRefused,
    RunRefused,
    StoreUnavailable,
    VersionConflict,
)
from freezer_api.identity.context import NotAuthenticated
from freezer_model.errors import InvalidDocument

log = logging.getLogger(__name__)


class MalformedBody(BadRequest):
    """The body is no JSON text."""


class BodyTooLarge(ApiError):
    """The body has more bytes than the service takes."""


class InvalidParameter(BadRequest):
    """A parameter of the URL makes no sense."""


class NotAcceptable(ApiError):
    """The caller wants none of the media types that there are."""


class Answer(NamedTuple):
    """How an error is told."""

    status: int
    title: str


ANSWERS: dict[type[Exception], Answer] = {
    InvalidDocument: Answer(400, "Bad request format"),
    BadRequest: Answer(400, "Bad request format"),
    InvalidParameter: Answer(400, "Invalid parameter"),
    MalformedBody: Answer(400, "Malformed JSON"),
    NotAuthenticated: Answer(401, "Unauthorized"),
    AccessForbidden: Answer(403, "Access Forbidden"),
    DocumentNotFound: Answer(404, "Not Found"),
    NotAcceptable: Answer(406, "Not Acceptable"),
    DocumentExists: Answer(409, "Document already existing"),
    VersionConflict: Answer(409, "Conflict"),
    PreconditionFailed: Answer(412, "Precondition Failed"),
    BodyTooLarge: Answer(413, "Content Too Large"),
    RunRefused: Answer(409, "Conflict"),
    RequestRefused: Answer(422, "Unprocessable Entity"),
    MissingCredential: Answer(422, "Missing required credentials"),
    ApiError: Answer(500, "Internal Server Error"),
    StoreUnavailable: Answer(503, "Service Unavailable"),
    KeystoneUnavailable: Answer(503, "Service Unavailable"),
}
"""The nearest class of an error's ancestry counts."""

_HEADERS = {
    401: {"WWW-Authenticate": "Keystone"},
    503: {"Retry-After": "5"},
}

_SEE_THE_LOG = "The service failed; its log tells more under the request id"
_WITHOUT_DETAILS: dict[type[Exception], str] = {
    StoreUnavailable: "The document store cannot be reached now. Try again in a moment",
    KeystoneUnavailable: "Keystone cannot be reached now. Try again in a moment",
}


def answer_to(error: Exception) -> Answer:
    """How an error of ours is told."""
    return next(ANSWERS[cls] for cls in type(error).__mro__ if cls in ANSWERS)


def install(app: falcon.App[Any, Any]) -> None:
    """Make the application answer errors by the table, and everything unforeseen with 500."""
    for error in ANSWERS:
        app.add_error_handler(error, _answer_error)
    app.add_error_handler(Exception, _answer_unforeseen)
    app.add_error_handler(falcon.HTTPError, _answer_http_error)


def _answer_error(
    req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]
) -> None:
    answer = answer_to(error)
    description = str(error)
    if answer.status >= 500:
        # The text is for the operator: it may name hosts, files and tables.
        log.error("%s %r: %s", req.method, req.path, error)
        description = _WITHOUT_DETAILS.get(type(error), _SEE_THE_LOG)
    resp.set_headers(_HEADERS.get(answer.status, {}))
    if answer.status == 406:
        resp.status = falcon.HTTP_406
        resp.text = ""
        return
    write_error(resp, answer, description)


def _answer_unforeseen(
    req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]
) -> None:
    log.error("Unforeseen error in %s %r", req.method, req.path, exc_info=error)
    write_error(resp, Answer(500, "Internal Server Error"), _SEE_THE_LOG)


def _answer_http_error(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: dict[str, Any]
) -> None:
    """An error of the framework itself: unknown route, wrong method, broken header."""
    resp.set_headers(error.headers or {})
    description = error.description
    if error.status_code == 404:
        description = f"There is nothing at {req.path}"
    write_error(resp, Answer(error.status_code, _title(error)), description)


def _title(error: falcon.HTTPError) -> str:
    return "Not Found" if error.status_code == 404 else error.title


def write_error(resp: falcon.Response, answer: Answer, description: str | None) -> None:
    """Put an error into the response: `title`, and `description` if there is one."""
    body = {"title": answer.title}
    if description:
        body["description"] = description
    resp.status = falcon.code_to_http_status(answer.status)
    resp.content_type = falcon.MEDIA_JSON
    resp.data = json.dumps(body).encode("ascii")
    resp.text = None
