"""Runs one job: session, actions in order with retries, and always a result."""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from freezer_model.clock import Clock
from freezer_model.errors import FreezerError
from freezer_model.instants import to_epoch
from freezer_model.job import Action, Job, JobResult
from freezer_model.run import ActionRun
from freezer_model.schedule import ScheduleKind
from freezer_model.session_rules import SessionOutcome
from freezer_scheduler.agent_process import Outcome
from freezer_scheduler.errors import BoardRefused, BoardUnavailable
from freezer_scheduler.job_boards.base import JobBoard
from freezer_scheduler.reports import Reports

log = logging.getLogger(__name__)

_TERMINATED = -15
_MOST_ERROR_CHARACTERS = 2000
_MOST_OUTPUT_CHARACTERS = 4000
_SESSION_TRIES = 7
"""With their pauses a minute in all: a job whose clock is ahead waits for the others to open a run."""
_SESSION_PAUSE_SECONDS = 1.0


class Agent(Protocol):
    """One call of the agent, as `agent_process.AgentProcess` makes it."""

    def run(
        self,
        freezer_action: Mapping[str, Any],
        *,
        max_run_seconds: int | None,
        on_start: Callable[[int], None],
    ) -> Outcome:
        """Run the action to its end."""
        ...

    def end(self) -> None:
        """End the agent with all its children."""
        ...


class Run:
    """One run of one job, as others see it while it goes on. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._agent: Agent | None = None
        self._aborted = threading.Event()
        self._final = False

    @property
    def aborted(self) -> bool:
        """Whether somebody asked for the end."""
        return self._aborted.is_set()

    def abort(self) -> None:
        """End the agent that runs now, cut pauses short; only mandatory actions follow."""
        self._aborted.set()
        with self._lock:
            if self._agent is not None:
                self._agent.end()

    def stop(self) -> None:
        """Abort, and nothing follows."""
        with self._lock:
            self._final = True
        self.abort()

    def goes_on(self) -> bool:
        """Whether a mandatory action may run now, after an abort too; not once it was stopped."""
        with self._lock:
            if not self._final:
                self._aborted.clear()
            return not self._final

    def pause(self, seconds: float) -> None:
        """Wait, unless aborted."""
        self._aborted.wait(seconds)

    def holds(self, agent: Agent | None) -> None:
        """This agent runs now (None: no longer)."""
        with self._lock:
            self._agent = agent
            if agent is not None and self._aborted.is_set():
                agent.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended; `exit_code` None if no agent ran. `job` carries the run's session tag.

    `actions` has one entry for each action that was tried, in order. `joined_at` is when the job
    joined the run of its session, if it had to wait for that.
    """

    job: Job
    result: JobResult
    exit_code: int | None = None
    error: str = ""
    actions: tuple[ActionRun, ...] = ()
    output: str = ""
    joined_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
    """The job as it runs: in its session, or outside any and why.

    `is_done`: it was part of the session's present run before, and need not run again.
    """

    job: Job
    why: str = ""
    waited: bool = False
    is_done: bool = False


