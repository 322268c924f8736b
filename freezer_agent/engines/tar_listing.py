"""The listing of a tar stream: its headers, without the contents of files.

It says what is in a backup at a small part of its size, and is read by the same code.
"""

from collections.abc import Callable, Iterable, Iterator

from freezer_agent.engines.tar_members import Extent, Member, MemberWalk
from freezer_agent.errors import Damaged

_MOST_EXTENSION_BYTES = 64 << 20


class Listing:
    """Takes the chunks of a tar stream, and the members found in each, and gives the headers."""

    def __init__(self) -> None:
        self._offset = 0
        self._kept_until = 0
        self._contents: list[Extent] = []

    def note(self, extent: Extent) -> None:
        """A member of the chunk that comes next, or of one that went on into it."""
        if extent.end > extent.content:
            self._contents.append(extent)

    def headers_of(self, chunk: bytes) -> bytes:
        """The part of the chunk that is no content. All members begun in it must be noted."""
        start, end = self._offset, self._offset + len(chunk)
        at = max(start, self._kept_until)
        parts = []
        for extent in self._contents:
            if extent.content > at:
                parts.append(chunk[at - start : extent.content - start])
            at = extent.end
        if at < end:
            parts.append(chunk[at - start :])
        self._contents.clear()
        self._offset, self._kept_until = end, at
        return b"".join(parts)


def members_of(chunks: Iterable[bytes], *, has_contents: bool) -> Iterator[tuple[Member, bytes]]:
    """Every member of a stream or of a listing, with the bytes of its header and extensions.

    Damaged if the stream is no tar stream, is cut, or has a header that no memory should hold.
    """
    found: list[Member] = []
    walk = MemberWalk(found.append, _MOST_EXTENSION_BYTES, has_contents=has_contents)
    window = _Window()
    for chunk in chunks:
        walk.feed(chunk)
        window.add(chunk)
        for member in found:
            window.drop_to(member.extent.start)
            yield member, window.take_to(member.extent.content)
            window.drop_to(member.extent.end)
        found.clear()
    walk.finish()


def checked(chunks: Iterable[bytes]) -> Iterator[None]:
    """Go over a stream to its end; Damaged if it is none, or is cut."""
    walk = MemberWalk(lambda _member: None, _MOST_EXTENSION_BYTES)
    for chunk in chunks:
        walk.feed(chunk)
        yield
    walk.finish()


def picked(chunks: Iterable[bytes], is_wanted: Callable[[Member], bool]) -> Iterator[bytes]:
    """A stream of the wanted members of a stream, unchanged and in their order."""
    found: list[Member] = []
    walk = MemberWalk(found.append, _MOST_EXTENSION_BYTES)
    window, until = _Window(), 0
    for chunk in chunks:
        walk.feed(chunk)
        window.add(chunk)
        for member in found:
            if piece := window.take_to(min(until, member.extent.start)):
                yield piece
            window.drop_to(member.extent.start)
            if is_wanted(member):
                until = member.extent.end
            else:
                window.drop_to(member.extent.end)
        found.clear()
        if piece := window.take_to(until):
            yield piece
    walk.finish()
    yield bytes(2 * 512)


class _Window:
    """The bytes of a stream from some offset on."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._at = 0
        self._drop_until = 0

    def add(self, chunk: bytes) -> None:
        """The stream goes on."""
        self._held += chunk
        self.drop_to(self._drop_until)
        if len(self._held) > _MOST_EXTENSION_BYTES + len(chunk):
            raise Damaged("the archive has a header of more than 64 MiB, or no end")

    def drop_to(self, offset: int) -> None:
        """Forget everything before the offset, also what is still to come."""
        self._drop_until = max(self._drop_until, offset)
        self.take_to(self._drop_until)

    def take_to(self, offset: int) -> bytes:
        """What is there before the offset, which is then forgotten."""
        count = min(max(offset - self._at, 0), len(self._held))
        taken = bytes(self._held[:count])
        del self._held[:count]
        self._at += count
        return taken
