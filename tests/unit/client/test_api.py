"""Typed calls: what is sent, what comes back, what a lost answer leads to."""

from typing import Any

import pytest

from freezer_client.api import SessionReply
from freezer_client.errors import ApiUnavailable, Conflict, NotFound
from tests.fakes.scripted_api import ScriptedApi, lost, reply


def test_a_search_is_the_body_of_the_list(world: ScriptedApi) -> None:
    world.answers(reply(200, {"jobs": []}))
    world.freezer.jobs.list(
        match=[{"client_id": "c"}], match_not=[{"status": "completed"}], search="x y"
    )
    assert world.asked[0].body == {
        "match": [{"client_id": "c"}, {"_all": "x y"}],
        "match_not": [{"status": "completed"}],
    }


def test_without_a_search_there_is_no_body(world: ScriptedApi) -> None:
    world.answers(reply(200, {"jobs": []}))
    world.freezer.jobs.list()
    assert world.asked[0].body is None
    assert "all_projects" not in world.asked[0].query


def test_all_projects_are_asked_for_in_words(world: ScriptedApi) -> None:
    world.answers(reply(200, {"jobs": []}))
    world.freezer.jobs.list(all_projects=True)
    assert world.asked[0].query["all_projects"] == "True"


def test_a_limit_asks_once(world: ScriptedApi) -> None:
    world.answers(reply(200, {"jobs": [{"job_id": "a"}, {"job_id": "b"}]}))
    assert len(world.freezer.jobs.list(limit=2, offset=4)) == 2
    assert world.asked[0].query == {"limit": "2", "offset": "4"}


def test_a_limit_of_nothing_asks_nobody(world: ScriptedApi) -> None:
    # To the API a limit of 0 means its default.
    assert world.freezer.jobs.list(limit=0) == []


@pytest.mark.parametrize("name", ["jobs", "sessions", "clients", "backups", "actions"])
def test_what_is_not_there_is_none(world: ScriptedApi, name: str) -> None:
    world.answers(reply(404))
    assert getattr(world.freezer, name).get("x") is None


@pytest.mark.parametrize("odd", ["", ".", ".."])
def test_ids_that_cannot_be_are_not_asked_for(world: ScriptedApi, odd: Any) -> None:
    assert world.freezer.jobs.get(odd) is None
    with pytest.raises(NotFound):
        world.freezer.jobs.delete(odd)
    with pytest.raises(NotFound):
        world.freezer.sessions.remove_job("s", odd)
    assert world.asked == []


def test_an_id_stays_one_part_of_the_path(world: ScriptedApi) -> None:
    world.answers(reply(204))
    world.freezer.jobs.delete("../clients/c?x=1#y")
    assert world.asked[0].path == "jobs/..%2Fclients%2Fc%3Fx%3D1%23y"


@pytest.mark.parametrize(("name", "key"), [("jobs", "job_id"), ("actions", "action_id")])
def test_a_create_is_given_its_id_here(world: ScriptedApi, name: str, key: str) -> None:
    world.answers(reply(201, {key: "own0"}))
    assert getattr(world.freezer, name).create({"x": 1}) == "own0"
    assert (world.asked[0].path, world.asked[0].body) == (name, {"x": 1, key: "own0"})


def test_a_conflict_after_a_lost_answer_is_with_ourselves(world: ScriptedApi) -> None:
    world.answers(lost(), reply(409))
    assert world.freezer.jobs.create({}) == "own0"
    assert [request.body for request in world.asked] == [{"job_id": "own0"}] * 2


def test_a_conflict_without_one_is_an_error(world: ScriptedApi) -> None:
    world.answers(reply(429), reply(409))
    with pytest.raises(Conflict):
        world.freezer.jobs.create({})


def test_an_id_that_the_document_chose_is_never_assumed_to_be_ours(world: ScriptedApi) -> None:
    world.answers(lost())
    with pytest.raises(ApiUnavailable):
        world.freezer.jobs.create({"job_id": "chosen"})
    world.answers(reply(409))
    with pytest.raises(Conflict):
        world.freezer.jobs.create({"job_id": "chosen"})


@pytest.mark.parametrize("name", ["jobs", "sessions", "actions"])
def test_a_create_or_replace_goes_to_the_id_and_may_be_repeated(
    world: ScriptedApi, name: str
) -> None:
    key = f"{name[:-1]}_id"
    world.answers(lost(), reply(201, {key: "j", "version": 1}))
    assert getattr(world.freezer, name).create({}, "j") == "j"
    assert (world.asked[1].method, world.asked[1].path) == ("POST", f"{name}/j")


@pytest.mark.parametrize(
    ("answer", "version"), [({"version": 3}, 3), ({"version": "j"}, 0), ({}, 0)]
)
def test_an_update_returns_the_version_whatever_old_servers_put_there(
    world: ScriptedApi, answer: Any, version: Any
) -> None:
    world.answers(reply(200, {"job_id": "j", **answer}))
    assert world.freezer.jobs.update("j", {"description": "d"}) == version


