"""freezer-api: serve the API with gunicorn.

Exit codes: 0 ended by a signal; 1 it cannot start (port taken, store not ready, open to everybody);
2 wrong arguments or configuration.
"""

import ipaddress
import sys
from collections.abc import Sequence
from contextlib import closing

from oslo_config import cfg
from oslo_log import log

from freezer_api import conf as options
from freezer_api.assembly import login_objection, store_from
from freezer_api.cli.workers import CannotStart, listening, serve
from freezer_api.errors import StoreUnavailable
from freezer_api.policies.file import PolicyFileInvalid, policy_file, unknown_rules

LOG = log.getLogger(__name__)

DONE = 0
CANNOT_START = 1
WRONG_REQUEST = 2

_CLI_OPTIONS = [
    cfg.BoolOpt(
        "allow-open-noauth",
        default=False,
        help="With auth_strategy = noauth, listen on an address that other hosts reach: everybody "
        "there may then read and change everything.",
    ),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes, and return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        conf = _load(arguments)
    except options.ConfigurationInvalid as error:
        return _complain(error, WRONG_REQUEST)
    except SystemExit as stop:  # argparse: --help, --version, wrong arguments
        return WRONG_REQUEST if stop.code else DONE
    try:
        host = _host(conf)
        _require_usable(conf)
        _require_ready(conf)
        listener = listening(host, conf.bind_port)
        return serve(conf, listener, lambda: _reloaded(conf, arguments))
    except (options.ConfigurationInvalid, PolicyFileInvalid) as error:
        return _complain(error, WRONG_REQUEST)
    except (CannotStart, StoreUnavailable) as error:
        return _complain(error, CANNOT_START)


def _load(argv: Sequence[str]) -> cfg.ConfigOpts:
    conf = options.load(argv, prog="freezer-api", cli_opts=_CLI_OPTIONS + _overrides())
    if not (conf.log_file or conf.log_dir or conf.use_syslog or conf.use_journal):
        # Standard output belongs to the line that says where the service is.
        conf.set_default("use_stderr", default=True)
    options.start_log(conf)
    return conf


def _reloaded(conf: cfg.ConfigOpts, argv: Sequence[str]) -> cfg.ConfigOpts:
    """The options as they are now. Raises CannotStart for a change that needs a start.

    And what `_load` and `_require_usable` raise.
    """
    fresh = _load(argv)
    _require_usable(fresh)
    if fresh.auth_strategy != conf.auth_strategy:
        # The address that is listened on was judged with the strategy of the start.
        raise CannotStart("A change of auth_strategy needs a restart")
    return fresh


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


def _require_usable(conf: cfg.ConfigOpts) -> None:
    """Look at what the first request would find out. Raises ConfigurationInvalid, PolicyFileInvalid."""
    path = policy_file(conf)
    if path is not None:
        unknown_rules(path)
    objection = login_objection(conf)
    if objection is not None:
        raise options.ConfigurationInvalid(f"[keystone_authtoken] cannot be used: {objection}")


def _require_ready(conf: cfg.ConfigOpts) -> None:
    """Look at the store before anything is served, with a connection that no worker inherits.

    A cluster may come later than we do, or be made later: until then calls are answered with 503.
    A database that is not there is a mistake. Raises CannotStart.
    """
    with closing(store_from(conf)) as store:
        if store.ready():
            return
    if conf.storage.backend == "elasticsearch":
        LOG.warning(
            "Elasticsearch at %s is not ready, or has no indices (`freezer-manage db sync` makes "
            "them). The service starts and waits: calls are answered with 503 until it is",
            ", ".join(conf.elasticsearch.hosts),
        )
        return
    raise CannotStart(
        f"The document store ([storage] backend = {conf.storage.backend}) has not been "
        "made or cannot be reached. Make it with `freezer-manage db sync`, with the same "
        "configuration; `freezer-status upgrade check` tells more"
    )


def _complain(error: Exception, code: int) -> int:
    print(f"freezer-api: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
    return code


if __name__ == "__main__":
    sys.exit(main())
