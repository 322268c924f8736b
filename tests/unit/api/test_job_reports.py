"""Many jobs reported in one call: each is changed, or refused, by itself."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_world import make_world

JOB = {"client_id": "node", "job_actions": [{"freezer_action": {"action": "exec"}}]}


def report(job_id: str, **schedule: Any) -> dict[str, Any]:
    return {"job_id": job_id, "job_schedule": schedule}


def test_each_report_is_merged_or_refused_by_itself(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    caller, stranger = world.caller(), world.caller(project="other")
    for each in (caller, stranger):
        assert each.post("/clients", {"client_id": "node"}).status == 201
    for job_id in ("a", "b"):
        schedule = {"schedule_interval": "2 hours"}
        body = {**JOB, "job_id": job_id, "job_schedule": schedule}
        assert caller.post("/jobs", body).status == 201
    assert stranger.post("/jobs", {**JOB, "job_id": "theirs"}).status == 201
    reports = [
        report("a", status="scheduled", event=""),
        report("theirs", status="scheduled"),
        report("b", schedule_hour="99"),
        {**report("b", status="running", time_started=5), "session_tag": 3},
    ]
    reply = caller.post("/job-reports", {"jobs": reports})
    assert reply.status == 200
    first, second, third, fourth = reply.json["jobs"]
    assert first["job_id"] == "a"
    assert first["version"] > 0
    assert (second["job_id"], second["code"], second["title"]) == ("theirs", 404, "Not Found")
    assert (third["job_id"], third["code"]) == ("b", 400)
    assert "schedule_hour" in third["description"]
    assert fourth["version"] > 0
    schedules = {name: caller.get(f"/jobs/{name}").json["job_schedule"] for name in "ab"}
    assert schedules["a"]["status"] == "scheduled"
    assert schedules["b"]["time_started"] == 5
    assert all(one["schedule_interval"] == "2 hours" for one in schedules.values())
    assert caller.get("/jobs/b").json["session_tag"] == 3
    assert stranger.get("/jobs/theirs").json["job_schedule"]["status"] == ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"jobs": []},
        {"jobs": [report("a")] * 501},
        {"jobs": [{"job_id": "a"}]},
        {"jobs": [{"job_schedule": {}}]},
        {"jobs": [{**report("a"), "job_actions": []}]},
        {"jobs": [report("a", status="odd")]},
        {"jobs": [{**report("a"), "job_id": None}]},
    ],
)
def test_a_body_that_makes_no_sense_changes_nothing(tmp_path: Path, body: dict[str, Any]) -> None:
    assert make_world(tmp_path).caller().post("/job-reports", body).status == 400
