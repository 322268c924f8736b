"""Pieces of a stream that wait for a slow storage in a file, since memory is short."""

import os
import tempfile
from collections import deque

from freezer_agent.errors import StorageUnavailable

_SPARED_BYTES = 256 * 1024 * 1024


class Overflow:
    """First in, first out, in a file without a name that nobody else can open.

    Its room is used again when everything has been taken. Without `limit_bytes` nothing fits, and
    `spared_bytes` of the disk are left to everybody else.
    """

    def __init__(self, limit_bytes: int, spared_bytes: int = _SPARED_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._spared_bytes = spared_bytes
        self._sizes: deque[int] = deque()
        self._descriptor: int | None = None
        self._written = self._taken = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._sizes)

    def put(self, piece: bytes) -> bool:
        """Keep the piece; False if it does not fit, or the disk does not take it."""
        if not self._sizes:
            self._written = self._taken = 0
        if self._written + len(piece) > self._limit_bytes:
            return False
        try:
            if self._descriptor is None:
                with tempfile.TemporaryFile(prefix="freezer-", buffering=0) as file:
                    self._descriptor = os.dup(file.fileno())
            if self._free_bytes(self._descriptor) < self._spared_bytes:
                return False
            if os.pwrite(self._descriptor, piece, self._written) < len(piece):
                return False
        except OSError:
            return False
        self._written += len(piece)
        self._sizes.append(len(piece))
        return True

    def take(self) -> bytes:
        """The oldest piece. StorageUnavailable if the disk does not give it back."""
        if self._descriptor is None:
            raise LookupError("nothing waits")
        try:
            piece = os.pread(self._descriptor, self._sizes[0], self._taken)
        except OSError as error:
            raise StorageUnavailable(f"its queue on the disk cannot be read: {error}") from error
        if len(piece) < self._sizes[0]:
            raise StorageUnavailable("its queue on the disk became shorter")
        self._taken += self._sizes.popleft()
        return piece

    def close(self) -> None:
        """Forget what waits, and give the disk its room back."""
        self._sizes.clear()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _free_bytes(self, descriptor: int) -> int:
        told = os.fstatvfs(descriptor)
        return told.f_bavail * told.f_frsize
