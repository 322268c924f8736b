"""Restore from one of several storages: the nearest good copy of the newest backup."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from freezer_agent.actions.base import Action, Report
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.wanted import wanted_chain
from freezer_agent.errors import (
    AgentError,
    ChainBroken,
    Damaged,
    NoBackupBefore,
    NoBackupOfRun,
    StorageError,
    TargetNotEmpty,
)
from freezer_agent.requests import RestoreRequest
from freezer_agent.storages.base import Storage

log = logging.getLogger(__name__)

_ANOTHER_COPY_MAY_HELP = (StorageError, Damaged, ChainBroken, NoBackupBefore)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCopy:
    """One storage that may hold the backup, and how to restore from it."""

    name: str
    storage: Storage
    catalog: Catalog
    restore: Callable[[RestoreRequest], Action]


class RestoreFromAny:
    """Restores the newest backup within the date that any storage has whole.

    `copies` come the nearest first. One that is away, damaged or lacks a level is passed over for
    the next that has the same backup, never for an older backup. If a copy turns out to be bad
    only while it is extracted, the next one is extracted over what is there: the target ends as
    the backup says in any case, or the run fails.
    """

    def __init__(
        self,
        *,
        request: RestoreRequest,
        names: Sequence[BackupName],
        copies: Sequence[StoredCopy],
        removal: Action | None,
    ) -> None:
        self._request = request
        self._names = names
        self._copies = copies
        self._removal = removal
        self._errors: dict[str, AgentError] = {}
        self._absence: NoBackupBefore | NoBackupOfRun | None = None

    def run(self) -> Report:
        """Restore; then remove old backups from all storages if asked."""
        may_overwrite = self._may_overwrite()
        found = self._asked()
        wanted = max((backup for _, backup in found), key=lambda one: one.taken_at, default=None)
        if wanted is None:
            raise self._failure(
                self._absence or NoBackupBefore(str(self._names[0]), self._request.at)
            )
        request = replace(self._request, at=wanted.taken_at, session=None)
        for copy in (copy for copy, backup in found if backup == wanted):
            try:
                report = copy.restore(request).run()
            except _ANOTHER_COPY_MAY_HELP as error:
                log.warning("storage %s has no good copy: %s", copy.name, error)
                self._errors[copy.name] = error
                request = replace(request, overwrite=may_overwrite)
            else:
                return self._told(report, copy)
        raise self._failure(Damaged(f"no storage has a good copy of {wanted.label}"))

    def _may_overwrite(self) -> bool:
        """Whether what a first copy leaves in the target may be replaced: it was empty before."""
        request = self._request
        if request.overwrite or request.dry_run:
            return request.overwrite
        if request.target.exists() and any(request.target.iterdir()):
            raise TargetNotEmpty(
                f"{str(request.target)!r} is not empty: give --overwrite to restore over what is "
                "there, or another --restore-abs-path",
            )
        return True

    def _asked(self) -> list[tuple[StoredCopy, Backup]]:
        """What each storage would restore; all are asked at the same time."""
        with ThreadPoolExecutor(len(self._copies), "storage") as pool:
            asked = [(copy, pool.submit(self._newest_in, copy)) for copy in self._copies]
        answers = [(copy, waiting.result()) for copy, waiting in asked]
        return [(copy, backup) for copy, backup in answers if backup is not None]

    def _newest_in(self, copy: StoredCopy) -> Backup | None:
        try:
            with copy.storage:
                return wanted_chain(
                    copy.catalog, self._names, at=self._request.at, session=self._request.session
                )[-1]
        except (NoBackupBefore, NoBackupOfRun) as error:
            self._absence = error
            return None
        except (StorageError, ChainBroken) as error:
            self._errors[copy.name] = error
            return None

    def _told(self, report: Report, copy: StoredCopy) -> Report:
        warnings = [
            f"storage {name} was passed over: {error}" for name, error in self._errors.items()
        ]
        document = {**report.document, "storage": copy.name}
        document["warnings"] = [*report.document.get("warnings", ()), *warnings]
        told = replace(report, document=document, warnings=[*report.warnings, *warnings])
        if self._removal is None:
            return told
        removed = self._removal.run()
        return replace(
            told,
            document={**document, "removal": removed.document},
            warnings=[*told.warnings, *removed.warnings],
            failures=removed.failures,
        )

    def _failure(self, error: AgentError) -> AgentError:
        for name, reason in self._errors.items():
            error.add_note(f"storage {name}: {reason}")
        return error
