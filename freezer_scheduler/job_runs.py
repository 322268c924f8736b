"""Runs the jobs that are due, and sees to what follows from how each went."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from freezer_model.clock import Clock
from freezer_model.instants import NO_INSTANT, to_epoch
from freezer_model.job import Job, JobEvent, JobResult, JobState, JobStatus
from freezer_model.job_events import after_run
from freezer_model.run import JobRun
from freezer_model.schedule import ScheduleKind
from freezer_scheduler.agent_process import TERM_GRACE_SECONDS
from freezer_scheduler.errors import CoordinationUnavailable, HeldElsewhere, JournalUnusable
from freezer_scheduler.journal import Journal, UnfinishedRun
from freezer_scheduler.known_jobs import Known, KnownJobs
from freezer_scheduler.notices import Watch
from freezer_scheduler.ownership import Ownership
from freezer_scheduler.process_tree import HostProcesses, Process
from freezer_scheduler.reports import Reports
from freezer_scheduler.run_records import Held, RunRecords
from freezer_scheduler.runner import Run, Runner, RunResult
from freezer_scheduler.timetable import Timetable

log = logging.getLogger(__name__)

_SESSION_SPREAD = timedelta(minutes=1)
"""So far from its own instant a job may join the run of its session: as long as it waits for one."""


class JobRuns:
    """The runs of the known jobs. `fire` may be called by several threads.

    `board_away` says whether the board could not be asked lately: runs begin without it then.
    """

    def __init__(
        self,
        *,
        known: KnownJobs,
        timetable: Timetable,
        runner: Runner,
        records: RunRecords,
        ownership: Ownership,
        reports: Reports,
        journal: Journal,
        watch: Watch,
        clock: Clock,
        processes: HostProcesses,
    ) -> None:
        self.board_away = False
        self._known = known
        self._timetable = timetable
        self._runner = runner
        self._records = records
        self._ownership = ownership
        self._reports = reports
        self._journal = journal
        self._watch = watch
        self._clock = clock
        self._processes = processes
        self._stopping = False

    def close(self, *, grace_seconds: float) -> None:
        """Begin none any more; end the agents that still run after the grace time; wait for all."""
        known = self._known
        with known.lock:
            self._stopping = True
            self._timetable.close()
            known.idle.wait_for(lambda: not known.running(), timeout=grace_seconds)
            for run in known.running():
                run.stop()
            known.idle.wait_for(lambda: not known.running())

    def fire(self, job_id: str) -> None:
        """The job is due: run it, and see what follows."""
        with self._known.lock:
            known = self._known.by_id.get(job_id)
            if known is None or known.run is not None or self._stopping:
                return
            if known.status is not JobStatus.SCHEDULED:
                return  # Stopped while the thread of this run began.
            run = known.run = Run()
            job = known.job
            known.status = JobStatus.RUNNING
            self._known.touch(known)
        result = RunResult(job=job, result=JobResult.FAIL, error="the run could not be begun")
        try:
            self._require_turn(job_id)
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

    def _require_turn(self, job_id: str) -> None:
        """Raises HeldElsewhere if the job has another owner by now, CoordinationUnavailable.

        Since the last tick another scheduler may have joined and have run it for this very instant.
        """
        self._ownership.refresh()
        if not self._ownership.owns(job_id):
            raise HeldElsewhere(f"another scheduler of this client owns job {job_id} now")

    def end_agents_of(self, lost: Sequence[UnfinishedRun]) -> None:
        """End what is left of the agents of an earlier life; those that do not obey are killed."""
        agents = [
            Process(pid=run.pid, started=run.pid_started)
            for run in lost
            if run.pid is not None and run.pid_started is not None
        ]
        if alive := self._processes.alive(agents):
            log.warning("The agents of an earlier life are ended")
            self._processes.end(alive, grace_seconds=TERM_GRACE_SECONDS)

    def report_lost(self, lost: UnfinishedRun) -> None:
        """The scheduler died during this run: say so."""
        log.warning("job %s: the scheduler died during its last run", lost.job_id)
        now = self._clock()
        state = JobState(
            status=JobStatus.SCHEDULED,
            result=JobResult.FAIL,
            time_started=to_epoch(lost.started_at),
            time_ended=to_epoch(now),
            error="lost: the scheduler died during the run",
        )
        ended = self._records.lost(lost, state.error, now) if lost.run_id else None
        job = Job.from_document({"job_id": lost.job_id})
        self._watch.run_ended(job, JobResult.FAIL, error=state.error)
        if ended is not None and self._records.alone_by_lock:
            # Another scheduler may have run the job since: how it stands is no longer ours to say.
            self._reports.run_end(ended)
            return
        self._reports.state(lost.job_id, state, consumed=False, ended=ended)
        self._journal.end(lost.job_id)

    def renew_leases(self) -> None:
        """Tell the board which runs go on; end one whose job another scheduler has taken."""
        with self._known.lock:
            running = [
                (known, known.run, known.record)
                for known in self._known.by_id.values()
                if known.run is not None and known.record is not None
            ]
        for known, run, record in running:
            held = self._records.renew(record)
            with self._known.lock:
                if known.run is not run or held is Held.KEPT:
                    continue
                if held is Held.TAKEN:
                    known.elsewhere = True
                    run.stop()
                else:
                    self._known.touch(known)
                    self._reports.state(known.job.job_id, known.job.state, consumed=False)

    def _run(self, known: Known, job: Job, run: Run) -> RunResult:
        started_at = self._clock()
        if not self.board_away:
            self._reports.settle_end(job.job_id)
        known.record = record = self._records.new(job, started_at)
        due_at = self._timetable.due_of_run(job.job_id)
        # Before the lease is asked for: whoever is killed in between gives it back in his next life.
        self._journal.begin(job.job_id, record.run_id, started_at, due_at)
        if not self.board_away:
            self._records.begin(record)
        log.info("job %s runs", job.job_id)
        self._show_running(job, started=to_epoch(started_at))

        def note_agent(pid: int) -> None:
            self._journal.agent_started(job.job_id, pid, self._processes.started(pid))
            self._show_running(job, started=to_epoch(started_at), pid=pid)

        result = self._runner.run(job, run, note_agent)
        if result.joined_at is not None:
            # Clocks differ: the instant that this run is for may have come after it was joined.
            self._timetable.serve(job.job_id, until=result.joined_at + _SESSION_SPREAD)
        seconds = (self._clock() - started_at).total_seconds()
        log.info("job %s ended after %.1f s: %s", job.job_id, seconds, result.result)
        return result

    def _show_running(self, job: Job, *, started: int, pid: int | None = None) -> None:
        with self._known.lock:
            known = self._known.by_id.get(job.job_id)
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
            self._known.touch(known)
            state = known.job.state
        self._reports.state(job.job_id, state, consumed=False)

    def _finish(self, known: Known, result: RunResult) -> None:
        job_id = known.job.job_id
        with self._known.lock:
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
                    self._known.arm(known)
                self._follow(known, result)
                self._journal.end(job_id)
            except JournalUnusable:
                log.exception("job %s: the end of the run was not written down", job_id)
            finally:
                known.run = None
                self._known.idle.notify_all()

    def _follow(self, known: Known, result: RunResult) -> None:
        job_id = known.job.job_id
        step = after_run(known.event, exhausted=self._is_exhausted(known))
        consumed = known.event is not JobEvent.NONE
        if step.disarm:
            self._timetable.disarm(job_id)
        known.status, known.event = step.status, JobEvent.NONE
        if step.status is JobStatus.REMOVED:
            self._known.settle(known, step, asked=False)
            return
        known.job = known.job.with_state(status=step.status, event=JobEvent.NONE)
        self._known.touch(known)
        self._reports.state(
            job_id,
            known.job.state,
            consumed=consumed,
            session_tag=known.job.session_tag if known.job.session_id else None,
            ended=self._ended(known, result),
        )
        if step.status is JobStatus.COMPLETED:
            self._known.drop(job_id)

    def _ended(self, known: Known, result: RunResult) -> JobRun | None:
        record, known.record = known.record, None
        return None if record is None else self._records.ended(record, result, self._clock())

    def _leave(self, known: Known) -> None:
        """Another scheduler runs the job now, and reports of it: say nothing, wait for the next time.

        If it holds the job's lock, the job is taken up anew when that run has ended: an instant that
        fell into it is not forgotten.
        """
        job_id = known.job.job_id
        held = self._is_held_elsewhere(job_id)
        with self._known.lock:
            known.run, known.record, known.elsewhere = None, None, False
            known.status, known.event = JobStatus.SCHEDULED, JobEvent.NONE
            with suppress(JournalUnusable):
                self._journal.end(job_id)
            if held:
                self._timetable.disarm(job_id)
            if held or self._is_exhausted(known):
                self._known.drop(job_id)
            self._known.idle.notify_all()

    def _is_held_elsewhere(self, job_id: str) -> bool:
        try:
            return self._ownership.runs_elsewhere(job_id)
        except CoordinationUnavailable:
            return False

    def _is_exhausted(self, known: Known) -> bool:
        if self._stopping:
            # The timetable is closed and knows nothing; the next life arms what repeats.
            return known.job.schedule.kind in (ScheduleKind.DATE, ScheduleKind.AT_ONCE)
        return self._timetable.next_run_at(known.job.job_id) is None
