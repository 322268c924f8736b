from typing import Any

import pytest

from tests.fakes.api_world import NOW_EPOCH, Caller, World

IDLE = {"client_id": "node", "status": "", "result": "", "time_started": -1, "time_ended": -1}


def new_session(caller: Caller, **fields: Any) -> str:
    return caller.made("/sessions", {"schedule": {"schedule_interval": "1 days"}, **fields})


def session_of(caller: Caller, session_id: str) -> dict[str, Any]:
    reply = caller.get(f"/sessions/{session_id}")
    assert reply.status == 200
    session: dict[str, Any] = reply.json
    return session


class TestCreate:
    def test_starts_empty(self, member: Caller) -> None:
        body = {
            "session_id": "mine",
            "status": "running",
            "jobs": ["one", "two"],
            "description": "weekly",
            "unheard": 5,
            "user_id": "v",
            "project_id": "q",
        }
        session_id = new_session(member, **body)
        assert session_id != "mine"
        assert session_of(member, session_id) == {
            "session_id": session_id,
            "session_tag": 0,
            "description": "weekly",
            "hold_off": 30,
            "schedule": {"schedule_interval": "1 days"},
            "jobs": {},
            "status": "active",
            "result": "",
            "time_start": -1,
            "time_started": -1,
            "time_end": -1,
            "time_ended": -1,
            "last_start": "",
            "user_id": "u",
            "project_id": "p",
        }

    def test_schedule_is_kept_as_it_was_sent(self, member: Caller) -> None:
        schedule = {"schedule_hour": "*/2", "time_created": 5, "event": "stop", "status": ""}
        session_id = new_session(member, schedule=schedule)
        assert session_of(member, session_id)["schedule"] == schedule

    @pytest.mark.parametrize("hold_off", [0, 5, "5", None])
    def test_hold_off(self, member: Caller, hold_off: Any) -> None:
        expected = 30 if hold_off is None else int(hold_off)
        assert session_of(member, new_session(member, hold_off=hold_off))["hold_off"] == expected

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"schedule": None}, "schedule"),
            ({"schedule": "x"}, "schedule"),
            ({"schedule": {"x": 1}}, "schedule.x"),
            ({"schedule": {"schedule_interval": "1 day"}}, "schedule.schedule_interval"),
            ({"hold_off": "x"}, "hold_off"),
            ({"hold_off": -5}, "hold_off"),
            ({"hold_off": {}}, "hold_off"),
            ({"description": {}}, "description"),
            ({"session_tag": -1}, "session_tag"),
        ],
    )
    def test_refuses(self, member: Caller, fields: dict[str, Any], path: str) -> None:
        reply = member.post("/sessions", {"schedule": {}, **fields})
        assert reply.status == 400
        assert reply.why.startswith(f"{path}: ")

    def test_needs_a_schedule(self, member: Caller) -> None:
        assert member.post("/sessions", {}).why == "schedule: is required"


class TestReplace:
    def test_new_and_again(self, member: Caller) -> None:
        first = member.post("/sessions/mine", {"schedule": {}, "description": "a"})
        assert (first.status, first.json) == (201, {"session_id": "mine", "version": 1})
        assert session_of(member, "mine")["jobs"] == {}
        second = member.post("/sessions/mine", {"schedule": {"schedule_hour": "1"}})
        assert second.json == {"session_id": "mine", "version": 2}
        session = session_of(member, "mine")
        assert (session["description"], session["schedule"]) == ("", {"schedule_hour": "1"})

    def test_fetched_session_is_taken(self, member: Caller) -> None:
        member.client_registered("node")
        session_id, job_id = new_session(member), member.job_made()
        member.put(f"/sessions/{session_id}/jobs/{job_id}")
        member.post(
            f"/sessions/{session_id}/action", {"start": {"job_id": job_id, "current_tag": 0}}
        )
        fetched = session_of(member, session_id)
        sent = {**fetched, "version": 3, "result": None}
        assert member.post(f"/sessions/{session_id}", sent).status == 201
        assert member.patch(f"/sessions/{session_id}", sent).status == 200
        assert session_of(member, session_id) == fetched

    def test_foreign_id(self, member: Caller, stranger: Caller) -> None:
        stranger.post("/sessions/theirs", {"schedule": {}})
        assert member.post("/sessions/theirs", {"schedule": {}}).status == 409


