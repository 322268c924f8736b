"""The application for any WSGI server: `freezer_api.wsgi:application`.

Configuration files are those in the environment variable FREEZER_API_CONFIG (several with ":"
between them), else /etc/freezer/freezer-api.conf. The command line belongs to the server and is
never read. Everything is made with the first request, so that a server which forks has forked.

With PROMETHEUS_MULTIPROC_DIR in the environment, an empty folder, requests are counted, and
`freezer_api.wsgi:metrics` is the page that tells (see `freezer_api.metrics`).
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from oslo_config import cfg

from freezer_api import conf as options
from freezer_api.assembly import (
    application_from,
    freshness_from,
    metrics_page_from,
    store_from,
)
from freezer_api.conf import ConfigurationInvalid
from freezer_api.metrics.meters import DIRECTORY_VARIABLE
from freezer_api.resources.health import RETRY_AFTER_SECONDS
from freezer_model.errors import FreezerError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

CONFIG_VARIABLE = "FREEZER_API_CONFIG"

_CANNOT_SERVE = json.dumps(
    {
        "title": "Service Unavailable",
        "description": "The service cannot be used as it is configured; its log tells why",
    }
).encode("ascii")


class LazyApplication:
    """Makes the application when the first request comes, once.

    While it cannot be made (wrong options, a file that is missing) requests are answered with 503,
    and the log says why; each request tries again.
    """

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
            try:
                with self._lock:
                    made = self._made = self._made or self._make()
            except FreezerError as error:
                LOG.error("freezer-api cannot serve: %s", error)  # noqa: TRY400 - it is the reason
                return _refused(start_response)
        return made(environ, start_response)


def _refused(start_response: "StartResponse") -> Iterable[bytes]:
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(_CANNOT_SERVE))),
        ("Retry-After", str(RETRY_AFTER_SECONDS)),
    ]
    start_response("503 Service Unavailable", headers)
    return [_CANNOT_SERVE]


def configured_metrics() -> "WSGIApplication":
    """The page of the metrics; needs the folder in which the processes keep their numbers."""
    folder = _metrics_folder()
    if folder is None:
        raise ConfigurationInvalid(
            f"There are no metrics to show: {DIRECTORY_VARIABLE} names no folder for them"
        )
    conf = _configured()
    return metrics_page_from(conf, store_from(conf), folder, _STARTED_AT)


def configured_application() -> "WSGIApplication":
    """The application as the environment and the files want it."""
    conf = _configured()
    options.start_log(conf)
    folder = _metrics_folder()
    # Without a folder nobody can say which other processes there are: each search then asks.
    freshness = None if folder is None else freshness_from(folder)
    return application_from(conf, store_from(conf, freshness), folder)


def _configured() -> cfg.ConfigOpts:
    named = [name for name in os.environ.get(CONFIG_VARIABLE, "").split(os.pathsep) if name]
    return options.load([], prog="freezer-api", config_files=named or None)


def _metrics_folder() -> Path | None:
    folder = os.environ.get(DIRECTORY_VARIABLE)
    return Path(folder) if folder else None


_STARTED_AT = time.time()

application = LazyApplication(configured_application)

metrics = LazyApplication(configured_metrics)
"""The page for Prometheus, to be served on a port of its own."""
