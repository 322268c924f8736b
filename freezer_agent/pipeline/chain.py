"""Compose stages between an engine and a storage, and invert them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from freezer_agent.pipeline.streams import counted


class Stage(Protocol):
    """One reversible transformation of a byte stream.

    `backward(forward(x)) == x` for every chunking of both streams. Lazy, with memory bounded
    independently of the stream's length. Damage is an error (StreamError), never wrong bytes:
    a cut stream must not look complete.
    """

    def forward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """From the engine's side to the storage's side."""
        ...

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """From the storage's side to the engine's side."""
        ...


class Pipeline:
    """Stages in a row: forward runs them left to right, backward right to left."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = tuple(stages)

    def forward(
        self, chunks: Iterable[bytes], passed: Callable[[str, int], None] | None = None
    ) -> Iterator[bytes]:
        """From the engine's side to the storage's side.

        `passed` gets the name of each stage with the size of each chunk that leaves it.
        """
        stream = iter(chunks)
        for stage in self._stages:
            stream = stage.forward(stream)
            if passed is not None:
                stream = counted(stream, partial(passed, type(stage).__name__.lower()))
        return stream

    def backward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """From the storage's side to the engine's side."""
        stream = iter(chunks)
        for stage in reversed(self._stages):
            stream = stage.backward(stream)
        return stream
