"""Iterators of bytes: cut them to size and count what passes."""

from collections.abc import Callable, Iterable, Iterator


def rechunk(chunks: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    """The same bytes in chunks of exactly `size_bytes`; only the last may be shorter.

    Empty chunks vanish; at most one chunk more than the result is held.
    """
    if size_bytes < 1:
        raise ValueError(f"a chunk of {size_bytes} bytes cannot carry a stream")
    gathered: list[bytes | memoryview] = []
    missing = size_bytes
    for chunk in chunks:
        if not gathered and len(chunk) == size_bytes:
            yield chunk
            continue
        rest = memoryview(chunk)
        while len(rest) >= missing:
            gathered.append(rest[:missing])
            rest = rest[missing:]
            yield b"".join(gathered)
            gathered.clear()
            missing = size_bytes
        if rest:
            gathered.append(rest)
            missing -= len(rest)
    if gathered:
        yield b"".join(gathered)


def counted(chunks: Iterable[bytes], report: Callable[[int], None]) -> Iterator[bytes]:
    """The same chunks; `report` gets the size of each before it is passed on."""
    for chunk in chunks:
        report(len(chunk))
        yield chunk
