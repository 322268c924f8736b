"""The board of the API on a real freezer-api, and the copies of its jobs."""

import itertools
import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from freezer_client.api import Freezer, connect
from freezer_client.credentials import Credentials
from freezer_model.job import Job, JobResult
from freezer_model.run import JobRun, RunStatus
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, HeldElsewhere
from freezer_scheduler.job_boards.api import ApiBoard
from freezer_scheduler.job_boards.base import StateReport
from freezer_scheduler.job_boards.copies import SavedCopies
from tests.contracts.job_board import DONE, JobBoardContract
from tests.fakes import api_server
from tests.fakes.scripted_api import ScriptedApi, reply

CAPABILITIES = {"supported_storages": ["local"], "is_central": False}
projects = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[api_server.Server]:
    with api_server.running(
        api_server.write_config(tmp_path_factory.mktemp("api")), "--workers", "1"
    ) as one:
        yield one


class ApiPlace:
    def __init__(self, freezer: Freezer, folder: Path, client_id: str = "node") -> None:
        self.freezer = freezer
        self.folder = folder
        self.client_id = client_id
        self.board = ApiBoard(
            freezer=freezer,
            client_id=client_id,
            hostname="host",
            registration=CAPABILITIES,
            copies=SavedCopies(folder),
        )

    def put(self, job_id: str, **timing: Any) -> None:
        self.freezer.jobs.create(
            {
                "job_id": job_id,
                "client_id": self.client_id,
                "description": "test",
                "job_schedule": timing,
                "job_actions": [{"freezer_action": {"action": "exec", "command": "true"}}],
            }
        )

    def timing(self, job_id: str) -> dict[str, Any]:
        document = self.freezer.jobs.get(job_id)
        assert document is not None
        schedule = document["job_schedule"]
        assert isinstance(schedule, dict)
        return schedule

    def remove(self, job_id: str) -> None:
        self.freezer.jobs.delete(job_id)

    def backups(self) -> list[dict[str, Any]]:
        return [document["backup_metadata"] for document in self.freezer.backups.list()]


@pytest.fixture
def freezer(server: api_server.Server) -> Iterator[Freezer]:
    """A project of its own for each test. Ids are of the whole API, so its jobs go at the end."""
    one = connect(
        Credentials(
            auth_type="none",
            backup_url=f"http://{server.host}:{server.port}",
            project_id=f"project{next(projects)}",
        )
    )
    yield one
    for document in one.jobs.list():
        one.jobs.delete(str(document["job_id"]))
    one.close()


@pytest.fixture
def place(freezer: Freezer, tmp_path: Path) -> ApiPlace:
    return ApiPlace(freezer, tmp_path / "jobs.d")


def found_job(place: ApiPlace) -> Job:
    return Job.from_document(place.board.wanted()[0])


