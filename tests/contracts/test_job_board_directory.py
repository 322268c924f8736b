"""Jobs as files, with their state beside them."""

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from freezer_model.job import Job
from freezer_scheduler.errors import BoardRefused, BoardUnavailable
from freezer_scheduler.job_boards.directory import DirectoryBoard
from tests.contracts.job_board import DONE, RUNNING, JobBoardContract, record


class DirectoryPlace:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board = DirectoryBoard(folder)

    def put(self, job_id: str, **timing: Any) -> None:
        action = {"freezer_action": {"action": "exec", "command": "true"}}
        document = {"job_id": job_id, "job_schedule": timing, "job_actions": [action]}
        (self.folder / f"{job_id}.conf").write_text(json.dumps(document))

    def timing(self, job_id: str) -> dict[str, Any]:
        state = json.loads((self.folder / f"{job_id}.state").read_text())["job_schedule"]
        assert isinstance(state, dict)
        return state

    def remove(self, job_id: str) -> None:
        (self.folder / f"{job_id}.conf").unlink()

    def backups(self) -> list[dict[str, Any]]:
        found = (json.loads(path.read_text()) for path in self.folder.glob("*.state"))
        return [state["last_backup"] for state in found if "last_backup" in state]


@pytest.fixture
def place(tmp_path: Path) -> DirectoryPlace:
    return DirectoryPlace(tmp_path)


def ids(place: DirectoryPlace) -> list[str]:
    return [str(document["job_id"]) for document in place.board.wanted()]


