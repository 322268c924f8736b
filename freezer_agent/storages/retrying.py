"""Try again where that can help: the one loop for every storage."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from freezer_agent.errors import StorageUnavailable
from freezer_agent.storages.base import ContainerUsage, Storage, StoredObject

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

Result = TypeVar("Result")
Sleep = Callable[[float], None]
Chance = Callable[[], float]


class Attempts:
    """How often and how patiently to try: `most` times, with pauses that double and vary.

    `sleep` takes seconds; `chance` gives a number from 0 up to 1, so that many agents that lost
    the same storage do not come back in the same instant.
    """

    def __init__(self, most: int, sleep: Sleep, chance: Chance) -> None:
        if most < 1:
            raise ValueError(f"{most} attempts cannot do anything")
        self.most = most
        self._sleep = sleep
        self._chance = chance

    def pause(self, failed: int, error: StorageUnavailable) -> None:
        """Wait after the attempt number `failed`; raise its error if it was the last."""
        if failed >= self.most:
            raise error
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (failed - 1))
        seconds = longest * (0.5 + 0.5 * self._chance())
        log.warning("%s; attempt %d of %d in %.1f s", error, failed + 1, self.most, seconds)
        self._sleep(seconds)


def attempt(action: Callable[[], Result], attempts: Attempts) -> Result:
    """The result of the action, repeated as long as it raises StorageUnavailable."""
    failed = 0
    while True:
        try:
            return action()
        except StorageUnavailable as error:
            failed += 1
            attempts.pause(failed, error)


class Retrying:
    """A storage that repeats what failed with StorageUnavailable, where a repetition is safe.

    `write` only of a sequence: chunks of an iterator are gone. Never `create`: the object may be
    there after all. A read that breaks in the middle goes on where it was; so does a listing.
    """

    def __init__(self, storage: Storage, attempts: Attempts) -> None:
        self._storage = storage
        self._attempts = attempts
        self.kind = storage.kind

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Once only, but for a sequence of chunks, which can be sent again."""
        if isinstance(chunks, Sequence):
            return attempt(lambda: self._storage.write(key, chunks), self._attempts)
        return self._storage.write(key, chunks)

    def create(self, key: str, content: bytes) -> None:
        """Once only."""
        self._storage.create(key, content)

    def read(self, key: str) -> Iterator[bytes]:
        """The object; after an interruption it is opened again and what was had is skipped."""
        passed_bytes = failed = 0
        while True:
            try:
                for chunk in without_start(self._storage.read(key), passed_bytes):
                    yield chunk
                    passed_bytes += len(chunk)
                    failed = 0
            except StorageUnavailable as error:
                failed += 1
                self._attempts.pause(failed, error)
            else:
                return

    def usage(self) -> list[ContainerUsage]:
        """What the storage says."""
        return attempt(self._storage.usage, self._attempts)

    def delete(self, key: str) -> None:
        """Remove the object; one that an interrupted attempt has removed is fine."""
        attempt(lambda: self._storage.delete(key), self._attempts)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The listing; after an interruption it goes on behind the last key."""
        last = ""
        failed = 0
        while True:
            try:
                for stored in self._storage.list(prefix):
                    if stored.key > last:
                        yield stored
                        last = stored.key
                        failed = 0
            except StorageUnavailable as error:
                failed += 1
                self._attempts.pause(failed, error)
            else:
                return

    def __enter__(self) -> Self:
        attempt(self._storage.__enter__, self._attempts)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._storage.__exit__(kind, error, trace)


def without_start(chunks: Iterator[bytes], size_bytes: int) -> Iterator[bytes]:
    """The rest of an object behind its first `size_bytes`."""
    for chunk in chunks:
        if size_bytes >= len(chunk):
            size_bytes -= len(chunk)
            continue
        yield chunk[size_bytes:] if size_bytes else chunk
        size_bytes = 0
    if size_bytes:
        raise StorageUnavailable("the object became shorter while it was read")
