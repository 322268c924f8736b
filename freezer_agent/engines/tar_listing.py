"""The listing of a tar stream: its headers, without the contents of files.

It says what is in a backup at a small part of its size, and is read by the same code.
"""

from freezer_agent.engines.tar_members import Extent


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
