"""One of several storages of a run: it works until it fails, and is left alone from then on."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from freezer_agent.errors import ObjectExists, ObjectNotFound, StorageError
from freezer_agent.storages.base import ContainerUsage, Storage, StoredObject
from freezer_agent.storages.lanes import StreamAbandoned

log = logging.getLogger(__name__)

_NO_FAILURES = (ObjectExists, ObjectNotFound, StreamAbandoned)


class Member:
    """A storage under the name that its operator gave it.

    The first error that says more than that an object is there or not sets it aside: `failure`
    is that error, every further call raises it, and what this run has stored there is removed
    again as far as possible, so that nothing half is left.
    """

    def __init__(
        self,
        name: str,
        storage: Storage,
        watch: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.kind = storage.kind
        self.failure: StorageError | None = None
        self._storage = storage
        self._watch = watch
        self._written: list[str] = []
        self._failing = threading.Lock()

    def set_aside(self, error: StorageError) -> None:
        """Use the storage no more because of this error."""
        with self._failing:
            if self.failure is not None:
                return
            self.failure = error
        log.error("storage %s is left out from now on: %s", self.name, error)

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks`, or nothing."""
        try:
            with self._checked():
                size_bytes = self._storage.write(key, self._watched(chunks))
                self._written.append(key)
                return size_bytes
        finally:
            if self.failure is not None:
                self._undo()

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already."""
        with self._checked():
            self._storage.create(key, content)

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes."""
        with self._checked():
            yield from self._storage.read(key)

    def usage(self) -> list[ContainerUsage]:
        """What the storage says."""
        with self._checked():
            return self._storage.usage()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """What the storage says."""
        with self._checked():
            yield from self._storage.list(prefix)

    def delete(self, key: str) -> None:
        """Remove the object."""
        with self._checked():
            self._storage.delete(key)
            if key in self._written:
                self._written.remove(key)

    def __enter__(self) -> Self:
        with self._checked():
            self._storage.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What a storage that failed has to say at its end is known already.
        with contextlib.suppress(StorageError):
            self._storage.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        if self.failure is not None:
            raise self.failure
        try:
            yield
        except _NO_FAILURES:
            raise
        except StorageError as error:
            self.set_aside(error)
            raise

    def _watched(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        # A sequence stays one: it can be sent again.
        return chunks if isinstance(chunks, list | tuple) else self._counted(chunks)

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self._watch(len(chunk))

    def _undo(self) -> None:
        """Remove what this run has stored, the last first: that is what made it count."""
        with contextlib.suppress(StorageError):
            while self._written:
                self._storage.delete(self._written.pop())
