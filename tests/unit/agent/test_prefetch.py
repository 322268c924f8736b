import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freezer_agent.pipeline.prefetch import prefetched, until_left


class Broke(Exception):
    """The producer failed."""


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@settings(max_examples=30)
@given(chunks=st.lists(st.binary(max_size=20), max_size=30), depth=st.integers(1, 5))
def test_the_same_chunks_arrive_in_order(chunks: list[bytes], depth: int) -> None:
    assert list(prefetched(chunks, depth)) == chunks


def test_chunks_are_made_ahead_up_to_the_depth() -> None:
    made = 0
    third = threading.Event()

    def chunks() -> Iterator[bytes]:
        nonlocal made
        for _ in range(100):
            made += 1
            if made == 4:
                third.set()
            yield b"x"

    stream = prefetched(chunks(), 2)
    next(stream)
    # One is taken, two wait, one is in the thread's hand.
    assert third.wait(30)
    assert made == 4
    stream.close()  # type: ignore[attr-defined]  # a generator, which its type does not say


def test_an_error_arrives_unchanged_after_the_chunks_before_it() -> None:
    error = Broke("here")

    def chunks() -> Iterator[bytes]:
        yield b"1"
        yield b"2"
        raise error

    got = []
    with pytest.raises(Broke) as raised:
        got.extend(prefetched(chunks(), 1))
    assert raised.value is error
    stream = prefetched(chunks(), 4)
    assert [next(stream), next(stream)] == [b"1", b"2"]
    with pytest.raises(Broke):
        next(stream)
    assert "prefetch" not in threads()


@pytest.mark.parametrize("taken", [1, 3])
def test_leaving_early_closes_the_producer_in_its_thread(taken: int) -> None:
    closed_in: list[str] = []

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed_in.append(threading.current_thread().name)

    stream = prefetched(chunks(), 2)
    for _ in range(taken):
        next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator, which its type does not say
    assert closed_in == ["prefetch"]
    assert "prefetch" not in threads()


def test_an_error_of_the_consumer_ends_the_producer() -> None:
    closed = threading.Event()

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    def consume() -> None:
        for _ in prefetched(chunks(), 2):
            raise Broke

    with pytest.raises(Broke):
        consume()
    assert closed.is_set()
    assert "prefetch" not in threads()


def test_leaving_early_does_not_wait_for_a_source_that_has_nothing_to_give() -> None:
    closed, left = threading.Event(), threading.Event()

    def silent() -> Iterator[bytes]:
        try:
            yield b"x"
            while True:
                yield b""
        finally:
            closed.set()

    def stage(chunks: Iterator[bytes]) -> Iterator[bytes]:
        """One that, as a compressor does, makes nothing of nothing."""
        for chunk in chunks:
            if chunk:
                yield chunk

    stream = prefetched(stage(until_left(silent(), left)), 2, left)
    assert next(stream) == b"x"
    stream.close()  # type: ignore[attr-defined]  # a generator, which its type does not say
    assert closed.is_set()
    assert "prefetch" not in threads()


def test_empty_chunks_of_a_source_are_not_passed_on() -> None:
    assert list(until_left(iter([b"", b"1", b"", b"2"]), threading.Event())) == [b"1", b"2"]


def test_nothing_starts_before_the_first_chunk_is_asked_for() -> None:
    prefetched(iter([b"x"]), 2)
    assert "prefetch" not in threads()


def test_a_depth_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="depth 0"):
        prefetched([], 0)
