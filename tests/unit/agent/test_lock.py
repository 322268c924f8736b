"""The lock of one set of backups."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from freezer_agent.catalog.backup import BackupName
from freezer_agent.catalog.lock import Owner, SetLock
from freezer_agent.errors import BackupLocked
from freezer_agent.storages.memory import Memory

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "locks/host_name/lock"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def storage() -> Memory:
    return Memory()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lock(
    storage: Memory, folder: Path, clock: Clock, owner: Owner | None = None, name: str = "name"
) -> SetLock:
    return SetLock(
        storage=storage,
        name=BackupName(host="host", name=name),
        place="memory",
        folder=folder,
        owner=owner or Owner.this_process("here"),
        clock=clock,
    )


def test_it_is_there_while_held_and_gone_after(
    storage: Memory, clock: Clock, tmp_path: Path
) -> None:
    with lock(storage, tmp_path, clock).held():
        document = json.loads(b"".join(storage.read(KEY)))
        assert (document["host"], document["pid"]) == ("here", os.getpid())
    assert list(storage.list("")) == []


def test_it_is_gone_after_an_error(storage: Memory, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock(storage, tmp_path, clock).held():
        raise KeyError
    assert list(storage.list("")) == []


def test_a_second_agent_on_this_host_is_told_owner_and_age(
    storage: Memory, clock: Clock, tmp_path: Path
) -> None:
    with lock(storage, tmp_path, clock).held():
        clock.now += timedelta(minutes=3, seconds=5)
        with pytest.raises(BackupLocked) as caught, lock(storage, tmp_path, clock).held():
            pass
    assert f"process {os.getpid()} of host here, for 0:03:05" in str(caught.value)


def test_an_agent_on_another_host_is_told_too(
    storage: Memory, clock: Clock, tmp_path: Path
) -> None:
    far = Owner(host="far", pid=7, life="x")
    with lock(storage, tmp_path / "far", clock, far).held():
        clock.now += timedelta(hours=23)
        with pytest.raises(BackupLocked, match="process 7 of host far, for 23:00:00"):
            lock(storage, tmp_path, clock).held().__enter__()
        assert list(storage.list("")) != []


def test_another_name_is_another_lock(storage: Memory, clock: Clock, tmp_path: Path) -> None:
    with lock(storage, tmp_path, clock).held(), lock(storage, tmp_path, clock, name="b").held():
        assert len(list(storage.list("locks"))) == 2


@pytest.mark.parametrize(
    ("owner", "hours"),
    [
        (Owner(host="far", pid=7, life="x"), 24),
        (Owner(host="here", pid=2**22 + 1, life=Owner.this_process("here").life), 0),
        (Owner(host="here", pid=os.getpid(), life="another boot/pid:[1]/5"), 0),
    ],
)
def test_a_stale_lock_is_broken_with_a_warning(
    storage: Memory,
    clock: Clock,
    tmp_path: Path,
    owner: Owner,
    hours: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lock(storage, tmp_path / "far", clock, owner)._take()
    clock.now += timedelta(hours=hours)
    with lock(storage, tmp_path, clock).held():
        assert json.loads(b"".join(storage.read(KEY)))["host"] == "here"
    assert "breaking a stale lock" in caplog.text


def test_the_lock_of_a_living_process_in_another_container_is_not_broken(
    storage: Memory, clock: Clock, tmp_path: Path
) -> None:
    boot = Owner.this_process("here").life.partition("/")[0]
    owner = Owner(host="here", pid=2**22 + 1, life=f"{boot}/pid:[1]/5")
    lock(storage, tmp_path / "far", clock, owner)._take()
    with pytest.raises(BackupLocked):
        lock(storage, tmp_path, clock).held().__enter__()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"host": "a", "pid": "x"}'])
def test_a_lock_that_nobody_wrote_is_broken(
    storage: Memory, clock: Clock, tmp_path: Path, content: bytes
) -> None:
    storage.write(KEY, [content])
    with lock(storage, tmp_path, clock).held():
        assert b"here" in b"".join(storage.read(KEY))


def test_it_is_renewed_while_bytes_flow(storage: Memory, clock: Clock, tmp_path: Path) -> None:
    held = lock(storage, tmp_path, clock)
    with held.held():
        expiries = []
        for chunk in held.renewing([b"a", b"b", b"c"]):
            document = json.loads(b"".join(storage.read(KEY)))
            expiries.append(document["expires_at"])
            assert document["taken_at"] == NOW.isoformat()
            clock.now += timedelta(minutes=6)
            assert chunk
    assert expiries[0] == expiries[1] != expiries[2]


def test_without_a_place_for_lock_files_the_object_still_locks(
    storage: Memory, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with lock(storage, tmp_path / "file", clock).held(), pytest.raises(BackupLocked):
        lock(storage, tmp_path / "file", clock).held().__enter__()
