import copy
from typing import Any

import pytest

from freezer_model.job import Job, JobResult
from freezer_scheduler.errors import BoardUnavailable
from freezer_scheduler.job_boards.memory import MemoryBoard
from tests.contracts.job_board import JobBoardContract


class MemoryPlace:
    def __init__(self) -> None:
        self.board = MemoryBoard()

    def put(self, job_id: str, **timing: Any) -> None:
        action = {"freezer_action": {"action": "exec", "command": "true"}}
        self.board.put({"job_id": job_id, "job_schedule": timing, "job_actions": [action]})

    def timing(self, job_id: str) -> dict[str, Any]:
        found = self.board.jobs[job_id]["job_schedule"]
        assert isinstance(found, dict)
        return copy.deepcopy(found)

    def remove(self, job_id: str) -> None:
        del self.board.jobs[job_id]

    def backups(self) -> list[dict[str, Any]]:
        return self.board.backups


@pytest.fixture
def place() -> MemoryPlace:
    return MemoryPlace()


class TestMemory(JobBoardContract):
    def test_away(self, place: MemoryPlace) -> None:
        place.board.available = False
        job = Job.from_document({"job_id": "a", "session_id": "s"})
        for call in (
            place.board.wanted,
            place.board.register,
            lambda: place.board.report("a", {}, None),
            lambda: place.board.join_session(job),
            lambda: place.board.leave_session(job, JobResult.FAIL),
            lambda: place.board.record_backup({}, again=False),
        ):
            with pytest.raises(BoardUnavailable):
                call()

    def test_what_was_listed_is_a_copy(self, place: MemoryPlace) -> None:
        place.put("a")
        place.board.wanted()[0]["job_schedule"]["status"] = "changed"
        assert place.timing("a") == {}
