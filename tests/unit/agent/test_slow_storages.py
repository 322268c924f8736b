"""Several storages of which one is slow: the others finish, and it follows or is given up."""

import resource
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from freezer_agent.errors import StorageFull
from freezer_agent.storages.base import Storage
from freezer_agent.storages.lanes import LaneLimits
from freezer_agent.storages.member import Member
from freezer_agent.storages.memory import Memory
from freezer_agent.storages.mirrored import Mirrored, NoStorageLeft
from freezer_agent.storages.overflow import Overflow
from freezer_agent.storages.retrying import Attempts
from freezer_agent.storages.ssh import Ssh
from freezer_agent.storages.ssh_connection import SshConnection
from tests.fakes.hasty_mirror import HastyMirror
from tests.services.sshd import Sshd

MIB = 1024 * 1024
LIMITS = LaneLimits(
    queue_size=2,
    stalled_seconds=120,
    spool_bytes=100 * MIB,
    grace_seconds=0,
    cleaning_seconds=0.01,
)
CHUNKS = [bytes([number]) * 300_000 for number in range(20)]
STREAM = b"".join(CHUNKS)
WRITTEN = {"data": STREAM, "index": b"in" * 500_000, "metadata": b"me"}


class Slow(Memory):
    """Takes one piece of a stream and then nothing until it is released."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.released = threading.Event()
        self.order: list[str] = []
        self.error = error

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        pieces = iter(chunks)
        first = next(pieces)
        self.released.wait(60)
        if self.error is not None:
            raise self.error
        self.order.append(key)
        return super().write(key, [first, *pieces])


class Failing(Memory):
    """Takes streams, and then no small object."""

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        if isinstance(chunks, list):
            raise StorageFull("no room")
        return super().write(key, chunks)


@pytest.fixture
def slow() -> Iterator[Slow]:
    storage = Slow()
    yield storage
    storage.released.set()


def mirrored(limits: LaneLimits = LIMITS, /, **storages: Storage) -> Mirrored:
    return Mirrored([Member(name, storage) for name, storage in storages.items()], limits)


def write_all(several: Mirrored) -> None:
    assert several.write("data", iter(CHUNKS)) == len(STREAM)
    assert several.write("index", iter([WRITTEN["index"]])) == len(WRITTEN["index"])
    assert several.write("metadata", [WRITTEN["metadata"]]) == 2


def catch_up(several: Mirrored) -> None:
    assert set(several.catching_up()) <= {b""}


def contents(storage: Storage) -> dict[str, bytes]:
    return {one.key: b"".join(storage.read(one.key)) for one in storage.list("")}


def failures(several: Mirrored) -> dict[str, str]:
    return {one.name: str(one.failure) for one in several.members if one.failure is not None}


def test_the_fast_one_is_complete_before_the_slow_one_has_anything(slow: Slow) -> None:
    fast = Memory()
    several = mirrored(slow=slow, fast=fast)
    write_all(several)
    assert contents(fast) == WRITTEN
    assert contents(slow) == {}
    slow.released.set()
    catch_up(several)
    assert contents(slow) == WRITTEN
    assert slow.order == [*WRITTEN]
    assert not failures(several)


def test_a_slow_one_that_fails_in_the_end_is_named(slow: Slow) -> None:
    fast = Memory()
    slow.error = StorageFull("no room")
    several = mirrored(slow=slow, fast=fast)
    write_all(several)
    slow.released.set()
    catch_up(several)
    assert failures(several) == {"slow": "no room"}
    assert contents(fast) == WRITTEN
    assert contents(slow) == {}


def test_a_slow_one_that_stalls_is_given_up(slow: Slow) -> None:
    fast = Memory()
    several = HastyMirror([Member("slow", slow), Member("fast", fast)], LIMITS, "slow")
    write_all(several)
    catch_up(several)
    assert "took nothing" in failures(several)["slow"]
    assert contents(fast) == WRITTEN


def test_the_slow_one_has_all_if_the_fast_one_fails_last(slow: Slow) -> None:
    several = mirrored(slow=slow, fast=Failing())
    several.write("data", iter(CHUNKS))
    several.write("index", iter([WRITTEN["index"]]))
    slow.released.set()
    several.write("metadata", [WRITTEN["metadata"]])
    catch_up(several)
    assert contents(slow) == WRITTEN
    assert failures(several) == {"fast": "no room"}


def test_a_run_that_ends_early_makes_nothing_half_visible(slow: Slow) -> None:
    fast = Memory()
    several = mirrored(slow=slow, fast=fast)
    write_all(several)
    several.catching_up().close()  # nothing has begun
    waiting = iter(several.catching_up())
    assert next(waiting) == b""
    waiting.close()  # type: ignore[attr-defined] # it is a generator
    slow.released.set()
    assert "does not answer" in failures(several)["slow"]
    assert contents(fast) == WRITTEN
    assert contents(slow) == {}


def test_what_fails_is_removed_though_one_is_slow(slow: Slow) -> None:
    fast = Memory()
    several = mirrored(slow=slow, fast=fast)
    several.write("data", iter(CHUNKS))
    several.delete("data")
    slow.released.set()
    assert contents(fast) == contents(slow) == {}


def test_the_file_of_a_slow_one_is_bounded(slow: Slow) -> None:
    passed = 0

    def counted() -> Iterator[bytes]:
        nonlocal passed
        for _ in range(50):
            passed += 1
            yield b"x" * 256 * 1024

    limits = LaneLimits(queue_size=2, stalled_seconds=0.05, spool_bytes=MIB)
    several = mirrored(limits, slow=slow, other=Slow(StorageFull("no room")))
    with pytest.raises(NoStorageLeft):
        several.write("data", counted())
    assert passed <= 1 + 2 + 4 + 2


def test_overflow_gives_back_what_it_took_in_order() -> None:
    overflow = Overflow(10)
    assert not overflow
    assert [overflow.put(piece) for piece in (b"1234", b"567", b"890", b"x")] == [True] * 3 + [
        False
    ]
    assert overflow
    assert [overflow.take() for _ in range(3)] == [b"1234", b"567", b"890"]
    assert not overflow
    assert overflow.put(b"0123456789")
    assert overflow.take() == b"0123456789"
    overflow.close()
    assert not overflow


def test_overflow_leaves_others_some_of_the_disk() -> None:
    overflow = Overflow(10 * MIB, spared_bytes=1 << 60)
    assert not overflow.put(b"x")
    overflow.close()


def test_overflow_that_the_disk_does_not_take_is_no_error() -> None:
    overflow = Overflow(10 * MIB)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        assert overflow.put(bytes(MIB))
        assert not overflow.put(bytes(MIB))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert overflow.take() == bytes(MIB)
    overflow.close()


@contextmanager
def paused_after(server: Sshd, chunks: list[bytes]) -> Iterator[Iterator[bytes]]:
    """The chunks; the server and all its sessions stop dead in their middle."""
    stopped: list[psutil.Process] = []

    def send(number: signal.Signals) -> None:
        for process in stopped:
            # The session of a test before may be about to end.
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def until_stopped() -> Iterator[bytes]:
        yield from chunks[: len(chunks) // 2]
        stopped.extend(server.server.family())
        send(signal.SIGSTOP)
        yield from chunks[len(chunks) // 2 :]

    try:
        yield until_stopped()
    finally:
        send(signal.SIGCONT)


@pytest.mark.service
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_stands_still(sshd_server: Sshd, tmp_path: Path, *, comes_back: bool) -> None:
    """The other storage is complete at once; the server gets all when it is back, or is named."""
    chunks = [bytes([number]) * MIB for number in range(16)]
    connection = SshConnection(
        host="127.0.0.1",
        port=sshd_server.port,
        username=sshd_server.username,
        key_file=sshd_server.key_file,
        known_hosts_file=sshd_server.known_hosts_file,
    )
    attempts = Attempts(1, lambda _: None, lambda: 0.0)
    host = Ssh(connection=connection, root=str(tmp_path / "on the host"), attempts=attempts)
    fast = Memory()
    members = [Member("host" if comes_back else "slow", host), Member("fast", fast)]
    several = HastyMirror(members, LIMITS, "slow")
    with several:
        with paused_after(sshd_server, chunks) as stream:
            several.write("data", stream)
            several.write("metadata", [b"me"])
            assert contents(fast) == {"data": b"".join(chunks), "metadata": b"me"}
            if not comes_back:
                catch_up(several)
        if comes_back:
            catch_up(several)
            assert contents(host) == contents(fast)
            assert not failures(several)
        else:
            assert "took nothing" in failures(several)["slow"]
            assert contents(host) == {}
