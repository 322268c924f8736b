"""What happens around every request: the request id, and the media type that is wanted."""

import json
import logging
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import falcon
from oslo_context.context import RequestContext

from freezer_api.http.errors import NotAcceptable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-openstack-request-id"
_INCOMING = re.compile(r"req-[0-9a-fA-F-]{32,36}\Z")


class RequestId:
    """WSGI wrapper around everything: each answer, and each line of the log, has a request id.

    A caller's own id is taken over if it has the usual form.
    """

    def __init__(self, application: "WSGIApplication", new_id: Callable[[], str]) -> None:
        self._application = application
        self._new_id = new_id

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        given = environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")
        request_id = given if _INCOMING.match(given) else f"req-{self._new_id()}"
        RequestContext(request_id=request_id, overwrite=True)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, (REQUEST_ID_HEADER, request_id)], *rest)

        return self._application(environ, start)


ROUTE_KEY = "freezer.route"
"""Where a request's environment holds the template of its route, once it has one."""


class RouteSeen:
    """Falcon middleware: tells what stands before the application which route a request took."""

    def process_resource(
        self,
        req: falcon.Request,
        _resp: falcon.Response,
        _resource: object,
        _params: dict[str, Any],
    ) -> None:
        """Called between routing and the resource's method."""
        req.env[ROUTE_KEY] = req.uri_template


class JsonOnly:
    """Falcon middleware: whoever does not want JSON is told so, except where `other_types` are."""

    def __init__(self, other_types: dict[str, str]) -> None:
        self._other_types = other_types

    def process_resource(
        self,
        req: falcon.Request,
        _resp: falcon.Response,
        _resource: object,
        _params: dict[str, Any],
    ) -> None:
        """Called between routing and the resource's method."""
        wanted = req.accept
        if wanted == "*/*" or req.client_accepts_json:
            return
        other = self._other_types.get(req.uri_template or "")
        if other is None or not req.client_accepts(other):
            raise NotAcceptable("Answers are JSON: ask with Accept: application/json")


class PublicPaths:
    """WSGI wrapper: the public paths go straight to the application, all others to its guard."""

    def __init__(
        self,
        application: "WSGIApplication",
        guard: "WSGIApplication",
        public_paths: frozenset[str],
    ) -> None:
        self._application = application
        self._guard = guard
        self._public_paths = public_paths

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "").rstrip("/") or "/"
        chosen = self._application if path in self._public_paths else self._guard
        return chosen(environ, start_response)


_ADMITTED = "freezer.admitted"


class ReadableRefusals:
    """WSGI wrapper around a guard: that it cannot ask Keystone is told as all errors are.

    By itself it answers with a page, or raises what its library has raised, which is a `failure`.
    `guarded` puts the guard before an application.
    """

    def __init__(
        self,
        application: "WSGIApplication",
        guarded: "Callable[[WSGIApplication], WSGIApplication]",
        *,
        failure: type[Exception],
    ) -> None:
        self._application = application
        self._failure = failure
        self._guard = guarded(self._admitted)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        own = []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            if status.startswith("503") and _ADMITTED not in environ:
                own.append(status)
                return None
            return start_response(status, headers, *rest)

        try:
            body = self._guard(environ, start)
        except self._failure:
            log.exception("Keystone cannot be asked about %r", environ.get("PATH_INFO", ""))
            return _unavailable(start_response)
        return _unavailable(start_response) if own else body

    def _admitted(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        environ[_ADMITTED] = True
        return self._application(environ, start_response)


_UNAVAILABLE = json.dumps(
    {
        "title": "Service Unavailable",
        "description": "Keystone cannot be asked about the token now. Try again in a moment",
    }
).encode("ascii")


def _unavailable(start_response: "StartResponse") -> Iterable[bytes]:
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(_UNAVAILABLE))),
        ("retry-after", "5"),
    ]
    start_response("503 Service Unavailable", headers)
    return [_UNAVAILABLE]
