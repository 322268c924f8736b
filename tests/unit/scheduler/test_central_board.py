"""The board of a central scheduler: whose login carries what, and trusts that are dead."""

from pathlib import Path
from typing import Any

import pytest

from freezer_client.api import Freezer
from freezer_client.errors import ApiUnavailable, refusal
from freezer_model.job import Job, JobResult
from freezer_model.run import JobRun
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, JobNotSupported
from freezer_scheduler.job_boards import central
from freezer_scheduler.job_boards.api import ApiBoard
from freezer_scheduler.job_boards.central import CentralBoard
from freezer_scheduler.job_boards.copies import SavedCopies
from tests.fakes.scripted_api import ScriptedApi, reply

NOT_FOUND = ApiUnavailable("logging in", "Keystone answered 404", may_pass=False, status=404)
FORBIDDEN = ApiUnavailable("logging in", "Keystone answered 403", may_pass=False, status=403)
UNAUTHORIZED = refusal("logging in", 401, "Keystone refused to log in")
AWAY = ApiUnavailable("logging in", "no answer", may_pass=False)
CHANGES = {"status": "running"}


class World:
    """The scheduler's own line, and those that were opened for trusts and projects."""

    def __init__(self, folder: Path) -> None:
        self.own = ScriptedApi()
        self.lines: dict[str, ScriptedApi] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []
        self._folder = folder
        self.board = CentralBoard(
            own=self.over(self.own.freezer),
            freezer=self.own.freezer,
            by_trust=lambda trust_id: self.open(f"trust {trust_id}"),
            in_project=lambda project_id: self.open(f"project {project_id}"),
            board_over=self.over,
        )

    def over(self, freezer: Freezer) -> ApiBoard:
        return ApiBoard(
            freezer=freezer,
            client_id="central",
            hostname="host",
            registration={"is_central": True},
            copies=SavedCopies(self._folder),
            all_projects=True,
        )

    def line(self, name: str) -> ScriptedApi:
        return self.lines.setdefault(name, ScriptedApi())

    def open(self, name: str) -> Freezer:
        self.opened.append(name)
        freezer = self.line(name).freezer
        freezer.close = lambda: self.closed.append(name)  # type: ignore[method-assign]
        return freezer

    def listed(self, *documents: dict[str, Any]) -> None:
        self.own.answers(reply(200, {"jobs": list(documents)}))
        assert len(self.board.wanted()) == len(documents)


def document(job_id: str = "j", project: str = "q", trust: str | None = "t") -> dict[str, Any]:
    credentials = {} if trust is None else {"user_credentials": {"trust_id": trust}}
    return {"job_id": job_id, "project_id": project, "client_id": "central", **credentials}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_jobs_of_all_projects_are_listed_by_the_own_login(world: World) -> None:
    world.listed(document("a", "p"), document("b", "q"))
    assert world.own.asked[0].query["all_projects"] == "True"
    assert world.own.asked[0].body["match"] == [{"client_id": "central"}]
    assert world.opened == []


def test_what_concerns_a_job_goes_by_its_trust(world: World) -> None:
    world.listed(document())
    job = Job.from_document({**document(), "session_id": "s", "session_tag": 2})
    run = JobRun(run_id="r", job_id="j")
    started = reply(202, {"result": "success", "session_tag": 3})
    answers = [reply(200, {"version": 1}), reply(200, {"run_id": "r", "was_lost": True})]
    answers += [reply(200, {}), started, started, reply(201, {"backup_id": "b"})]
    line = world.line("trust t").answers(*answers)
    world.board.report("j", CHANGES, None)
    assert world.board.hold_run(run, 60)
    world.board.end_run(run)
    assert world.board.join_session(job).session_tag == 3
    world.board.leave_session(job, JobResult.SUCCESS)
    world.board.record_backup({"job_id": "j", "backup_name": "b"}, again=False)
    assert [f"{asked.method} {asked.path}" for asked in line.asked] == [
        "PATCH jobs/j",
        "PUT jobs/j/runs/r",
        "PUT jobs/j/runs/r",
        "POST sessions/s/action",
        "POST sessions/s/action",
        "POST backups",
    ]
    assert world.opened == ["trust t"], "one login for all of it"


