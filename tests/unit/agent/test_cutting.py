"""Segments as pieces that several storages share, and the readers that HTTP libraries get."""

import hashlib
import os

import pytest
from hypothesis import given
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
