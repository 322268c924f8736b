from typing import Any

import pytest

from freezer_api.store.base import EVERYWHERE, Collection
from tests.fakes.api_world import NOW_EPOCH, Caller, World, job_body

RUN = {"status": "", "event": "", "result": "", "time_started": -1, "time_ended": -1}


@pytest.fixture(autouse=True)
def node(member: Caller) -> str:
    return member.client_registered("node")


def job_of(caller: Caller, job_id: str) -> dict[str, Any]:
    reply = caller.get(f"/jobs/{job_id}")
    assert reply.status == 200
    job: dict[str, Any] = reply.json
    return job


class TestCreate:
    def test_answers_the_id_and_shows_the_whole_document(self, member: Caller) -> None:
        job_id = member.job_made(job_schedule={"schedule_interval": "2 hours"})
        job = job_of(member, job_id)
        action_id = job["job_actions"][0]["action_id"]
        assert job == {
            "job_id": job_id,
            "project_id": "p",
            "user_id": "u",
            "client_id": "node",
            "description": "",
            "session_id": "",
            "session_tag": 0,
            "job_schedule": {"schedule_interval": "2 hours", "time_created": NOW_EPOCH, **RUN},
            "job_actions": [
                {
                    "action_id": action_id,
                    "freezer_action": {"action": "backup", "mode": "fs", "backup_name": "etc"},
                    "max_retries": 5,
                    "max_retries_interval": 6,
                    "mandatory": False,
                }
            ],
        }

    def test_times_are_the_servers(self, member: Caller) -> None:
        times = {"time_created": 1, "time_started": 2, "time_ended": 3}
        job = job_of(member, member.job_made(job_schedule=times))
        assert job["job_schedule"] == {"time_created": NOW_EPOCH, **RUN}

    def test_owner_and_delegation_are_the_servers(self, member: Caller) -> None:
        job_id = member.job_made(
            project_id="q", user_id="v", user_credentials={"trust_id": "t", "trustor_user_id": "x"}
        )
        job = job_of(member, job_id)
        assert (job["project_id"], job["user_id"]) == ("p", "u")
        assert "user_credentials" not in job

    def test_own_id_is_used_once_over_all_projects(self, member: Caller, stranger: Caller) -> None:
        assert member.job_made(job_id="mine") == "mine"
        assert member.post("/jobs", job_body(job_id="mine")).status == 409
        stranger.client_registered("node")
        refused = stranger.post("/jobs", job_body(job_id="mine"))
        assert (refused.status, refused.title) == (409, "Document already existing")

    def test_deleted_id_is_free(self, member: Caller) -> None:
        member.job_made(job_id="mine")
        member.delete("/jobs/mine")
        assert member.job_made(job_id="mine") == "mine"

    def test_no_actions_is_a_job_too(self, member: Caller) -> None:
        assert job_of(member, member.job_made(job_actions=[]))["job_actions"] == []

    def test_defaults_fill_what_is_missing_or_null(self, member: Caller) -> None:
        actions = [
            {"freezer_action": {"action": "backup", "mode": None, "storage": "s3"}},
            {"freezer_action": {}},
        ]
        defaults = {"mode": "fs", "storage": "local"}
        job = job_of(member, member.job_made(job_actions=actions, action_defaults=defaults))
        assert [entry["freezer_action"] for entry in job["job_actions"]] == [
            {"action": "backup", "mode": "fs", "storage": "s3"},
            {"mode": "fs", "storage": "local"},
        ]
        assert "action_defaults" not in job

    def test_every_key_of_an_action_survives(self, member: Caller) -> None:
        freezer_action = {
            "hostname": False,
            "max_level": 0,
            "x": [None, {"y": 1.5}],
            "log_file": None,
        }
        entry = {
            "freezer_action": freezer_action,
            "mandatory": True,
            "max_retries": 0,
            "max_retries_interval": 1,
            "max_run_time": 60,
            "exit_status": "odd",
        }
        (stored,) = job_of(member, member.job_made(job_actions=[entry]))["job_actions"]
        assert {**entry, "action_id": stored["action_id"]} == stored

    def test_order_of_actions_is_kept(self, member: Caller) -> None:
        actions = [{"freezer_action": {"backup_name": str(n)}} for n in range(20)]
        job = job_of(member, member.job_made(job_actions=actions))
        names = [entry["freezer_action"]["backup_name"] for entry in job["job_actions"]]
        assert names == [str(n) for n in range(20)]

    def test_actions_become_documents(self, member: Caller) -> None:
        job = job_of(member, member.job_made())
        action = member.get(f"/actions/{job['job_actions'][0]['action_id']}").json
        assert action["freezer_action"] == job["job_actions"][0]["freezer_action"]

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"job_actions": None}, "job_actions"),
            ({"job_actions": "x"}, "job_actions"),
            ({"job_actions": {}}, "job_actions"),
            ({"job_actions": [1]}, "job_actions.0"),
            ({"job_actions": [{}]}, "job_actions.0.freezer_action"),
            ({"job_actions": [{"max_retries": 1}]}, "job_actions.0.freezer_action"),
            ({"job_actions": [{"freezer_action": None}]}, "job_actions.0.freezer_action"),
            ({"job_actions": [{"freezer_action": []}]}, "job_actions.0.freezer_action"),
            (
                {"job_actions": [{"freezer_action": {"action": "zzz"}}]},
                "job_actions.0.freezer_action.action",
            ),
            (
                {"job_actions": [{"freezer_action": {"mode": 5}}]},
                "job_actions.0.freezer_action.mode",
            ),
            (
                {"job_actions": [{"freezer_action": {}, "max_retries": "x"}]},
                "job_actions.0.max_retries",
            ),
            (
                {"job_actions": [{"freezer_action": {}, "mandatory": 1}]},
                "job_actions.0.mandatory",
            ),
            ({"client_id": None}, "client_id"),
            ({"client_id": 5}, "client_id"),
            ({"client_id": ""}, "client_id"),
            ({"client_id": "bad%project$id_host.domain.tld"}, "client_id"),
            ({"client_id": "project_bad_hostname.bad/domain.b"}, "client_id"),
            ({"job_schedule": None}, "job_schedule"),
            ({"job_schedule": []}, "job_schedule"),
            ({"job_schedule": {"x": 1}}, "job_schedule.x"),
            ({"job_schedule": {"schedule_hour": 5}}, "job_schedule.schedule_hour"),
            ({"job_schedule": {"schedule_hour": "25"}}, "job_schedule.schedule_hour"),
            ({"job_schedule": {"schedule_interval": "1 day"}}, "job_schedule.schedule_interval"),
            (
                {"job_schedule": {"schedule_date": "2015-02-31T00:00:00"}},
                "job_schedule.schedule_date",
            ),
            ({"job_schedule": {"event": "jump"}}, "job_schedule.event"),
            ({"job_schedule": {"status": 5}}, "job_schedule.status"),
            ({"job_schedule": {"current_pid": "5"}}, "job_schedule.current_pid"),
            ({"session_tag": "1"}, "session_tag"),
            ({"session_tag": True}, "session_tag"),
            ({"job_id": "a b"}, "job_id"),
            ({"job_id": "a\n"}, "job_id"),
            ({"job_id": "a" * 256}, "job_id"),
            ({"job_id": ""}, "job_id"),
            ({"description": 5}, "description"),
            ({"action_defaults": 5}, "action_defaults"),
            ({"surprise": 5}, "surprise"),
        ],
    )
    def test_refuses_what_breaks_the_schema_and_names_the_field(
        self, member: Caller, fields: dict[str, Any], path: str
    ) -> None:
        reply = member.post("/jobs", job_body(**fields))
        assert (reply.status, reply.title) == (400, "Bad request format")
        assert reply.why.startswith(f"{path}: ")
        assert "^" not in reply.why

    @pytest.mark.parametrize("missing", ["client_id", "job_actions"])
    def test_required_fields(self, member: Caller, missing: str) -> None:
        body = job_body()
        del body[missing]
        assert member.post("/jobs", body).why == f"{missing}: is required"

    def test_unknown_client_is_refused_and_leaves_nothing(self, member: Caller) -> None:
        reply = member.post("/jobs", job_body(client_id="ghost"))
        assert (reply.status, reply.title) == (422, "Unprocessable Entity")
        assert reply.why == "Client not found with ID ghost"
        assert member.get("/actions").json == {"actions": []}

    @pytest.mark.parametrize("key", ["engine_name", "engine"])
    def test_client_must_be_able(self, member: Caller, key: str) -> None:
        member.client_registered(
            "small", supported_modes=["fs"], supported_engines=["tar"], supported_storages=["local"]
        )
        for freezer_action, missing in (
            ({"mode": "nova"}, "mode: nova"),
            ({"storage": "s3"}, "storage: s3"),
            ({key: "rsync"}, "engine: rsync"),
        ):
            reply = member.post(
                "/jobs",
                job_body(client_id="small", job_actions=[{"freezer_action": freezer_action}]),
            )
            assert reply.status == 422
            assert reply.why == f"Client small does not support {missing}"


