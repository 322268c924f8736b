"""gunicorn as freezer-api uses it: configured by us alone, in the log as everything else is.

SIGHUP reads the configuration again and replaces the workers, each after its last request; one
that cannot be used is refused and the service goes on as it was. SIGTERM ends it. Under systemd it
tells when it serves (Type=notify), which is gunicorn's own doing.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker
from oslo_config import cfg

from freezer_api.assembly import (
    application_from,
    freshness_from,
    metrics_page_from,
    store_from,
)
from freezer_api.cli.gunicorn_log import JsonLog, Log
from freezer_api.cli.metrics_folder import metrics_folder
from freezer_api.metrics import meters
from freezer_api.metrics.requests import OnPort
from freezer_model.errors import FreezerError

_DONE = 0
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_BACKLOG = 1024
_KEEPALIVE_SECONDS = 75
_ACCESS_LINE = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(M)s ms %({x-openstack-request-id}o)s'
"""The query is left out: it may hold names of files."""


log = logging.getLogger(__name__)


class CannotStart(FreezerError):
    """The service cannot start as things are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metrics:
    """Where workers keep their numbers, and the socket that tells them."""

    folder: Path
    listener: socket.socket
    started_at: float


def listening(host: str, port: int) -> socket.socket:
    """A socket on which connections wait. Raises CannotStart."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotStart(
            f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}. Choose another one "
            "with --bind-host and --bind-port, or bind_port in section [metrics]"
        ) from error


def serve(
    conf: cfg.ConfigOpts, listener: socket.socket, read_again: Callable[[], cfg.ConfigOpts]
) -> int:
    """Serve until a signal comes; return the exit code. `read_again` is called for a reload.

    Raises CannotStart where the metrics cannot be told.
    """
    if conf.metrics.bind_port is None:
        return _run(conf, listener, None, read_again)
    with metrics_folder() as folder:
        meters.activate(folder)
        metrics = _Metrics(
            folder=folder,
            listener=listening(conf.metrics.bind_host, conf.metrics.bind_port),
            started_at=time.time(),
        )
        return _run(conf, listener, metrics, read_again)


def _run(
    conf: cfg.ConfigOpts,
    listener: socket.socket,
    metrics: _Metrics | None,
    read_again: Callable[[], cfg.ConfigOpts],
) -> int:
    settings = _fixed_settings(_message(conf, listener, metrics))
    settings["logger_class"] = JsonLog if conf.use_json else Log
    sockets = [listener] if metrics is None else [listener, metrics.listener]
    port = 0 if metrics is None else metrics.listener.getsockname()[1]
    # From here on the sockets are gunicorn's, which closes them.
    settings["bind"] = [f"fd://{each.detach()}" for each in sockets]
    if metrics is not None:
        settings["child_exit"] = lambda _arbiter, worker: meters.worker_ended(worker.pid)
    try:
        _Gunicorn(conf, settings, read_again, metrics, port).run()
    except SystemExit as stop:
        return int(stop.code or _DONE)
    return _DONE


def _message(conf: cfg.ConfigOpts, listener: socket.socket, metrics: _Metrics | None) -> str:
    message = (
        f"freezer-api serves {_url(listener)} from {conf.storage.backend} "
        f"({_workers(conf)} workers, {conf.auth_strategy})"
    )
    return message if metrics is None else f"{message}; metrics at {_url(metrics.listener)}/metrics"


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _workers(conf: cfg.ConfigOpts) -> int:
    return conf.workers or max(2, os.cpu_count() or 1)


def _fixed_settings(message: str) -> dict[str, Any]:
    """What a reload leaves as it is."""
    return {
        "worker_class": _Worker,
        "keepalive": _KEEPALIVE_SECONDS,
        "backlog": _BACKLOG,
        "proc_name": "freezer-api",
        "access_log_format": _ACCESS_LINE,
        # Its default is a file in the home folder, where two services would meet.
        "control_socket_disable": True,
        # Its default believes whatever comes over the loopback, a proxy's callers included. What
        # is believed of a proxy is for [oslo_middleware] to say: see http.proxies.
        "forwarded_allow_ips": "",
        "when_ready": lambda _arbiter: print(message, flush=True),  # noqa: T201 - our result
    }


def _settings_from(conf: cfg.ConfigOpts) -> dict[str, Any]:
    return {
        "workers": _workers(conf),
        "threads": conf.threads,
        "timeout": conf.worker_timeout,
        "graceful_timeout": conf.graceful_timeout,
        "accesslog": "-" if conf.access_log else None,
        "loglevel": "warning",
    }


@contextmanager
def _ends_wait() -> Iterator[None]:
    """Let the signals that end a process wait until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Master(Arbiter):  # type: ignore[misc] # the library has no type information
    """The process that has the workers."""

    def spawn_worker(self) -> int:
        """Fork one. Until it has handlers of its own it has ours, which would lose its signals."""
        with _ends_wait():
            return int(super().spawn_worker())


