"""The locks of a set of backups in several storages, held together."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from freezer_agent.catalog.lock import SetLock
from freezer_agent.errors import StorageError

log = logging.getLogger(__name__)


class Lock(Protocol):
    """What keeps other agents away from a set of backups."""

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Hold it while inside. BackupLocked at once if somebody else does."""
        ...

    def renewing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks; the lock is kept from expiring between two of them."""
        ...


class JointLock:
    """All locks, or none if one of them is somebody else's.

    A storage that fails takes its lock out of the game: it is left out of the run anyhow.
    """

    def __init__(self, locks: Sequence[SetLock]) -> None:
        self._locks = locks
        self._held: list[SetLock] = []

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold them while inside. BackupLocked at once if somebody else holds one."""
        with contextlib.ExitStack() as stack:
            for lock in self._locks:
                try:
                    stack.enter_context(lock.held())
                except StorageError as error:
                    log.warning("no lock in a storage that fails: %s", error)
                else:
                    self._held.append(lock)
            yield
        self._held.clear()

    def renewing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks; now and then the expiry of the locks is moved on between two."""
        for chunk in chunks:
            for lock in list(self._held):
                try:
                    lock.renew_if_due()
                except StorageError as error:
                    log.warning("the lock in a storage that fails is not renewed: %s", error)
                    self._held.remove(lock)
            yield chunk