class Runner:
    """Runs jobs on `slots` places at once; a job that pauses between tries gives up its place.

    `new_agent` may raise a FreezerError that tells why the job cannot be run now.
    """

    def __init__(
        self,
        *,
        board: JobBoard,
        reports: Reports,
        new_agent: Callable[[Job], Agent],
        slots: int | AbstractContextManager[object],
        clock: Clock,
        session_required: bool = False,
        pause: Callable[[Run, float], None] = lambda run, seconds: run.pause(seconds),
    ) -> None:
        """`session_required`: a job whose session cannot be started is not run outside of it."""
        self._board = board
        self._pause = pause
        self._reports = reports
        self._new_agent = new_agent
        self._clock = clock
        self._session_required = session_required
        self._slots = threading.BoundedSemaphore(slots) if isinstance(slots, int) else slots

    def run(self, job: Job, run: Run, on_start: Callable[[int], None]) -> RunResult:
        """Run the job to its end. Never raises for what the job or its agent do."""
        joined = self._joined(job, run)
        if joined.is_done:
            return _as_before(joined.job)
        joined_at = self._clock() if joined.waited else None
        if joined.why and self._session_required:
            return replace(_skipped(job, run, joined.why), job=joined.job)
        if joined.why:
            log.warning(
                "job %s runs outside its session %s: %s", job.job_id, job.session_id, joined.why
            )
        job = joined.job
        result = replace(self._carried_out(job, run, on_start), joined_at=joined_at)
        if job.session_id:
            self._reports.session_end(job, result.result)
        return result

    def _carried_out(self, job: Job, run: Run, on_start: Callable[[int], None]) -> RunResult:
        result = RunResult(job=job, result=JobResult.SUCCESS)
        told: list[ActionRun] = []
        for number, action in enumerate(job.actions, start=1):
            if run.aborted and result.result is not JobResult.ABORTED:
                result = _aborted(job)
            if result.result is not JobResult.SUCCESS and not (action.mandatory and run.goes_on()):
                log.info("job %s: action %d is skipped", job.job_id, number)
                continue
            outcome = self._action(job, number, action, run, on_start)
            result = _worse(result, outcome)
            told += outcome.actions
        return replace(result, actions=tuple(told))

    def _action(
        self, job: Job, number: int, action: Action, run: Run, on_start: Callable[[int], None]
    ) -> RunResult:
        """The last attempt's result; it holds one entry, of the action as a whole."""
        started_at = to_epoch(self._clock())
        attempts = 0
        for attempt in range(action.max_retries + 1):
            if attempt:
                log.info(
                    "job %s: action %d again in %d s",
                    job.job_id,
                    number,
                    action.max_retries_interval,
                )
                self._pause(run, action.max_retries_interval)
            if run.aborted:
                result = _aborted(job)
                break
            attempts += 1
            result = self._try(job, action, run, on_start)
            if result.result is not JobResult.FAIL:
                break
            log.warning("job %s: action %d failed: %s", job.job_id, number, result.error)
        told = ActionRun(
            action_id=action.action_id,
            action=str(action.freezer_action.get("action") or "backup"),
            result=result.result,
            attempts=attempts,
            exit_code=result.exit_code,
            error=result.error,
            output=result.output,
            time_started=started_at,
            time_ended=to_epoch(self._clock()),
        )
        return replace(result, actions=(told,))

    def _try(
        self, job: Job, action: Action, run: Run, on_start: Callable[[int], None]
    ) -> RunResult:
        try:
            agent = self._new_agent(job)
        except FreezerError as error:
            return RunResult(job=job, result=JobResult.FAIL, error=str(error))
        with self._slots:
            if run.aborted:
                return _aborted(job)
            run.holds(agent)
            try:
                outcome = agent.run(
                    _in_session(job, action.freezer_action),
                    max_run_seconds=action.max_run_time,
                    on_start=on_start,
                )
            except (FreezerError, OSError) as error:
                return RunResult(job=job, result=JobResult.FAIL, error=str(error))
            finally:
                run.holds(None)
        if outcome.exit_code == 0:
            self._record(job, outcome)
        judged = _judged(job, action, run, outcome)
        return replace(judged, output=outcome.error[-_MOST_OUTPUT_CHARACTERS:])

    def _record(self, job: Job, outcome: Outcome) -> None:
        report = outcome.report
        if report is None or report.get("action") != "backup" or report.get("dry_run") is True:
            return
        of_session = (
            {"session_id": job.session_id, "session_tag": job.session_tag} if job.session_id else {}
        )
        self._reports.backup(job.job_id, {**report, **of_session})

    def _joined(self, job: Job, run: Run) -> _Joined:
        """The job with the tag of the session's run; without session if that cannot be joined.

        It is in step the next time also then.
        """
        if not job.session_id:
            return _Joined(job=job)
        why, tag = "", job.session_tag
        for attempt in range(_SESSION_TRIES):
            if attempt:
                self._pause(run, _SESSION_PAUSE_SECONDS * 2 ** (attempt - 1))
            if run.aborted:
                why = "aborted"
                break
            last = attempt == _SESSION_TRIES - 1
            try:
                place = self._board.join_session(replace(job, session_tag=tag) if last else job)
            except BoardUnavailable as error:
                why = str(error)
                continue
            except BoardRefused as error:
                why = str(error)
                break
            if place.result == SessionOutcome.SUCCESS:
                joined = replace(job, session_tag=place.session_tag)
                return _Joined(job=joined, waited=attempt > 0)
            why = place.result
            if why == SessionOutcome.HOLD_OFF and job.schedule.kind is not ScheduleKind.AT_ONCE:
                # To wait for the end of the hold-off would open a run that no other member wants.
                return _Joined(job=replace(job, session_id=""), is_done=True)
            if why == SessionOutcome.OUT_OF_SYNC:
                # Some other job is to open the next run, which this one joins then. If none does
                # in a minute, the one that is in step is away, and all others wait as this one: so
                # it opens the run itself, with the number that it knows by now.
                tag = place.session_tag
        # Neither its end nor its backup may count as a part of an earlier run.
        return _Joined(job=replace(job, session_id="", session_tag=tag), why=why)


def _as_before(job: Job) -> RunResult:
    """The result of the job's part in the run, which has ended a moment ago."""
    log.info("job %s is part of run %d of its session already", job.job_id, job.session_tag)
    state = job.state
    return RunResult(
        job=job,
        result=JobResult.SUCCESS if state.result is JobResult.NONE else state.result,
        exit_code=state.exit_code,
        error=state.error,
    )


def _in_session(job: Job, freezer_action: Mapping[str, Any]) -> Mapping[str, Any]:
    """The action; a backup with the run it is part of, to be kept with it in the storage."""
    if not job.session_id or (freezer_action.get("action") or "backup") != "backup":
        return freezer_action
    return {**freezer_action, "session_id": job.session_id, "session_tag": job.session_tag}


def _skipped(job: Job, run: Run, why: str) -> RunResult:
    """The run that was not begun: a set of backups without this node is better seen than had."""
    if run.aborted:
        return _aborted(job)
    error = f"not run: its session {job.session_id} could not be started: {why}"
    log.error("job %s: %s", job.job_id, error)
    return RunResult(job=job, result=JobResult.FAIL, error=error)


def _judged(job: Job, action: Action, run: Run, outcome: Outcome) -> RunResult:
    code = outcome.exit_code
    if code == 0:
        return RunResult(job=job, result=JobResult.SUCCESS, exit_code=0)
    if outcome.overran:
        error = f"ended after max_run_time ({action.max_run_time} s)"
        return RunResult(job=job, result=JobResult.FAIL, exit_code=code, error=error)
    if run.aborted or code == _TERMINATED:
        return replace(_aborted(job), exit_code=code)
    ended = f"exit code {code}" if code > 0 else f"signal {-code}"
    error = f"the agent ended with {ended}"
    if outcome.error:
        error += f": {outcome.error[-_MOST_ERROR_CHARACTERS:]}"
    return RunResult(job=job, result=JobResult.FAIL, exit_code=code, error=error)


def _aborted(job: Job) -> RunResult:
    return RunResult(job=job, result=JobResult.ABORTED, error="aborted")


def _worse(before: RunResult, now: RunResult) -> RunResult:
    """The job's result so far: the last failure, or success."""
    if now.result is JobResult.SUCCESS and before.result is not JobResult.SUCCESS:
        return before
    return now
