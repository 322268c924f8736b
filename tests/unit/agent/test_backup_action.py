"""The backup action over a storage in memory, with engines and storages that fail."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from freezer_agent.actions.backup import BackupAction
from freezer_agent.actions.base import Report, Unwatched
from freezer_agent.catalog.backup import BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.copies import Copies
from freezer_agent.catalog.lock import Owner, SetLock
from freezer_agent.catalog.unfinished import Unfinished, UnfinishedCopies
from freezer_agent.codings import CodingChoice
from freezer_agent.engines.base import EngineState, SourceNotes
from freezer_agent.errors import EngineError, StorageFull, StorageUnavailable
from freezer_agent.modes.fs import Fs
from freezer_agent.requests import (
    BackupRequest,
    Compression,
    Encryption,
    LevelRules,
    RemovalRule,
    SetName,
)
from freezer_agent.storage_choices import LocalStorage
from freezer_agent.storages.memory import Memory

NAME = BackupName(host="host", name="name")
Run = Callable[..., Report]


class Engine:
    """Yields what it is told, or fails after it."""

    name = "tar"

    def __init__(
        self, chunks: Iterable[bytes] = (b"data",), error: Exception | None = None
    ) -> None:
        self._chunks = tuple(chunks)
        self._error = error
        self.closed = False
        self.previous: list[bytes | None] = []

    def backup(self, source: Path, state: EngineState, notes: SourceNotes) -> Iterator[bytes]:
        assert source.name == "source"
        self.previous.append(state.previous.read_bytes() if state.previous else None)
        try:
            yield from self._chunks
            if self._error is not None:
                raise self._error
            notes.files, notes.changed, notes.unreadable = 3, 2, 1
            notes.note("file", "changed as we read it")
            state.next.write_bytes(b"state %d" % len(self.previous))
        finally:
            self.closed = True

    def restore(self, target: Path, chunks: Iterable[bytes], notes: SourceNotes) -> None:
        raise NotImplementedError


class Faulty(Memory):
    """Fails in one method for keys with some ending."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: dict[str, str] = {}
        self.full_after: int | None = None

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        self._maybe("write", key)
        return super().write(key, self._until_full(chunks))

    def _until_full(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for number, chunk in enumerate(chunks):
            if number == self.full_after:
                raise StorageFull("no room left")
            yield chunk

    def delete(self, key: str) -> None:
        self._maybe("delete", key)
        super().delete(key)

    def _maybe(self, verb: str, key: str) -> None:
        if verb in self.fails and key.endswith(self.fails[verb]):
            raise (
                StorageFull(f"no room for {key}") if verb == "write" else StorageUnavailable("gone")
            )


class Days:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def storage() -> Faulty:
    return Faulty()


@pytest.fixture
def clock() -> Days:
    return Days()


@pytest.fixture
def run(storage: Faulty, clock: Days, tmp_path: Path) -> Run:
    def run_backup(engine: Engine | None = None, **changes: Any) -> Report:
        request = BackupRequest(
            storage=LocalStorage(container=tmp_path),
            set_name=SetName(host="host", name="name"),
            source=tmp_path / "source",
            compression=Compression.NONE,
            **{"levels": LevelRules(incremental=True), **changes},
        )
        return BackupAction(
            request=request,
            storage=storage,
            catalog=Catalog(storage, "tar"),
            copies=Copies([Catalog(storage, "tar")]),
            names=[NAME],
            unfinished=UnfinishedCopies([no_pieces(storage)]),
            lock=SetLock(
                storage=storage,
                name=NAME,
                place="memory",
                folder=tmp_path / "locks",
                owner=Owner.this_process("host"),
                clock=clock,
            ),
            engine=engine or Engine(),
            codings=CodingChoice(Compression.NONE, Encryption(), os.urandom, tmp_path),
            mode=Fs(sync=False),
            clock=clock,
            progress=Unwatched(),
            version="1",
            metadata={"engine_name": "tar"},
        ).run()

    return run_backup


def no_pieces(storage: Memory) -> Unfinished:
    """Marks in a storage that leaves nothing half written."""
    return Unfinished(storage=storage, engine="tar", remove_pieces=lambda _: [])


def keys(storage: Memory) -> list[str]:
    return [found.key for found in storage.list("")]


def test_troubled_files_are_warnings_with_counts(run: Run, storage: Faulty) -> None:
    report = run()
    assert report.document["changed_files"] == 2
    assert [warning.split(" ", 1)[0] for warning in report.warnings] == ["2", "1"]
    assert report.document["troubled_files"] == ["file: changed as we read it"]
    assert len(keys(storage)) == 3


def test_the_state_of_the_level_before_is_handed_to_the_engine(run: Run, clock: Days) -> None:
    engine = Engine()
    run(engine)
    clock.now += timedelta(days=1)
    run(engine)
    assert engine.previous == [None, b"state 1"]


@pytest.mark.parametrize("error", [EngineError("tar failed"), OSError("disk"), MemoryError()])
def test_an_engine_that_fails_leaves_nothing(run: Run, storage: Faulty, error: Exception) -> None:
    run()
    before = keys(storage)
    engine = Engine([b"a", b"b"], error)
    with pytest.raises(type(error)):
        run(engine)
    assert engine.closed
    assert keys(storage) == before


@pytest.mark.parametrize("ending", ["/data", "/engine_metadata", "/metadata"])
def test_a_full_storage_leaves_nothing_of_the_run(run: Run, storage: Faulty, ending: str) -> None:
    run()
    before = keys(storage)
    storage.fails = {"write": ending}
    engine = Engine()
    with pytest.raises(StorageFull):
        run(engine)
    assert keys(storage) == before
    assert len(Catalog(storage, "tar").chains([NAME])) == 1


def test_what_cannot_be_removed_is_an_orphan_and_no_backup(run: Run, storage: Faulty) -> None:
    storage.fails = {"write": "/metadata", "delete": "/metadata"}
    with pytest.raises(StorageFull):
        run()
    assert Catalog(storage, "tar").chains([NAME]) == []


def test_a_removal_that_fails_does_not_fail_the_backup(
    run: Run, storage: Faulty, clock: Days
) -> None:
    full = LevelRules()
    run(levels=full)
    clock.now += timedelta(days=9)
    storage.fails = {"delete": "/metadata"}
    report = run(levels=full, removal=RemovalRule(older_than=timedelta(days=1)))
    assert any("old ones could not be removed" in warning for warning in report.warnings)
    assert len(Catalog(storage, "tar").chains([NAME])) == 2


def test_the_lock_is_held_while_the_engine_works(run: Run, storage: Faulty) -> None:
    seen = []

    class Looking(Engine):
        def backup(self, *words: object) -> Iterator[bytes]:
            seen.extend(keys(storage))
            return super().backup(*words)  # type: ignore[arg-type]  # passed on as it came

    run(Looking())
    assert "locks/host_name/lock" in seen
    assert "locks/host_name/lock" not in keys(storage)


def test_the_engine_is_closed_when_the_storage_fails_in_the_middle(
    run: Run, storage: Faulty
) -> None:
    engine = Engine([b"x"] * 1000)
    storage.full_after = 3
    with pytest.raises(StorageFull):
        run(engine)
    assert engine.closed
    assert keys(storage) == []