class _Worker(ThreadWorker):  # type: ignore[misc] # the library has no type information
    """A process that answers requests, several at the same time."""

    def init_signals(self) -> None:
        """Take the signals that have waited since the fork, and all that follow.

        Told to quit, it ends at once. gunicorn's own handler unwinds the worker from wherever the
        signal met it, and now and then it stays: it waits for a lock that the interrupted code
        holds. Nothing is lost by leaving: what was acknowledged is in the store.
        """
        super().init_signals()
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda _number, _frame: os._exit(_DONE))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


class _Gunicorn(BaseApplication):  # type: ignore[misc] # the library has no type information
    """gunicorn without a command line, files or environment of its own."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        settings: dict[str, Any],
        read_again: Callable[[], cfg.ConfigOpts],
        metrics: _Metrics | None,
        metrics_port: int,
    ) -> None:
        self._conf = conf
        self._fixed = settings
        self._read_again = read_again
        self._metrics = metrics
        self._metrics_port = metrics_port
        self._freshness = freshness_from()
        super().__init__()

    def run(self) -> None:
        _Master(self).run()

    def load_config(self) -> None:
        for name, value in (self._fixed | _settings_from(self._conf)).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def reload(self) -> None:
        # In the master, before the new workers are forked.
        before = _cluster(self._conf)
        try:
            self._conf = self._read_again()
        except (FreezerError, SystemExit) as error:
            log.error(  # noqa: TRY400 - the reason is the message
                "Reload: the service goes on with the configuration it had. %s", error
            )
        else:
            log.info("Reload: the configuration was read again")
            if _cluster(self._conf) != before:
                # What the old workers write is no news of the cluster that the new ones use.
                self._freshness = freshness_from()
        super().reload()

    def load(self) -> Any:
        # Called in each worker, so that no connection is older than the fork.
        store = store_from(self._conf, self._freshness)
        if self._metrics is None:
            return _ReadableBodies(application_from(self._conf, store))
        folder, started_at = self._metrics.folder, self._metrics.started_at
        return OnPort(
            _ReadableBodies(application_from(self._conf, store, folder)),
            metrics_page_from(self._conf, store, folder, started_at),
            self._metrics_port,
        )


class _ReadableBodies:
    """WSGI wrapper: a body whose chunks are broken fails as a broken connection does."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _Chunks(environ["wsgi.input"])
        return self._application(environ, start_response)


class _Chunks:
    """A body in chunks. gunicorn has an exception of its own for each way in which they are wrong."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """So many bytes. Raises OSError."""
        try:
            read: bytes = self._body.read(size)
        except ParseException as error:
            raise OSError(str(error)) from error
        return read


def _cluster(conf: cfg.ConfigOpts) -> tuple[list[str], str]:
    return conf.elasticsearch.hosts, conf.elasticsearch.index_prefix
