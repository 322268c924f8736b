"""The scheduler's journal, with somebody who sees what is committed and may strike right then."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Protocol

from freezer_scheduler.journal import Journal


class Witness(Protocol):
    """Who is told of a journal's runs."""

    def began(self, job_id: str, run_id: str, due_at: datetime) -> None:
        """A run is in the journal."""
        ...

    def ended(self, told: Mapping[str, Any]) -> None:
        """The end of a run is in the journal."""
        ...

    def struck(self) -> None:
        """The chosen transaction is over."""
        ...


class WatchedJournal(Journal):
    """`countdown`: after so many transactions the witness is struck (0: never)."""

    def __init__(self, path: Path, witness: Witness) -> None:
        super().__init__(path)
        self._witness = witness
        self._depth = 0
        self._after_commit: Callable[[], None] | None = None
        self.countdown = 0

    def begin(self, job_id: str, run_id: str, at: datetime, due_at: datetime | None = None) -> None:
        with self._seen(lambda: self._witness.began(job_id, run_id, due_at or at)):
            super().begin(job_id, run_id, at, due_at)

    def post_end(self, kind: str, job_id: str, content: Mapping[str, Any]) -> int:
        part_of_another = self._depth > 0
        self._after_commit = lambda: self._witness.ended(content)
        try:
            return super().post_end(kind, job_id, content)
        finally:
            if not part_of_another:
                self._after_commit = None

    def post_latest(self, *words: Any, **named: Any) -> int:
        try:
            return super().post_latest(*words, **named)
        finally:
            self._after_commit = None

    @contextmanager
    def _seen(self, tell: Callable[[], None]) -> Iterator[None]:
        """What was committed counts, also if the power goes at that very moment."""
        self._after_commit = tell
        try:
            yield
        finally:
            self._after_commit = None

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        self._depth += 1
        try:
            with super()._changing() as connection:
                yield connection
        finally:
            self._depth -= 1
        if self._depth:
            return
        if self._after_commit is not None:
            tell, self._after_commit = self._after_commit, None
            tell()
        if self.countdown:
            self.countdown -= 1
            if not self.countdown:
                self._witness.struck()
