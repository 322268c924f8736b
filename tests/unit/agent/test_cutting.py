"""Segments as pieces that several storages share, and the readers that HTTP libraries get."""

import hashlib
import os
import resource
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freezer_agent.storages.cutting import PIECE_BYTES, Pieces, Reader, segments

BODY = bytes(range(200))


def reader(*sizes: int) -> Reader:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(BODY[start : start + size])
        start += size
    return Pieces([*pieces, BODY[start:]]).reader()


@pytest.mark.parametrize("sizes", [(), (1,), (100, 50), (0, 7, 0, 60)])
@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_reading_gives_every_byte_in_order(sizes: tuple[int, ...], size: int) -> None:
    file = reader(*sizes)
    parts = list(iter(lambda: file.read(size), b""))
    assert b"".join(parts) == BODY
    assert max(map(len, parts)) <= size
    assert file.tell() == len(file) == len(BODY)


@given(st.lists(st.integers(0, 80), max_size=5), st.integers(0, 250), st.integers(1, 90))
def test_seeking_and_reading_agree_with_the_bytes(sizes: list[int], offset: int, size: int) -> None:
    file = reader(*sizes)
    assert file.seek(offset) == min(offset, len(BODY))
    assert file.read() == BODY[offset:]
    file.seek(-min(offset, len(BODY)), os.SEEK_END)
    assert BODY[len(BODY) - min(offset, len(BODY)) :].startswith(file.read(size))


def test_a_body_can_be_sent_again() -> None:
    file = reader(30, 30)
    assert file.read() == BODY
    file.seek(0)
    assert b"".join(file) == BODY
    file.seek(10)
    file.seek(5, os.SEEK_CUR)
    assert file.read(1) == BODY[15:16]


def test_the_digest_is_that_of_all_pieces() -> None:
    pieces = Pieces([BODY[:3], memoryview(BODY)[3:]])
    assert pieces.md5() == hashlib.md5(BODY, usedforsecurity=False).digest()
    assert pieces.size_bytes == len(BODY)


def test_what_is_read_is_paced_once() -> None:
    taken: list[int] = []

    class Counting:
        def take(self, size_bytes: int) -> None:
            taken.append(size_bytes)

    file = Pieces([BODY]).reader(Counting())
    assert file.read(150) + file.read(150) == BODY
    assert taken == [150, 50]


def test_two_cutters_of_one_stream_share_its_pieces() -> None:
    chunks = [bytes(PIECE_BYTES) for _ in range(6)]
    first = list(segments(chunks, lambda _: 2 * PIECE_BYTES))
    second = list(segments(chunks, lambda _: 3 * PIECE_BYTES))
    ids = {id(chunk) for chunk in chunks}
    assert {id(piece) for cut in (*first, *second) for piece in cut._pieces} == ids


@given(st.lists(st.integers(0, 900_000), max_size=6), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_segments_in_a_file_are_those_in_memory(sizes: list[int], pieces: int) -> None:
    chunks = [os.urandom(size) for size in sizes]
    size = pieces * PIECE_BYTES + 7

    def cut(*, in_file: bool) -> list[tuple[bytes, bytes]]:
        # Each is looked at before the next one is asked for: that takes its place.
        return [
            (segment.md5(), segment.reader().read())
            for segment in segments(chunks, lambda _: size, in_file=in_file)
        ]

    assert cut(in_file=True) == cut(in_file=False)


def test_a_segment_in_a_file_takes_little_memory_and_can_be_sent_again() -> None:
    def chunks() -> Iterator[bytes]:
        for number in range(40):
            yield bytes([number]) * PIECE_BYTES

    tracemalloc.start()
    try:
        for segment in segments(chunks(), lambda _: 20 * PIECE_BYTES, in_file=True):
            body = segment.reader()
            first = [part[0] for part in body]
            body.seek(5 * PIECE_BYTES - 1)
            assert body.read(1) + body.read(1) == bytes([first[4], first[5]])
            assert len(first) == 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 13 * PIECE_BYTES


def test_a_disk_that_is_full_in_mid_segment_loses_nothing() -> None:
    chunks = [os.urandom(PIECE_BYTES) for _ in range(12)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * PIECE_BYTES + 5, hard))
    try:
        found = [
            cut.reader().read()
            for cut in segments(chunks, lambda _: 100 * PIECE_BYTES, in_file=True)
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert found == [b"".join(chunks)]
