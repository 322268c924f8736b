"""Tells somebody when a job fails, succeeds again, or has not succeeded for too long.

What a job's last results were is kept in the journal, so that a restart neither repeats a notice
nor forgets one. Notices are sent by a thread of their own: a mail server that hangs holds up no job.
"""

import logging
import queue
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from freezer_model.clock import Clock
from freezer_model.job import Job, JobResult
from freezer_model.schedule import ScheduleKind
from freezer_scheduler.errors import JournalUnusable, NoticeFailed
from freezer_scheduler.journal import Health, Journal

log = logging.getLogger(__name__)

_MOST_WAITING = 1000
_TRIES = 3
_CLOSE_SECONDS = 10.0


class Occasion(StrEnum):
    """Why somebody is told."""

    FAILURE = "failure"
    RECOVERY = "recovery"
    ABSENCE = "absence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is told. Times are ISO 8601 with a zone, or empty."""

    occasion: Occasion
    host: str
    client_id: str
    job_id: str
    description: str
    result: str
    error: str
    exit_code: int | None
    at: str
    last_success_at: str

    def to_document(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)

    @property
    def headline(self) -> str:
        """One line for people."""
        name = self.description or self.job_id
        match self.occasion:
            case Occasion.FAILURE:
                return f"Backup job {name!r} failed on {self.host}"
            case Occasion.RECOVERY:
                return f"Backup job {name!r} succeeded again on {self.host}"
            case Occasion.ABSENCE:
                since = self.last_success_at or "it was first seen"
                return f"Backup job {name!r} on {self.host} has not succeeded since {since}"


class Channel(Protocol):
    """A way to tell somebody."""

    def send(self, notice: Notice) -> None:
        """Tell it. Raises NoticeFailed."""
        ...


class Watch(Protocol):
    """Who looks at how jobs go."""

    def run_ended(
        self, job: Job, result: JobResult, *, error: str = "", exit_code: int | None = None
    ) -> None:
        """A run has ended so."""
        ...

    def look(self, jobs: Iterable[Job]) -> None:
        """These are the jobs that are known now."""
        ...


class Unwatched:
    """Nobody wants to be told."""

    def run_ended(
        self, job: Job, result: JobResult, *, error: str = "", exit_code: int | None = None
    ) -> None:
        """Nothing is told."""

    def look(self, jobs: Iterable[Job]) -> None:
        """Nothing is told."""


class Notifier:
    """Decides what is worth a notice and hands it to every channel."""

    def __init__(
        self,
        *,
        journal: Journal,
        channels: Sequence[Channel],
        occasions: frozenset[Occasion],
        absence: timedelta | None,
        host: str,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._channels = channels
        self._occasions = occasions
        self._absence = absence
        self._host = host
        self._clock = clock
        self._waiting: queue.Queue[Notice | None] = queue.Queue(_MOST_WAITING)
        self._sender: threading.Thread | None = None

    def run_ended(
        self, job: Job, result: JobResult, *, error: str = "", exit_code: int | None = None
    ) -> None:
        """Tell a failure, and the first success after one. An aborted run is neither."""
        if result not in {JobResult.SUCCESS, JobResult.FAIL}:
            return
        now = self._clock()
        succeeded = result is JobResult.SUCCESS
        try:
            before = self._journal.note_result(job.job_id, now, succeeded=succeeded)
        except JournalUnusable as unusable:
            log.warning("job %s: its result is not remembered: %s", job.job_id, unusable)
            return
        occasion = Occasion.FAILURE if not succeeded else Occasion.RECOVERY
        if succeeded and not before.troubled:
            return
        self._tell(self._notice(occasion, job, result, before, now), error, exit_code)

    def look(self, jobs: Iterable[Job]) -> None:
        """Tell of repeated jobs that have had no success for too long, once until they have one."""
        if self._absence is None:
            return
        now = self._clock()
        for job in jobs:
            if job.schedule.kind in {ScheduleKind.DATE, ScheduleKind.AT_ONCE}:
                continue
            try:
                if (health := self._journal.missed(job.job_id, now, self._absence)) is not None:
                    self._tell(self._notice(Occasion.ABSENCE, job, job.state.result, health, now))
            except JournalUnusable as unusable:
                log.warning("job %s: its last success is not known: %s", job.job_id, unusable)

    def close(self) -> None:
        """Send what waits, for ten seconds at most."""
        if self._sender is not None:
            with suppress(queue.Full):
                self._waiting.put_nowait(None)
            self._sender.join(_CLOSE_SECONDS)

    def _notice(
        self, occasion: Occasion, job: Job, result: JobResult, health: Health, now: datetime
    ) -> Notice:
        succeeded_at = health.succeeded_at
        return Notice(
            occasion=occasion,
            host=self._host,
            client_id=job.client_id,
            job_id=job.job_id,
            description=job.description,
            result=str(result),
            error="",
            exit_code=None,
            at=now.isoformat(timespec="seconds"),
            last_success_at="" if succeeded_at is None else succeeded_at.isoformat(),
        )

    def _tell(self, notice: Notice, error: str = "", exit_code: int | None = None) -> None:
        if notice.occasion not in self._occasions:
            return
        notice = replace(notice, error=error, exit_code=exit_code)
        if self._sender is None:
            self._sender = threading.Thread(
                target=self._send_all, name="freezer-notices", daemon=True
            )
            self._sender.start()
        try:
            self._waiting.put_nowait(notice)
        except queue.Full:
            log.error("Nobody is told that %s: too many notices wait", notice.headline)  # noqa: TRY400  # no trace needed

    def _send_all(self) -> None:
        while (notice := self._waiting.get()) is not None:
            for channel in self._channels:
                self._send(channel, notice)

    def _send(self, channel: Channel, notice: Notice) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                channel.send(notice)
            except NoticeFailed as error:
                log.warning("Attempt %d to tell of job %s: %s", attempt, notice.job_id, error)
            else:
                return
        log.error("Nobody was told: %s", notice.headline)
