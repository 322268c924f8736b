"""An object that was stored in some of several storages, kept for those that are behind."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import IO

from freezer_agent.storages.cutting import PIECE_BYTES


class Postponed:
    """An object that members which are behind get later."""

    def __init__(self, key: str, chunks: Sequence[bytes] | None = None) -> None:
        self.key = key
        self._chunks = chunks
        self._file: IO[bytes] | None = None

    def kept(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks, which are kept in a file as they pass."""
        self._file = tempfile.TemporaryFile(prefix="freezer-")  # noqa: SIM115 - `close` does
        for chunk in chunks:
            self._file.write(chunk)
            yield chunk

    def chunks(self) -> Iterable[bytes]:
        """What was kept, from its start."""
        if self._file is None:
            return self._chunks or ()
        self._file.seek(0)
        return iter(partial(self._file.read, PIECE_BYTES), b"")

    def close(self) -> None:
        """Give the file's room back."""
        if self._file is not None:
            self._file.close()
