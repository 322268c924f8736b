from typing import Any

import pytest

from tests.fakes.api_world import NOW_EPOCH, Caller, Reply, World, make_world

FIRST = NOW_EPOCH


@pytest.fixture
def job(member: Caller) -> str:
    member.client_registered()
    return member.job_made()


def begin(caller: Caller, job_id: str, run_id: str = "one", **fields: Any) -> Reply:
    body = {"status": "running", "time_started": FIRST, "lease_seconds": 100, **fields}
    return caller.put(f"/jobs/{job_id}/runs/{run_id}", body)


def end(caller: Caller, job_id: str, run_id: str = "one", **fields: Any) -> Reply:
    body = {"status": "completed", "result": "success", "time_started": FIRST, **fields}
    return caller.put(f"/jobs/{job_id}/runs/{run_id}", body)


def runs_of(caller: Caller, job_id: str, query: str = "") -> list[Any]:
    reply = caller.get(f"/jobs/{job_id}/runs", query_string=query)
    assert reply.status == 200, reply.text
    runs: list[Any] = reply.json["runs"]
    return runs


def show_running(caller: Caller, job_id: str) -> None:
    timing = {"status": "running", "time_started": FIRST, "current_pid": 7}
    assert caller.patch(f"/jobs/{job_id}", {"job_schedule": timing}).status == 200


def timing_of(caller: Caller, job_id: str) -> dict[str, Any]:
    timing: dict[str, Any] = caller.get(f"/jobs/{job_id}").json["job_schedule"]
    return timing


class TestHistory:
    def test_a_run_is_kept_with_its_actions(self, member: Caller, job: str) -> None:
        assert begin(member, job, scheduler="node").json == {
            "run_id": "one",
            "lease_until": NOW_EPOCH + 100,
            "was_lost": False,
        }
        action_id = member.get(f"/jobs/{job}").json["job_actions"][0]["action_id"]
        action = {
            "action_id": action_id,
            "action": "backup",
            "result": "fail",
            "attempts": 3,
            "exit_code": 1,
            "error": "no",
            "time_started": FIRST,
            "time_ended": FIRST + 5,
        }
        ended = {"result": "fail", "exit_code": 1, "error": "no", "time_ended": FIRST + 5}
        assert end(member, job, actions=[action], **ended).json["lease_until"] == -1
        assert runs_of(member, job) == [
            {
                "run_id": "one",
                "job_id": job,
                "client_id": "node",
                "scheduler": "node",
                "status": "completed",
                "session_id": "",
                "session_tag": 0,
                "time_started": FIRST,
                "actions": [action],
                "project_id": "p",
                "user_id": "u",
                **ended,
            }
        ]
        assert member.get(f"/jobs/{job}/runs/one").json == runs_of(member, job)[0]
        assert member.get(f"/jobs/{job}").json["job_actions"][0]["last_run"] == action

    def test_a_fetched_job_with_last_runs_can_be_sent_back(self, member: Caller, job: str) -> None:
        action_id = member.get(f"/jobs/{job}").json["job_actions"][0]["action_id"]
        end(member, job, actions=[{"action_id": action_id, "result": "success"}])
        fetched = member.get(f"/jobs/{job}").json
        assert member.post(f"/jobs/{job}", fetched).status == 201

    def test_only_the_newest_stay(self, tmp_path: Any) -> None:
        from freezer_api.app import Limits

        member = make_world(tmp_path, limits=Limits(kept_runs=3)).caller()
        member.client_registered()
        job = member.job_made()
        for number in range(6):
            begin(member, job, f"run{number}")
            end(member, job, f"run{number}")
        assert [run["run_id"] for run in runs_of(member, job)] == ["run3", "run4", "run5"]

    def test_pages(self, member: Caller, job: str) -> None:
        for number in range(5):
            end(member, job, f"run{number}")
        names = [run["run_id"] for run in runs_of(member, job, "limit=2&offset=2")]
        assert names == ["run2", "run3"]

    def test_two_jobs_may_name_a_run_alike(self, member: Caller, job: str) -> None:
        other = member.job_made()
        end(member, job)
        end(member, other, result="fail")
        assert [run["result"] for run in runs_of(member, job)] == ["success"]
        assert [run["result"] for run in runs_of(member, other)] == ["fail"]

    def test_they_go_with_their_job(self, member: Caller, job: str) -> None:
        begin(member, job)
        assert member.delete(f"/jobs/{job}").status == 204
        assert member.get(f"/jobs/{job}/runs").status == 404
        assert member.get(f"/jobs/{job}/runs/one").status == 404
        assert member.made("/jobs", {"job_id": job, "client_id": "node", "job_actions": []}) == job
        assert runs_of(member, job) == []
        assert begin(member, job, "two").status == 200

    def test_strangers_see_nothing(self, member: Caller, stranger: Caller, job: str) -> None:
        end(member, job)
        assert stranger.get(f"/jobs/{job}/runs").status == 404
        assert stranger.get(f"/jobs/{job}/runs/one").status == 404
        assert end(stranger, job).status == 404

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ({}, "status: is required"),
            ({"status": "lost"}, "status: must be one of 'running', 'completed'"),
            ({"status": "running", "lease_seconds": 0}, "lease_seconds: must be 1 or more"),
            ({"status": "running", "actions": [{"x": 1}]}, "actions.0.x: is not a known field"),
            ({"status": "completed", "result": "good"}, "result: must be one of"),
        ],
    )
    def test_refuses(self, member: Caller, job: str, body: Any, why: str) -> None:
        reply = member.put(f"/jobs/{job}/runs/one", body)
        assert reply.status == 400
        assert reply.why.startswith(why)


