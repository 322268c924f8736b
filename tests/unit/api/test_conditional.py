"""Tags of answers, and requests that depend on them."""

from pathlib import Path
from typing import Any

import pytest

from freezer_api.errors import VersionConflict
from freezer_api.store.base import Collection, Page, Query, Scope, Stored
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import Caller, Reply, World, make_world

POLL = {"match": [{"client_id": "node"}], "match_not": [{"status": "completed"}]}
PLACE = {"container": "c", "hostname": "h", "backup_name": "b"}


def if_none(tag: str) -> dict[str, str]:
    return {"If-None-Match": tag}


def if_match(tag: str) -> dict[str, str]:
    return {"If-Match": tag}


@pytest.fixture
def everything(member: Caller) -> dict[str, str]:
    """The path of one document of each kind."""
    member.client_registered()
    session = member.made("/sessions", {"schedule": {}})
    action = member.made("/actions", {"freezer_action": {"action": "backup"}})
    return {
        "clients": "/clients/node",
        "jobs": f"/jobs/{member.job_made()}",
        "actions": f"/actions/{action}",
        "sessions": f"/sessions/{session}",
        "backups": f"/backups/{member.made('/backups', PLACE)}",
    }


def assert_unchanged(reply: Reply, tag: str) -> None:
    assert (reply.status, reply.text, reply.headers["etag"]) == (304, "", tag)


def test_every_answer_to_a_reader_has_a_tag(member: Caller, everything: dict[str, str]) -> None:
    for kind, path in everything.items():
        for one in (path, f"/{kind}"):
            first = member.get(one)
            assert first.status == 200
            tag = first.headers["etag"]
            assert_unchanged(member.get(one, headers=if_none(tag)), tag)
            assert_unchanged(member.get(one, headers=if_none(f'"x", W/{tag}')), tag) if (
                not tag.startswith("W/")
            ) else None
            assert member.get(one, headers=if_none('"other"')).text == first.text
            assert member.send("HEAD", one).headers["etag"] == tag


@pytest.mark.parametrize("path", ["/", "/healthcheck", "/v2"])
def test_other_documents_have_one_too(world: World, path: str) -> None:
    client = world.caller().client
    first = client.simulate_get(path, headers=world.caller().headers)
    known = {**world.caller().headers, **if_none(first.headers["etag"])}
    assert client.simulate_get(path, headers=known).status_code == 304


