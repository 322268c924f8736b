"""Make one backup: choose its level, stream the source into the storage, publish it last."""

import contextlib
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from freezer_agent.actions.base import Progress, Report
from freezer_agent.actions.prune import Pruned, prune
from freezer_agent.actions.selection_change import left_out_of, told_choice
from freezer_agent.catalog.backup import Backup, BackupName, Chain, find_levels
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.chains import choose_base, choose_id
from freezer_agent.catalog.copies import Copies
from freezer_agent.catalog.joint_lock import Lock
from freezer_agent.catalog.unfinished import UnfinishedCopies
from freezer_agent.catalog.wanted import told_session
from freezer_agent.consistency import consistent_tree, count_excluded, tree_checksum
from freezer_agent.engines.base import Engine, EngineState, SourceNotes
from freezer_agent.errors import Damaged, ObjectNotFound, StorageError, StreamError
from freezer_agent.modes.base import Mode
from freezer_agent.pipeline.checksum import Checksum, verified
from freezer_agent.pipeline.coding import Coding, Codings, Purpose
from freezer_agent.pipeline.prefetch import prefetched, until_left
from freezer_agent.pipeline.spool import Spool
from freezer_agent.pipeline.streams import counted
from freezer_agent.requests import BackupRequest
from freezer_agent.storages.base import Storage
from freezer_model.clock import Clock
from freezer_model.instants import to_epoch

log = logging.getLogger(__name__)

