"""Counts what is answered, whoever answers it: the application, or what stands before it."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from freezer_api.http.middleware import ROUTE_KEY
from freezer_api.metrics.meters import Meters

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class MeasuredRequests:
    """WSGI wrapper. `seconds` is a clock that only grows."""

    def __init__(
        self, application: "WSGIApplication", meters: Meters, seconds: Callable[[], float]
    ) -> None:
        self._application = application
        self._meters = meters
        self._seconds = seconds

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        began = self._seconds()
        code = "500"

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            nonlocal code
            code = status[:3]
            return start_response(status, headers, *rest)

        try:
            return self._application(environ, start)
        finally:
            self._meters.request(
                environ["REQUEST_METHOD"], environ.get(ROUTE_KEY), code, self._seconds() - began
            )


class OnPort:
    """WSGI wrapper: requests that came in on one port go to an application of their own."""

    def __init__(self, application: "WSGIApplication", other: "WSGIApplication", port: int) -> None:
        self._application = application
        self._other = other
        self._port = str(port)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        chosen = self._other if environ["SERVER_PORT"] == self._port else self._application
        return chosen(environ, start_response)
