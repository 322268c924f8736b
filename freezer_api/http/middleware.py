"""What happens around every request: the request id, and the media type that is wanted."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import falcon
from oslo_context.context import RequestContext

from freezer_api.http.errors import NotAcceptable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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
