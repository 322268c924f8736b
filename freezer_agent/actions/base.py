"""What an action is: one thing that a user can ask, and the report about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows for a person to read, one cell per column."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done. `document` is the JSON for programs; without a `table` people see it too.

    `failures` are parts that could not be done although others were: the exit code tells of them.
    """

    document: Mapping[str, Any]
    table: Table | None = None
    warnings: Sequence[str] = field(default_factory=tuple)
    failures: Sequence[str] = field(default_factory=tuple)


class Action(Protocol):
    """One thing that a user can ask."""

    def run(self) -> Report:
        """Do it. An AgentError says why it could not be done; nothing half done is left."""
        ...


class Progress(Protocol):
    """Somebody who watches bytes go by."""

    def follow(self, count_files: Callable[[], int]) -> None:
        """From now on that many files are done whenever asked."""
        ...

    def add(self, size_bytes: int) -> None:
        """So many bytes more have passed. May be called from another thread."""
        ...

    def expect(self, size_bytes: int | None) -> None:
        """So many bytes will pass in all; None if nobody knows."""
        ...

    def stored(self, storage: str, size_bytes: int) -> None:
        """One of several storages has taken so many bytes more. Called from its own thread."""
        ...


class Unwatched:
    """Nobody watches."""

    def follow(self, count_files: Callable[[], int]) -> None:
        """Nothing is done with it."""

    def add(self, size_bytes: int) -> None:
        """Nothing is done with it."""

    def expect(self, size_bytes: int | None) -> None:
        """Nothing is done with it."""

    def stored(self, storage: str, size_bytes: int) -> None:
        """Nothing is done with it."""
