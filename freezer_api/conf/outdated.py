"""Options in the operator's files that this release knows by another name, or not at all."""

from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

_LEFT_TO_THEIR_LIBRARIES = ("keystone_authtoken", "oslo_policy", "cors", "oslo_versionedobjects")
"""Which options these take depends on what is loaded later."""


def outdated_options(conf: cfg.ConfigOpts, known: list[tuple[str, list[cfg.Opt]]]) -> Iterator[str]:
    """A sentence for each option of the files that is not spelled as this release spells it.

    `known` are the options of the service by group. The files are those that `conf` was read from.
    """
    renamed = dict(_renamed(known))
    for path in conf.config_file or []:
        for group, names in _written(Path(path)).items():
            for name in names:
                sentence = _objection(conf, renamed, group, name)
                if sentence:
                    yield f"{path}: {sentence}"


def _objection(
    conf: cfg.ConfigOpts, renamed: dict[tuple[str, str], str], group: str, name: str
) -> str | None:
    new_name = renamed.get((group, name))
    if new_name is not None:
        return f"[{group}] {name} is an old name: write {new_name}"
    if group in _LEFT_TO_THEIR_LIBRARIES or _is_known(conf, group, name):
        return None
    return f"[{group}] {name} is not known to this release and has no effect"


def _is_known(conf: cfg.ConfigOpts, group: str, name: str) -> bool:
    if group == "DEFAULT":
        return name in conf or name == "fatal_deprecations"  # oslo.log's, which comes later
    return group in conf and name in conf[group]


def _renamed(known: list[tuple[str, list[cfg.Opt]]]) -> Iterator[tuple[tuple[str, str], str]]:
    for group, options in known:
        for option in options:
            for old in option.deprecated_opts:
                key = (old.group or group, _spelled(old.name or option.name))
                if key != (group, option.dest):
                    yield key, f"[{group}] {option.dest}"


def _written(path: Path) -> dict[str, list[str]]:
    """The names in the file by group, as they are there but for dashes."""
    sections: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(str(path), sections).parse()
    return {group: [_spelled(name) for name in names] for group, names in sections.items()}


def _spelled(name: str) -> str:
    return name.replace("-", "_")