_STATE_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was stored of one run."""

    raw_bytes: int
    stored_bytes: int
    stage_bytes: Mapping[str, int]
    sha256: str
    state: Checksum | None = None
    index: Checksum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """The backup to make, what it builds on, and what the engine needs for it."""

    backup: Backup
    state: EngineState
    base: Mapping[str, Any]


class BackupAction:
    """Make one backup of a file tree.

    It exists once its metadata object is written, which is the last thing done; a run that fails
    or dies before leaves the earlier backups as they are.
    """

    def __init__(
        self,
        *,
        request: BackupRequest,
        storage: Storage,
        catalog: Catalog,
        copies: Copies,
        names: Sequence[BackupName],
        lock: Lock,
        unfinished: UnfinishedCopies,
        engine: Engine,
        codings: Codings,
        mode: Mode,
        clock: Clock,
        progress: Progress,
        version: str,
        metadata: Mapping[str, Any],
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._copies = copies
        self._names = names
        self._lock = lock
        self._unfinished = unfinished
        self._engine = engine
        self._codings = codings
        self._mode = mode
        self._clock = clock
        self._progress = progress
        self._version = version
        self._metadata = metadata

    def run(self) -> Report:
        """Make the backup, then remove old ones if asked."""
        warnings = [*self._codings.remarks]
        with self._storage, self._locked(), tempfile.TemporaryDirectory("-freezer") as work:
            self._codings.prepare()
            warnings += self._cleaned()
            started_at = self._clock()
            choice = self._choose(Path(work), started_at, warnings)
            backup = choice.backup
            log.info("backup %s of %s begins", backup.label, self._request.source)
            notes = SourceNotes()
            self._progress.follow(lambda: notes.files)
            checksum = None
            if self._request.with_checksum:
                checksum = tree_checksum(
                    self._request.source,
                    excludes=self._request.excludes,
                    dereference=self._request.dereference,
                )
            coding = self._codings.begin(self._catalog.place(backup))
            stored = self._store(choice, coding, notes, started_at)
            ended_at = self._clock()
            pruned = self._remove_old(backup, warnings)
        document = {
            **self._facts(backup, checksum),
            "encrypted": coding.format is not None,
            "encryption_format": coding.format or "",
            **self._measures(notes, stored),
            "started_at": started_at.isoformat(),
            "ended_at": ended_at.isoformat(),
            "duration_seconds": round((ended_at - started_at).total_seconds(), 3),
            "removed_backups": list(dict.fromkeys(pruned.removed)),
            "retention": list(dict.fromkeys(pruned.told)),
        }
        warnings += _told(notes)
        document["warnings"] = warnings
        log.info("backup %s is complete: %s bytes stored", backup.label, stored.stored_bytes)
        return Report(document=document, warnings=warnings)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._request.dry_run:
            yield
        else:
            with self._lock.held():
                yield

    def _cleaned(self) -> list[str]:
        """Remove what a former run of this set left half made or half removed; tell of it."""
        if self._request.dry_run:
            return []
        return [str(one) for one in self._unfinished.clean(self._names)]

    def _choose(
        self,
        work: Path,
        now: datetime,
        warnings: list[str],
    ) -> _Choice:
        chains = self._catalog.chains(self._names)
        # Only what bears today's name is continued: a chain lies in one folder.
        own = [chain for chain in chains if chain.name == self._names[0]]
        base = choose_base(own, self._request.levels, now)
        previous = work / "previous"
        if base is not None and (hindrance := self._hindrance(own[-1], base, now)) is not None:
            warnings.append(f"{hindrance}: a full backup is made")
            base = None
        elif base is not None and (reason := self._unfit_state(base, previous)) is not None:
            warnings.append(f"{base.label} {reason}: a full backup is made")
            base = None
        elif own and own[-1].missing_level is not None and self._request.levels.incremental:
            warnings.append(
                f"the chain of {own[-1].newest.label} misses level {own[-1].missing_level} and "
                "cannot be continued: a full backup is made",
            )
        identity = choose_id(chains, base, now)
        backup = Backup(name=self._names[0], id=identity)
        state = EngineState(previous=previous if base is not None else None, next=work / "next")
        return _Choice(backup=backup, state=state, base=self._told_base(base))

    def _told_base(self, base: Backup | None) -> Mapping[str, Any]:
        """What restoring goes by, so that no other backup can take the place of the base."""
        if base is None:
            return {"base": None, "base_sha256": None}
        return {"base": base.label, "base_sha256": self._catalog.metadata(base).get("sha256")}

    def _hindrance(self, chain: Chain, base: Backup, now: datetime) -> str | None:
        levels = find_levels(chain.backups, base).backups
        return self._copies.hindrance(levels, self._request.levels, now)

    def _unfit_state(self, base: Backup, previous: Path) -> str | None:
        """Fetch the state of the base; the reason if it is not there or not what was written.

        A state that was altered would make the engine leave out files that did change.
        """
        try:
            metadata = self._catalog.metadata(base)
            if (reason := left_out_of(metadata, self._request)) is not None:
                return reason
            pipeline = self._codings.state(self._catalog.place(base), metadata)
            chunks = self._catalog.read_state(base)
            if isinstance(expected := metadata.get("state_sha256"), str):
                chunks = verified(chunks, expected, base.label)
            with previous.open("xb") as file:
                for chunk in pipeline.backward(chunks):
                    file.write(chunk)
        except (ObjectNotFound, Damaged):
            previous.unlink(missing_ok=True)
            return "has no sound engine state to build on"
        except StreamError as error:
            previous.unlink(missing_ok=True)
            return f"cannot be built on ({error})"
        return None

    def _store(
        self,
        choice: _Choice,
        coding: Coding,
        notes: SourceNotes,
        started_at: datetime,
    ) -> Stored:
        backup, state = choice.backup, choice.state
        if self._request.dry_run:
            return self._stream_away(coding, state, notes)
        try:
            self._unfinished.begin(backup)
            stored = self._write(backup, coding, state, notes)
            published = {**self._published(backup, notes, stored, started_at), **choice.base}
            self._catalog.publish(backup, coding.completed(published))
        except BaseException as error:
            error.add_note(self._discard(backup))
            raise
        # The copies that are complete count from now on, whatever becomes of slower ones.
        try:
            for _ in self._lock.renewing(self._copies.catching_up()):
                pass
        except BaseException as error:
            error.add_note(f"{backup.label} is complete in the storages that were not slow.")
            raise
        self._end(backup)
        return stored

    def _end(self, backup: Backup) -> None:
        """The backup is complete: a mark that stays is looked through by the next run."""
        try:
            self._unfinished.end(backup)
        except StorageError as error:
            log.warning("%s is complete, but still marked as unfinished: %s", backup.label, error)

    def _write(
        self, backup: Backup, coding: Coding, state: EngineState, notes: SourceNotes
    ) -> Stored:
        raw, checksum = _Sum(), Checksum()
        spool = Spool(state.next.with_name("index"))
        with spool:
            noted = replace(state, listing=spool.write)
            with (
                consistent_tree(self._mode, self._request.source) as tree,
                contextlib.closing(self._produced(tree, coding, noted, notes, raw)) as stream,
            ):
                chunks = self._lock.renewing(checksum.through(stream))
                size = self._catalog.write_data(backup, chunks)
        index = self._write_index(backup, coding, spool)
        state_sum = None
        if self._request.levels.keep_state:
            state_sum = Checksum()
            sealed = coding.pipeline(Purpose.STATE).forward(_read(state.next))
            self._catalog.write_state(backup, state_sum.through(sealed))
        return Stored(
            raw_bytes=raw.total,
            stored_bytes=size,
            stage_bytes=raw.stages,
            sha256=checksum.hexdigest,
            state=state_sum,
            index=index,
        )

    def _write_index(self, backup: Backup, coding: Coding, spool: Spool) -> Checksum | None:
        """Store the index, if the engine makes one, and return the sum of what is stored."""
        if not spool.size_bytes:
            return None
        checksum = Checksum()
        sealed = coding.pipeline(Purpose.INDEX).forward(spool.compressed())
        self._catalog.write_index(backup, checksum.through(sealed))
        return checksum

    def _stream_away(self, coding: Coding, state: EngineState, notes: SourceNotes) -> Stored:
        """Make the stream and store it nowhere."""
        raw, checksum = _Sum(), Checksum()
        with (
            consistent_tree(self._mode, self._request.source) as tree,
            contextlib.closing(self._produced(tree, coding, state, notes, raw)) as stream,
        ):
            for _ in checksum.through(stream):
                pass
        return Stored(
            raw_bytes=raw.total,
            stored_bytes=checksum.size_bytes,
            stage_bytes=raw.stages,
            sha256=checksum.hexdigest,
        )

    def _produced(
        self,
        tree: Path,
        coding: Coding,
        state: EngineState,
        notes: SourceNotes,
        raw: "_Sum",
    ) -> Any:
        left = threading.Event()
        stream = until_left(self._engine.backup(tree, state, notes), left)
        stream = counted(stream, raw.add)
        stream = counted(stream, self._progress.add)
        coded = coding.pipeline(Purpose.DATA).forward(stream, raw.passed)
        return prefetched(coded, self._request.queue_size, left)

    def _published(
        self,
        backup: Backup,
        notes: SourceNotes,
        stored: Stored,
        started_at: datetime,
    ) -> dict[str, Any]:
        """The metadata object: what restoring needs, and what a listing shows."""
        return {
            **self._metadata,
            "hostname": backup.name.host,
            "backup_name": backup.name.name,
            "size": stored.stored_bytes,
            "sha256": stored.sha256,
            **_sums("state", stored.state),
            **_sums("index", stored.index),
            **told_choice(self._request),
            "uncompressed_size": stored.raw_bytes,
            "files": notes.files,
            "warnings": notes.warnings,
            "started_at": started_at.isoformat(),
            "ended_at": self._clock().isoformat(),
            "version": self._version,
        }

    def _discard(self, backup: Backup) -> str:
        """Remove what the failed run has stored, and say in a sentence what came of it."""
        try:
            self._catalog.remove([backup])
            self._unfinished.end(backup)
        except StorageError as error:
            return (
                f"What it stored as {backup.label} counts as no backup, but could not be removed: "
                f"{error}. The next run will remove it."
            )
        return "Nothing of this backup is left in the storage."

    def _remove_old(self, backup: Backup, warnings: list[str]) -> Pruned:
        """Each copy by itself: what is the last whole chain in one need not be so in another."""
        rule = self._request.removal
        done: list[Pruned] = []
        if rule is None:
            return Pruned(chains=())
        for catalog, unfinished in zip(self._copies.catalogs, self._unfinished.copies, strict=True):
            try:
                pruned = prune(
                    catalog,
                    unfinished,
                    self._names,
                    rule,
                    self._clock,
                    dry_run=self._request.dry_run,
                    just_made=backup,
                )
                done.append(pruned)
            except StorageError as error:
                # The backup is complete; failing the run would make it be done all over again.
                warnings.append(
                    f"the backup is complete, but old ones could not be removed: {error}"
                )
        return Pruned(chains=[chain for one in done for chain in one.chains])

    def _facts(self, backup: Backup, checksum: str | None) -> dict[str, Any]:
        request = self._request
        return {
            **request.facts,
            **told_session(request.session),
            "action": "backup",
            "backup_name": backup.name.name,
            "client_os": sys.platform,
            "client_version": self._version,
            "compression": str(request.compression),
            "consistency_checksum": checksum or "",
            "container_segments": "",
            "curr_backup_level": backup.level,
            "dry_run": request.dry_run,
            "fs_real_path": str(request.source),
            "hostname": backup.name.host,
            "level": backup.level,
            "level_zero_time_stamp": to_epoch(backup.id.level_zero_at),
            "time_stamp": to_epoch(backup.taken_at),
            "version": self._version,
            "vol_snap_path": "",
        }

    def _measures(self, notes: SourceNotes, stored: Stored) -> dict[str, Any]:
        request = self._request
        return {
            "excluded_files": count_excluded(request.source, request.excludes, request.dereference),
            "backup_size_compressed": stored.stored_bytes,
            "backup_size_uncompressed": stored.raw_bytes,
            "source_size": notes.source_bytes,
            "stage_sizes": {self._engine.name: stored.raw_bytes, **stored.stage_bytes},
            "sha256": stored.sha256,
            "total_fs_files": notes.files,
            "total_directories": notes.directories,
            "total_broken_links": notes.broken_links,
            "broken_links": notes.broken_links,
            "changed_files": notes.changed,
            "vanished_files": notes.vanished,
            "unreadable_files": notes.unreadable,
            "troubled_files": list(notes.names),
        }


class _Sum:
    """The bytes that an engine made, and those that left each stage after it."""

    def __init__(self) -> None:
        self.total = 0
        self.stages: dict[str, int] = {}

    def passed(self, stage: str, size_bytes: int) -> None:
        self.stages[stage] = self.stages.get(stage, 0) + size_bytes

    def add(self, size_bytes: int) -> None:
        self.total += size_bytes


def _told(notes: SourceNotes) -> list[str]:
    counts = (
        (notes.changed, "changed while they were read"),
        (notes.vanished, "vanished before they were read"),
        (notes.unreadable, "could not be read and are not in the backup"),
    )
    return [f"{count} files {what}" for count, what in counts if count]


def _sums(what: str, checksum: Checksum | None) -> dict[str, Any]:
    """What the metadata says of an object beside the stream; nulls if there is none."""
    return {
        f"{what}_sha256": checksum.hexdigest if checksum is not None else None,
        f"{what}_size": checksum.size_bytes if checksum is not None else None,
    }


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_STATE_CHUNK_BYTES):
            yield chunk
