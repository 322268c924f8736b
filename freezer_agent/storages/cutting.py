"""A stream cut into segments of one size, each whole in memory, one at a time."""

import io
from collections.abc import Callable, Iterable, Iterator


def segments(chunks: Iterable[bytes], size_of: Callable[[int], int]) -> Iterator[bytes]:
    """The bytes of `chunks` in pieces; the one of each number has exactly its size but the last.

    A stream without bytes has no segment. Memory holds one segment and one chunk.
    """
    segment = io.BytesIO()
    number = 0
    size_bytes = size_of(number)
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            rest = rest[segment.write(rest[: size_bytes - segment.tell()]) :]
            if segment.tell() == size_bytes:
                # getvalue() hands over the buffer itself, join() would copy it
                yield segment.getvalue()
                segment = io.BytesIO()
                number += 1
                size_bytes = size_of(number)
    if segment.tell():
        yield segment.getvalue()