class TestPatch:
    def test_merges_jobs_and_replaces_the_rest(self, member: Caller) -> None:
        session_id = new_session(member)
        member.patch(f"/sessions/{session_id}", {"jobs": {"a": {"client_id": "x"}}})
        body = {
            "jobs": {"a": {"result": "fail"}, "b": {"status": "running"}},
            "description": "new",
            "project_id": "q",
            "session_id": "other",
            "unheard": 1,
        }
        reply = member.patch(f"/sessions/{session_id}", body)
        assert (reply.status, reply.json) == (200, {"session_id": session_id, "version": 3})
        session = session_of(member, session_id)
        assert session["project_id"] == "p"
        assert session["description"] == "new"
        assert session["jobs"]["a"] == {**IDLE, "client_id": "x", "result": "fail"}
        assert session["jobs"]["b"] == {**IDLE, "client_id": "", "status": "running"}

    @pytest.mark.parametrize(
        "body",
        [{"jobs": []}, {"jobs": {"a": 5}}, {"jobs": {"a b": {}}}, {"jobs": {"a": {"status": 1}}}],
    )
    def test_refuses(self, member: Caller, body: Any) -> None:
        session_id = new_session(member)
        assert member.patch(f"/sessions/{session_id}", body).status == 400
        assert session_of(member, session_id)["jobs"] == {}


class TestMembership:
    @pytest.fixture
    def job_id(self, member: Caller) -> str:
        member.client_registered("node")
        return member.job_made(
            job_schedule={"schedule_hour": "1", "status": "scheduled", "result": "fail"}
        )

    def test_join(self, member: Caller, job_id: str) -> None:
        session_id = new_session(member, session_tag=4)
        reply = member.put(f"/sessions/{session_id}/jobs/{job_id}")
        assert (reply.status, reply.text) == (204, "")
        expected = {**IDLE, "status": "scheduled", "result": "fail"}
        assert session_of(member, session_id)["jobs"] == {job_id: expected}
        job = member.get(f"/jobs/{job_id}").json
        assert (job["session_id"], job["session_tag"]) == (session_id, 4)
        assert job["job_schedule"] == {
            "schedule_interval": "1 days",
            "status": "scheduled",
            "event": "",
            "result": "fail",
            "time_created": NOW_EPOCH,
            "time_started": -1,
            "time_ended": -1,
        }

    def test_joining_again_changes_nothing(self, member: Caller, job_id: str) -> None:
        session_id = new_session(member)
        for _ in range(2):
            assert member.put(f"/sessions/{session_id}/jobs/{job_id}").status == 204
        assert list(session_of(member, session_id)["jobs"]) == [job_id]

    def test_joining_another_moves_the_job(self, member: Caller, job_id: str) -> None:
        first, second = new_session(member), new_session(member)
        member.put(f"/sessions/{first}/jobs/{job_id}")
        member.put(f"/sessions/{second}/jobs/{job_id}")
        assert session_of(member, first)["jobs"] == {}
        assert list(session_of(member, second)["jobs"]) == [job_id]
        assert member.get(f"/jobs/{job_id}").json["session_id"] == second

    def test_leave(self, member: Caller, job_id: str) -> None:
        session_id = new_session(member)
        member.put(f"/sessions/{session_id}/jobs/{job_id}")
        reply = member.delete(f"/sessions/{session_id}/jobs/{job_id}")
        assert (reply.status, reply.text) == (204, "")
        assert session_of(member, session_id)["jobs"] == {}
        job = member.get(f"/jobs/{job_id}").json
        assert (job["session_id"], job["session_tag"]) == ("", 0)
        assert job["job_schedule"]["event"] == "stop"
        assert job["job_schedule"]["schedule_interval"] == "1 days"

    def test_unknown_ends(self, member: Caller, stranger: Caller, job_id: str) -> None:
        session_id = new_session(member)
        theirs = new_session(stranger)
        for path in (
            f"/sessions/ghost/jobs/{job_id}",
            f"/sessions/{session_id}/jobs/ghost",
            f"/sessions/{theirs}/jobs/{job_id}",
        ):
            assert member.put(path).status == 404
            assert member.delete(path).status == 404
        assert member.delete(f"/sessions/{session_id}/jobs/{job_id}").status == 404
        assert member.get(f"/jobs/{job_id}").json["session_id"] == ""

    def test_delete_of_the_session_frees_its_jobs(self, member: Caller, job_id: str) -> None:
        session_id = new_session(member)
        member.put(f"/sessions/{session_id}/jobs/{job_id}")
        assert member.delete(f"/sessions/{session_id}").status == 204
        assert member.delete(f"/sessions/{session_id}").status == 404
        job = member.get(f"/jobs/{job_id}").json
        assert (job["session_id"], job["session_tag"]) == ("", 0)
        assert job["job_schedule"]["event"] == ""

    @pytest.mark.usefixtures("job_id")
    def test_delete_frees_more_jobs_than_one_page(self, member: Caller) -> None:
        session_id = new_session(member)
        jobs = [member.job_made(job_actions=[], session_id=session_id) for _ in range(1003)]
        assert member.delete(f"/sessions/{session_id}").status == 204
        assert {member.get(f"/jobs/{job}").json["session_id"] for job in jobs} == {""}

    def test_a_membership_without_its_job_can_be_removed(self, member: Caller) -> None:
        session_id = new_session(member)
        member.patch(f"/sessions/{session_id}", {"jobs": {"ghost": {}}})
        assert member.delete(f"/sessions/{session_id}/jobs/ghost").status == 204
        assert session_of(member, session_id)["jobs"] == {}