class TestLease:
    def test_one_run_at_a_time(self, member: Caller, job: str) -> None:
        assert begin(member, job, "one").status == 200
        refused = begin(member, job, "two")
        assert refused.status == 409
        assert "Run one of job" in refused.why
        assert begin(member, job, "one").status == 200
        end(member, job, "one")
        assert begin(member, job, "two").status == 200

    def test_who_knows_better_takes_it_over(self, member: Caller, job: str) -> None:
        begin(member, job, "one")
        assert begin(member, job, "two", take_over=True).status == 200
        assert [run["status"] for run in runs_of(member, job)] == ["lost", "running"]
        assert begin(member, job, "one").status == 409

    def test_it_is_renewed(self, member: Caller, job: str, world: World) -> None:
        begin(member, job)
        for _ in range(5):
            world.clock.forward(90)
            assert begin(member, job).json["was_lost"] is False
        assert runs_of(member, job)[0]["status"] == "running"

    def test_an_ended_run_is_not_begun_again(self, member: Caller, job: str) -> None:
        begin(member, job)
        end(member, job)
        assert begin(member, job).status == 409
        assert end(member, job).status == 200
        assert runs_of(member, job)[0]["status"] == "completed"

    def test_a_scheduler_that_died_loses_it(self, member: Caller, job: str, world: World) -> None:
        begin(member, job)
        show_running(member, job)
        world.clock.forward(100)
        assert timing_of(member, job)["status"] == "running"
        world.clock.forward(10)
        timing = timing_of(member, job)
        assert timing["status"] == "scheduled"
        assert timing["result"] == "fail"
        assert timing["error"].startswith("lost: ")
        assert timing["time_ended"] == NOW_EPOCH + 110
        assert "current_pid" not in timing
        (run,) = runs_of(member, job)
        assert (run["status"], run["result"]) == ("lost", "fail")
        assert begin(member, job, "two").status == 200

    def test_lists_tell_it_too(self, member: Caller, job: str, world: World) -> None:
        begin(member, job)
        show_running(member, job)
        world.clock.forward(200)
        lost = member.get("/jobs", {"match": [{"result": "fail"}]}).json["jobs"]
        assert [found["job_id"] for found in lost] == [job]

    def test_one_that_comes_back_goes_on(self, member: Caller, job: str, world: World) -> None:
        begin(member, job, scheduler="node")
        show_running(member, job)
        world.clock.forward(200)
        assert timing_of(member, job)["result"] == "fail"
        assert begin(member, job).json["was_lost"] is True
        assert runs_of(member, job)[0]["status"] == "running"
        assert end(member, job).json["was_lost"] is False
        assert runs_of(member, job)[0]["scheduler"] == "node"

    def test_the_late_end_of_a_lost_run_counts(
        self, member: Caller, job: str, world: World
    ) -> None:
        begin(member, job)
        world.clock.forward(200)
        assert runs_of(member, job)[0]["status"] == "lost"
        assert begin(member, job, "two").status == 200
        assert end(member, job).json["was_lost"] is True
        assert [run["status"] for run in runs_of(member, job)] == ["completed", "running"]
        assert begin(member, job, "three").status == 409

    def test_a_job_that_runs_anew_is_left_alone(
        self, member: Caller, job: str, world: World
    ) -> None:
        begin(member, job)
        newer = {"status": "running", "time_started": FIRST + 50}
        member.patch(f"/jobs/{job}", {"job_schedule": newer})
        world.clock.forward(200)
        assert timing_of(member, job)["status"] == "running"
