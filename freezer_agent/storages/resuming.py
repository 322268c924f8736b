"""Go on where a read was interrupted, for storages that can read from an offset."""

from collections.abc import Callable, Iterator

from freezer_agent.errors import StorageUnavailable
from freezer_agent.storages.retrying import Attempts


def resumed(read_from: Callable[[int], Iterator[bytes]], attempts: Attempts) -> Iterator[bytes]:
    """All bytes of `read_from(0)`; after StorageUnavailable those of `read_from(OFFSET)` follow.

    Every chunk that arrives gives all attempts back.
    """
    offset = failed = 0
    while True:
        try:
            for chunk in read_from(offset):
                yield chunk
                offset += len(chunk)
                failed = 0
        except StorageUnavailable as error:
            failed += 1
            attempts.pause(failed, error)
        else:
            return
