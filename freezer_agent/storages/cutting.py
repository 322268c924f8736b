"""A stream cut into segments of one size, one at a time, without copies of its bytes.

A segment is in memory, or in a file where several storages have one each at different places of
the stream. Storages in step share its pieces: then memory holds about one segment, however many
there are.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Protocol

from freezer_agent.errors import StorageUnavailable
from freezer_agent.pipeline.streams import rechunk

# Small enough that the pieces of two segments hardly add to one; many times a network packet.
PIECE_BYTES = 256 * 1024
# Objects of less than a MiB, as most are, need no file.
_PIECES_IN_MEMORY = 4


class Pace(Protocol):
    """Who says when bytes may be sent."""

    def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may pass."""
        ...


class Piece(Protocol):
    """Some bytes of a segment, wherever they are."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes | memoryview: ...


class Pieces:
    """Bytes in pieces that others may share: what one request sends."""

    def __init__(self, pieces: Sequence[Piece] = ()) -> None:
        self._pieces = pieces
        self.size_bytes = sum(map(len, pieces))

    def md5(self) -> bytes:
        """The digest that object stores compare."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces:
            digest.update(piece[:])
        return digest.digest()

    def reader(self, pace: Pace | None = None) -> "Reader":
        """The bytes as a file at its start; what is read waits for `pace`."""
        return Reader(self._pieces, self.size_bytes, pace)


class Reader:
    """As much of a file object as HTTP libraries need to send a body, and to send it again."""

    def __init__(self, pieces: Sequence[Piece], size_bytes: int, pace: Pace | None) -> None:
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


class SegmentFile:
    """A file without a name that holds most of one segment; what it cannot hold stays in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._pieces = self._size_bytes = 0

    def keep(self, piece: bytes | memoryview) -> Piece:
        """The piece, in the file if the disk takes it and if it is not one of the first few."""
        self._pieces += 1
        if self._pieces <= _PIECES_IN_MEMORY:
            return piece
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="freezer-", buffering=0)  # noqa: SIM115 - see `close`
            if os.pwrite(self._file.fileno(), piece, self._size_bytes) < len(piece):
                return piece
        except OSError:
            return piece
        kept = _Kept(self._file.fileno(), self._size_bytes, len(piece))
        self._size_bytes += len(piece)
        return kept

    def reuse(self) -> None:
        """The segment is done with: the next one takes its place."""
        self._pieces = self._size_bytes = 0

    def close(self) -> None:
        """Give the room back."""
        if self._file is not None:
            self._file.close()


class _Kept:
    """A piece in a file."""

    def __init__(self, descriptor: int, offset: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        return self._size_bytes

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size_bytes)
        content = os.pread(self._descriptor, max(0, stop - start), self._offset + start)
        if len(content) < stop - start:
            raise StorageUnavailable("the temporary file of a segment became shorter")
        return content


def segments(
    chunks: Iterable[bytes], size_of: Callable[[int], int], *, in_file: bool = False
) -> Iterator[Pieces]:
    """The bytes of `chunks` in segments; the one of each number has its size but the last.

    A stream without bytes has no segment. Memory holds one segment and one piece, or `in_file` a
    few pieces. A segment is valid until the next one is asked for.
    """
    with contextlib.closing(SegmentFile()) as file:
        yield from _cut(chunks, size_of, file if in_file else None)


def _cut(
    chunks: Iterable[bytes], size_of: Callable[[int], int], file: SegmentFile | None
) -> Iterator[Pieces]:
    gathered: list[Piece] = []
    number = 0
    missing = size_of(number)
    for piece in rechunk(chunks, PIECE_BYTES):
        rest: bytes | memoryview = piece
        while len(rest) >= missing:
            part = rest if len(rest) == missing else memoryview(rest)[:missing]
            gathered.append(file.keep(part) if file else part)
            rest = memoryview(rest)[missing:]
            yield Pieces(gathered)
            gathered = []
            if file:
                file.reuse()
            number += 1
            missing = size_of(number)
        if rest:
            gathered.append(file.keep(rest) if file else rest)
            missing -= len(rest)
    if gathered:
        yield Pieces(gathered)
