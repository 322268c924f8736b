"""What every job board promises, as tests. A board binds them in a class with a `place` fixture."""

from dataclasses import replace
from typing import Any, Protocol

import pytest

from freezer_model.job import Job, JobResult, JobState, JobStatus
from freezer_model.run import JobRun, RunStatus
from freezer_scheduler.errors import BoardRefused
from freezer_scheduler.job_boards.base import JobBoard, StateReport

RUNNING = JobState(status=JobStatus.RUNNING, time_started=1, current_pid=7).to_report()
DONE = JobState(
    status=JobStatus.COMPLETED,
    result=JobResult.FAIL,
    time_ended=2,
    exit_code=65,
    error="why \u00fc 100%",
).to_report()


class Place(Protocol):
    """A board, and what its users see of it."""

    board: JobBoard

    def put(self, job_id: str, **timing: Any) -> None:
        """Make or replace a job with this job_schedule, and one action."""

    def timing(self, job_id: str) -> dict[str, Any]:
        """Its job_schedule now."""
        ...

    def remove(self, job_id: str) -> None:
        """Take the job away."""

    def backups(self) -> list[dict[str, Any]]:
        """All records that are kept."""
        ...


def record(job_id: str) -> dict[str, Any]:
    return {
        "action": "backup",
        "backup_name": "name",
        "hostname": "node",
        "container": "/srv/backups",
        "time_stamp": 1700000000,
        "curr_backup_level": 0,
        "job_id": job_id,
    }


def without_event(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "event"}


class JobBoardContract:
    """The promises of `freezer_scheduler.job_boards.base.JobBoard`."""

    def ids(self, place: Place) -> set[str]:
        return {str(document["job_id"]) for document in place.board.wanted()}

    def test_registering_twice_is_fine(self, place: Place) -> None:
        place.board.register()
        place.board.register()

    def test_nothing_is_wanted(self, place: Place) -> None:
        assert place.board.wanted() == []

    def test_a_whole_listing(self, place: Place) -> None:
        wanted = {f"job-{number}" for number in range(25)}
        for job_id in wanted:
            place.put(job_id)
        assert self.ids(place) == wanted
        assert len(place.board.wanted()) == 25

    def test_documents_can_be_read(self, place: Place) -> None:
        place.put("a", schedule_interval="2 hours")
        job = Job.from_document(place.board.wanted()[0])
        assert job.actions[0].freezer_action == {"action": "exec", "command": "true"}
        assert job.schedule.interval is not None

    def test_completed_jobs_are_not_listed(self, place: Place) -> None:
        place.put("a")
        place.put("b")
        place.board.wanted()
        place.board.report("a", DONE, None)
        assert self.ids(place) == {"b"}

    def test_a_report_changes_the_runtime_keys_only(self, place: Place) -> None:
        place.put("a", schedule_interval="2 hours")
        place.board.wanted()
        place.board.report("a", RUNNING, None)
        assert place.timing("a")["current_pid"] == 7
        place.board.report("a", DONE, None)
        state = JobState.from_document(place.timing("a"))
        assert state.current_pid is None
        assert (state.exit_code, state.error) == (65, "why \u00fc 100%")
        assert (state.status, state.result) == (JobStatus.COMPLETED, JobResult.FAIL)
        assert (state.time_started, state.time_ended) == (-1, 2)

    def test_the_next_listing_knows_the_report(self, place: Place) -> None:
        place.put("a", schedule_interval="2 hours")
        place.board.wanted()
        place.board.report("a", without_event(RUNNING), None)
        timing = place.board.wanted()[0]["job_schedule"]
        assert timing["status"] == "running"
        assert timing["schedule_interval"] == "2 hours"

    def test_a_report_of_a_job_that_is_gone_is_refused(self, place: Place) -> None:
        place.put("a")
        place.board.wanted()
        place.remove("a")
        with pytest.raises(BoardRefused):
            place.board.report("a", DONE, None)
        assert place.board.wanted() == []

    def test_reports_of_many_jobs_are_taken_and_refused_one_by_one(self, place: Place) -> None:
        for job_id in ("a", "b", "gone"):
            place.put(job_id, schedule_interval="2 hours")
        place.board.wanted()
        place.remove("gone")
        reports = [
            StateReport(job_id=job_id, changes=DONE, session_tag=None)
            for job_id in ("a", "gone", "b")
        ]
        for _again in range(2):
            assert place.board.report_all(reports).keys() == {"gone"}
            for job_id in ("a", "b"):
                state = JobState.from_document(place.timing(job_id))
                assert (state.status, state.error) == (JobStatus.COMPLETED, "why \u00fc 100%")

    def test_a_run_begins_goes_on_and_ends(self, place: Place) -> None:
        place.put("a")
        place.board.wanted()
        run = JobRun(run_id="run", job_id="a", time_started=1)
        assert place.board.hold_run(run, 300) is False
        assert place.board.hold_run(run, 300) is False
        ended = replace(run, status=RunStatus.COMPLETED, result=JobResult.SUCCESS)
        place.board.end_run(ended)
        place.board.end_run(ended)
        assert place.board.hold_run(replace(run, run_id="next"), 300) is False

    def test_a_backup_is_kept_once(self, place: Place) -> None:
        place.put("a")
        place.board.wanted()
        place.board.record_backup(record("a"), again=False)
        place.board.record_backup(record("a"), again=True)
        kept = place.backups()
        assert len(kept) == 1
        assert {**kept[0], **record("a")} == kept[0]