class TestActionIds:
    def test_reference_takes_the_stored_definition(self, member: Caller) -> None:
        action_id = member.made(
            "/actions", {"freezer_action": {"action": "info"}, "max_retries": 1, "mandatory": True}
        )
        job_id = member.job_made(job_actions=[{"action_id": action_id, "exit_status": "x"}])
        assert job_of(member, job_id)["job_actions"] == [
            {
                "action_id": action_id,
                "exit_status": "x",
                "freezer_action": {"action": "info"},
                "max_retries": 1,
                "max_retries_interval": 6,
                "mandatory": True,
            }
        ]

    def test_unknown_id_is_refused(self, member: Caller) -> None:
        reply = member.post("/jobs", job_body(job_actions=[{"action_id": "ghost"}]))
        assert (reply.status, reply.why) == (422, "Action not found with ID ghost")

    def test_foreign_id_is_unknown(self, member: Caller, stranger: Caller) -> None:
        action_id = stranger.made("/actions", {"freezer_action": {"action": "info"}})
        assert member.post("/jobs", job_body(job_actions=[{"action_id": action_id}])).status == 422

    @pytest.mark.parametrize(
        "entry",
        [
            {"freezer_action": {"action": "backup"}},
            {"freezer_action": {"action": "info", "sync": True}},
            {"freezer_action": {"action": "info", "sync": 1, "x": 1}},
            {"max_retries": 4},
            {"mandatory": True},
        ],
    )
    def test_another_definition_is_refused(self, member: Caller, entry: dict[str, Any]) -> None:
        action_id = member.made("/actions", {"freezer_action": {"action": "info", "sync": 1}})
        reply = member.post("/jobs", job_body(job_actions=[{"action_id": action_id, **entry}]))
        assert reply.status == 422
        assert f"differs from the stored action {action_id}" in reply.why

    def test_the_same_definition_passes_with_nulls(self, member: Caller) -> None:
        action_id = member.made("/actions", {"freezer_action": {"action": "info"}})
        entry = {
            "action_id": action_id,
            "freezer_action": {"action": "info", "timeout": None, "log_file": None},
            "max_retries": None,
        }
        assert member.post("/jobs", job_body(job_actions=[entry])).status == 201