def test_a_job_without_a_trust_is_answered_by_the_own_login_in_its_project(world: World) -> None:
    world.listed(document(trust=None))
    line = world.line("project q").answers(reply(200, {"version": 1}))
    world.board.report("j", CHANGES, None)
    assert line.asked[0].path == "jobs/j"


def test_a_job_that_is_listed_no_more_is_looked_up(world: World) -> None:
    world.listed()
    world.own.answers(reply(200, document()))
    world.line("trust t").answers(reply(200, {"version": 1}))
    world.board.report("j", CHANGES, None)
    assert world.own.asked[-1].path == "jobs/j"


def test_a_job_that_is_gone_is_no_reason_to_try_again(world: World) -> None:
    world.own.answers(reply(404, {"title": "Not Found"}))
    with pytest.raises(BoardRefused, match="no job j any more"):
        world.board.report("j", CHANGES, None)


def test_a_job_that_cannot_be_looked_up_now_waits(world: World) -> None:
    world.own.answers(AWAY)
    with pytest.raises(BoardUnavailable):
        world.board.report("j", CHANGES, None)


@pytest.mark.parametrize("said", [NOT_FOUND, FORBIDDEN, UNAUTHORIZED])
def test_a_dead_trust_holds_up_nobody(world: World, said: Exception) -> None:
    """The own login works, so it is the trust: the report goes by the own login."""
    world.listed(document())
    world.line("trust t").answers(said)
    world.own.answers(reply(200, {"jobs": []}))
    line = world.line("project q").answers(reply(200, {"version": 1}))
    world.board.report("j", CHANGES, None)
    assert line.asked[0].path == "jobs/j"


def test_a_dead_trust_where_the_own_login_may_not_report(world: World) -> None:
    world.listed(document())
    world.line("trust t").answers(NOT_FOUND)
    world.own.answers(reply(200, {"jobs": []}))
    world.line("project q").answers(reply(403, {"title": "Access Forbidden"}))
    with pytest.raises(BoardRefused):
        world.board.report("j", CHANGES, None)


def test_a_password_that_is_wrong_for_all_is_no_dead_trust(world: World) -> None:
    world.listed(document())
    world.line("trust t").answers(UNAUTHORIZED)
    world.own.answers(UNAUTHORIZED)
    with pytest.raises(BoardUnavailable):
        world.board.report("j", CHANGES, None)
    assert world.opened == ["trust t"]


def test_keystone_that_is_away_is_no_dead_trust(world: World) -> None:
    world.listed(document())
    world.line("trust t").answers(AWAY)
    with pytest.raises(BoardUnavailable):
        world.board.report("j", CHANGES, None)


class TestBeforeARun:
    def job(self, **changes: Any) -> Job:
        return Job.from_document({**document(), **changes})

    def says(self, world: World, answer: str | Exception) -> None:
        def project_id() -> str:
            if isinstance(answer, Exception):
                raise answer
            return answer

        world.line("trust t").freezer.project_id = project_id  # type: ignore[method-assign]

    def test_a_trust_that_works(self, world: World) -> None:
        self.says(world, "q")
        world.board.require_trust(self.job())

    def test_one_for_another_project(self, world: World) -> None:
        self.says(world, "elsewhere")
        with pytest.raises(JobNotSupported, match="another project"):
            world.board.require_trust(self.job())

    def test_one_that_is_dead(self, world: World) -> None:
        self.says(world, NOT_FOUND)
        world.own.answers(reply(200, {"jobs": []}))
        with pytest.raises(JobNotSupported, match="not valid any more"):
            world.board.require_trust(self.job())

    def test_keystone_away(self, world: World) -> None:
        self.says(world, AWAY)
        with pytest.raises(BoardUnavailable):
            world.board.require_trust(self.job())


def test_only_so_many_logins_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(central, "KEPT_LOGINS", 2)
    world.listed(*(document(f"j{n}", trust=f"t{n}") for n in range(3)))
    for number in (0, 1, 0, 2, 0, 1):
        world.line(f"trust t{number}").answers(reply(200, {"version": 1}))
        world.board.report(f"j{number}", CHANGES, None)
    assert world.opened == ["trust t0", "trust t1", "trust t2", "trust t1"]
    assert world.closed == ["trust t1", "trust t2"]
    world.board.close()
    assert world.closed[2:] == ["trust t0", "trust t1"]
