"""A stream cut into segments of one size, one at a time, without copies of its bytes.

Several storages that cut the same stream share its pieces: then memory holds about one segment,
however many storages there are.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from freezer_agent.pipeline.streams import rechunk

# Small enough that the pieces of two segments hardly add to one; many times a network packet.
PIECE_BYTES = 256 * 1024


class Pace(Protocol):
    """Who says when bytes may be sent."""

    def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may pass."""
        ...


class Pieces:
    """Bytes in pieces that others may share: what one request sends."""

    def __init__(self, pieces: Sequence[bytes | memoryview] = ()) -> None:
        self._pieces = pieces
        self.size_bytes = sum(map(len, pieces))

    def md5(self) -> bytes:
        """The digest that object stores compare."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces:
            digest.update(piece)
        return digest.digest()

    def reader(self, pace: Pace | None = None) -> "Reader":
        """The bytes as a file at its start; what is read waits for `pace`."""
        return Reader(self._pieces, self.size_bytes, pace)


class Reader:
    """As much of a file object as HTTP libraries need to send a body, and to send it again."""

    def __init__(
        self, pieces: Sequence[bytes | memoryview], size_bytes: int, pace: Pace | None
    ) -> None:
        self._pieces = pieces
        self._size_bytes = size_bytes
        self._pace = pace
        self._position = 0
        self._index = 0
        self._within = 0

    def read(self, size: int = -1) -> bytes:
        """Up to so many bytes; nothing at the end only."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))
        while self._index < len(self._pieces):
            part = self._pieces[self._index][self._within : self._within + size]
            if part:
                self._within += len(part)
                self._position += len(part)
                if self._pace is not None:
                    self._pace.take(len(part))
                return bytes(part)
            self._index, self._within = self._index + 1, 0
        return b""

    def tell(self) -> int:
        """How many bytes were read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Read from there next."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}
        self._position = rest = min(max(0, start[whence] + offset), self._size_bytes)
        self._index = 0
        while self._index < len(self._pieces) and rest >= len(self._pieces[self._index]):
            rest -= len(self._pieces[self._index])
            self._index += 1
        self._within = rest
        return self._position

    def __len__(self) -> int:
        """The size of all, which libraries ask for the header."""
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(PIECE_BYTES), b"")


def segments(chunks: Iterable[bytes], size_of: Callable[[int], int]) -> Iterator[Pieces]:
    """The bytes of `chunks` in segments; the one of each number has its size but the last.

    A stream without bytes has no segment. Memory holds one segment and one piece.
    """
    gathered: list[bytes | memoryview] = []
    number = 0
    missing = size_of(number)
    for piece in rechunk(chunks, PIECE_BYTES):
        rest: bytes | memoryview = piece
        while len(rest) >= missing:
            gathered.append(rest if len(rest) == missing else memoryview(rest)[:missing])
            rest = memoryview(rest)[missing:]
            yield Pieces(gathered)
            gathered = []
            number += 1
            missing = size_of(number)
        if rest:
            gathered.append(rest)
            missing -= len(rest)
    if gathered:
        yield Pieces(gathered)