class TestResubmit:
    """A fetched document is taken as it was served, with what the server put in."""

    @pytest.fixture
    def fetched(self, member: Caller) -> dict[str, Any]:
        job = job_of(member, member.job_made(job_schedule={"schedule_interval": "2 hours"}))
        extra = {"version": 3, "_version": 3, "user_credentials": None, "session_name": None}
        return {**job, **extra, "session_id": None}

    def test_by_patch(self, member: Caller, fetched: dict[str, Any]) -> None:
        before = job_of(member, fetched["job_id"])
        reply = member.patch(f"/jobs/{fetched['job_id']}", fetched)
        assert reply.status == 200
        assert job_of(member, fetched["job_id"]) == before

    def test_by_replacement(self, member: Caller, fetched: dict[str, Any]) -> None:
        before = job_of(member, fetched["job_id"])
        assert member.post(f"/jobs/{fetched['job_id']}", fetched).status == 201
        assert job_of(member, fetched["job_id"]) == before

    def test_as_a_new_job(self, member: Caller, fetched: dict[str, Any]) -> None:
        reply = member.post("/jobs", {**fetched, "job_id": None})
        assert reply.status == 201
        copy = job_of(member, reply.json["job_id"])
        assert copy["job_actions"] == fetched["job_actions"]

    def test_with_an_action_whose_document_is_missing(
        self, world: World, member: Caller, fetched: dict[str, Any]
    ) -> None:
        """As if the service had died between writing the job and writing its actions."""
        action_id = fetched["job_actions"][0]["action_id"]
        world.store.delete(Collection.ACTIONS, EVERYWHERE, action_id)
        assert member.patch(f"/jobs/{fetched['job_id']}", fetched).status == 200


