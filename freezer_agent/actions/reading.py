"""Open what is stored of backups: their streams, and the listings of what is in them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freezer_agent.actions.base import Progress
from freezer_agent.catalog.backup import Backup
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.links import Link, check_links
from freezer_agent.errors import Damaged, ObjectNotFound
from freezer_agent.pipeline.ahead import side_by_side
from freezer_agent.pipeline.checksum import verified
from freezer_agent.pipeline.coding import Coding, Codings, Purpose
from freezer_agent.pipeline.prefetch import prefetched
from freezer_agent.pipeline.spool import unspooled
from freezer_agent.pipeline.streams import counted

_CHUNKS_AHEAD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One backup to read: how its stream is undone, and what is known of it."""

    backup: Backup
    coding: Coding
    sha256: str | None
    index_sha256: str | None
    stored_bytes: int
    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a storage says of a backup, before any key is tried."""

    backup: Backup
    metadata: Mapping[str, Any]
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenListing:
    """A listing, or in its place the stream itself (`has_contents`)."""

    chunks: Iterator[bytes]
    has_contents: bool


class Reader:
    """Reads backups of one catalog with the keys at hand."""

    def __init__(self, catalog: Catalog, codings: Codings, progress: Progress) -> None:
        self._catalog = catalog
        self._codings = codings
        self._progress = progress
        self.remarks: list[str] = []
        """What the operator should know about how it was read."""

    def level(self, backup: Backup) -> Level:
        """Look at everything but the stream's bytes. Damaged if it is not whole, WrongKey."""
        return self._opened(self._looked_at(backup))

    def levels(self, chain: Sequence[Backup], *, for_listing: bool = False) -> list[Level]:
        """All levels of a chain, 0 first. Damaged if they were not built on each other.

        A listing comes from the index: `for_listing` asks nothing about a stream that has one.
        """
        found = [self._looked_at(backup, for_listing=for_listing) for backup in chain]
        levels = list(side_by_side(self._opened, found, self._codings.opened_at_once))
        check_links([level.link for level in levels])
        return levels

    def _looked_at(self, backup: Backup, *, for_listing: bool = False) -> "_Found":
        metadata = self._catalog.metadata(backup)
        if for_listing and metadata.get("index_sha256") is not None:
            return _Found(backup=backup, metadata=metadata, stored_bytes=0)
        try:
            size = self._catalog.data_size(backup)
        except ObjectNotFound as error:
            raise Damaged(f"{backup.label} has lost its data: the storage misses it") from error
        expected = metadata.get("size")
        if isinstance(expected, int) and size != expected:
            raise Damaged(
                f"{backup.label} is damaged: {size} bytes are stored of {expected} that were "
                "written; restore another date",
            )
        return _Found(backup=backup, metadata=metadata, stored_bytes=size)

    def _opened(self, found: "_Found") -> Level:
        """Find the keys, which takes a third of a second where a pass phrase opens."""
        backup, metadata = found.backup, found.metadata
        return Level(
            backup=backup,
            coding=self._codings.opened(self._catalog.place(backup), metadata),
            sha256=text_or_none(metadata.get("sha256")),
            index_sha256=text_or_none(metadata.get("index_sha256")),
            stored_bytes=found.stored_bytes,
            link=Link.of(backup, metadata),
        )

    @contextlib.contextmanager
    def stream(self, level: Level) -> Iterator[Iterator[bytes]]:
        """The engine's stream. Its end is an error if anything of it was altered."""
        # The stored bytes are counted: of them it is known how many there are.
        chunks = counted(self._catalog.read_data(level.backup), self._progress.add)
        if level.sha256 is not None and not level.coding.authenticates:
            chunks = verified(chunks, level.sha256, level.backup.label)
        plain = level.coding.pipeline(Purpose.DATA).backward(chunks)
        stream: Any = prefetched(plain, _CHUNKS_AHEAD)
        with contextlib.closing(stream):
            yield stream

    @contextlib.contextmanager
    def listing(self, level: Level) -> Iterator[OpenListing]:
        """What is in the stream; for a backup without an index the stream is read for it."""
        index = self._index(level)
        if index is not None:
            yield OpenListing(chunks=index, has_contents=False)
            return
        self.remarks.append(
            f"{level.backup.label} has no index of its files: its stream was read for it"
        )
        with self.stream(level) as stream:
            yield OpenListing(chunks=stream, has_contents=True)

    def _index(self, level: Level) -> Iterator[bytes] | None:
        if level.index_sha256 is None:
            return None
        try:
            chunks = _begun(self._catalog.read_index(level.backup))
        except ObjectNotFound:
            return None
        if not level.coding.authenticates:
            chunks = verified(chunks, level.index_sha256, f"the index of {level.backup.label}")
        return unspooled(level.coding.pipeline(Purpose.INDEX).backward(chunks))


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks; that there is no such object is told now, not with the first of them."""
    first = next(chunks, b"")

    def all_of_them() -> Iterator[bytes]:
        yield first
        yield from chunks

    return all_of_them()


def text_or_none(value: Any) -> str | None:
    """A value of the metadata that should be text."""
    return value if isinstance(value, str) else None
