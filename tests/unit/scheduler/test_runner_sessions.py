"""Jobs of several nodes that run in one session, whose real rules answer them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from freezer_model.job import Job
from freezer_model.session import Session, SessionJob
from freezer_model.session_rules import start_in_session
from freezer_scheduler.agent_process import Outcome
from freezer_scheduler.job_boards.base import SessionPlace
from freezer_scheduler.job_boards.memory import MemoryBoard
from freezer_scheduler.journal import Journal
from freezer_scheduler.reports import Reports
from freezer_scheduler.runner import Run, Runner

YESTERDAY = 1_800_000_000
TODAY = YESTERDAY + 86400


class SessionBoard(MemoryBoard):
    """A board with one session; its clock goes on with the pauses of the jobs."""

    def __init__(self, *members: str) -> None:
        super().__init__()
        self.now = float(TODAY)
        self.session = Session(
            session_tag=27,
            hold_off=90,
            time_start=YESTERDAY,
            jobs={name: SessionJob(client_id=name) for name in members},
        )

    def join_session(self, job: Job) -> SessionPlace:
        answer = start_in_session(self.session, job.job_id, job.session_tag, int(self.now))
        self.session = answer.session
        return SessionPlace(result=str(answer.outcome), session_tag=answer.session.session_tag)

    def pause(self, _run: Run, seconds: float) -> None:
        self.now += seconds


class GoodAgent:
    """Has nothing to do."""

    def run(
        self,
        freezer_action: Mapping[str, Any],
        *,
        max_run_seconds: int | None,
        on_start: Callable[[int], None],
    ) -> Outcome:
        del freezer_action, max_run_seconds, on_start
        return Outcome(exit_code=0, report=None, error="")

    def end(self) -> None:
        """It has ended."""


def test_jobs_that_missed_a_run_open_the_next_one_if_nobody_in_step_does(tmp_path: Path) -> None:
    """The one that was in the last run is away: the others take part in one of their own."""
    board = SessionBoard("away", "early", "late")
    journal = Journal(tmp_path / "journal")
    journal.open()
    runner = Runner(
        board=board,
        reports=Reports(board, journal),
        new_agent=lambda _job: GoodAgent(),
        slots=1,
        clock=lambda: datetime.fromtimestamp(board.now, tz=UTC),
        pause=board.pause,
    )
    missed = Job.from_document({"job_id": "early", "session_id": "s", "session_tag": 26})
    early = runner.run(missed, Run(), lambda _pid: None).job
    late = runner.run(replace(missed, job_id="late"), Run(), lambda _pid: None).job
    journal.close()
    assert [(job.session_id, job.session_tag) for job in (early, late)] == [("s", 28), ("s", 28)]
    assert board.now - TODAY < 90, "only the first one waited for the one that is away"
