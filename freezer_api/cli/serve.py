"""freezer-api: serve the API with gunicorn.

Exit codes: 0 ended by a signal; 1 it cannot start (port taken, store not ready, open to everybody);
2 wrong arguments or configuration.
"""

import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from gunicorn.app.base import BaseApplication
from oslo_config import cfg
from oslo_log import log

from freezer_api import conf as options
from freezer_api.assembly import application_from, store_from
from freezer_api.errors import StoreUnavailable
from freezer_model.errors import FreezerError

DONE = 0
CANNOT_START = 1
WRONG_REQUEST = 2

_BACKLOG = 1024
_KEEPALIVE_SECONDS = 75

_CLI_OPTIONS = [
    cfg.BoolOpt(
        "allow-open-noauth",
        default=False,
        help="With auth_strategy = noauth, listen on an address that other hosts reach: everybody "
        "there may then read and change everything.",
    ),
]


class CannotStart(FreezerError):
    """The service cannot start as things are."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes, and return the exit code."""
    try:
        conf = _load(sys.argv[1:] if argv is None else argv)
    except options.ConfigurationInvalid as error:
        return _complain(error, WRONG_REQUEST)
    except SystemExit as stop:  # argparse: --help, --version, wrong arguments
        return WRONG_REQUEST if stop.code else DONE
    try:
        host = _host(conf)
        _require_ready(conf)
        return _serve(conf, _listening(host, conf.bind_port))
    except (CannotStart, StoreUnavailable) as error:
        return _complain(error, CANNOT_START)


def _load(argv: Sequence[str]) -> cfg.ConfigOpts:
    conf = options.load(argv, prog="freezer-api", cli_opts=_CLI_OPTIONS + _overrides())
    log.set_defaults(default_log_levels=[*log.get_default_log_levels(), "gunicorn=WARN"])
    if not (conf.log_file or conf.log_dir or conf.use_syslog or conf.use_journal):
        # Standard output belongs to the line that says where the service is.
        conf.set_default("use_stderr", default=True)
    log.setup(conf, "freezer-api")
    return conf


def _overrides() -> list[cfg.Opt]:
    """Those options of the file that may stand on the command line too."""
    names = {"bind_host", "bind_port", "workers", "threads", "access_log"}
    return [option for option in options.service.OPTIONS if option.dest in names]


def _host(conf: cfg.ConfigOpts) -> str:
    """The address to listen on. Raises CannotStart for one that is open to strangers."""
    host: str = conf.bind_host
    if conf.auth_strategy != "noauth" or conf.allow_open_noauth:
        return host
    origin = conf.get_location("bind_host")
    if origin is None or origin.location is cfg.Locations.opt_default:
        return "127.0.0.1"
    if not _is_loopback(host):
        raise CannotStart(
            f"auth_strategy is noauth: whoever reaches {host} could read and change everything. "
            "Set bind_host to 127.0.0.1, or use auth_strategy = keystone, or insist with "
            "--allow-open-noauth"
        )
    return host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_ready(conf: cfg.ConfigOpts) -> None:
    """Look at the store before anything is served, with a connection that no worker inherits."""
    with closing(store_from(conf)) as store:
        if not store.ready():
            raise CannotStart(
                f"The document store ([storage] backend = {conf.storage.backend}) has not been "
                "made or cannot be reached. Make it with `freezer-manage db sync`, with the same "
                "configuration; `freezer-status upgrade check` tells more"
            )


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotStart(
            f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}. Choose another one "
            "with --bind-host and --bind-port"
        ) from error


def _serve(conf: cfg.ConfigOpts, listener: socket.socket) -> int:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    workers = conf.workers or max(2, os.cpu_count() or 1)
    message = (
        f"freezer-api serves http://{shown}:{port} from {conf.storage.backend} "
        f"({workers} workers, {conf.auth_strategy})"
    )
    settings = {
        # From here on the socket is gunicorn's, which closes it.
        "bind": f"fd://{listener.detach()}",
        "workers": workers,
        "worker_class": "gthread",
        "threads": conf.threads,
        "timeout": conf.worker_timeout,
        "graceful_timeout": conf.graceful_timeout,
        "keepalive": _KEEPALIVE_SECONDS,
        "backlog": _BACKLOG,
        "proc_name": "freezer-api",
        "accesslog": "-" if conf.access_log else None,
        "loglevel": "warning",
        # Its default is a file in the home folder, where two services would meet.
        "control_socket_disable": True,
        "post_fork": lambda _arbiter, _worker: _leave_when_interrupted(),
        "post_worker_init": lambda _worker: _leave_when_interrupted(),
        "when_ready": lambda _arbiter: print(message, flush=True),  # noqa: T201 - our result
    }
    try:
        _Gunicorn(conf, settings).run()
    except SystemExit as stop:
        return int(stop.code or DONE)
    return DONE


def _leave_when_interrupted() -> None:
    """Make this worker end at once when it is told to quit.

    gunicorn's own handler unwinds the worker from wherever the signal met it, and now and then it
    stays: it waits for a lock that the interrupted code holds. Before a worker has set its handlers
    it has its master's, which lose the signal. Nothing is lost by leaving: what was acknowledged is
    in the store.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda _number, _frame: os._exit(DONE))


class _Gunicorn(BaseApplication):  # type: ignore[misc] # the library has no type information
    """gunicorn, configured by us alone: no command line, no files, no environment."""

    def __init__(self, conf: cfg.ConfigOpts, settings: dict[str, Any]) -> None:
        self._conf = conf
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        # Called in each worker, so that no connection is older than the fork.
        return application_from(self._conf, store_from(self._conf))


def _complain(error: Exception, code: int) -> int:
    print(f"freezer-api: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
    return code


if __name__ == "__main__":
    sys.exit(main())
