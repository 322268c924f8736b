"""Bodies as the dashboard sends them: documents as they were served, with nulls and all."""

from typing import Any

import pytest

from tests.fakes.api_world import Caller

SERVED = {"user_id": "somebody", "project_id": "elsewhere", "version": 7, "_version": 7}


def with_nulls(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**document, **dict.fromkeys(names, None)}


@pytest.fixture
def job(member: Caller) -> dict[str, Any]:
    member.client_registered()
    job_id = member.job_made(job_schedule={"schedule_interval": "2 hours"})
    member.post(f"/jobs/{job_id}/event", {"start": None})
    member.patch(f"/jobs/{job_id}", {"job_schedule": {"time_started": 5, "time_ended": 6}})
    document: dict[str, Any] = member.get(f"/jobs/{job_id}").json
    return document


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_a_served_job_is_taken_back(member: Caller, job: dict[str, Any], method: str) -> None:
    path = f"/jobs/{job['job_id']}"
    credentials = {"trust_id": "stolen", "trustor_user_id": "somebody"}
    body = with_nulls({**job, **SERVED, "user_credentials": credentials}, "session_name")
    nulls = ("engine", "engine_name", "storage", "priority", "timeout", "log_file")
    for entry in body["job_actions"]:
        entry["freezer_action"] |= dict.fromkeys(nulls)
    reply = member.send(method, path, body)
    assert reply.status in {200, 201}, reply.text
    after = member.get(path).json
    assert after["job_schedule"] == job["job_schedule"]
    assert (after["user_id"], after["project_id"]) == (job["user_id"], job["project_id"])
    assert "user_credentials" not in after
    assert "version" not in after


def test_editing_a_job_keeps_its_event_and_times(member: Caller, job: dict[str, Any]) -> None:
    path = f"/jobs/{job['job_id']}"
    body = {"description": "mine", "job_schedule": {"schedule_interval": "1 days"}}
    assert member.patch(path, body).status == 200
    edited = member.get(path).json["job_schedule"]
    assert edited == {**job["job_schedule"], "schedule_interval": "1 days"}
    assert (edited["event"], edited["time_started"], edited["time_ended"]) == ("start", 5, 6)


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_a_served_action_is_taken_back(member: Caller, method: str) -> None:
    action_id = member.made("/actions", {"freezer_action": {"action": "backup"}, "max_retries": 2})
    path = f"/actions/{action_id}"
    served = member.get(path).json
    served["freezer_action"] |= {"mode": None, "container": None, "engine_name": None}
    body = with_nulls({**served, **SERVED}, "max_retries_interval", "mandatory")
    assert member.send(method, path, body).status in {200, 201}
    after = member.get(path).json
    assert after["max_retries"] == 2
    assert after["freezer_action"]["action"] == "backup"
    assert (after["user_id"], after["project_id"]) == ("u", "p")
    assert "version" not in after


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_a_served_session_is_taken_back(member: Caller, method: str) -> None:
    session = {"description": "all", "schedule": {"schedule_interval": "1 days"}}
    path = f"/sessions/{member.made('/sessions', session)}"
    served = member.get(path).json
    body = with_nulls({**served, **SERVED, "name": "x", "clients": ["a"]}, "result", "last_start")
    assert member.send(method, path, body).status in {200, 201}
    assert member.get(path).json == served


def test_unknown_keys_of_a_new_session_are_ignored(member: Caller) -> None:
    body = {"schedule": {}, "name": "x", "time_created": 5, "job_ids": ["a"], "is_public": None}
    path = f"/sessions/{member.made('/sessions', body)}"
    assert member.get(path).json.keys().isdisjoint(body.keys() - {"schedule"})


def test_a_served_backup_is_taken_back(member: Caller) -> None:
    place = {"container": "c", "hostname": "h", "backup_name": "b", "time_stamp": 1700000000}
    path = f"/backups/{member.made('/backups', place)}"
    served = member.get(path).json
    assert type(served["backup_metadata"]["time_stamp"]) is int
    assert member.patch(path, {**served, **SERVED}).status == 200
    after = member.get(path).json
    assert after["backup_metadata"]["time_stamp"] == 1700000000
    assert (after["user_id"], after["project_id"]) == ("u", "p")


def test_a_client_is_found_by_its_whole_uuid_only(member: Caller) -> None:
    member.client_registered("one")
    member.client_registered("two", uuid="0123-4567-89ab")
    listed = {each["client"]["client_id"]: each for each in member.get("/clients").json["clients"]}
    for client_id, client in listed.items():
        uuid = client["client"]["uuid"]
        found = member.get("/clients", {"match": [{"_all": uuid}]}).json["clients"]
        assert [each["client"]["client_id"] for each in found] == [client_id]
        for part in (uuid[:-1], uuid[1:], uuid[:4] + "*"):
            assert member.get("/clients", {"match": [{"_all": part}]}).json["clients"] == []


def test_a_served_client_is_taken_back(member: Caller) -> None:
    member.client_registered(description="mine")
    served = member.get("/clients/node").json
    assert member.post("/clients", served).status == 201
    assert member.get("/clients/node").json == served
