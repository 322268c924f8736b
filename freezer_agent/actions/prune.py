"""Remove the backups that are too old, and what dead runs left behind."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from freezer_agent.actions.base import Report, Table
from freezer_agent.actions.info import local_time
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.catalog.catalog import Catalog, Orphan
from freezer_agent.catalog.chains import group_into_chains
from freezer_agent.catalog.lock import SetLock
from freezer_agent.catalog.retention import ChainVerdict, Verdict, choose_kept
from freezer_agent.catalog.unfinished import Freed, Unfinished
from freezer_agent.requests import PruneRequest, RemovalRule
from freezer_agent.storages.base import Storage
from freezer_model.clock import Clock
from freezer_model.instants import to_epoch

log = logging.getLogger(__name__)

# Agents of former releases take no lock: what looks like the remains of a dead run may be an
# upload of theirs that still goes on. A week is longer than any of them is left running.
_ORPHAN_GRACE = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Which backups were removed (or would be), and the verdict on each chain."""

    chains: Sequence[ChainVerdict]

    @property
    def removed(self) -> list[str]:
        """The labels of the removed backups, the oldest first."""
        doomed = (verdict.chain for verdict in self.chains if verdict.remove)
        return [backup.label for chain in doomed for backup in chain.backups]

    @property
    def told(self) -> list[str]:
        """A line for every backup: what becomes of it, and why."""
        return [
            f"{_word(verdict)} {verdict.backup.label}: {verdict.reason}"
            for chain in self.chains
            for verdict in chain.verdicts
        ]


def prune(
    catalog: Catalog,
    unfinished: Unfinished,
    names: Sequence[BackupName],
    rule: RemovalRule,
    clock: Clock,
    *,
    dry_run: bool,
    just_made: Backup | None = None,
) -> Pruned:
    """Remove the chains that the rule does not keep. The caller holds the lock of the set.

    `just_made` counts as a backup even if it is not listed: in a dry run it never is, and some
    storages list late.
    """
    listed = [backup for chain in catalog.chains(names) for backup in chain.backups]
    if just_made is not None and just_made not in listed:
        listed.append(just_made)
    verdicts = choose_kept(group_into_chains(listed), rule, clock(), just_made=just_made)
    for verdict in verdicts:
        chain, word = verdict.chain, "remove" if verdict.remove else "keep"
        log.info("%s the chain of %s: %s", word, chain.backups[0].label, verdict.reason)
        if verdict.remove and not dry_run:
            unfinished.remove(chain.backups)
    return Pruned(chains=verdicts)


class PruneAction:
    """Remove old chains of one set, its orphans, and the storage's temporary files of dead runs."""

    def __init__(
        self,
        *,
        request: PruneRequest,
        storage: Storage,
        catalog: Catalog,
        names: Sequence[BackupName],
        lock: SetLock,
        unfinished: Unfinished,
        clock: Clock,
        remove_leftovers: Callable[[], Sequence[object]],
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._names = names
        self._lock = lock
        self._unfinished = unfinished
        self._clock = clock
        self._remove_leftovers = remove_leftovers

    def run(self) -> Report:
        """Remove under the lock of the set. With dry_run only say what would be removed."""
        request = self._request
        with self._storage, self._locked():
            cleaned = [] if request.dry_run else self._unfinished.clean(self._names)
            pruned = prune(
                self._catalog,
                self._unfinished,
                self._names,
                request.removal,
                self._clock,
                dry_run=request.dry_run,
            )
            before = self._clock() - _ORPHAN_GRACE
            orphans = self._catalog.orphans(self._names, before)
            leftovers: Sequence[object] = ()
            if not request.dry_run:
                for orphan in orphans:
                    log.warning("removing what a dead run left behind: %s", orphan.label)
                    self._catalog.remove_orphan(orphan)
                leftovers = self._remove_leftovers()
        return self._report(pruned, cleaned, orphans, len(leftovers))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._request.dry_run:
            yield
        else:
            with self._lock.held():
                yield

    def _report(
        self,
        pruned: Pruned,
        cleaned: Sequence[Freed],
        orphans: Sequence[Orphan],
        leftovers: int,
    ) -> Report:
        verdicts = [verdict for chain in pruned.chains for verdict in chain.verdicts]
        return Report(
            document={
                "action": "admin",
                "backup_name": self._names[0].name,
                "hostname": self._names[0].host,
                "dry_run": self._request.dry_run,
                "removed_backups": pruned.removed,
                "removed_orphans": [
                    *(one.label for one in orphans),
                    *(one.label for one in cleaned),
                ],
                "removed_temporary_files": leftovers + sum(one.pieces for one in cleaned),
                "backups": [_document(verdict) for verdict in verdicts],
                "orphans": [
                    {"backup": one.label, "size": one.size_bytes, "objects": len(one.keys)}
                    for one in orphans
                ]
                + [
                    {"backup": one.label, "size": one.size_bytes, "objects": one.objects}
                    for one in cleaned
                ],
                "chains": [
                    {
                        "level_zero": verdict.chain.backups[0].label,
                        "backups": len(verdict.chain.backups),
                        "removed": verdict.remove,
                        "reason": verdict.reason,
                    }
                    for verdict in pruned.chains
                ],
            },
            table=Table(
                columns=("", "Backup", "Level", "Date", "Reason"),
                rows=[_row(verdict) for verdict in verdicts]
                + [
                    ("remove", one.label, "", local_time(one.taken_at), "left by a dead run")
                    for one in orphans
                ]
                + [("remove", one.label, "", "", "left by an interrupted run") for one in cleaned],
            ),
        )


def _document(verdict: Verdict) -> dict[str, object]:
    backup = verdict.backup
    return {
        "backup": backup.label,
        "level": backup.level,
        "time_stamp": to_epoch(backup.taken_at),
        "removed": verdict.remove,
        "reason": verdict.reason,
    }


def _row(verdict: Verdict) -> tuple[str, ...]:
    return (
        _word(verdict),
        verdict.backup.label,
        str(verdict.backup.level),
        local_time(verdict.backup.taken_at),
        verdict.reason,
    )


def _word(verdict: Verdict) -> str:
    return "remove" if verdict.remove else "keep"
