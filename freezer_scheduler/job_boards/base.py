"""What a job board is: where jobs come from, and where results go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from freezer_model.job import Job, JobResult
from freezer_model.run import JobRun
from freezer_scheduler.errors import BoardRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlace:
    """The answer to a job that wants to join its session: a word, and the number of the run."""

    result: str
    session_tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReport:
    """How a job stands: what `JobBoard.report` takes."""

    job_id: str
    changes: Mapping[str, Any]
    session_tag: int | None


class JobBoard(Protocol):
    """Jobs of one client. Safe for use by several threads.

    Every call may raise BoardUnavailable (it may pass: try again later) or BoardRefused (the very
    same call will be refused again).
    """

    def register(self) -> None:
        """Make this client known. Registering again is fine."""
        ...

    def wanted(self) -> list[Mapping[str, Any]]:
        """The documents of all jobs that are not completed: one whole, consistent listing.

        Documents are as they were found, also broken ones; each has a text `job_id`.
        """
        ...

    def report(self, job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        """Change these runtime keys of the job's job_schedule, and its session tag if given."""
        ...

    def report_all(self, reports: Sequence[StateReport]) -> Mapping[str, str]:
        """As `report` for each of some jobs; by job, why the board refused it.

        After BoardUnavailable some of them may have been taken; telling them again is fine.
        """
        ...

    def keep_copies(self) -> None:
        """Keep what was last wanted where people find it, if this board does. Never raises."""
        ...

    def hold_run(self, run: JobRun, lease_seconds: int, *, take_over: bool = False) -> bool:
        """Begin the run or renew its lease; whether it counted as lost before.

        Raises HeldElsewhere while another run of the job goes on, unless that is known to be dead
        (`take_over`). A board that keeps no runs lets
        every run go on.
        """
        ...

    def end_run(self, run: JobRun) -> None:
        """Keep how the run ended, and give its lease back."""
        ...

    def join_session(self, job: Job) -> SessionPlace:
        """Ask to take part in the next run of the job's session."""
        ...

    def leave_session(self, job: Job, result: JobResult) -> None:
        """Tell the session how the job's part of run `job.session_tag` ended."""
        ...

    def record_backup(self, record: Mapping[str, Any], *, again: bool) -> None:
        """Keep the metadata of a backup. `again`: an earlier try may have succeeded unseen."""
        ...


def report_each(board: JobBoard, reports: Sequence[StateReport]) -> dict[str, str]:
    """`report_all` of a board that takes one report after the other."""
    refused = {}
    for each in reports:
        try:
            board.report(each.job_id, each.changes, each.session_tag)
        except BoardRefused as error:
            refused[each.job_id] = str(error)
    return refused
