"""Keeps the known jobs in step with the wanted ones, and carries out what follows."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from freezer_model.clock import Clock
from freezer_model.errors import FreezerError, InvalidDocument
from freezer_model.instants import NO_INSTANT, from_epoch, to_epoch
from freezer_model.job import Job, JobEvent, JobResult, JobState, JobStatus
from freezer_model.job_events import Step, after_arming, after_run, take_event
from freezer_model.run import JobRun
from freezer_model.schedule import ScheduleKind
from freezer_scheduler.agent_process import process_start
from freezer_scheduler.capabilities import refusal
from freezer_scheduler.errors import (
    BoardUnavailable,
    CoordinationUnavailable,
    HeldElsewhere,
    JournalUnusable,
)
from freezer_scheduler.job_boards.base import JobBoard
from freezer_scheduler.journal import Journal, UnfinishedRun
from freezer_scheduler.notices import Watch
from freezer_scheduler.ownership import Ownership
from freezer_scheduler.reconcile import Act, Adopt, Command, Take, plan
from freezer_scheduler.reports import Reports
from freezer_scheduler.run_records import Held, RunRecords
from freezer_scheduler.runner import Run, Runner, RunResult
from freezer_scheduler.timetable import Timetable

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """A job that we hold. `changed` counts: a listing read before it says nothing new of it."""

    job: Job
    status: JobStatus
    event: JobEvent = JobEvent.NONE
    run: Run | None = None
    record: JobRun | None = None
    elsewhere: bool = False
    missed: bool = False
    changed: int = 0
    schedule_changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What this node allows."""

    capabilities: Mapping[str, Sequence[str]] = field(default_factory=dict)
    disable_exec: bool = False
    central: bool = False
    """Whether jobs are those of users who do not own this host."""