class TestApi(JobBoardContract):
    @pytest.fixture(autouse=True)
    def _registered(self, place: ApiPlace) -> None:
        place.board.register()

    def test_registration_tells_the_capabilities(self, place: ApiPlace) -> None:
        client = place.freezer.clients.get("node")
        assert client is not None
        found = client.get("client", client)
        assert found["hostname"] == "host"
        assert found["supported_storages"] == ["local"]

    def test_jobs_of_other_clients_are_not_ours(self, place: ApiPlace) -> None:
        other = ApiPlace(place.freezer, place.folder / "other", "node2")
        other.board.register()
        other.put("b")
        place.put("a")
        assert self.ids(place) == {"a"}
        assert self.ids(other) == {"b"}

    def test_an_event_stays_until_it_is_consumed(self, place: ApiPlace) -> None:
        place.put("a", schedule_interval="2 hours")
        place.freezer.jobs.update("a", {"job_schedule": {"event": "stop"}})
        unconsumed = {key: value for key, value in DONE.items() if key != "event"}
        place.board.report("a", unconsumed, None)
        assert place.timing("a")["event"] == "stop"
        assert place.timing("a")["schedule_interval"] == "2 hours"
        place.board.report("a", DONE, None)
        assert place.timing("a")["event"] == ""

    def test_listed_jobs_are_copied(self, place: ApiPlace) -> None:
        place.put("a")
        place.board.wanted()
        place.board.keep_copies()
        path = place.folder / "job_a.conf"
        assert json.loads(path.read_text())["client_id"] == "node"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        place.remove("a")
        place.board.wanted()
        place.board.keep_copies()
        assert not path.exists()

    def test_more_reports_than_one_call_takes_and_their_session_tags(
        self, place: ApiPlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("freezer_scheduler.job_boards.api.MOST_REPORTS", 2)
        for job_id in "abcde":
            place.put(job_id)
        reports = [StateReport(job_id=each, changes=DONE, session_tag=7) for each in "abcde"]
        assert place.board.report_all(reports) == {}
        assert [found["session_tag"] for found in place.freezer.jobs.list()] == [7] * 5

    def test_a_poll_sees_every_change(self, place: ApiPlace) -> None:
        """The service answers 304 in between; nothing may be missed for that."""
        place.put("a")
        assert [self.ids(place) for _ in range(2)] == [{"a"}] * 2
        place.put("b")
        assert self.ids(place) == {"a", "b"}
        place.freezer.jobs.request_event("a", "start")
        events = {job["job_id"]: job["job_schedule"].get("event") for job in place.board.wanted()}
        assert events["a"] == "start"
        place.remove("b")
        place.board.report("a", {**DONE, "status": "completed"}, None)
        assert self.ids(place) == set()

    def test_a_session(self, place: ApiPlace) -> None:
        place.put("a")
        session_id = place.freezer.sessions.create({"description": "s", "schedule": {}})
        place.freezer.sessions.add_job(session_id, "a")
        job = found_job(place)
        joined = place.board.join_session(job)
        assert joined.result == "success"
        assert joined.session_tag == 1
        place.board.report("a", {"status": "running"}, joined.session_tag)
        job = found_job(place)
        assert job.session_tag == 1
        place.board.leave_session(job, JobResult.SUCCESS)
        session = place.freezer.sessions.get(session_id)
        assert session is not None
        assert session["jobs"]["a"]["result"] == "success"

    def test_a_session_that_is_not_there(self, place: ApiPlace) -> None:
        with pytest.raises(BoardRefused):
            place.board.join_session(Job.from_document({"job_id": "a", "session_id": "none"}))

    def test_the_client_id_is_that_of_the_project_and_the_host(self, place: ApiPlace) -> None:
        board = ApiBoard(
            freezer=place.freezer,
            client_id="",
            hostname="host",
            registration=CAPABILITIES,
            copies=SavedCopies(place.folder),
        )
        board.register()
        own_id = f"{place.freezer.project_id()}_host"
        assert place.freezer.clients.get(own_id) is not None


def test_one_run_of_a_job_at_a_time(place: ApiPlace, freezer: Freezer) -> None:
    place.board.register()
    place.put("a")
    first = JobRun(run_id="first", job_id="a", scheduler="node", time_started=1)
    place.board.hold_run(first, 300)
    with pytest.raises(HeldElsewhere, match="Run first of job a goes on"):
        place.board.hold_run(replace(first, run_id="second"), 300)
    place.board.end_run(replace(first, status=RunStatus.COMPLETED, exit_code=0))
    place.board.hold_run(replace(first, run_id="second"), 300)
    assert [run["run_id"] for run in freezer.runs.list("a")] == ["first", "second"]
    assert freezer.runs.list("a", limit=1, offset=1)[0]["status"] == "running"


def test_a_server_that_keeps_no_runs_lets_them_go_on(tmp_path: Path) -> None:
    missing = reply(404, {"title": "Not Found"})
    board, api = scripted(tmp_path, missing, missing)
    run = JobRun(run_id="r", job_id="a")
    assert board.hold_run(run, 300) is False
    board.end_run(run)
    assert [asked.path for asked in api.asked] == ["jobs/a/runs/r"] * 2


def scripted(place: Path, *answers: Any) -> tuple[ApiBoard, ScriptedApi]:
    api = ScriptedApi().answers(*answers)
    board = ApiBoard(
        freezer=api.freezer,
        client_id="node",
        hostname="host",
        registration={},
        copies=SavedCopies(place),
    )
    return board, api


def test_a_poll_without_news_is_one_small_request(tmp_path: Path) -> None:
    job = {"job_id": "a", "client_id": "node"}
    board, api = scripted(tmp_path, reply(200, {"jobs": [job]}, ETag='"t"'), reply(304))
    assert board.wanted() == board.wanted() == [job]
    assert [asked.headers for asked in api.asked] == [{}, {"If-None-Match": '"t"'}]


def test_older_servers_get_what_they_know(tmp_path: Path) -> None:
    refused = reply(400, {"title": "Bad Request", "description": "unknown key"})
    board, api = scripted(tmp_path, refused, reply(200, {"job_id": "a", "version": 2}))
    board.report("a", DONE, 3)
    body = api.asked[-1].body
    assert body["session_tag"] == 3
    assert body["job_schedule"]["status"] == "completed"
    assert body["job_schedule"].keys().isdisjoint({"exit_code", "error", "current_pid"})


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, BoardRefused), (403, BoardRefused), (401, BoardUnavailable), (409, BoardUnavailable)],
)
def test_errors_in_the_words_of_a_board(
    tmp_path: Path, status: int, error: type[Exception]
) -> None:
    board, _ = scripted(tmp_path, *[reply(status, {"title": "t"}) for _ in range(20)])
    with pytest.raises(error):
        board.report("a", {"status": "stop"}, None)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    board, _ = scripted(tmp_path, *[reply(503, {"title": "t"}) for _ in range(20)])
    with pytest.raises(BoardUnavailable):
        board.wanted()


