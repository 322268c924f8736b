"""Restore a file tree: choose the chain, check all of it, then extract level after level."""

import contextlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from freezer_agent.actions.base import Progress, Report
from freezer_agent.actions.prune import Pruned, prune
from freezer_agent.actions.reading import Level, Reader
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.lock import SetLock
from freezer_agent.catalog.unfinished import Unfinished
from freezer_agent.catalog.wanted import wanted_chain
from freezer_agent.consistency import tree_checksum
from freezer_agent.engines.base import Browsable, Engine, SourceNotes
from freezer_agent.engines.selection import Selection
from freezer_agent.errors import AgentError, Damaged, NothingChosen, TargetNotEmpty
from freezer_agent.pipeline.coding import Codings
from freezer_agent.requests import RestoreRequest
from freezer_agent.storages.base import Storage
from freezer_model.clock import Clock
from freezer_model.instants import to_epoch

log = logging.getLogger(__name__)


def check_target(target: Path, *, overwrite: bool) -> None:
    """TargetNotEmpty if something is there that may not be touched."""
    if overwrite or not target.exists():
        return
    if any(target.iterdir()):
        raise TargetNotEmpty(
            f"{str(target)!r} is not empty: give --overwrite to restore over what is there, "
            "or another --restore-abs-path",
        )


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
        unfinished: Unfinished,
        engine: Engine,
        browsable: Browsable,
        reader: Reader,
        codings: Codings,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._names = names
        self._lock = lock
        self._unfinished = unfinished
        self._engine = engine
        self._browsable = browsable
        self._reader = reader
        self._codings = codings
        self._clock = clock
        self._progress = progress

    def run(self) -> Report:
        """Restore, or with dry_run verify all streams; then remove old backups if asked."""
        request = self._request
        started_at = self._clock()
        notes = SourceNotes()
        with self._storage:
            check_target(request.target, overwrite=request.overwrite or request.dry_run)
            chain = wanted_chain(self._catalog, self._names, at=request.at, session=request.session)
            chosen = self._restore(chain, notes)
            self._compare_checksum()
            pruned = self._remove_old()
        ended_at = self._clock()
        wanted = chain[-1]
        warnings = [*self._codings.remarks, *self._reader.remarks, *notes.names]
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
                "includes": list(request.includes),
                "chosen_files": chosen,
                "started_at": started_at.isoformat(),
                "ended_at": ended_at.isoformat(),
                "duration_seconds": round((ended_at - started_at).total_seconds(), 3),
                "removed_backups": pruned.removed,
                "retention": pruned.told,
                "warnings": warnings,
            },
            warnings=warnings,
        )

    def _restore(self, chain: Sequence[Backup], notes: SourceNotes) -> int | None:
        """Restore all of it, or what was chosen; of that, how many names."""
        levels = self._reader.levels(chain)
        if self._request.includes:
            return self._pick(levels, notes)
        self._progress.expect(sum(level.stored_bytes for level in levels))
        for position, level in enumerate(levels):
            self._extract(level, notes, chain[:position])
        return None

    def _pick(self, levels: Sequence[Level], notes: SourceNotes) -> int:
        """Restore the chosen names only; nothing is read of levels that have none of them."""
        request, selection = self._request, Selection(self._request.includes)
        with (
            tempfile.TemporaryDirectory("-freezer") as work,
            self._browsable.tree(Path(work)) as tree,
        ):
            for level in levels:
                with self._reader.listing(level) as listing:
                    tree.add_level(listing.chunks, has_contents=listing.has_contents)
            if request.dry_run:
                count = sum(1 for _ in tree.entries(selection))
            else:
                is_new = not request.target.exists()
                self._make_target()
                count = tree.restore(
                    selection, lambda at: self._reader.stream(levels[at]), request.target, notes
                )
                if is_new and not count:
                    request.target.rmdir()
        if not count:
            raise NothingChosen(levels[-1].backup.label, request.includes)
        return count

    def _extract(self, level: Level, notes: SourceNotes, done: Sequence[Backup]) -> None:
        log.info("level %d of %s: extracting", level.backup.level, level.backup.name)
        try:
            with self._reader.stream(level) as stream:
                if self._request.dry_run:
                    for _ in stream:
                        pass
                else:
                    self._make_target()
                    self._engine.restore(self._request.target, stream, notes)
        except BaseException as error:
            error.add_note(f"This happened in {level.backup.label}. {self._left_behind(done)}")
            raise

    def _make_target(self) -> None:
        target = self._request.target
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(
                f"the directory {str(target)!r} to restore into cannot be made: {error.strerror}"
            ) from error

    def _left_behind(self, done: Sequence[Backup]) -> str:
        target = str(self._request.target)
        if self._request.dry_run or not self._request.target.exists():
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
            return prune(
                self._catalog, self._unfinished, self._names, rule, self._clock, dry_run=dry_run
            )