CHANGES: dict[str, Any] = {
    "jobs": {"description": "mine"},
    "actions": {"max_retries": 1},
    "sessions": {"description": "mine"},
    "backups": {"status": "deleting"},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_lost_update_is_refused(member: Caller, everything: dict[str, str], kind: str) -> None:
    path = everything[kind]
    tag = member.get(path).headers["etag"]
    assert member.patch(path, CHANGES[kind], headers=if_match(tag)).status == 200
    late = member.patch(path, CHANGES[kind], headers=if_match(tag))
    assert (late.status, late.title) == (412, "Precondition Failed")
    assert "Read it again" in late.why
    assert member.send("DELETE", path, headers=if_match(tag)).status == 412
    newer = member.get(path).headers["etag"]
    assert newer != tag
    assert member.send("DELETE", path, headers=if_match(f'"old", {newer}')).status == 204


def test_a_client_is_removed_as_it_was_seen(member: Caller) -> None:
    member.client_registered()
    tag = member.get("/clients/node").headers["etag"]
    member.client_registered(description="again")
    assert member.send("DELETE", "/clients/node", headers=if_match(tag)).status == 412
    tag = member.get("/clients/node").headers["etag"]
    assert member.send("DELETE", "/clients/node", headers=if_match(tag)).status == 204


@pytest.mark.parametrize("kind", ["jobs", "actions", "sessions"])
def test_replacing_can_depend_on_what_is_there(
    member: Caller, everything: dict[str, str], kind: str
) -> None:
    path = everything[kind]
    shown = member.get(path)
    body = shown.json
    assert member.post(path, body, headers=if_none("*")).status == 412
    assert member.post(f"/{kind}/new", body, headers=if_match("*")).status == 412
    assert member.post(f"/{kind}/new", body, headers=if_match(shown.headers["etag"])).status == 412
    assert member.get(f"/{kind}/new").status == 404
    assert member.post(path, body, headers=if_match(shown.headers["etag"])).status == 201
    assert member.post(path, body, headers=if_match(shown.headers["etag"])).status == 412
    assert member.post(path, body, headers=if_match("*")).status == 201


def test_only_what_is_not_there_is_made(member: Caller) -> None:
    member.client_registered()
    job = {"client_id": "node", "job_actions": []}
    assert member.post("/jobs/mine", job, headers=if_none("*")).status == 201
    assert member.post("/jobs/mine", job, headers=if_none("*")).status == 412


def test_an_unknown_document_is_not_found_whatever_was_expected(member: Caller) -> None:
    for method in ("PATCH", "DELETE"):
        assert member.send(method, "/jobs/none", {}, headers=if_match('"x"')).status == 404


def test_a_weak_or_broken_tag_is_no_ground_for_a_change(
    member: Caller, everything: dict[str, str]
) -> None:
    path = everything["jobs"]
    tag = member.get(path).headers["etag"]
    for wrong in (f"W/{tag}", '""', "nonsense", ",", '"*"'):
        assert member.patch(path, {}, headers=if_match(wrong)).status == 412


def test_whoever_does_not_see_the_process_may_still_change_the_job(world: World) -> None:
    admin, member = world.caller("other", "admin"), world.caller()
    admin.client_registered("central", is_central=True)
    job_id = member.job_made(client_id="central", job_schedule={"current_pid": 7})
    path = f"/jobs/{job_id}"
    shown = member.get(path)
    assert "current_pid" not in shown.json["job_schedule"]
    body = {"description": "mine"}
    assert member.patch(path, body, headers=if_match(shown.headers["etag"])).status == 200
    assert member.patch(path, body, headers=if_match(shown.headers["etag"])).status == 412


class CountingStore(MemoryStore):
    """Counts how often jobs are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        self.read += collection is Collection.JOBS
        return super().get(collection, scope, document_id)

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Any:
        self.read += collection is Collection.JOBS
        return super().find(collection, scope, query, page)


@pytest.fixture
def counted(tmp_path: Path) -> World:
    return make_world(tmp_path, store=CountingStore())


@pytest.mark.parametrize("roles", ["member", "admin"])
def test_a_poll_without_news_reads_no_job(counted: World, roles: str) -> None:
    caller = counted.caller(roles=roles)
    caller.client_registered()
    caller.job_made()
    store = counted.store
    assert isinstance(store, CountingStore)
    first = caller.get("/jobs", POLL)
    tag = first.headers["etag"]
    assert first.headers["x-tag-covers"] == "query"
    before = store.read
    assert_unchanged(caller.get("/jobs", POLL, headers=if_none(tag)), tag)
    assert store.read == before
    job_id = caller.job_made()
    news = caller.get("/jobs", POLL, headers=if_none(tag))
    assert (news.status, len(news.json["jobs"])) == (200, 2)
    tag = news.headers["etag"]
    for change in (
        lambda: caller.post(f"/jobs/{job_id}/event", {"start": None}),
        lambda: caller.patch(f"/jobs/{job_id}", {"job_schedule": {"current_pid": 5}}),
        lambda: caller.delete(f"/jobs/{job_id}"),
    ):
        assert change().status in {200, 202, 204}
        news = caller.get("/jobs", POLL, headers=if_none(tag))
        assert news.status == 200
        tag = news.headers["etag"]
    assert len(news.json["jobs"]) == 1


def test_the_tag_of_a_page_covers_all_pages(member: Caller) -> None:
    member.client_registered()
    jobs = [member.job_made() for _ in range(3)]
    page = {"params": {"limit": 1}}
    tag = member.get("/jobs", POLL, **page).headers["etag"]
    member.patch(f"/jobs/{jobs[2]}", {"description": "on the last page"})
    assert member.get("/jobs", POLL, headers=if_none(tag), **page).status == 200


def test_another_question_has_another_tag(world: World, member: Caller) -> None:
    member.client_registered()
    member.job_made()
    tag = member.get("/jobs", POLL).headers["etag"]
    own = {"match": [{"client_id": "node"}]}
    for reply in (
        member.get("/jobs", own, headers=if_none(tag)),
        member.get("/jobs", POLL, headers=if_none(tag), params={"limit": 5}),
        member.get("/jobs", POLL, headers=if_none(tag), params={"sort": "last_run:desc"}),
        world.caller("q").get("/jobs", POLL, headers=if_none(tag)),
        world.caller("p", "admin").get("/jobs", POLL, headers=if_none(tag)),
    ):
        assert reply.status == 200


def test_a_poll_notices_that_its_client_became_another_s(world: World) -> None:
    """The jobs stay as they are, but the process ids in them are not shown any more."""
    admin, member = world.caller("other", "admin"), world.caller()
    member.client_registered("host")
    member.job_made(client_id="host", job_schedule={"current_pid": 7})
    poll = {"match": [{"client_id": "host"}]}
    first = member.get("/jobs", poll)
    assert first.json["jobs"][0]["job_schedule"]["current_pid"] == 7
    member.delete("/clients/host")
    admin.client_registered("host", is_central=True)
    news = member.get("/jobs", poll, headers=if_none(first.headers["etag"]))
    assert news.status == 200
    assert "current_pid" not in news.json["jobs"][0]["job_schedule"]


def test_a_list_that_nobody_watches_has_the_tag_of_its_bytes(member: Caller) -> None:
    member.made("/backups", PLACE)
    tag = member.get("/backups").headers["etag"]
    member.made("/backups", PLACE)
    assert member.get("/backups", headers=if_none(tag)).status == 200


class RacedStore(MemoryStore):
    """Somebody changes the document between every reading and every deletion."""

    def delete(self, *given: Any, **more: Any) -> None:
        collection, _scope, document_id = given[:3]
        if len(given) > 3:
            raise VersionConflict(collection, document_id)
        super().delete(*given, **more)


def test_a_deletion_that_loses_a_race_is_refused(tmp_path: Path) -> None:
    member = make_world(tmp_path, store=RacedStore()).caller()
    path = f"/backups/{member.made('/backups', PLACE)}"
    tag = member.get(path).headers["etag"]
    assert member.send("DELETE", path, headers=if_match(tag)).status == 412
    assert member.delete(path).status == 204


# Order and totals


def test_backups_by_time(member: Caller) -> None:
    for number, stamp in enumerate([20, 10, None, 30]):
        fields = {} if stamp is None else {"time_stamp": stamp}
        member.made("/backups", {**PLACE, "backup_name": f"b{number}", **fields})

    def names(**params: Any) -> list[str]:
        listed = member.get("/backups", params=params).json["backups"]
        return [backup["backup_metadata"]["backup_name"] for backup in listed]

    assert names() == names(sort="created") == ["b0", "b1", "b2", "b3"]
    assert names(sort="created:desc") == ["b3", "b2", "b1", "b0"]
    assert names(sort="time_stamp:asc") == ["b1", "b0", "b3", "b2"]
    assert names(sort="time_stamp:desc") == ["b3", "b0", "b1", "b2"]
    assert names(sort="backup_metadata.time_stamp:desc") == ["b3", "b0", "b1", "b2"]
    assert names(sort="time_stamp:desc", limit=1, offset=1) == ["b0"]


def test_jobs_by_their_last_run(member: Caller) -> None:
    member.client_registered()
    first, second, third = (member.job_made() for _ in range(3))
    member.patch(f"/jobs/{first}", {"job_schedule": {"time_started": 5}})
    member.patch(f"/jobs/{third}", {"job_schedule": {"time_started": 9}})

    def order(sort: str) -> list[str]:
        return [job["job_id"] for job in member.get("/jobs", params={"sort": sort}).json["jobs"]]

    assert order("last_run:desc") == order("time_started:desc") == [third, first, second]
    assert order("job_schedule.time_started:desc") == [third, first, second]
    assert order("last_run:asc") == [first, third, second]
    assert order("time_created:desc") == [third, second, first]


@pytest.mark.parametrize("sort", ["x", "created:up", "created:", "time_stamp", ":", "created,x"])
def test_another_order_is_refused(member: Caller, sort: str) -> None:
    reply = member.get("/clients", params={"sort": sort})
    assert (reply.status, reply.title) == (400, "Invalid parameter")
    assert "created" in reply.why


@pytest.mark.parametrize("name", ["limit", "offset", "sort", "all_projects"])
@pytest.mark.parametrize(("value", "statuses"), [(",", {200}), (",,", {200}), ("%2C", {200, 400})])
def test_parameters_of_commas_alone_are_none(
    member: Caller, name: str, value: str, statuses: set[int]
) -> None:
    assert member.get("/jobs", query_string=f"{name}={value}").status in statuses


def job_with_runs(member: Caller) -> str:
    member.client_registered()
    job_id = member.job_made()
    for number in range(2):
        report = {"status": "completed", "result": "success", "exit_code": 0}
        reply = member.send("PUT", f"/jobs/{job_id}/runs/r{number}", report)
        assert reply.status == 200, reply.text
    return job_id


def test_lists_tell_how_many_there_are(world: World, member: Caller) -> None:
    for number in range(12):
        member.made("/backups", {**PLACE, "odd": number % 2})
    world.caller("q").made("/backups", PLACE)
    odd = {"match": [{"odd": 1}]}
    for reply, total in (
        (member.get("/backups"), "12"),
        (member.get("/backups", params={"offset": 100}), "12"),
        (member.get("/backups", odd, params={"limit": 2}), "6"),
        (member.get("/jobs"), "0"),
        (member.get(f"/jobs/{job_with_runs(member)}/runs", params={"limit": 1}), "2"),
    ):
        assert reply.headers["x-total-count"] == total