def test_a_delete_whose_answer_was_lost_is_done(world: ScriptedApi) -> None:
    world.answers(lost(), reply(404))
    world.freezer.jobs.delete("j")


def test_a_delete_of_nothing_is_not_found(world: ScriptedApi) -> None:
    world.answers(reply(404))
    with pytest.raises(NotFound):
        world.freezer.jobs.delete("j")


def test_an_event_is_asked_for_and_the_answer_told(world: ScriptedApi) -> None:
    world.answers(reply(202, {"result": "start already requested"}))
    assert world.freezer.jobs.request_event("j", "start") == "start already requested"
    assert (world.asked[0].path, world.asked[0].body) == ("jobs/j/event", {"start": None})


def test_a_start_and_an_end_in_a_session(world: ScriptedApi) -> None:
    world.answers(
        reply(202, {"result": "success", "session_tag": 4}),
        reply(202, {"result": "success", "session_tag": 4}),
    )
    started = world.freezer.sessions.start_job("s", "j", 3)
    assert started == SessionReply(result="success", session_tag=4)
    world.freezer.sessions.end_job("s", "j", 4, "fail")
    assert [request.body for request in world.asked] == [
        {"start": {"job_id": "j", "current_tag": 3}},
        {"end": {"job_id": "j", "current_tag": 4, "result": "fail"}},
    ]


def test_members_come_and_go(world: ScriptedApi) -> None:
    world.answers(reply(204), lost(), reply(404))
    world.freezer.sessions.add_job("s", "j")
    world.freezer.sessions.remove_job("s", "j")
    asked = [(request.method, request.path) for request in world.asked]
    assert asked == [("PUT", "sessions/s/jobs/j"), *[("DELETE", "sessions/s/jobs/j")] * 2]


@pytest.mark.parametrize("name", ["sessions", "actions"])
def test_sessions_and_actions_are_updated_like_jobs(world: ScriptedApi, name: str) -> None:
    world.answers(reply(200, {"version": 2}))
    assert getattr(world.freezer, name).update("x", {"description": "d"}) == 2
    assert (world.asked[0].method, world.asked[0].path) == ("PATCH", f"{name}/x")


@pytest.mark.parametrize("name", ["jobs", "sessions", "clients", "backups", "actions"])
def test_everything_can_be_deleted(world: ScriptedApi, name: str) -> None:
    world.answers(reply(204))
    getattr(world.freezer, name).delete("x")
    assert (world.asked[0].method, world.asked[0].path) == ("DELETE", f"{name}/x")


def test_a_registration_returns_the_id(world: ScriptedApi) -> None:
    world.answers(reply(201, {"client_id": "c"}))
    assert world.freezer.clients.register({"client_id": "c"}) == "c"


def test_a_second_registration_at_an_old_server_counts_as_done(world: ScriptedApi) -> None:
    world.answers(reply(409), reply(200, {"client": {"client_id": "c"}}))
    assert world.freezer.clients.register({"client_id": "c"}) == "c"


@pytest.mark.parametrize("central", [{"client": {"is_central": True}}, None])
def test_the_id_of_somebody_elses_client_is_a_conflict(world: ScriptedApi, central: Any) -> None:
    world.answers(reply(409), reply(200 if central else 404, central))
    with pytest.raises(Conflict):
        world.freezer.clients.register({"client_id": "c"})


def test_a_backup_is_found_by_all_of_its_metadata(world: ScriptedApi) -> None:
    metadata = {"backup_name": "b", "time_stamp": 5, "job_id": "j", "level": 1}
    stored = [
        {"backup_id": "other", "backup_metadata": {**metadata, "level": 0}},
        {"backup_id": "this", "backup_metadata": {**metadata, "more": 1}},
    ]
    world.answers(reply(200, {"backups": stored}), reply(200, {"backups": stored[:1]}))
    assert world.freezer.backups.find({**metadata, "status": "available"}) == "this"
    assert world.freezer.backups.find(metadata) is None
    assert world.asked[0].body == {
        "match": [{"backup_name": "b"}, {"time_stamp": 5}, {"job_id": "j"}]
    }


def test_a_changed_backup_is_returned(world: ScriptedApi) -> None:
    world.answers(reply(200, {"backup_id": "b"}))
    assert world.freezer.backups.update("b", {"status": "available"}) == {"backup_id": "b"}


def test_a_create_that_answers_no_id_is_an_error(world: ScriptedApi) -> None:
    world.answers(reply(201, {}))
    with pytest.raises(ApiUnavailable, match="backup_id"):
        world.freezer.backups.create({"backup_name": "b"})


def test_the_project_is_the_sessions(world: ScriptedApi) -> None:
    assert world.freezer.project_id() == "p"
