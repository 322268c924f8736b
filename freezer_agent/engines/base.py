"""What an engine is: it makes and consumes the byte stream of one kind of source."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from freezer_agent.engines.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """What an incremental backup needs of the level before it, and leaves for the next.

    `previous` is the state file of the level this one builds on, None for level 0. `next` is a
    path in a private directory that the engine fills by the time its stream ends. The engine
    never changes `previous`. `listing`, if there is one, gets the listing of the stream bit by
    bit as the stream is made: what is in it, in the engine's own form, without contents.
    """

    previous: Path | None
    next: Path
    listing: Callable[[bytes], None] | None = None


@dataclass(slots=True, kw_only=True)
class SourceNotes:
    """What an engine saw of the source while it made the stream. Filled by the engine.

    Counts are exact; the lists of names are cut at `most_names` so that a million unreadable
    files do not become a million lines of report.
    """

    files: int = 0
    directories: int = 0
    source_bytes: int = 0
    changed: int = 0
    vanished: int = 0
    unreadable: int = 0
    broken_links: int = 0
    names: list[str] = field(default_factory=list)
    most_names: int = 100

    @property
    def warnings(self) -> int:
        """How many files were not stored as they are, or not at all."""
        return self.changed + self.vanished + self.unreadable

    def note(self, name: str, why: str) -> None:
        """Remember one troubled file by name, up to the limit."""
        if len(self.names) < self.most_names:
            self.names.append(f"{name}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a backup. `level` is the level whose stream has it."""

    name: bytes
    kind: str
    size_bytes: int
    modified_seconds: float
    mode: int
    owner: int
    group: int
    link: bytes
    level: int


Streams = Callable[[int], AbstractContextManager[Iterator[bytes]]]
"""Opens the stream of a level, and closes it."""


class Tree(Protocol):
    """What a backup holds, put together from the listings of its levels. A context manager.

    Kept in a file of its own, so that a million names take no memory.
    """

    def add_level(self, chunks: Iterable[bytes], *, has_contents: bool) -> None:
        """The next level, 0 first: its listing, or its stream (`has_contents`)."""
        ...

    def entries(self, selection: Selection) -> Iterator[Entry]:
        """The selected names of the newest level, those of a directory together."""
        ...

    def restore(
        self,
        selection: Selection,
        streams: Streams,
        target: Path,
        notes: SourceNotes,
    ) -> int:
        """Bring the selected names into `target`, and return how many they are.

        Only those streams are asked for that have something
        selected. What is there under a selected name is replaced; nothing else is touched. A
        failure before everything is extracted leaves `target` as it was.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Engine(Protocol):
    """Makes the stream of a source and turns streams back into it.

    Promise: restoring level 0, then 1, ... n gives the source as it was at level n, deletions
    included. An engine knows nothing of storages, compression, encryption, names or levels.
    """

    name: str
    """The directory name of the storage layout: tar, rsync, nova, glance, osbrick."""

    def backup(self, source: Path, state: EngineState, notes: SourceNotes) -> Iterator[bytes]:
        """The stream of the source, as it is now, relative to `state.previous`.

        Lazy: work begins with the first chunk asked for, and back pressure is the consumer's
        pulling. Empty chunks come while there is nothing to give, so that who draws can leave.
        When the iterator ends, `state.next` and `notes` are complete and the engine has checked
        its program's status. EngineError in the middle means the stream is worthless.
        Closing the iterator early ends every process and removes every temporary file.
        """
        ...

    def restore(self, target: Path, chunks: Iterable[bytes], notes: SourceNotes) -> None:
        """Bring one level's stream into the directory `target`, which exists.

        Never writes outside `target`, whatever the stream says. If `chunks` raises, the error is
        passed on unchanged after the engine has ended its programs.
        """
        ...


StreamCheck = Callable[[Iterable[bytes]], Iterator[None]]
"""Goes over a stream and raises Damaged if it is not whole; yields as often as it likes."""


class Browsable(Protocol):
    """An engine whose streams hold files by name."""

    def tree(self, work: Path) -> Tree:
        """An empty tree. `work` is a private directory for it."""
        ...
