"""Every option with all the names it ever had: on the command line, in files, as a variable."""

from collections.abc import Iterator
from dataclasses import dataclass

from oslo_config import cfg

from freezer_scheduler.conf import (
    capabilities,
    client_commands,
    coordination,
    log,
    notifications,
    scheduler,
    service_auth,
)

_VARIABLES = {"jobs_dir": ("FREEZER_SCHEDULER_CONF_D",), "insecure": ("OS_INSECURE",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Where a file has an option."""

    section: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelled:
    """An option and its names, the one of today first. `flags` begin with two dashes."""

    option: cfg.Opt
    flags: tuple[str, ...]
    keys: tuple[Key, ...]
    variables: tuple[str, ...]

    @property
    def dest(self) -> str:
        """The name of its value."""
        return str(self.option.dest)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionGroup:
    """Options that --help shows under one title, and files in one section (none: in no file)."""

    title: str
    section: str
    options: tuple[cfg.Opt, ...]

    def spelled(self) -> Iterator[Spelled]:
        """The options with their names."""
        for option in self.options:
            # The library keeps a former name with dashes also in its form with underscores.
            former = [str(old.name).replace("_", "-") for old in option.deprecated_opts]
            names = list(dict.fromkeys([str(option.name), *former]))
            yield Spelled(
                option=option,
                flags=tuple(self._flags(names)),
                keys=tuple(self._keys(names)),
                variables=self._variables(option, names),
            )

    def _flags(self, names: list[str]) -> Iterator[str]:
        if self.section == coordination.SECTION:
            # --backend-url alone would not say whose.
            yield from (f"--coordination-{name}" for name in names)
            return
        yield from (f"--{name}" for name in names)
        if self.section == notifications.SECTION:
            return
        if self.section in {"", log.SECTION}:
            return
        # Release 19 put the section in front of the name.
        prefix = f"--{self.section.replace('_', '-')}"
        for name in names:
            yield f"{prefix}-{name}"
            if name.startswith("os-"):
                yield f"{prefix}-{name.removeprefix('os-')}"

    def _keys(self, names: list[str]) -> Iterator[Key]:
        if not self.section:
            return
        plain = [name.replace("-", "_") for name in names]
        for name in plain:
            yield Key(section=self.section, name=name)
            if self.section == service_auth.SECTION:
                yield Key(section=self.section, name=name.removeprefix(service_auth.PREFIX))
        if self.section in {scheduler.SECTION, service_auth.SECTION}:
            # Before release 19 files had no sections.
            yield from (Key(section="DEFAULT", name=name) for name in plain)

    def _variables(self, option: cfg.Opt, names: list[str]) -> tuple[str, ...]:
        if self.section == service_auth.SECTION:
            return tuple(name.replace("-", "_").upper() for name in names)
        return _VARIABLES.get(str(option.dest), ())


GROUPS = tuple(
    OptionGroup(title=module.TITLE, section=module.SECTION, options=module.OPTIONS)
    for module in (
        scheduler,
        client_commands,
        service_auth,
        capabilities,
        notifications,
        log,
        coordination,
    )
)


def all_spelled() -> list[Spelled]:
    """Every option, in the order of --help."""
    return [spelled for group in GROUPS for spelled in group.spelled()]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """What oslo-config-generator writes into the sample.

    Without the options of oslo.log, which its own namespace (oslo.log) contributes: the
    documented command names both.
    """
    return [
        (group.section, list(group.options))
        for group in GROUPS
        if group.section not in {"", log.SECTION}
    ]