class TestPatch:
    @pytest.fixture
    def job_id(self, member: Caller) -> str:
        return member.job_made(
            description="old",
            job_schedule={
                "schedule_interval": "2 hours",
                "schedule_end_date": "2030-01-01T00:00:00",
                "status": "scheduled",
            },
        )

    def schedule_after(self, member: Caller, job_id: str, **changes: Any) -> dict[str, Any]:
        assert member.patch(f"/jobs/{job_id}", {"job_schedule": changes}).status == 200
        schedule: dict[str, Any] = job_of(member, job_id)["job_schedule"]
        return schedule

    def test_a_description_leaves_the_schedule(self, member: Caller, job_id: str) -> None:
        before = job_of(member, job_id)
        reply = member.patch(f"/jobs/{job_id}", {"description": "new"})
        assert reply.json == {"job_id": job_id, "version": 2}
        assert job_of(member, job_id) == before | {"description": "new"}

    def test_version_grows(self, member: Caller, job_id: str) -> None:
        versions = [
            member.patch(f"/jobs/{job_id}", {"description": str(n)}).json["version"]
            for n in range(3)
        ]
        assert versions == [2, 3, 4]

    def test_schedule_is_merged(self, member: Caller, job_id: str) -> None:
        schedule = self.schedule_after(member, job_id, status="running", current_pid=7)
        assert schedule["schedule_interval"] == "2 hours"
        assert (schedule["status"], schedule["current_pid"]) == ("running", 7)

    def test_the_schedulers_report(self, member: Caller, job_id: str) -> None:
        report = {
            "job_schedule": {
                "schedule_interval": "2 hours",
                "event": "",
                "status": "completed",
                "result": "fail",
                "time_started": 5,
                "time_ended": 6,
                "exit_code": 4,
                "error": "the disk is full",
            },
            "session_id": "",
            "session_tag": 0,
        }
        member.post(f"/jobs/{job_id}/event", {"start": None})
        assert member.patch(f"/jobs/{job_id}", report).status == 200
        schedule = job_of(member, job_id)["job_schedule"]
        assert {key: schedule[key] for key in report["job_schedule"]} == report["job_schedule"]
        assert schedule["time_created"] == NOW_EPOCH

    @pytest.mark.parametrize("key", ["exit_code", "current_pid", "error"])
    def test_null_clears_what_a_run_left(self, member: Caller, job_id: str, key: str) -> None:
        value = "text" if key == "error" else 5
        assert self.schedule_after(member, job_id, **{key: value})[key] == value
        assert key not in self.schedule_after(member, job_id, **{key: None})

    @pytest.mark.parametrize("key", ["status", "event", "result", "time_started"])
    def test_null_means_absent_for_the_rest(self, member: Caller, job_id: str, key: str) -> None:
        before = job_of(member, job_id)["job_schedule"]
        assert self.schedule_after(member, job_id, **{key: None}) == before

    @pytest.mark.parametrize("empty", [None, ""])
    def test_empty_takes_a_schedule_key_away(
        self, member: Caller, job_id: str, empty: str | None
    ) -> None:
        schedule = self.schedule_after(member, job_id, schedule_end_date=empty)
        assert "schedule_end_date" not in schedule
        assert schedule["schedule_interval"] == "2 hours"

    def test_another_kind_of_schedule_replaces_the_kind(self, member: Caller, job_id: str) -> None:
        schedule = self.schedule_after(member, job_id, schedule_hour="3", schedule_minute="0")
        assert "schedule_interval" not in schedule
        assert schedule["schedule_end_date"] == "2030-01-01T00:00:00"
        schedule = self.schedule_after(member, job_id, schedule_interval="continuous")
        assert not {"schedule_hour", "schedule_minute"} & set(schedule)

    def test_editing_does_not_bring_an_old_event_back(self, member: Caller, job_id: str) -> None:
        """Somebody edits a job that he fetched while its start was still asked for."""
        member.post(f"/jobs/{job_id}/event", {"start": None})
        fetched = job_of(member, job_id)
        self.schedule_after(member, job_id, event="", status="running", time_started=9)
        assert member.patch(f"/jobs/{job_id}", {**fetched, "description": "new"}).status == 200
        schedule = job_of(member, job_id)["job_schedule"]
        assert (schedule["event"], schedule["time_started"]) == ("", 9)

    def test_owner_and_ids_stay(self, world: World, member: Caller, job_id: str) -> None:
        peer = world.caller(user="peer")
        body = {
            "job_id": "other",
            "project_id": "q",
            "user_id": "peer",
            "user_credentials": {"trust_id": "t"},
            "description": "mine now",
        }
        assert peer.patch(f"/jobs/{job_id}", body).status == 200
        job = job_of(member, job_id)
        assert (job["job_id"], job["project_id"], job["user_id"]) == (job_id, "p", "u")
        assert "user_credentials" not in job

    def test_actions_are_replaced_and_checked(self, member: Caller, job_id: str) -> None:
        body = {"job_actions": [{"freezer_action": {"action": "exec", "command": "ls"}}]}
        assert member.patch(f"/jobs/{job_id}", body).status == 200
        assert job_of(member, job_id)["job_actions"][0]["freezer_action"]["command"] == "ls"
        member.client_registered("small", supported_actions=["info"])
        reply = member.patch(f"/jobs/{job_id}", {"client_id": "small"})
        assert (reply.status, reply.why) == (422, "Client small does not support action: exec")
        assert member.patch(f"/jobs/{job_id}", {"client_id": "ghost"}).status == 422

    def test_defaults_need_actions(self, member: Caller, job_id: str) -> None:
        reply = member.patch(f"/jobs/{job_id}", {"action_defaults": {"mode": "fs"}})
        assert (reply.status, reply.why) == (
            400,
            "job_actions: is required beside action_defaults",
        )
        assert member.patch(f"/jobs/{job_id}", {"action_defaults": {}}).status == 200

    def test_broken_merge_is_refused(self, member: Caller, job_id: str) -> None:
        late = {"schedule_start_date": "2031-01-01T00:00:00"}
        reply = member.patch(f"/jobs/{job_id}", {"job_schedule": late})
        assert reply.status == 400
        assert reply.why.startswith("job_schedule.schedule_end_date: ")

    def test_unknown_field(self, member: Caller, job_id: str) -> None:
        assert member.patch(f"/jobs/{job_id}", {"x": 1}).why == "x: is not a known field"


