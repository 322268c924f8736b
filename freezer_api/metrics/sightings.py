"""When clients were last seen, in one table that all worker processes share.

A file of fixed size, mapped into each of them: a poll costs one look and one write of 24 bytes, and
no number of invented names makes it grow. It lives as long as the service does.
"""

import hashlib
import mmap
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from freezer_api.services.sightings import polling_client

SLOTS = 1 << 17
"""Of 24 bytes: 3 MiB. Up to half as many clients find room almost always."""

_PROBES = 16
"""How many slots a client may use. The one that was seen longest ago makes room."""

_SLOT = struct.Struct("<16sd")


class SharedSightings:
    """A Sightings in the file `path`, which is made if it is missing.

    Processes write without a lock. Two that write one slot at the same moment may spoil it; the
    next poll, a minute later, mends it.
    """

    def __init__(
        self, path: Path, now: Callable[[], float] = time.time, *, slots: int = SLOTS
    ) -> None:
        self._path = path
        self._now = now
        self._slots = slots
        self._map: mmap.mmap | None = None

    def note(self, project_id: str, criteria: Mapping[str, Any]) -> None:
        """Keep the time if this is a poll."""
        client_id = polling_client(criteria)
        if client_id is not None:
            self.seen(project_id, client_id)

    def seen(self, project_id: str, client_id: str) -> None:
        """The client has been seen now."""
        key = _key(project_id, client_id)
        table = self._table()
        oldest, oldest_at = -1, float("inf")
        for offset in self._offsets(key):
            held, held_at = _SLOT.unpack_from(table, offset)
            if held == key:
                oldest = offset
                break
            if held_at < oldest_at:
                oldest, oldest_at = offset, held_at
        _SLOT.pack_into(table, oldest, key, self._now())

    def last_seen(self, project_id: str, client_id: str) -> float | None:
        """When it was, in epoch seconds; None if it was not, as far as the table knows."""
        key = _key(project_id, client_id)
        table = self._table()
        for offset in self._offsets(key):
            held, held_at = _SLOT.unpack_from(table, offset)
            if held == key:
                return float(held_at)
        return None

    def _offsets(self, key: bytes) -> list[int]:
        first = int.from_bytes(key[:8], "little")
        return [(first + step) % self._slots * _SLOT.size for step in range(_PROBES)]

    def _table(self) -> mmap.mmap:
        if self._map is None:
            size = self._slots * _SLOT.size
            with self._path.open("ab") as file:
                file.truncate(size)
            with self._path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), size)
        return self._map


def _key(project_id: str, client_id: str) -> bytes:
    text = f"{project_id}\0{client_id}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()
