"""The digest of a stream while it passes: made at backup, compared at restore."""

import hashlib
from collections.abc import Iterable, Iterator

from freezer_agent.errors import Damaged


class Checksum:
    """The SHA-256 of everything that went `through`."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def hexdigest(self) -> str:
        """The digest of what has passed so far."""
        return self._digest.hexdigest()

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks; each is counted before it is passed on."""
        for chunk in chunks:
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk


def verified(chunks: Iterable[bytes], expected: str, what: str) -> Iterator[bytes]:
    """The same chunks, and Damaged instead of the end if their SHA-256 is not `expected`.

    `what` names the stream in the message.
    """
    checksum = Checksum()
    yield from checksum.through(chunks)
    if checksum.hexdigest != expected.lower():
        raise Damaged(
            f"{what} is damaged: {checksum.size_bytes} bytes with SHA-256 {checksum.hexdigest} "
            f"were read, {expected.lower()} was written; restore from another copy or date"
        )