class TestReplace:
    def test_makes_a_job_under_its_id(self, member: Caller) -> None:
        reply = member.post("/jobs/mine", job_body(job_id="ignored"))
        assert (reply.status, reply.json) == (201, {"job_id": "mine", "version": 1})
        assert job_of(member, "mine")["job_schedule"]["time_created"] == NOW_EPOCH

    def test_replaces_what_to_do_and_keeps_how_it_goes(self, world: World, member: Caller) -> None:
        member.post("/jobs/mine", job_body(description="a", job_schedule={"schedule_hour": "1"}))
        member.patch("/jobs/mine", {"job_schedule": {"status": "completed", "time_started": 5}})
        member.post("/jobs/mine/event", {"stop": None})
        world.clock.forward(1000)
        peer = world.caller(user="peer")
        reply = peer.post("/jobs/mine", job_body(job_schedule={"schedule_interval": "1 days"}))
        assert reply.json == {"job_id": "mine", "version": 4}
        job = job_of(member, "mine")
        assert (job["user_id"], job["description"]) == ("u", "")
        assert job["job_schedule"] == {
            "schedule_interval": "1 days",
            "status": "completed",
            "event": "stop",
            "result": "",
            "time_created": NOW_EPOCH,
            "time_started": 5,
            "time_ended": -1,
        }

    def test_foreign_id(self, member: Caller, stranger: Caller) -> None:
        member.post("/jobs/mine", job_body())
        stranger.client_registered("node")
        assert stranger.post("/jobs/mine", job_body()).status == 409
        assert job_of(member, "mine")["project_id"] == "p"

    def test_bad_id(self, member: Caller) -> None:
        reply = member.post("/jobs/a.b", job_body())
        assert (reply.status, reply.why[:7]) == (400, "job_id:")