# -- copies ----------------------------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_copies_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "jobs.d"
    SavedCopies(folder).keep([{"job_id": "a", "secret": "s"}])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_only_own_copies_are_removed(tmp_path: Path) -> None:
    (tmp_path / "job_mine.conf").write_text("{}")
    (tmp_path / "other.conf").write_text("{}")
    SavedCopies(tmp_path).keep([{"job_id": "a"}, {"job_id": "b"}])
    assert names(tmp_path) == {"job_mine.conf", "other.conf", "job_a.conf", "job_b.conf"}
    # Another life of the scheduler still knows which it wrote.
    SavedCopies(tmp_path).keep([{"job_id": "b"}])
    assert names(tmp_path) == {"job_mine.conf", "other.conf", "job_b.conf"}


def test_a_changed_job_is_written_anew(tmp_path: Path) -> None:
    copies = SavedCopies(tmp_path)
    copies.keep([{"job_id": "a", "description": "old"}])
    copies.keep([{"job_id": "a", "description": "new"}])
    assert json.loads((tmp_path / "job_a.conf").read_text())["description"] == "new"


@pytest.mark.parametrize("job_id", ["../evil", "a/b", "", "a\nb", ".", "x" * 300])
def test_an_id_that_is_no_file_name_is_left_out(tmp_path: Path, job_id: str) -> None:
    folder = tmp_path / "jobs.d"
    SavedCopies(folder).keep([{"job_id": job_id}, {"job_id": "good"}])
    assert names(folder) == {"job_good.conf"}
    assert names(tmp_path) == {"jobs.d"}


@pytest.mark.parametrize("index", [b"\xff\xfe", b"../../etc/passwd\njob_../x.conf\nother.conf"])
def test_a_broken_index_removes_nothing(tmp_path: Path, index: bytes) -> None:
    folder = tmp_path / "jobs.d"
    folder.mkdir()
    (folder / ".written-by-freezer-scheduler").write_bytes(index)
    (folder / "other.conf").touch()
    SavedCopies(folder).keep([{"job_id": "a"}])
    assert names(folder) == {"job_a.conf", "other.conf"}


def test_a_folder_that_cannot_be_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    copies = SavedCopies(tmp_path / "file" / "jobs.d")
    for _ in range(3):
        copies.keep([{"job_id": "a"}])
    assert len(caplog.records) == 1


def test_a_server_that_knows_no_reports_of_many_gets_them_one_by_one(tmp_path: Path) -> None:
    api = ScriptedApi()
    board = ApiPlace(api.freezer, tmp_path).board
    reports = [StateReport(job_id=each, changes=DONE, session_tag=None) for each in "ab"]
    api.answers(reply(404), *[reply(200, {"job_id": "x", "version": 2})] * 4)
    assert board.report_all(reports) == {}
    assert board.report_all(reports) == {}
    first, *others = [(asked.method, asked.path) for asked in api.asked]
    assert first == ("POST", "job-reports")
    assert others == [("PATCH", path) for path in ("jobs/a", "jobs/b", "jobs/a", "jobs/b")]
