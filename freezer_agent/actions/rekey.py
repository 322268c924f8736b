"""Change who can open the sealed backups of a set, without touching what they hold."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freezer_agent.actions.base import Report, Table
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.lock import SetLock
from freezer_agent.errors import NoBackupBefore
from freezer_agent.pipeline.coding import SEAL_FORMAT
from freezer_agent.pipeline.rekeying import Step
from freezer_agent.requests import RekeyRequest
from freezer_agent.storages.base import Storage

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What is to be written, step by step, and what is not."""

    rounds: list[list[tuple[Backup, Mapping[str, Any]]]]
    changed: list[Backup] = field(default_factory=list)
    unchanged: list[Backup] = field(default_factory=list)
    not_sealed: list[Backup] = field(default_factory=list)


class RekeyAction:
    """Give every sealed backup of a set other key slots.

    All of them are opened, and their new metadata made and tried, before the first is written: a
    wrong key changes nothing. Each is then replaced in one atomic write, and all of them get what
    one step gives before any gets what the next takes away. So a run that dies leaves chains of
    which every level opens with one and the same key, and doing it again completes it.
    """

    def __init__(
        self,
        *,
        request: RekeyRequest,
        storage: Storage,
        catalog: Catalog,
        names: Sequence[BackupName],
        lock: SetLock,
        steps: Sequence[Step],
        clean: Callable[[Backup], object],
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._names = names
        self._lock = lock
        self._steps = steps
        self._clean = clean

    def run(self) -> Report:
        """Plan and write under the lock of the set. With dry_run only plan."""
        with self._storage, self._locked():
            plan = self._planned()
            if not self._request.dry_run:
                self._write(plan)
        return self._report(plan)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._request.dry_run:
            yield
        else:
            with self._lock.held():
                yield

    def _planned(self) -> _Plan:
        plan = _Plan(rounds=[[] for _ in self._steps])
        chains = self._catalog.chains(self._names)
        if not chains:
            raise NoBackupBefore(str(self._names[0]), None)
        for backup in (backup for chain in chains for backup in chain.backups):
            metadata = self._catalog.metadata(backup)
            if metadata.get("encryption_format") != SEAL_FORMAT:
                plan.not_sealed.append(backup)
                continue
            self._plan_one(plan, backup, metadata)
        return plan

    def _plan_one(self, plan: _Plan, backup: Backup, metadata: Mapping[str, Any]) -> None:
        place, latest = self._catalog.place(backup), metadata
        for step, changes in zip(self._steps, plan.rounds, strict=True):
            changed = step(place, latest)
            if changed is not None:
                changes.append((backup, changed))
                latest = changed
        (plan.unchanged if latest is metadata else plan.changed).append(backup)

    def _write(self, plan: _Plan) -> None:
        for backup in plan.changed:
            self._clean(backup)  # of what an earlier run, which was killed, was writing
        count = sum(map(len, plan.rounds))
        everything = (change for changes in plan.rounds for change in changes)
        for number, (backup, metadata) in enumerate(everything):
            try:
                self._catalog.publish(backup, metadata)
            except BaseException as error:
                error.add_note(
                    f"{number} of {count} changes were made. Every backup opens, with the old keys "
                    "or with the new ones. Do it again to complete it."
                )
                raise
            log.info("%s has new key slots", backup.label)

    def _report(self, plan: _Plan) -> Report:
        changed = plan.changed
        warnings = [
            f"{backup.label} is not sealed: its encryption cannot be changed"
            for backup in plan.not_sealed
        ]
        words = (
            ("change" if self._request.dry_run else "changed", changed),
            ("as wanted already", plan.unchanged),
            ("not sealed", plan.not_sealed),
        )
        rows = [(backup.label, word) for word, backups in words for backup in backups]
        return Report(
            document={
                "action": "rekey",
                "backup_name": self._names[0].name,
                "hostname": self._names[0].host,
                "dry_run": self._request.dry_run,
                "changed_backups": [backup.label for backup in changed],
                "unchanged_backups": [backup.label for backup in plan.unchanged],
                "not_sealed_backups": [backup.label for backup in plan.not_sealed],
                "warnings": warnings,
            },
            table=Table(columns=("Backup", "Keys"), rows=rows),
            warnings=warnings,
        )
