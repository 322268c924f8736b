"""What the board is told of each run: its begin, that it still goes on, its end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from freezer_model.instants import to_epoch
from freezer_model.job import Job, JobResult
from freezer_model.run import JobRun, RunStatus
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, HeldElsewhere
from freezer_scheduler.job_boards.base import JobBoard
from freezer_scheduler.journal import UnfinishedRun
from freezer_scheduler.runner import RunResult

log = logging.getLogger(__name__)

_LEAST_LEASE_SECONDS = 120
_MISSED_HEARTBEATS = 3


def lease_seconds(interval_seconds: float) -> int:
    """How long a run may go unheard of: three heartbeats, of which each tick sends one."""
    return max(_LEAST_LEASE_SECONDS, int(_MISSED_HEARTBEATS * interval_seconds) + 60)


class Held(StrEnum):
    """What came of a heartbeat."""

    KEPT = "kept"
    """The lease is ours, or nobody could be asked."""
    REGAINED = "regained"
    """The run counted as lost meanwhile; it is ours again."""
    TAKEN = "taken"
    """Another scheduler runs the job now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """The runs of one scheduler, which calls itself `scheduler`."""

    board: JobBoard
    new_id: Callable[[], str]
    scheduler: str
    seconds: int
    """Of a lease."""
    alone_by_lock: bool = False
    """Whether a lock keeps other schedulers from running the job: a lease that they left is taken."""

    def new(self, job: Job, started_at: datetime) -> JobRun:
        """A run that is about to begin; nobody is told."""
        return JobRun(
            run_id=self.new_id(),
            job_id=job.job_id,
            client_id=job.client_id,
            scheduler=self.scheduler,
            time_started=to_epoch(started_at),
        )

    def begin(self, run: JobRun) -> None:
        """Take the lease of the run, unless the board is away: that holds up no job.

        Raises HeldElsewhere if another run of the job goes on.
        """
        self._hold(run, take_over=self.alone_by_lock)

    def renew(self, run: JobRun) -> Held:
        """Tell that the run goes on."""
        try:
            return Held.REGAINED if self._hold(run) else Held.KEPT
        except HeldElsewhere as error:
            log.error("job %s: %s; this run of it is ended", run.job_id, error)  # noqa: TRY400  # no trace needed
            return Held.TAKEN

    def ended(self, run: JobRun, result: RunResult, ended_at: datetime) -> JobRun:
        """The run as it ended."""
        return replace(
            run,
            status=RunStatus.COMPLETED,
            result=result.result,
            exit_code=result.exit_code,
            error=result.error,
            time_ended=to_epoch(ended_at),
            session_id=result.job.session_id,
            session_tag=result.job.session_tag if result.job.session_id else 0,
            actions=result.actions,
        )

    def lost(self, lost: UnfinishedRun, error: str, now: datetime) -> JobRun:
        """The run that an earlier life left, as it ended."""
        return JobRun(
            run_id=lost.run_id,
            job_id=lost.job_id,
            scheduler=self.scheduler,
            status=RunStatus.COMPLETED,
            result=JobResult.FAIL,
            error=error,
            time_started=to_epoch(lost.started_at),
            time_ended=to_epoch(now),
        )

    def _hold(self, run: JobRun, *, take_over: bool = False) -> bool:
        try:
            return self.board.hold_run(run, self.seconds, take_over=take_over)
        except HeldElsewhere:
            raise
        except (BoardUnavailable, BoardRefused) as error:
            log.debug("job %s: its run could not be announced: %s", run.job_id, error)
            return False