class TestEvents:
    @pytest.mark.parametrize("event", ["start", "stop", "abort"])
    def test_is_recorded_once(self, member: Caller, event: str) -> None:
        job_id = member.job_made()
        first = member.post(f"/jobs/{job_id}/event", {event: None})
        again = member.post(f"/jobs/{job_id}/event", {event: {"any": "thing"}})
        assert (first.status, first.json) == (202, {"result": "success"})
        assert (again.status, again.json) == (202, {"result": f"{event} already requested"})
        assert job_of(member, job_id)["job_schedule"]["event"] == event

    def test_start_clears_status_and_result(self, member: Caller) -> None:
        job_id = member.job_made(job_schedule={"status": "completed", "result": "fail"})
        member.post(f"/jobs/{job_id}/event", {"start": None})
        schedule = job_of(member, job_id)["job_schedule"]
        assert (schedule["status"], schedule["result"]) == ("", "")

    def test_needs_no_client(self, member: Caller) -> None:
        job_id = member.job_made()
        member.delete("/clients/node")
        assert member.post(f"/jobs/{job_id}/event", {"abort": None}).status == 202

    @pytest.mark.parametrize("body", [{}, {"jump": None}, {"start": 1, "stop": 1}, ["start"], None])
    def test_other_words(self, member: Caller, body: Any) -> None:
        job_id = member.job_made()
        assert member.post(f"/jobs/{job_id}/event", body).status == 400

    def test_unknown_job(self, member: Caller) -> None:
        assert member.post("/jobs/ghost/event", {"start": None}).status == 404


class TestDelete:
    def test_is_gone(self, member: Caller) -> None:
        job_id = member.job_made()
        reply = member.delete(f"/jobs/{job_id}")
        assert (reply.status, reply.text) == (204, "")
        assert member.get(f"/jobs/{job_id}").status == 404
        assert member.delete(f"/jobs/{job_id}").status == 404

    def test_leaves_its_session(self, member: Caller) -> None:
        job_id = member.job_made()
        session_id = member.made("/sessions", {"schedule": {}})
        member.put(f"/sessions/{session_id}/jobs/{job_id}")
        member.delete(f"/jobs/{job_id}")
        assert member.get(f"/sessions/{session_id}").json["jobs"] == {}


