"""Several storages as one to write to: lanes, members that fail, and what is left of them."""

import dataclasses
import threading
from collections.abc import Iterable, Iterator
from typing import Self

import pytest

from freezer_agent.errors import (
    AccessRefused,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from freezer_agent.storages.base import Storage, StoredObject
from freezer_agent.storages.lanes import LaneLimits
from freezer_agent.storages.member import Member
from freezer_agent.storages.memory import Memory
from freezer_agent.storages.mirrored import Mirrored, NoStorageLeft
from tests.fakes.hasty_mirror import HastyMirror

LIMITS = LaneLimits(queue_size=2, stalled_seconds=120, grace_seconds=120)
CHUNKS = [bytes([number]) * 300_000 for number in range(20)]
STREAM = b"".join(CHUNKS)


class Breaking(Memory):
    """Raises an error after so many bytes of a stream, or at every call."""

    def __init__(self, error: Exception, after_bytes: int | None = None) -> None:
        super().__init__()
        self.error = error
        self.after_bytes = after_bytes

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        return super().write(key, self._until(chunks))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        if self.after_bytes is None:
            raise self.error
        return super().list(prefix)

    def _until(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        passed = 0
        for chunk in chunks:
            passed += len(chunk)
            if self.after_bytes is None or passed > self.after_bytes:
                raise self.error
            yield chunk


class Hanging(Memory):
    """Takes one piece of a stream and then nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        pieces = iter(chunks)
        next(pieces)
        self.released.wait(60)
        return super().write(key, pieces)


def mirrored(limits: LaneLimits = LIMITS, /, **storages: Storage) -> Mirrored:
    return Mirrored([Member(name, storage) for name, storage in storages.items()], limits)


def hasty(queue_size: int, hanging: Storage, good: Storage) -> Mirrored:
    limits = dataclasses.replace(LIMITS, queue_size=queue_size)
    members = [Member("hanging", hanging), Member("good", good)]
    return HastyMirror(members, limits, "hanging")


def content(storage: Storage, key: str) -> bytes:
    return b"".join(storage.read(key))


def failures(several: Mirrored) -> dict[str, str]:
    return {one.name: str(one.failure) for one in several.members if one.failure is not None}


def test_a_stream_reaches_every_storage_whole() -> None:
    one, two, three = Memory(), Memory(), Memory()
    several = mirrored(one=one, two=two, three=three)
    assert several.write("a/b", iter(CHUNKS)) == len(STREAM)
    assert content(one, "a/b") == content(two, "a/b") == content(three, "a/b") == STREAM
    assert not failures(several)


def test_an_empty_stream_is_an_empty_object() -> None:
    one, two = Memory(), Memory()
    assert mirrored(one=one, two=two).write("a", iter([])) == 0
    assert content(one, "a") == content(two, "a") == b""


@pytest.mark.parametrize("after_bytes", [0, 1_000_000, len(STREAM) - 1])
def test_a_storage_that_fails_in_the_middle_stops_no_other(after_bytes: int) -> None:
    good, bad = Memory(), Breaking(StorageFull("no room"), after_bytes)
    several = mirrored(bad=bad, good=good)
    assert several.write("a", iter(CHUNKS)) == len(STREAM)
    assert content(good, "a") == STREAM
    assert not list(bad.list(""))
    assert failures(several) == {"bad": "no room"}
    several.write("b", [b"metadata"])
    assert [one.key for one in good.list("")] == ["a", "b"]
    assert not list(bad.list(""))


def test_what_a_storage_took_before_it_failed_is_removed_there() -> None:
    good, bad = Memory(), Breaking(StorageUnavailable("gone"), 500_000)
    several = mirrored(good=good, bad=bad)
    several.write("data", iter([b"small"]))
    assert content(bad, "data") == b"small"
    several.write("state", iter(CHUNKS))
    assert not list(bad.list(""))
    assert [one.key for one in good.list("")] == ["data", "state"]


def test_all_storages_failing_is_an_error_that_names_them() -> None:
    several = mirrored(
        one=Breaking(StorageFull("no room"), 10), two=Breaking(AccessRefused("no"), 10)
    )
    with pytest.raises(NoStorageLeft, match="storage one: no room; storage two: no"):
        several.write("a", iter(CHUNKS))
    with pytest.raises(NoStorageLeft):
        several.write("b", [b"x"])
    with pytest.raises(NoStorageLeft):
        list(several.list(""))


def test_an_error_of_the_stream_is_raised_and_nothing_is_visible() -> None:
    def failing() -> Iterator[bytes]:
        yield from CHUNKS
        raise OSError("the source broke")

    one, two = Memory(), Memory()
    several = mirrored(one=one, two=two)
    with pytest.raises(OSError, match="the source broke"):
        several.write("a", failing())
    assert not list(one.list(""))
    assert not list(two.list(""))
    assert not failures(several)


def test_a_defect_in_a_storage_is_not_taken_for_a_failure_of_it() -> None:
    several = mirrored(good=Memory(), bad=Breaking(ZeroDivisionError("a defect"), 10))
    with pytest.raises(ZeroDivisionError):
        several.write("a", iter(CHUNKS))


def test_a_storage_that_hangs_is_left_behind() -> None:
    good, hanging = Memory(), Hanging()
    several = hasty(2, hanging, good)
    try:
        assert several.write("a", iter(CHUNKS)) == len(STREAM)
        assert content(good, "a") == STREAM
        assert "took nothing" in failures(several)["hanging"]
    finally:
        hanging.released.set()
    assert not list(hanging.list(""))


def test_a_storage_that_hangs_at_the_very_end_is_left_behind_too() -> None:
    good, hanging = Memory(), Hanging()
    several = hasty(9, hanging, good)
    try:
        several.write("a", iter([b"x", b"y"]))
        assert content(good, "a") == b"xy"
        assert "hanging" in failures(several)
    finally:
        hanging.released.set()


def test_the_stream_runs_ahead_of_the_slowest_by_its_queue_only() -> None:
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield b"x" * 256 * 1024

    hanging = Hanging()
    several = mirrored(
        LaneLimits(queue_size=3, stalled_seconds=0.05), only=hanging, other=Hanging()
    )
    with pytest.raises(NoStorageLeft):
        several.write("a", counted())
    assert taken <= 1 + 3 + 2


def test_listing_is_the_union_and_reading_finds_what_one_has() -> None:
    one, two = Memory(), Memory()
    one.write("a", [b"1"])
    two.write("b", [b"22"])
    one.write("c", [b"3"])
    two.write("c", [b"3"])
    several = mirrored(one=one, two=two)
    assert [(found.key, found.size_bytes) for found in several.list("")] == [
        ("a", 1),
        ("b", 2),
        ("c", 1),
    ]
    assert content(several, "b") == b"22"
    with pytest.raises(ObjectNotFound):
        content(several, "d")


def test_reading_goes_on_in_another_storage() -> None:
    class Cut(Memory):
        def read(self, key: str) -> Iterator[bytes]:
            yield b"".join(super().read(key))[:700_000]
            raise StorageUnavailable("cut")

    cut, good = Cut(), Memory()
    for storage in (cut, good):
        storage.write("a", CHUNKS)
    several = mirrored(cut=cut, good=good)
    assert content(several, "a") == STREAM
    assert failures(several) == {"cut": "cut"}


def test_deleting_and_usage_go_over_all_of_them() -> None:
    one, two = Memory(), Memory()
    several = mirrored(one=one, two=two)
    several.write("a", [b"x"])
    assert [found.objects for found in several.usage()] == [1, 1]
    several.delete("a")
    assert not list(several.list(""))


def test_creating_is_done_everywhere_or_nowhere() -> None:
    one, two = Memory(), Memory()
    several = mirrored(one=one, two=two)
    several.create("lock", b"mine")
    assert content(one, "lock") == content(two, "lock") == b"mine"
    one.delete("lock")
    with pytest.raises(ObjectExists):
        several.create("lock", b"again")
    assert not list(one.list(""))
    assert content(two, "lock") == b"mine"


def test_a_storage_that_cannot_be_opened_is_left_out() -> None:
    class Away(Memory):
        def __enter__(self) -> Self:
            raise StorageUnavailable("away")

    good = Memory()
    several = mirrored(away=Away(), good=good)
    with several:
        several.write("a", iter(CHUNKS))
    assert content(good, "a") == STREAM
    assert failures(several) == {"away": "away"}
    with pytest.raises(NoStorageLeft), mirrored(one=Away(), two=Away()):
        pytest.fail("there is no storage")


def test_an_answer_is_no_failure_of_a_member() -> None:
    member = Member("one", Memory())
    with pytest.raises(ObjectNotFound):
        list(member.read("missing"))
    assert member.failure is None


def test_a_failed_member_is_not_asked_again() -> None:
    member = Member("one", Breaking(AccessRefused("no")))
    for _ in range(2):
        with pytest.raises(StorageError, match="no"):
            list(member.list(""))
    assert isinstance(member.failure, AccessRefused)
