"""The options of the API: one module per group, and how they are read.

Only `assembly` and `cli` read options; below them nobody sees one.
"""

from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_log import log
from oslo_policy import opts as policy_opts

from freezer_api.conf import (
    centralized_scheduler,
    elasticsearch,
    healthcheck,
    metrics,
    oslo_middleware,
    service,
    sql,
    storage,
)
from freezer_model.errors import FreezerError

CONFIG_FILE = "/etc/freezer/freezer-api.conf"
"""Read when no file is named."""

_GROUPS = (
    service,
    storage,
    sql,
    elasticsearch,
    centralized_scheduler,
    healthcheck,
    metrics,
    oslo_middleware,
)


class ConfigurationInvalid(FreezerError):
    """The options cannot be used: a file is missing, or a value is none that the option takes."""


def load(
    argv: Sequence[str],
    *,
    prog: str,
    config_files: Sequence[str] | None = None,
    cli_opts: Sequence[cfg.Opt] = (),
) -> cfg.ConfigOpts:
    """The options from `argv` (without the program's name) and from files.

    Files are those of --config-file, else `config_files`, else CONFIG_FILE if it is there.
    `cli_opts` are the command's own. Raises ConfigurationInvalid, and SystemExit where argparse
    does: wrong arguments (2), --help and --version (0).
    """
    conf = cfg.ConfigOpts()
    conf.register_cli_opts(cli_opts)
    register(conf)
    log.register_options(conf)
    # Of these, lines below a warning tell of every single request.
    quieter = ("gunicorn.error=WARN", "elastic_transport=WARN")
    log.set_defaults(default_log_levels=[*log.get_default_log_levels(), *quieter])
    try:
        conf(
            list(argv),
            project="freezer",
            prog=prog,
            version=_version(),
            default_config_files=_default_files(config_files),
            default_config_dirs=[],
        )
        _read_all(conf)
    except (cfg.Error, OSError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(f"The configuration cannot be used: {error}") from error
    return conf


def start_log(conf: cfg.ConfigOpts) -> None:
    """Write the log as the options want it. Raises ConfigurationInvalid where that cannot be."""
    try:
        log.setup(conf, "freezer-api")
    except (OSError, log.LogConfigError) as error:
        raise ConfigurationInvalid(f"The log cannot be written as configured: {error}") from error


def _read_all(conf: cfg.ConfigOpts) -> None:
    """Values are checked when they are read: here, rather than in the middle of something."""
    for group in _GROUPS:
        values = conf if group.GROUP is None else conf[group.GROUP]
        for option in group.OPTIONS:
            values[option.dest]


def register(conf: cfg.ConfigOpts) -> None:
    """Make every option of ours known to `conf`."""
    for group in _GROUPS:
        conf.register_opts(group.OPTIONS, group=group.GROUP)


def own_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Every option of ours by group."""
    return [(group.GROUP or "DEFAULT", list(group.OPTIONS)) for group in _GROUPS]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Every option by group, for the sample generator (which takes oslo.log's from oslo.log)."""
    # Only here, since the import takes half a second.
    from keystonemiddleware import opts as keystone_opts  # noqa: PLC0415

    ours = own_opts()
    libraries: list[tuple[Any, Any]] = [
        *keystone_opts.list_auth_token_opts(),
        *policy_opts.list_opts(),
    ]
    return ours + [(str(group or "DEFAULT"), list(opts)) for group, opts in libraries]


@cache
def _version() -> str:
    try:
        return metadata.version("freezer")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def _default_files(config_files: Sequence[str] | None) -> list[str]:
    if config_files is not None:
        return list(config_files)
    return [CONFIG_FILE] if Path(CONFIG_FILE).is_file() else []
