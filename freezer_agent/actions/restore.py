"""Restore a file tree: choose the chain, check all of it, then extract level after level."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from freezer_agent.actions.base import Progress, Report
from freezer_agent.actions.prune import Pruned, prune
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.chains import choose_restore_chain
from freezer_agent.catalog.lock import SetLock
from freezer_agent.consistency import tree_checksum
from freezer_agent.engines.base import Engine, SourceNotes
from freezer_agent.errors import Damaged, ObjectNotFound, TargetNotEmpty
from freezer_agent.pipeline.checksum import verified
from freezer_agent.pipeline.coding import Coding, Codings, Purpose
from freezer_agent.pipeline.prefetch import prefetched
from freezer_agent.pipeline.streams import counted
from freezer_agent.requests import RestoreRequest
from freezer_agent.storages.base import Storage
from freezer_model.clock import Clock
from freezer_model.instants import to_epoch

log = logging.getLogger(__name__)

_CHUNKS_AHEAD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One backup to extract: how its stream is undone, and what is known of it."""

    backup: Backup
    coding: Coding
    sha256: str | None


class RestoreAction:
    """Restore a file tree as it was at a moment.

    Target, chain, objects, key and checks of all levels come before the first byte is written.
    """

    def __init__(
        self,
        *,
        request: RestoreRequest,
        storage: Storage,
        catalog: Catalog,
        names: Sequence[BackupName],
        lock: SetLock,
        engine: Engine,
        codings: Codings,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._names = names
        self._lock = lock
        self._engine = engine
        self._codings = codings
        self._clock = clock
        self._progress = progress

    def run(self) -> Report:
        """Restore, or with dry_run verify all streams; then remove old backups if asked."""
        request = self._request
        started_at = self._clock()
        notes = SourceNotes()
        with self._storage:
            self._check_target()
            chain = choose_restore_chain(
                self._catalog.chains(self._names),
                self._names[0],
                request.at,
            )
            levels = [self._prepared(backup) for backup in chain]
            for position, level in enumerate(levels):
                self._extract(level, notes, chain[:position])
            self._compare_checksum()
            pruned = self._remove_old()
        ended_at = self._clock()
        wanted = chain[-1]
        warnings = [*self._codings.remarks, *notes.names]
        return Report(
            document={
                "action": "restore",
                "backup_name": wanted.name.name,
                "hostname": wanted.name.host,
                "level": wanted.level,
                "time_stamp": to_epoch(wanted.taken_at),
                "restored_backups": [backup.label for backup in chain],
                "restore_abs_path": str(request.target),
                "dry_run": request.dry_run,
                "started_at": started_at.isoformat(),
                "ended_at": ended_at.isoformat(),
                "duration_seconds": round((ended_at - started_at).total_seconds(), 3),
                "removed_backups": pruned.removed,
                "retention": pruned.told,
                "warnings": warnings,
            },
            warnings=warnings,
        )

    def _check_target(self) -> None:
        target = self._request.target
        if self._request.overwrite or self._request.dry_run or not target.exists():
            return
        if any(target.iterdir()):
            raise TargetNotEmpty(
                f"{str(target)!r} is not empty: give --overwrite to restore over what is there, "
                "or another --restore-abs-path",
            )

    def _prepared(self, backup: Backup) -> Level:
        metadata = self._catalog.metadata(backup)
        try:
            size = self._catalog.data_size(backup)
        except ObjectNotFound as error:
            raise Damaged(f"{backup.label} has lost its data: the storage misses it") from error
        expected = metadata.get("size")
        if isinstance(expected, int) and size != expected:
            raise Damaged(
                f"{backup.label} is damaged: {size} bytes are stored of {expected} that were "
                "written; restore another date",
            )
        coding = self._codings.opened(self._catalog.place(backup), metadata)
        sha256 = metadata.get("sha256")
        return Level(
            backup=backup,
            coding=coding,
            sha256=sha256 if isinstance(sha256, str) and not coding.authenticates else None,
        )

    def _extract(self, level: Level, notes: SourceNotes, done: Sequence[Backup]) -> None:
        log.info("level %d of %s: extracting", level.backup.level, level.backup.name)
        try:
            with contextlib.closing(self._stream(level)) as stream:
                if self._request.dry_run:
                    for _ in stream:
                        pass
                else:
                    self._request.target.mkdir(parents=True, exist_ok=True)
                    self._engine.restore(self._request.target, stream, notes)
        except BaseException as error:
            error.add_note(f"This happened in {level.backup.label}. {self._left_behind(done)}")
            raise

    def _stream(self, level: Level) -> Any:
        chunks: Iterator[bytes] = self._catalog.read_data(level.backup)
        if level.sha256 is not None:
            chunks = verified(chunks, level.sha256, level.backup.label)
        plain = counted(level.coding.pipeline(Purpose.DATA).backward(chunks), self._progress.add)
        return prefetched(plain, _CHUNKS_AHEAD)

    def _left_behind(self, done: Sequence[Backup]) -> str:
        target = str(self._request.target)
        if self._request.dry_run:
            return "Nothing was written."
        if not done:
            return f"What is in {target!r} now is incomplete."
        return f"What is in {target!r} now is level {done[-1].level} with a part of the next."

    def _compare_checksum(self) -> None:
        expected = self._request.checksum
        if expected is None or self._request.dry_run:
            return
        found = tree_checksum(
            self._request.target,
            excludes=self._request.excludes,
            dereference=self._request.dereference,
        )
        if found != expected.lower():
            raise Damaged(
                f"the restored files have the checksum {found}, not {expected.lower()}; they stay "
                f"in {str(self._request.target)!r}",
            )

    def _remove_old(self) -> Pruned:
        rule, dry_run = self._request.removal, self._request.dry_run
        if rule is None:
            return Pruned(chains=())
        with contextlib.nullcontext() if dry_run else self._lock.held():
            return prune(self._catalog, self._names, rule, self._clock, dry_run=dry_run)
