"""Keeps the known jobs in step with the wanted ones, and carries out what follows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from freezer_model.clock import Clock
from freezer_model.errors import FreezerError, InvalidDocument
from freezer_model.job import Job, JobEvent, JobResult, JobStatus
from freezer_model.job_events import Step, take_event
from freezer_scheduler.capabilities import refusal
from freezer_scheduler.errors import (
    BoardUnavailable,
    CoordinationUnavailable,
    JournalUnusable,
)
from freezer_scheduler.job_boards.base import JobBoard
from freezer_scheduler.job_runs import JobRuns
from freezer_scheduler.journal import Journal
from freezer_scheduler.known_jobs import Known, KnownJobs
from freezer_scheduler.node_policy import ANYTHING, NodePolicy
from freezer_scheduler.notices import Watch
from freezer_scheduler.ownership import Ownership
from freezer_scheduler.process_tree import HostProcesses
from freezer_scheduler.reconcile import Act, Adopt, Command, Take, plan
from freezer_scheduler.reports import Reports
from freezer_scheduler.run_records import RunRecords
from freezer_scheduler.runner import Runner
from freezer_scheduler.timetable import Threads, Timetable

log = logging.getLogger(__name__)


_MANY = 20
_TOGETHER = 500
"""So many commands are one transaction of the journal, which others wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a plan depends on. Documents that did not change are the same objects."""

    documents: list[Mapping[str, Any]]
    changes: int
    rules: "Rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What this node allows."""

    capabilities: Mapping[str, Sequence[str]] = field(default_factory=dict)
    disable_exec: bool = False
    policy: NodePolicy = ANYTHING
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
        threads: Threads | None = None,
        processes: HostProcesses | None = None,
    ) -> None:
        self.rules = rules
        self._board = board
        self._reports = reports
        self._journal = journal
        self._ownership = ownership
        self._watch = watch
        self._timetable = timetable_of(self.fire)
        self._known = KnownJobs(
            timetable=self._timetable,
            reports=reports,
            journal=journal,
            clock=clock,
            threads=threads or Threads(),
        )
        self._runs = JobRuns(
            known=self._known,
            timetable=self._timetable,
            runner=runner,
            records=records,
            ownership=ownership,
            reports=reports,
            journal=journal,
            watch=watch,
            clock=clock,
            processes=processes or HostProcesses(),
        )
        self._refused: dict[str, tuple[Rules, Mapping[str, Any]]] = {}
        self._settled: _Seen | None = None
        """When there was nothing to do."""
        self._unowned = False
        self._registered = False

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Account for the runs that an earlier life left, then begin to fire."""
        unfinished = self._journal.unfinished()
        self._runs.end_agents_of(unfinished)
        for lost in unfinished:
            self._runs.report_lost(lost)
        self._learn_owners()
        self._timetable.start()

    def close(self, *, grace_seconds: float) -> None:
        """Fire no more; end the agents that still run after the grace time; report all results."""
        self._runs.close(grace_seconds=grace_seconds)
        self._reports.deliver()
        self._ownership.close()

    def tick(self) -> float | None:
        """Read what is wanted once, and act on it. A board that is away changes nothing.

        Returns after how many seconds the board wants to be asked again, if it said so.
        """
        self._reports.deliver_some()
        with self._known.lock:
            read_at = self._known.changes
            pending = self._reports.undelivered_jobs()
        try:
            if not self._registered:
                self._board.register()
                self._registered = True
            documents = self._board.wanted()
        except BoardUnavailable as error:
            self._note_away(str(error))
            return error.retry_after_seconds
        except FreezerError as error:
            log.error("The API refuses this client: %s", error)  # noqa: TRY400  # no trace needed
            self._registered = True
            return None
        self._note_away("")
        self._runs.renew_leases()
        self._learn_owners()
        with self._known.lock:
            self._known.settled = {j: n for j, n in self._known.settled.items() if n > read_at}
            self._follow(self._own(documents), read_at, pending)
            for known in list(self._known.by_id.values()):
                if known.missed and not self._unowned:
                    known.missed = False
                    self._known.arm(known)
            jobs = [known.job for known in self._known.by_id.values()]
        self._watch.look(jobs)
        self._board.keep_copies()
        return None

    def fire(self, job_id: str) -> None:
        """The job is due: run it, and see what follows."""
        self._runs.fire(job_id)

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
        known = self._known.by_id.get(job_id)
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

    def _follow(self, documents: list[Mapping[str, Any]], read_at: int, pending: set[str]) -> None:
        """Do what is wanted. Where nothing changed since the last time that is nothing."""
        seen = _Seen(documents=documents, changes=self._known.changes, rules=self.rules)
        if not pending and seen == self._settled:
            return
        commands = self._plan(documents, read_at, pending)
        if len(commands) < _MANY:
            for command in commands:
                self._carry_out(command)
        else:
            for start in range(0, len(commands), _TOGETHER):
                self._carry_out_together(commands[start : start + _TOGETHER])
        nothing_to_do = not commands and not pending and seen.changes == self._known.changes
        self._settled = seen if nothing_to_do else None

    def _carry_out_together(self, commands: Sequence[Command]) -> None:
        """Each by itself would be a transaction of the journal: thousands of them take long."""
        try:
            with self._reports.together():
                for command in commands:
                    self._carry_out(command)
        except JournalUnusable as error:
            log.warning("The reports of %d jobs could not be kept: %s", len(commands), error)
            # Whoever was refused is told so again, and all others now, one by one.
            self._refused.clear()
            for command in commands:
                job_id = command.job_id if isinstance(command, Act) else command.job.job_id
                known = self._known.by_id.get(job_id)
                if known is not None and known.run is None:
                    self._known.push(known, asked=not isinstance(command, Adopt))

    # -- what is wanted --------------------------------------------------------------------------

    def _plan(
        self, documents: Sequence[Mapping[str, Any]], read_at: int, pending: set[str]
    ) -> list[Command]:
        # A job that changed here since the listing was asked for, or whose change the board does
        # not know yet, is left for the next tick: what was read of it is old.
        fresh = {
            job_id: known.job
            for job_id, known in self._known.by_id.items()
            if known.changed <= read_at and job_id not in pending
        }
        skipped = (self._known.by_id.keys() - fresh.keys()) | self._known.settled.keys() | pending
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
            self._known.refuse(job_id, f"the job is broken: {error}")
            return None
        rules = self.rules
        if reason := refusal(
            job,
            rules.capabilities,
            disable_exec=rules.disable_exec,
            central=rules.central,
            policy=rules.policy,
        ):
            self._known.refuse(job_id, reason)
            return None
        return job

    def _carry_out(self, command: Command) -> None:
        match command:
            case Take(job=job, event=event):
                log.info("job %s is new: %s", job.job_id, job.description or "no description")
                known = Known(job=_accounted(job), status=JobStatus.STOP, told=job.state)
                self._known.by_id[job.job_id] = known
                self._act(known, event, asked=job.state.event is not JobEvent.NONE)
            case Adopt(job=job, schedule_changed=changed):
                self._adopt(self._known.by_id[job.job_id], job, schedule_changed=changed)
            case Act(job_id=job_id, event=event):
                self._act(self._known.by_id[job_id], event)

    def _adopt(self, known: Known, job: Job, *, schedule_changed: bool) -> None:
        log.info("job %s was edited", job.job_id)
        # The runtime keys are ours: the document's may be older.
        known.job = replace(job, state=known.job.state)
        if not schedule_changed:
            return
        if known.run is not None:
            known.schedule_changed = True
        elif known.status is JobStatus.SCHEDULED:
            self._known.arm(known)
            self._known.settle(known, Step(status=known.status, push=True), asked=False)

    def _act(self, known: Known, event: JobEvent, *, asked: bool = True) -> None:
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
            self._known.arm(known)
        self._known.settle(known, step, asked=asked)

    def _note_away(self, reason: str) -> None:
        if reason and not self._runs.board_away:
            log.warning("Jobs cannot be read; those that are known go on: %s", reason)
        elif self._runs.board_away and not reason:
            log.info("Jobs can be read again")
        self._runs.board_away = bool(reason)


def _accounted(job: Job) -> Job:
    """The job that is taken up; one that seems to run was left so by a scheduler that died."""
    if job.state.status is not JobStatus.RUNNING:
        return job
    return job.with_state(result=JobResult.FAIL, error="lost: the scheduler died during the run")
