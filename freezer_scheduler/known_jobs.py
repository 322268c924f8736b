"""The jobs that a scheduler holds, and what the board and the timetable are told of them."""

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from freezer_model.clock import Clock
from freezer_model.errors import InvalidDocument
from freezer_model.instants import from_epoch, to_epoch
from freezer_model.job import Job, JobEvent, JobResult, JobState, JobStatus
from freezer_model.job_events import Step, after_arming
from freezer_model.run import JobRun
from freezer_model.schedule import ScheduleKind
from freezer_scheduler.errors import JournalUnusable
from freezer_scheduler.journal import Journal
from freezer_scheduler.reports import Reports
from freezer_scheduler.runner import Run
from freezer_scheduler.timetable import Threads, Timetable

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Known:
    """A job that we hold. `changed` counts: a listing read before it says nothing new of it.

    `told` is how the board said that the job stands, until we tell it something else.
    """

    job: Job
    status: JobStatus
    event: JobEvent = JobEvent.NONE
    run: Run | None = None
    record: JobRun | None = None
    elsewhere: bool = False
    missed: bool = False
    changed: int = 0
    schedule_changed: bool = False
    told: JobState | None = None


class KnownJobs:
    """The table of them. Whoever reads or changes it holds its `lock`; `idle` tells of ended runs.

    `changes` counts them; `settled` has the jobs that were dropped, and at which count.
    """

    def __init__(
        self,
        *,
        timetable: Timetable,
        reports: Reports,
        journal: Journal,
        clock: Clock,
        threads: Threads,
    ) -> None:
        self.lock = threading.RLock()
        self.idle = threads.condition(self.lock)
        self.by_id: dict[str, Known] = {}
        self.settled: dict[str, int] = {}
        self.changes = 0
        self._timetable = timetable
        self._reports = reports
        self._journal = journal
        self._clock = clock

    def arm(self, known: Known) -> None:
        """Put the job into the timetable; one that cannot be is refused."""
        job = known.job
        last = self._last_run_at(job)
        try:
            due = self._timetable.arm(job.job_id, job.schedule, last)
        except InvalidDocument as error:
            self.refuse(job.job_id, f"the job is broken: {error}")
            return
        if last is None and job.schedule.kind in {ScheduleKind.CRON, ScheduleKind.INTERVAL}:
            # Else a first run that this host is down for would be forgotten.
            with suppress(JournalUnusable):
                self._journal.first_seen(job.job_id, self._clock())
        known.status = after_arming(armed=due is not None)
        known.job = job.with_state(status=known.status)
        if due is None:
            log.info("job %s will never be due", job.job_id)
        else:
            log.info("job %s is due at %s", job.job_id, due.astimezone().isoformat(" ", "seconds"))

    def settle(self, known: Known, step: Step, *, asked: bool) -> None:
        """Tell the board, and forget the job if nothing more is due."""
        job_id = known.job.job_id
        if job_id not in self.by_id:
            return  # Refused while it was armed.
        if known.status is JobStatus.REMOVED:
            log.info("job %s is gone", job_id)
            self.drop(job_id)
            self._journal.forget(job_id)
            return
        if step.push:
            self.push(known, asked=asked)
        if known.status is JobStatus.COMPLETED:
            self.drop(job_id)

    def push(self, known: Known, *, asked: bool) -> None:
        """Tell the board where the job stands; `asked`: its event is taken away there too."""
        state = replace(known.job.state, status=known.status, event=known.event)
        known.job = replace(known.job, state=state)
        if state == known.told:
            return  # After a restart most jobs stand as they did.
        self.touch(known)
        # One that came since the listing was read is still to be seen.
        consumed = asked and known.event is JobEvent.NONE
        self._reports.state(known.job.job_id, state, consumed=consumed)

    def refuse(self, job_id: str, reason: str) -> None:
        """This job has failed; all others go on."""
        known = self.by_id.get(job_id)
        if known is not None and known.run is not None:
            return  # It is told so when its run has ended.
        log.error("job %s is not run: %s", job_id, reason)
        self._timetable.disarm(job_id)
        self.drop(job_id)
        now = to_epoch(self._clock())
        state = JobState(
            status=JobStatus.COMPLETED, result=JobResult.FAIL, time_ended=now, error=reason
        )
        self._reports.state(job_id, state, consumed=True)

    def touch(self, known: Known) -> None:
        """What was read of the job before now is old."""
        self.changes += 1
        known.changed = self.changes
        known.told = None

    def drop(self, job_id: str) -> None:
        """Hold the job no more."""
        self.changes += 1
        self.by_id.pop(job_id, None)
        self.settled[job_id] = self.changes

    def running(self) -> list[Run]:
        """The runs that go on."""
        return [known.run for known in self.by_id.values() if known.run is not None]

    def _last_run_at(self, job: Job) -> datetime | None:
        """The journal knows it, unless the document tells of a later run, by another scheduler."""
        try:
            known = self._journal.last_run_at(job.job_id)
            begun_at = self._journal.last_begin_at(job.job_id)
        except JournalUnusable as error:
            log.warning("job %s: its last run is not known: %s", job.job_id, error)
            known = begun_at = None
        started = job.state.time_started
        latest = 0 if begun_at is None else to_epoch(begun_at)
        if latest < started <= to_epoch(self._clock()):
            return from_epoch(started)
        return known
