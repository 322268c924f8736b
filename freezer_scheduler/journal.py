"""What survives a restart: last runs, runs that have not ended, and reports that are not sent.

An SQLite file of the standard library: each call is one transaction, so that a kill at any moment
leaves either all of it or nothing.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from freezer_model.instants import from_epoch
from freezer_scheduler.errors import JournalUnusable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    job_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    started_at REAL NOT NULL,
    due_at REAL NOT NULL,
    unfinished INTEGER NOT NULL,
    pid INTEGER,
    pid_started TEXT
);
CREATE TABLE IF NOT EXISTS health (
    job_id TEXT PRIMARY KEY,
    since REAL NOT NULL,
    succeeded_at REAL,
    troubled INTEGER NOT NULL,
    missed INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    job_id TEXT NOT NULL,
    content TEXT NOT NULL,
    tried INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS outbox_of_job ON outbox (job_id, kind);
"""


_LATER_COLUMNS = {"run_id": "TEXT NOT NULL DEFAULT ''", "due_at": "REAL NOT NULL DEFAULT 0"}
"""What the runs of a journal lack that was made before the API kept runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """A run whose end was never written down. `pid_started` proves that `pid` is still it."""

    job_id: str
    run_id: str
    started_at: datetime
    pid: int | None
    pid_started: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a job has been: its last success if any, and whether trouble was told since."""

    succeeded_at: datetime | None
    troubled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A report on its way. `tried`: an earlier try may have arrived without our knowing."""

    number: int
    kind: str
    job_id: str
    content: Mapping[str, Any]
    tried: bool


class Journal:
    """The journal in `path` (0600, its folder 0700). Safe for use by several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or make the file. Raises JournalUnusable, which says where it should be."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(
                self._path, check_same_thread=False, isolation_level=None, timeout=30
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            _bring_up_to_date(connection)
        except (OSError, sqlite3.Error) as error:
            raise JournalUnusable(
                f"The journal {self._path} cannot be used: {error}. Choose another --state-dir."
            ) from error
        self._connection = connection

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread writes inside is one transaction: all of it is kept, or nothing.

        Whoever else uses the journal waits meanwhile. For very many small changes.
        """
        with self._changing():
            yield

    def begin(self, job_id: str, run_id: str, at: datetime, due_at: datetime | None = None) -> None:
        """A run begins that was due at `due_at`, by default now."""
        with self._changing() as change:
            change.execute(
                "INSERT OR REPLACE INTO runs (job_id, run_id, started_at, due_at, unfinished) "
                "VALUES (?, ?, ?, ?, 1)",
                (job_id, run_id, at.timestamp(), (due_at or at).timestamp()),
            )

    def first_seen(self, job_id: str, at: datetime) -> None:
        """The job, which has not run yet, is to run by its schedule from then on."""
        with self._changing() as change:
            change.execute(
                "INSERT OR IGNORE INTO runs (job_id, run_id, started_at, due_at, unfinished) "
                "VALUES (?, '', ?, ?, 0)",
                (job_id, at.timestamp(), at.timestamp()),
            )

    def agent_started(self, job_id: str, pid: int, pid_started: str | None) -> None:
        """The run's agent has this pid; `pid_started` is what the kernel says of its start."""
        with self._changing() as change:
            change.execute(
                "UPDATE runs SET pid = ?, pid_started = ? WHERE job_id = ?",
                (pid, pid_started, job_id),
            )

    def end(self, job_id: str) -> None:
        """The run has ended, and its reports are in the outbox or sent."""
        with self._changing() as change:
            change.execute(
                "UPDATE runs SET unfinished = 0, pid = NULL, pid_started = NULL WHERE job_id = ?",
                (job_id,),
            )

    def forget(self, job_id: str) -> None:
        """The job is gone."""
        with self._changing() as change:
            change.execute("DELETE FROM runs WHERE job_id = ?", (job_id,))
            change.execute("DELETE FROM health WHERE job_id = ?", (job_id,))

    def last_run_at(self, job_id: str) -> datetime | None:
        """The instant for which the job's last run was due, or else when it was first seen."""
        rows = self._rows("SELECT due_at FROM runs WHERE job_id = ?", job_id)
        return from_epoch(rows[0][0]) if rows else None

    def last_begin_at(self, job_id: str) -> datetime | None:
        """When the job's last run began."""
        rows = self._rows("SELECT started_at FROM runs WHERE job_id = ? AND run_id != ''", job_id)
        return from_epoch(rows[0][0]) if rows else None

    def note_result(self, job_id: str, at: datetime, *, succeeded: bool) -> Health:
        """Remember a result; how the job was before."""
        with self._changing() as change:
            before = self._health(change, job_id)
            row: tuple[object, ...]
            if succeeded:
                row = (job_id, at.timestamp(), at.timestamp(), 0)
            else:
                since = change.execute(
                    "SELECT since FROM health WHERE job_id = ?", (job_id,)
                ).fetchone()
                last = before.succeeded_at.timestamp() if before.succeeded_at else None
                row = (job_id, since[0] if since else at.timestamp(), last, 1)
            change.execute(
                "INSERT INTO health VALUES (?, ?, ?, ?, 0) ON CONFLICT (job_id) DO UPDATE SET "
                "since = excluded.since, succeeded_at = excluded.succeeded_at, "
                "troubled = excluded.troubled, missed = missed * excluded.troubled",
                row,
            )
        return before

    def missed(self, job_id: str, now: datetime, absence: timedelta) -> Health | None:
        """How the job was, if it now is first found without a success for that long; else None.

        A job that never succeeded counts from when it was first asked for here.
        """
        with self._changing() as change:
            change.execute(
                "INSERT OR IGNORE INTO health VALUES (?, ?, NULL, 0, 0)",
                (job_id, now.timestamp()),
            )
            found = change.execute(
                "UPDATE health SET missed = 1, troubled = 1 "
                "WHERE job_id = ? AND missed = 0 AND since <= ?",
                (job_id, (now - absence).timestamp()),
            ).rowcount
            return self._health(change, job_id) if found else None

    def unfinished(self) -> list[UnfinishedRun]:
        """The runs that an earlier life left without an end."""
        rows = self._rows(
            "SELECT job_id, run_id, started_at, pid, pid_started FROM runs WHERE unfinished = 1"
        )
        return [
            UnfinishedRun(
                job_id=row[0],
                run_id=row[1],
                started_at=from_epoch(row[2]),
                pid=row[3],
                pid_started=row[4],
            )
            for row in rows
        ]

    def post(self, kind: str, job_id: str, content: Mapping[str, Any]) -> int:
        """Keep a report until `delivered`; returns its number. Reports keep their order."""
        with self._changing() as change:
            number = change.execute(
                "INSERT INTO outbox (kind, job_id, content) VALUES (?, ?, ?)",
                (kind, job_id, json.dumps(content)),
            ).lastrowid
        return int(number or 0)

    def post_end(self, kind: str, job_id: str, content: Mapping[str, Any]) -> int:
        """Keep the report of a run's end: the job's run counts as ended from the same moment."""
        with self._changing():
            self.end(job_id)
            return self.post(kind, job_id, content)

    def post_latest(
        self,
        kind: str,
        job_id: str,
        content: Mapping[str, Any],
        join: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]],
        *,
        run_end: tuple[str, Mapping[str, Any]] | None = None,
    ) -> int:
        """Keep a report in place of an unsent one of the same kind and job, joined with that.

        With `run_end`, a report of another kind, the job's run ends and that report is kept as well,
        in the same transaction: no kill can part them.
        """
        with self._changing() as change:
            if run_end is not None:
                self.post_end(run_end[0], job_id, run_end[1])
            rows = list(
                change.execute(
                    "SELECT number, content FROM outbox WHERE kind = ? AND job_id = ?",
                    (kind, job_id),
                )
            )
            for number, former in rows:
                content = join(json.loads(former), content)
                change.execute("DELETE FROM outbox WHERE number = ?", (number,))
            return self.post(kind, job_id, content)

    def letters(self) -> list[Letter]:
        """The reports that are not sent, oldest first."""
        rows = self._rows("SELECT number, kind, job_id, content, tried FROM outbox ORDER BY number")
        return [
            Letter(
                number=row[0],
                kind=row[1],
                job_id=row[2],
                content=json.loads(row[3]),
                tried=row[4] > 0,
            )
            for row in rows
        ]

    def tried(self, number: int) -> bool:
        """A try to send it is about to begin; False if a later report has taken its place."""
        with self._changing() as change:
            found = change.execute(
                "UPDATE outbox SET tried = tried + 1 WHERE number = ?", (number,)
            ).rowcount
        return found > 0

    def delivered(self, number: int) -> None:
        """The report has arrived, or never will."""
        with self._changing() as change:
            change.execute("DELETE FROM outbox WHERE number = ?", (number,))

    def withdraw(self, kind: str, job_id: str) -> None:
        """Send no report of this kind of the job that waits."""
        with self._changing() as change:
            change.execute("DELETE FROM outbox WHERE kind = ? AND job_id = ?", (kind, job_id))

    def has_letter(self, kind: str, job_id: str) -> bool:
        """Whether a report of this kind of the job waits."""
        statement = "SELECT 1 FROM outbox WHERE kind = ? AND job_id = ? LIMIT 1"
        return bool(self._rows(statement, kind, job_id))

    def undelivered_jobs(self) -> set[str]:
        """The jobs of which the board does not know the latest state."""
        return {
            row[0] for row in self._rows("SELECT DISTINCT job_id FROM outbox WHERE kind = 'state'")
        }

    def _health(self, change: sqlite3.Connection, job_id: str) -> Health:
        row = change.execute(
            "SELECT succeeded_at, troubled FROM health WHERE job_id = ?", (job_id,)
        ).fetchone()
        if row is None:
            return Health(succeeded_at=None, troubled=False)
        succeeded_at = None if row[0] is None else from_epoch(row[0])
        return Health(succeeded_at=succeeded_at, troubled=row[1] > 0)

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with self._changing() as connection:
            return list(connection.execute(statement, values))

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._connection is None:
                raise JournalUnusable(f"The journal {self._path} is closed.")
            try:
                if self._connection.in_transaction:
                    yield self._connection
                    return
                self._connection.execute("BEGIN IMMEDIATE")
                with self._connection:
                    yield self._connection
            except sqlite3.Error as error:
                raise JournalUnusable(f"The journal {self._path} failed: {error}") from error


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make the tables, and give those of an earlier release what they lack. All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        present = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
        for name, kind in _LATER_COLUMNS.items():
            if name not in present:
                connection.execute(f"ALTER TABLE runs ADD COLUMN {name} {kind}")
        connection.execute("UPDATE runs SET due_at = started_at WHERE due_at = 0")
