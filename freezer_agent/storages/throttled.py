"""Bandwidth limits: one token bucket for each direction, shared by all connections of a run."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from freezer_agent.storages.base import ContainerUsage, Storage, StoredObject

# What passes in one go: small enough that a slow line is used evenly.
_SLICE_BYTES = 64 * 1024
# Time that was not used, because the source was slow, may be made up for that far.
_BURST_SECONDS = 1.0


class Bucket:
    """Lets through `bytes_per_second` over any longer time, whoever takes them.

    Every taker reserves its share of the time to come and waits for it, so that several threads
    together keep the limit. A line that was idle makes up for a second at most.
    """

    def __init__(
        self,
        bytes_per_second: int,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        if bytes_per_second < 1:
            raise ValueError(f"a limit of {bytes_per_second} bytes per second lets nothing through")
        self._rate = bytes_per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at: float | None = None

    def take(self, size_bytes: int) -> None:
        """Wait until so many bytes may pass."""
        with self._lock:
            now = self._monotonic()
            begins = now if self._free_at is None else max(self._free_at, now - _BURST_SECONDS)
            self._free_at = begins + size_bytes / self._rate
            pause = self._free_at - now
        if pause > 0:
            self._sleep(pause)

    def seconds_for(self, size_bytes: int) -> float:
        """How long so many bytes take at least."""
        return size_bytes / self._rate

    def paced(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same bytes in slices that are passed on when they may go."""
        for chunk in chunks:
            for start in range(0, len(chunk), _SLICE_BYTES):
                piece = chunk[start : start + _SLICE_BYTES]
                self.take(len(piece))
                yield piece


class Throttled:
    """A storage whose contents of objects pass through buckets; None is no limit.

    Listings and small answers are not counted. A storage that sends whole segments paces them
    itself: then `upload` is None here.
    """

    def __init__(self, storage: Storage, *, upload: Bucket | None, download: Bucket | None) -> None:
        self._storage = storage
        self._upload = upload
        self._download = download
        self.kind = storage.kind

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks` as fast as the limit allows."""
        if self._upload is None:
            return self._storage.write(key, chunks)
        if isinstance(chunks, Sequence):
            # What can be sent again stays a sequence: it is small.
            self._upload.take(sum(map(len, chunks)))
            return self._storage.write(key, chunks)
        return self._storage.write(key, self._upload.paced(chunks))

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already."""
        self._storage.create(key, content)

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes as fast as the limit allows."""
        chunks = self._storage.read(key)
        return chunks if self._download is None else self._download.paced(chunks)

    def usage(self) -> list[ContainerUsage]:
        """What the storage says."""
        return self._storage.usage()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """What the storage says."""
        return self._storage.list(prefix)

    def delete(self, key: str) -> None:
        """Remove the object."""
        self._storage.delete(key)

    def __enter__(self) -> Self:
        self._storage.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._storage.__exit__(kind, error, trace)