class TestDirectory(JobBoardContract):
    def test_state_survives_and_is_private(self, place: DirectoryPlace) -> None:
        place.put("a")
        place.board.wanted()
        place.board.report("a", DONE, None)
        place.board.record_backup(record("a"), again=False)
        assert stat.S_IMODE((place.folder / "a.state").stat().st_mode) == 0o600
        assert DirectoryBoard(place.folder).wanted() == []
        assert place.timing("a")["error"] == DONE["error"]

    def test_what_an_earlier_life_could_not_say_comes_before_the_first_look(
        self, place: DirectoryPlace
    ) -> None:
        place.put("a")
        place.board.report("a", DONE, None)
        assert place.timing("a")["error"] == DONE["error"]
        assert ids(place) == []
        with pytest.raises(BoardRefused):
            place.board.report("gone", DONE, None)

    def test_an_edited_file_starts_anew(self, place: DirectoryPlace) -> None:
        place.put("a")
        place.board.wanted()
        place.board.report("a", DONE, None)
        place.put("a", schedule_interval="2 hours")
        assert place.board.wanted()[0]["job_schedule"] == {"schedule_interval": "2 hours"}

    def test_a_report_is_of_the_file_that_was_listed(self, place: DirectoryPlace) -> None:
        place.put("a")
        place.board.wanted()
        place.put("a", schedule_interval="2 hours")
        place.board.report("a", DONE, None)
        assert ids(place) == ["a"]

    def test_a_touched_file_does_not(self, place: DirectoryPlace) -> None:
        place.put("a")
        place.board.wanted()
        place.board.report("a", DONE, None)
        place.put("a")
        assert ids(place) == []

    def test_how_the_job_of_a_file_went_elsewhere_does_not_count(
        self, place: DirectoryPlace
    ) -> None:
        place.put("a", status="completed", result="fail", time_ended=5, current_pid=1)
        assert place.board.wanted()[0]["job_schedule"] == {}

    @pytest.mark.parametrize(
        "asked", [{"status": "stop"}, {"event": "stop"}, {"status": "stop", "event": "start"}]
    )
    def test_what_a_file_asks_for_counts_until_there_is_a_state(
        self, asked: dict[str, str], place: DirectoryPlace
    ) -> None:
        place.put("a", **asked, result="fail")
        assert place.board.wanted()[0]["job_schedule"] == asked
        place.board.report("a", {"status": "scheduled"}, None)
        assert place.board.wanted()[0]["job_schedule"] == {"status": "scheduled"}

    def test_a_file_that_asks_for_removal_is_no_job(self, place: DirectoryPlace) -> None:
        place.put("a", event="remove")
        assert place.board.wanted() == []

    def test_action_defaults(self, place: DirectoryPlace) -> None:
        (place.folder / "a.conf").write_text(
            json.dumps(
                {
                    "action_defaults": {"storage": "local", "mode": "fs", "container": "/c"},
                    "job_actions": [
                        {"freezer_action": {"mode": "mysql", "container": None}},
                        {"freezer_action": {}},
                    ],
                }
            )
        )
        job = Job.from_document(place.board.wanted()[0])
        assert [dict(action.freezer_action) for action in job.actions] == [
            {"storage": "local", "mode": "mysql", "container": "/c"},
            {"storage": "local", "mode": "fs", "container": "/c"},
        ]
        assert "action_defaults" not in job.source

    def test_without_an_id_it_is_the_name_of_the_file(self, place: DirectoryPlace) -> None:
        (place.folder / "my job.CONF").write_text("{}")
        (place.folder / "other.json").write_text("{}")
        assert ids(place) == ["my_job"]
        place.board.report("my_job", RUNNING, None)
        assert json.loads((place.folder / "my job.state").read_text())

    @pytest.mark.parametrize(
        "text", [b"{", b"[]", b"\xff", b"[" * 100_000, b'"text"'], ids=range(5)
    )
    def test_an_unreadable_file_is_told_once(
        self, place: DirectoryPlace, caplog: pytest.LogCaptureFixture, text: bytes
    ) -> None:
        (place.folder / "bad.conf").write_bytes(text)
        place.put("good")
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                assert ids(place) == ["good"]
        assert len(caplog.records) == 1
        assert "bad.conf" in caplog.text
        place.put("bad")
        assert ids(place) == ["bad", "good"]

    def test_of_two_with_one_id_the_first_counts(
        self, place: DirectoryPlace, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in "ab":
            (place.folder / f"{name}.conf").write_text(
                json.dumps({"job_id": "same", "description": name})
            )
        for _ in range(3):
            assert [document["description"] for document in place.board.wanted()] == ["a"]
        assert len(caplog.records) == 1
        assert "a.conf has the same job_id same" in caplog.text

    @pytest.mark.parametrize("timing", [[], "x", 3])
    def test_a_broken_schedule_is_listed_as_it_is(
        self, place: DirectoryPlace, timing: object
    ) -> None:
        (place.folder / "a.conf").write_text(json.dumps({"job_schedule": timing}))
        assert place.board.wanted()[0]["job_schedule"] == timing
        place.board.report("a", DONE, None)
        assert place.board.wanted() == []

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"of": 1}', "null"])
    def test_a_broken_state_counts_as_none(self, place: DirectoryPlace, text: str) -> None:
        place.put("a")
        (place.folder / "a.state").write_text(text)
        assert ids(place) == ["a"]
        place.board.report("a", DONE, None)
        assert ids(place) == []

    def test_no_folder_means_no_jobs(self, tmp_path: Path) -> None:
        assert DirectoryBoard(tmp_path / "none").wanted() == []

    def test_what_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(BoardUnavailable, match="Cannot read"):
            DirectoryBoard(tmp_path / "file").wanted()

    def test_a_state_that_cannot_be_written(
        self, place: DirectoryPlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.put("a")
        place.board.wanted()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("freezer_scheduler.job_boards.directory.write_private", full)
        with pytest.raises(BoardUnavailable, match="No space left"):
            place.board.report("a", DONE, None)

    def test_there_are_no_sessions(self, place: DirectoryPlace) -> None:
        with pytest.raises(BoardRefused, match="session"):
            place.board.join_session(Job.from_document({"job_id": "a", "session_id": "s"}))
