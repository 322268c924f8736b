"""The application for any WSGI server: `freezer_api.wsgi:application`.

Configuration files are those in the environment variable FREEZER_API_CONFIG (several with ":"
between them), else /etc/freezer/freezer-api.conf. The command line belongs to the server and is
never read. Everything is made with the first request, so that a server which forks has forked.
"""

import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from oslo_log import log

from freezer_api import conf as options
from freezer_api.assembly import application_from, store_from

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONFIG_VARIABLE = "FREEZER_API_CONFIG"


class LazyApplication:
    """Makes the application when the first request comes, once."""

    def __init__(self, make: Callable[[], "WSGIApplication"]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: WSGIApplication | None = None

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or self._make()
        return made(environ, start_response)


def configured_application() -> "WSGIApplication":
    """The application as the environment and the files want it."""
    named = [name for name in os.environ.get(CONFIG_VARIABLE, "").split(os.pathsep) if name]
    conf = options.load([], prog="freezer-api", config_files=named or None)
    log.setup(conf, "freezer-api")
    return application_from(conf, store_from(conf))


application = LazyApplication(configured_application)