class TestScope:
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    @pytest.mark.parametrize("job_id", ["ghost", "theirs", "a%00b", "%F0%9F%98%80", "a" * 600])
    def test_unknown_and_foreign_are_the_same(
        self, member: Caller, stranger: Caller, method: str, job_id: str
    ) -> None:
        stranger.client_registered("node")
        stranger.job_made(job_id="theirs")
        reply = member.send(method, f"/jobs/{job_id}", {"description": "x"})
        assert (reply.status, reply.title) == (404, "Not Found")
        assert reply.why
        assert job_of(stranger, "theirs")["description"] == ""

    def test_foreign_jobs_get_no_events(self, member: Caller, stranger: Caller) -> None:
        stranger.client_registered("node")
        stranger.job_made(job_id="theirs")
        assert member.post("/jobs/theirs/event", {"start": None}).status == 404

    def test_one_job_of_any_project_for_admin_and_service(
        self, world: World, member: Caller
    ) -> None:
        job_id = member.job_made()
        for role in ("admin", "service"):
            other = world.caller(project="q", roles=role)
            assert other.get(f"/jobs/{job_id}").status == 200

    def test_all_projects_when_asked_and_allowed(
        self, world: World, member: Caller, stranger: Caller
    ) -> None:
        member.job_made(job_id="ours")
        stranger.client_registered("node")
        stranger.job_made(job_id="theirs")
        admin = world.caller(roles="admin")

        def ids(caller: Caller, text: str) -> list[str]:
            reply = caller.get("/jobs", params={"all_projects": text})
            return [job["job_id"] for job in reply.json["jobs"]]

        assert ids(admin, "True") == ["ours", "theirs"]
        assert ids(admin, "true") == ["ours", "theirs"]
        assert ids(admin, "False") == ["ours"]
        assert ids(member, "True") == ["ours"]
        assert member.get("/jobs", params={"all_projects": "maybe"}).status == 400


class TestCentral:
    @pytest.fixture
    def central(self, admin: Caller) -> str:
        return admin.client_registered("central", is_central=True)

    def test_job_gets_the_users_delegation(self, stranger: Caller, central: str) -> None:
        first = stranger.job_made(client_id=central)
        second = stranger.job_made(client_id=central)
        credentials = {"trust_id": "trust1-v-q", "trustor_user_id": "v"}
        assert job_of(stranger, first)["user_credentials"] == credentials
        assert job_of(stranger, second)["user_credentials"] == credentials

    def test_delegation_survives_changes(self, stranger: Caller, central: str) -> None:
        job_id = stranger.job_made(client_id=central)
        stranger.patch(f"/jobs/{job_id}", {"user_credentials": {"trust_id": "mine"}})
        stranger.post(f"/jobs/{job_id}", job_body(client_id=central))
        assert job_of(stranger, job_id)["user_credentials"]["trust_id"] == "trust1-v-q"

    def test_delegation_ends_with_the_last_job(
        self, world: World, stranger: Caller, central: str
    ) -> None:
        jobs = [stranger.job_made(client_id=central) for _ in range(2)]
        stranger.delete(f"/jobs/{jobs[0]}")
        assert world.trusts.withdrawn == []
        stranger.delete(f"/jobs/{jobs[1]}")
        assert world.trusts.withdrawn == ["trust1-v-q"]

    def test_process_id_is_for_the_clients_project(
        self, world: World, stranger: Caller, central: str
    ) -> None:
        job_id = stranger.job_made(client_id=central)
        stranger.patch(f"/jobs/{job_id}", {"job_schedule": {"current_pid": 42}})
        assert "current_pid" not in job_of(stranger, job_id)["job_schedule"]
        listed = stranger.get("/jobs").json["jobs"][0]
        assert "current_pid" not in listed["job_schedule"]
        service = world.caller(project="q", roles="service")
        assert job_of(service, job_id)["job_schedule"]["current_pid"] == 42

    def test_process_id_of_an_own_client_is_shown(self, member: Caller) -> None:
        job_id = member.job_made()
        member.patch(f"/jobs/{job_id}", {"job_schedule": {"current_pid": 42}})
        assert job_of(member, job_id)["job_schedule"]["current_pid"] == 42
        assert member.get("/jobs").json["jobs"][0]["job_schedule"]["current_pid"] == 42
