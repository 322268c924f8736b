"""Token buckets: the limit is kept over all that take from one, with an injected clock."""

import threading

import pytest

from freezer_agent.storages.memory import Memory
from freezer_agent.storages.throttled import Bucket, Throttled


class FakeTime:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now = self.now + seconds

    def since_start(self) -> float:
        return self.now - 1000.0


def test_a_stream_takes_the_time_that_the_limit_says() -> None:
    time = FakeTime()
    bucket = Bucket(1_000_000, time.monotonic, time.sleep)
    storage = Throttled(Memory(), upload=bucket, download=None)
    storage.write("a", iter([b"x" * 3_000_000] * 10))
    assert time.since_start() == pytest.approx(30, rel=0.05)
    # Evenly: 64 KiB at a time.
    assert max(time.slept) < 0.07


def test_both_directions_have_limits_of_their_own() -> None:
    time = FakeTime()
    up = Bucket(1_000_000, time.monotonic, time.sleep)
    down = Bucket(250_000, time.monotonic, time.sleep)
    storage = Throttled(Memory(), upload=up, download=down)
    storage.write("a", iter([b"x" * 1_000_000]))
    assert time.since_start() == pytest.approx(1, rel=0.05)
    assert b"".join(storage.read("a")) == b"x" * 1_000_000
    assert time.since_start() == pytest.approx(5, rel=0.05)


def test_several_storages_share_one_bucket() -> None:
    time = FakeTime()
    bucket = Bucket(1_000_000, time.monotonic, time.sleep)
    streams = [bucket.paced([b"x" * 100_000] * 20) for _ in range(3)]
    for stream in streams:
        for _ in stream:
            pass
    assert time.since_start() == pytest.approx(6, rel=0.05)


def test_takers_at_the_same_instant_wait_for_each_other() -> None:
    """A clock that stands still: each taker is told to wait behind those before it."""
    slept: list[float] = []
    bucket = Bucket(100, lambda: 5.0, slept.append)
    for _ in range(3):
        bucket.take(50)
    assert slept == [0.5, 1.0, 1.5]


def test_an_idle_line_makes_up_for_little() -> None:
    time = FakeTime()
    bucket = Bucket(1_000_000, time.monotonic, time.sleep)
    bucket.take(1_000_000)
    time.now += 3600
    before = time.now
    bucket.take(2_000_000)
    assert time.now - before == pytest.approx(1.0)


def test_a_sequence_stays_one_that_can_be_sent_again() -> None:
    seen: list[type] = []

    class Looking(Memory):
        def write(self, key: str, chunks: object) -> int:
            seen.append(type(chunks))
            return super().write(key, chunks)  # type: ignore[arg-type] # a sequence of bytes

    time = FakeTime()
    storage = Throttled(Looking(), upload=Bucket(10, time.monotonic, time.sleep), download=None)
    storage.write("a", [b"x" * 100])
    assert seen == [list]
    assert time.since_start() == pytest.approx(10)


def test_a_limit_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="lets nothing through"):
        Bucket(0, lambda: 0.0, lambda _: None)