class TestRuns:
    @pytest.fixture
    def session_id(self, member: Caller) -> str:
        member.client_registered("node")
        session_id = new_session(member)
        for name in ("a", "b"):
            member.job_made(job_id=name)
            member.put(f"/sessions/{session_id}/jobs/{name}")
        return session_id

    def act(self, caller: Caller, session_id: str, **action: Any) -> tuple[int, Any]:
        reply = caller.post(f"/sessions/{session_id}/action", action)
        return reply.status, reply.json

    def test_a_whole_run(self, world: World, member: Caller, session_id: str) -> None:
        assert self.act(member, session_id, start={"job_id": "a", "current_tag": 0}) == (
            202,
            {"result": "success", "session_tag": 1},
        )
        assert self.act(member, session_id, start={"job_id": "a", "current_tag": 1}) == (
            202,
            {"result": "hold-off", "session_tag": 1},
        )
        assert self.act(member, session_id, start={"job_id": "b", "current_tag": "0"}) == (
            202,
            {"result": "success", "session_tag": 1},
        )
        session = session_of(member, session_id)
        assert (session["status"], session["time_start"]) == ("running", NOW_EPOCH)
        world.clock.forward(31)
        assert self.act(member, session_id, start={"job_id": "b", "current_tag": 0}) == (
            202,
            {"result": "out-of-sync", "session_tag": 1},
        )
        for name, result in (("a", "fail"), ("b", "success")):
            assert session_of(member, session_id)["status"] == "running"
            end = {"job_id": name, "current_tag": 1, "result": result}
            assert self.act(member, session_id, end=end)[0] == 202
        session = session_of(member, session_id)
        assert (session["status"], session["result"]) == ("completed", "fail")
        assert session["time_ended"] == NOW_EPOCH + 31

    @pytest.mark.parametrize(
        ("action", "words"),
        [
            ({"start": {"job_id": "a", "current_tag": 9}}, "requested tag value too high"),
            ({"start": {"job_id": "ghost", "current_tag": 0}}, "job_id not found in session"),
            ({"end": {"job_id": "ghost", "current_tag": 0, "result": "fail"}}, "job_id not found"),
            ({"start": {"job_id": "a"}}, "current_tag: is required"),
            ({"start": {"job_id": "a", "current_tag": "x"}}, "current_tag: "),
            ({"start": {"job_id": "a", "current_tag": None}}, "current_tag: "),
            ({"start": {"current_tag": 0}}, "job_id: is required"),
            ({"start": {"job_id": 5, "current_tag": 0}}, "job_id: "),
            ({"start": []}, "must be an object"),
            ({"start": None}, "must be an object"),
            ({"end": {"job_id": "a", "current_tag": 0}}, "result: is required"),
            ({"end": {"job_id": "a", "current_tag": 0, "result": "odd"}}, "result: must be one of"),
            ({"jump": {}}, "The body must hold one action"),
            ({}, "The body must hold one action"),
        ],
    )
    def test_refuses(
        self, member: Caller, session_id: str, action: dict[str, Any], words: str
    ) -> None:
        before = session_of(member, session_id)
        status, answer = self.act(member, session_id, **action)
        assert (status, answer["title"]) == (400, "Bad request format")
        assert answer["description"].startswith(words)
        assert session_of(member, session_id) == before

    def test_unknown_session(self, member: Caller, stranger: Caller) -> None:
        theirs = new_session(stranger)
        for session_id in ("ghost", theirs):
            start = {"job_id": "a", "current_tag": 0}
            assert self.act(member, session_id, start=start)[0] == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_foreign_is_unknown(member: Caller, stranger: Caller, method: str) -> None:
    session_id = new_session(stranger)
    reply = member.send(method, f"/sessions/{session_id}", {"description": "x"})
    assert (reply.status, reply.title) == (404, "Not Found")
    assert session_of(stranger, session_id)["description"] == ""
