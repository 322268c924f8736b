"""Changes of one document take turns within a process, so that they do not collide in the store.

Nothing depends on it: what keeps changes apart is the version in the store, which other processes
respect as well. But a change that comes too late has been made for nothing, and is read, decided and
written again. With four callers on each of eight sessions half of the work of a worker was that.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from freezer_api.store.base import Collection

PATIENCE_SECONDS = 1.0
"""Then a change goes on out of turn: one whose store does not answer holds nobody up for longer."""
_QUEUES = 256


class Turns:
    """Queues for documents, few enough to be kept for ever; two documents may share one."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._locks = [threading.Lock() for _ in range(_QUEUES)]

    @contextmanager
    def turn(self, collection: Collection, document_id: str) -> Iterator[None]:
        """Wait until nobody else in this process changes the document, or for as long as we may."""
        lock = self._locks[hash((collection, document_id)) % _QUEUES]
        is_ours = lock.acquire(timeout=self._patience_seconds)
        try:
            yield
        finally:
            if is_ours:
                lock.release()
