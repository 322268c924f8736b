"""The catalogs of all storages that one backup goes to, and whether they can be continued alike."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from freezer_agent.catalog.backup import Backup, Chain, find_levels
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.chains import choose_base
from freezer_agent.errors import ObjectNotFound, StorageError
from freezer_agent.requests import LevelRules


class Copies:
    """One catalog, or several that are written together.

    One stream can be the next level of all copies only if each of them, looked at alone, would be
    continued from the same backup with the same ones below it. Then each stays a chain that
    restores by itself, whatever becomes of the others.
    """

    def __init__(
        self,
        catalogs: Sequence[Catalog],
        catching_up: Callable[[], Iterator[bytes]] = lambda: iter(()),
    ) -> None:
        """`catching_up` waits for copies that are slow, and tells now and then that it does."""
        self.catalogs = tuple(catalogs)
        self.catching_up = catching_up

    def hindrance(self, levels: Sequence[Backup], rules: LevelRules, now: datetime) -> str | None:
        """The reason why not every copy can be continued on `levels`, or None.

        Of several copies one that cannot be asked has no say: it will not be written either. The
        error of the only one is raised.
        """
        for catalog in self.catalogs:
            try:
                reason = self._hindrance_in(catalog, levels, rules, now)
            except StorageError:
                if len(self.catalogs) == 1:
                    raise
                continue
            if reason is not None:
                return reason
        return None

    def _hindrance_in(
        self, catalog: Catalog, levels: Sequence[Backup], rules: LevelRules, now: datetime
    ) -> str | None:
        base = levels[-1]
        if len(self.catalogs) > 1:
            chains = catalog.chains([base.name])
            if _continued(chains, rules, now) != tuple(levels):
                return f"not every storage has {base.label} as the one to continue"
        for backup in levels:
            try:
                catalog.data_size(backup)
            except ObjectNotFound:
                return f"{backup.label} has lost its data"
        return None


def _continued(chains: Sequence[Chain], rules: LevelRules, now: datetime) -> tuple[Backup, ...]:
    """The backups that a copy would build its next level on, if it were the only one."""
    base = choose_base(chains, rules, now)
    return find_levels(chains[-1].backups, base).backups if base is not None else ()
