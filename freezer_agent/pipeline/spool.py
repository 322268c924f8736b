"""Bytes set aside in a file, compressed, until it is their turn to be stored."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from freezer_agent.pipeline.compression import Zstd

_READ_BYTES = 1 << 20


class Spool:
    """Write while inside the context; read once it is left. The file is the caller's to remove."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self.size_bytes = 0

    def __enter__(self) -> Self:
        # Imported here as in `compression`: a run that stores nothing does not wait for it.
        from backports.zstd import ZstdCompressor  # noqa: PLC0415  # see above

        self._compressor = ZstdCompressor()
        self._file = self._path.open("xb")
        return self

    def write(self, data: bytes) -> None:
        """Add these bytes."""
        self.size_bytes += len(data)
        if compressed := self._compressor.compress(data):
            self._file.write(compressed)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file as file:
            if kind is None:
                file.write(self._compressor.flush())

    def compressed(self) -> Iterator[bytes]:
        """What was written, as it lies in the file: a zstd stream."""
        with self._path.open("rb") as file:
            while chunk := file.read(_READ_BYTES):
                yield chunk


def unspooled(compressed: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of `Spool.compressed`, plain. Damaged if they are not those."""
    return Zstd().backward(compressed)