class Poller:
    """All jobs of this node. `tick` and `fire` may be called by several threads."""

    def __init__(
        self,
        *,
        board: JobBoard,
        reports: Reports,
        journal: Journal,
        runner: Runner,
        records: RunRecords,
        ownership: Ownership,
        watch: Watch,
        clock: Clock,
        rules: Rules,
        timetable_of: Callable[[Callable[[str], None]], Timetable],
    ) -> None:
        self.rules = rules
        self._board = board
        self._reports = reports
        self._journal = journal
        self._runner = runner
        self._records = records
        self._ownership = ownership
        self._watch = watch
        self._clock = clock
        self._timetable = timetable_of(self.fire)
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._known: dict[str, _Known] = {}
        self._settled: dict[str, int] = {}
        self._refused: dict[str, tuple[Rules, Mapping[str, Any]]] = {}
        self._changes = 0
        self._away = False
        self._unowned = False
        self._registered = False
        self._stopping = False

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Account for the runs that an earlier life left, then begin to fire."""
        for lost in self._journal.unfinished():
            self._report_lost(lost)
        self._learn_owners()
        self._timetable.start()

    def close(self, *, grace_seconds: float) -> None:
        """Fire no more; end the agents that still run after the grace time; report all results."""
        with self._lock:
            self._stopping = True
            self._timetable.close()
            self._idle.wait_for(lambda: not self._running(), timeout=grace_seconds)
            for run in self._running():
                run.abort()
            self._idle.wait_for(lambda: not self._running())
        self._reports.deliver()
        self._ownership.close()

    def tick(self) -> None:
        """Read what is wanted once, and act on it. A board that is away changes nothing."""
        self._reports.deliver()
        with self._lock:
            read_at = self._changes
            pending = self._reports.undelivered_jobs()
        try:
            if not self._registered:
                self._board.register()
                self._registered = True
            documents = self._board.wanted()
        except BoardUnavailable as error:
            self._note_away(str(error))
            return
        except FreezerError as error:
            log.error("The API refuses this client: %s", error)  # noqa: TRY400  # no trace needed
            self._registered = True
            return
        self._note_away("")
        self._renew_leases()
        self._learn_owners()
        with self._lock:
            self._settled = {j: n for j, n in self._settled.items() if n > read_at}
            for command in self._plan(self._own(documents), read_at, pending):
                self._carry_out(command)
            for known in list(self._known.values()):
                if known.missed and not self._unowned:
                    known.missed = False
                    self._arm(known)
            jobs = [known.job for known in self._known.values()]
        self._watch.look(jobs)

    def fire(self, job_id: str) -> None:
        """The job is due: run it, and see what follows."""
        with self._lock:
            known = self._known.get(job_id)
            if known is None or known.run is not None or self._stopping:
                return
            run = known.run = Run()
            job = known.job
            known.status = JobStatus.RUNNING
            self._touch(known)
        result = RunResult(job=job, result=JobResult.FAIL, error="the run could not be begun")
        try:
            with self._ownership.running(job_id):
                result = self._run(known, job, run)
        except (HeldElsewhere, CoordinationUnavailable) as error:
            log.info("job %s is not run here: %s", job_id, error)
            known.elsewhere = True
            known.missed = isinstance(error, CoordinationUnavailable)
        except Exception as error:
            # Whatever it was, it must not leave the job running for ever.
            log.exception("job %s: the run broke", job_id)
            result = replace(result, error=f"the scheduler failed: {error}")
        finally:
            if known.elsewhere:
                self._leave(known)
            else:
                self._finish(known, result)
                self._watch.run_ended(
                    known.job, result.result, error=result.error, exit_code=result.exit_code
                )

    # -- whose they are --------------------------------------------------------------------------

    def _learn_owners(self) -> None:
        try:
            self._ownership.refresh()
        except CoordinationUnavailable as error:
            if not self._unowned:
                log.warning("No run begins and no job is taken up: %s", error)
            self._unowned = True
            return
        if self._unowned:
            log.info("The other schedulers of this client can be told again")
        self._unowned = False

    def _own(self, documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The documents of the jobs that are ours, or that run here."""
        return [document for document in documents if self._is_own(document)]

    def _is_own(self, document: Mapping[str, Any]) -> bool:
        job_id = str(document.get("job_id"))
        known = self._known.get(job_id)
        if known is not None and (known.run is not None or self._unowned):
            return True
        if not self._ownership.owns(job_id):
            return False
        schedule = document.get("job_schedule")
        seems_running = isinstance(schedule, Mapping) and schedule.get("status") == "running"
        if known is not None or not seems_running:
            return True
        try:
            # Its former owner still runs it, and will report of it.
            return not self._ownership.runs_elsewhere(job_id)
        except CoordinationUnavailable:
            return False

    # -- what is wanted --------------------------------------------------------------------------

    def _plan(
        self, documents: Sequence[Mapping[str, Any]], read_at: int, pending: set[str]
    ) -> list[Command]:
        # A job that changed here since the listing was asked for, or whose change the board does
        # not know yet, is left for the next tick: what was read of it is old.
        fresh = {
            job_id: known.job
            for job_id, known in self._known.items()
            if known.changed <= read_at and job_id not in pending
        }
        skipped = (self._known.keys() - fresh.keys()) | self._settled.keys() | pending
        wanted = []
        refused, self._refused = self._refused, {}
        for document in documents:
            job_id = str(document.get("job_id"))
            judged = (self.rules, document)
            if job_id in skipped or refused.get(job_id) == judged:
                # A job that was refused stands as it was where the board does not take our word.
                if job_id in refused:
                    self._refused[job_id] = refused[job_id]
            elif (job := self._checked(job_id, document)) is not None:
                wanted.append(job)
            else:
                self._refused[job_id] = judged
                fresh.pop(job_id, None)
        return plan(wanted, fresh)

    def _checked(self, job_id: str, document: Mapping[str, Any]) -> Job | None:
        """The job, or None after it was told why this node does not run it."""
        try:
            job = Job.from_document(document)
        except InvalidDocument as error:
            self._refuse(job_id, f"the job is broken: {error}")
            return None
        rules = self.rules
        if reason := refusal(
            job, rules.capabilities, disable_exec=rules.disable_exec, central=rules.central
        ):
            self._refuse(job_id, reason)
            return None
        return job

    def _refuse(self, job_id: str, reason: str) -> None:
        """This job has failed; all others go on."""
        known = self._known.get(job_id)
        if known is not None and known.run is not None:
            return  # It is told so when its run has ended.
        log.error("job %s is not run: %s", job_id, reason)
        self._timetable.disarm(job_id)
        self._drop(job_id)
        now = to_epoch(self._clock())
        state = JobState(
            status=JobStatus.COMPLETED, result=JobResult.FAIL, time_ended=now, error=reason
        )
        self._reports.state(job_id, state, consumed=True)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Take(job=job, event=event):
                log.info("job %s is new: %s", job.job_id, job.description or "no description")
                known = _Known(job=job, status=JobStatus.STOP)
                self._known[job.job_id] = known
                self._act(known, event, asked=job.state.event is not JobEvent.NONE)
            case Adopt(job=job, schedule_changed=changed):
                self._adopt(self._known[job.job_id], job, schedule_changed=changed)
            case Act(job_id=job_id, event=event):
                self._act(self._known[job_id], event)

    def _adopt(self, known: _Known, job: Job, *, schedule_changed: bool) -> None:
        log.info("job %s was edited", job.job_id)
        # The runtime keys are ours: the document's may be older.
        known.job = replace(job, state=known.job.state)
        if not schedule_changed:
            return
        if known.run is not None:
            known.schedule_changed = True
        elif known.status is JobStatus.SCHEDULED:
            self._arm(known)
            self._settle(known, Step(status=known.status, push=True), asked=False)

    def _act(self, known: _Known, event: JobEvent, *, asked: bool = True) -> None:
        """Take the event; `asked`: it stands at the board, and is taken away there too."""
        if known.event is event and known.run is not None:
            return  # Remembered already.
        step = take_event(known.status, event)
        job_id = known.job.job_id
        if event is not JobEvent.START or known.status is not JobStatus.STOP:
            log.info("job %s: %s requested", job_id, event)
        known.event = step.event
        known.status = step.status
        if step.end_agent and known.run is not None:
            known.run.abort()
        if step.disarm:
            self._timetable.disarm(job_id)
        if step.arm:
            self._arm(known)
        self._settle(known, step, asked=asked)

    def _arm(self, known: _Known) -> None:
        job = known.job
        try:
            due = self._timetable.arm(job.job_id, job.schedule, self._last_run_at(job))
        except InvalidDocument as error:
            self._refuse(job.job_id, f"the job is broken: {error}")
            return
        known.status = after_arming(armed=due is not None)
        known.job = job.with_state(status=known.status)
        if due is None:
            log.info("job %s will never be due", job.job_id)
        else:
            log.info("job %s is due at %s", job.job_id, due.astimezone().isoformat(" ", "seconds"))

    def _last_run_at(self, job: Job) -> datetime | None:
        """The journal knows it, or else the document: another scheduler may have run the job."""
        try:
            known = self._journal.last_run_at(job.job_id)
        except JournalUnusable as error:
            log.warning("job %s: its last run is not known: %s", job.job_id, error)
            known = None
        started = job.state.time_started
        if known is None and 0 < started <= to_epoch(self._clock()):
            return from_epoch(started)
        return known

    def _settle(self, known: _Known, step: Step, *, asked: bool) -> None:
        """Tell the board, and forget the job if nothing more is due."""
        job_id = known.job.job_id
        if job_id not in self._known:
            return  # Refused while it was armed.
        if known.status is JobStatus.REMOVED:
            log.info("job %s is gone", job_id)
            self._drop(job_id)
            self._journal.forget(job_id)
            return
        if step.push:
            self._push(known, asked=asked)
        if known.status is JobStatus.COMPLETED:
            self._drop(job_id)

    def _push(self, known: _Known, *, asked: bool) -> None:
        state = replace(known.job.state, status=known.status, event=known.event)
        known.job = replace(known.job, state=state)
        self._touch(known)
        # One that came since the listing was read is still to be seen.
        consumed = asked and known.event is JobEvent.NONE
        self._reports.state(known.job.job_id, state, consumed=consumed)

    def _touch(self, known: _Known) -> None:
        self._changes += 1
        known.changed = self._changes

    def _drop(self, job_id: str) -> None:
        self._changes += 1
        self._known.pop(job_id, None)
        self._settled[job_id] = self._changes

    # -- runs ------------------------------------------------------------------------------------

    def _run(self, known: _Known, job: Job, run: Run) -> RunResult:
        started_at = self._clock()
        record = self._records.begin(job, started_at, away=self._away)
        known.record = record
        due_at = self._timetable.due_of_run(job.job_id)
        self._journal.begin(job.job_id, record.run_id, started_at, due_at)
        log.info("job %s runs", job.job_id)
        self._show_running(job, started=to_epoch(started_at))

        def note_agent(pid: int) -> None:
            self._journal.agent_started(job.job_id, pid, process_start(pid))
            self._show_running(job, started=to_epoch(started_at), pid=pid)

        result = self._runner.run(job, run, note_agent)
        seconds = (self._clock() - started_at).total_seconds()
        log.info("job %s ended after %.1f s: %s", job.job_id, seconds, result.result)
        return result

    def _show_running(self, job: Job, *, started: int, pid: int | None = None) -> None:
        with self._lock:
            known = self._known.get(job.job_id)
            if known is None:
                return
            known.job = known.job.with_state(
                status=JobStatus.RUNNING,
                result=JobResult.NONE,
                time_started=started,
                time_ended=NO_INSTANT,
                current_pid=pid,
                exit_code=None,
                error="",
            )
            self._touch(known)
            state = known.job.state
        self._reports.state(job.job_id, state, consumed=False)

    def _finish(self, known: _Known, result: RunResult) -> None:
        job_id = known.job.job_id
        with self._lock:
            known.job = replace(known.job, session_tag=result.job.session_tag).with_state(
                result=result.result,
                time_ended=to_epoch(self._clock()),
                current_pid=None,
                exit_code=result.exit_code,
                error=result.error,
            )
            try:
                if known.schedule_changed and known.event is JobEvent.NONE:
                    known.schedule_changed = False
                    self._arm(known)
                self._follow(known, result)
                self._journal.end(job_id)
            except JournalUnusable:
                log.exception("job %s: the end of the run was not written down", job_id)
            finally:
                known.run = None
                self._idle.notify_all()

    def _follow(self, known: _Known, result: RunResult) -> None:
        job_id = known.job.job_id
        step = after_run(known.event, exhausted=self._is_exhausted(known))
        consumed = known.event is not JobEvent.NONE
        if step.disarm:
            self._timetable.disarm(job_id)
        known.status, known.event = step.status, JobEvent.NONE
        if step.status is JobStatus.REMOVED:
            self._settle(known, step, asked=False)
            return
        known.job = known.job.with_state(status=step.status, event=JobEvent.NONE)
        self._touch(known)
        self._reports.state(
            job_id,
            known.job.state,
            consumed=consumed,
            session_tag=known.job.session_tag if known.job.session_id else None,
            ended=self._ended(known, result),
        )
        if step.status is JobStatus.COMPLETED:
            self._drop(job_id)

    def _ended(self, known: _Known, result: RunResult) -> JobRun | None:
        record, known.record = known.record, None
        return None if record is None else self._records.ended(record, result, self._clock())

    def _leave(self, known: _Known) -> None:
        """Another scheduler runs the job now, and reports of it: say nothing, wait for the next time."""
        with self._lock:
            job_id = known.job.job_id
            known.run, known.record, known.elsewhere = None, None, False
            known.status, known.event = JobStatus.SCHEDULED, JobEvent.NONE
            with suppress(JournalUnusable):
                self._journal.end(job_id)
            if self._is_exhausted(known):
                self._drop(job_id)
            self._idle.notify_all()

    def _renew_leases(self) -> None:
        """Tell the board which runs go on; end one whose job another scheduler has taken."""
        with self._lock:
            running = [
                (known, known.run, known.record)
                for known in self._known.values()
                if known.run is not None and known.record is not None
            ]
        for known, run, record in running:
            held = self._records.renew(record)
            with self._lock:
                if known.run is not run or held is Held.KEPT:
                    continue
                if held is Held.TAKEN:
                    known.elsewhere = True
                    run.abort()
                else:
                    self._touch(known)
                    self._reports.state(known.job.job_id, known.job.state, consumed=False)

    def _is_exhausted(self, known: _Known) -> bool:
        if self._stopping:
            # The timetable is closed and knows nothing; the next life arms what repeats.
            return known.job.schedule.kind in (ScheduleKind.DATE, ScheduleKind.AT_ONCE)
        return self._timetable.next_run_at(known.job.job_id) is None

    def _report_lost(self, lost: UnfinishedRun) -> None:
        """The scheduler died during this run: end what is left of it and say so."""
        if lost.pid is not None and process_start(lost.pid) == lost.pid_started is not None:
            log.warning("job %s: its agent of an earlier life is ended", lost.job_id)
            _end_group(lost.pid)
        log.warning("job %s: the scheduler died during its last run", lost.job_id)
        now = self._clock()
        state = JobState(
            status=JobStatus.SCHEDULED,
            result=JobResult.FAIL,
            time_started=to_epoch(lost.started_at),
            time_ended=to_epoch(now),
            error="lost: the scheduler died during the run",
        )
        ended = self._records.lost(lost, state.error, now)
        job = Job.from_document({"job_id": lost.job_id})
        self._watch.run_ended(job, JobResult.FAIL, error=state.error)
        self._reports.state(lost.job_id, state, consumed=False, ended=ended)

    def _running(self) -> list[Run]:
        return [known.run for known in self._known.values() if known.run is not None]

    def _note_away(self, reason: str) -> None:
        if reason and not self._away:
            log.warning("Jobs cannot be read; those that are known go on: %s", reason)
        elif self._away and not reason:
            log.info("Jobs can be read again")
        self._away = bool(reason)


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError):
        log.info("Process group %d has ended already", pid)
