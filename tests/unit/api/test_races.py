"""What happens when somebody else writes between our reading and our writing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from freezer_api.errors import StoreUnavailable, VersionConflict
from freezer_api.store.base import Collection, Document, Stored
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import Caller, World, job_body, make_world

if TYPE_CHECKING:
    from collections.abc import Callable


class InterruptedStore(MemoryStore):
    """Calls `interruption` once, right before the next insert or replacement."""

    def __init__(self) -> None:
        super().__init__()
        self.interruption: Callable[[], Any] | None = None

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        self._interrupt()
        return super().insert(collection, document_id, document)

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        self._interrupt()
        return super().replace(collection, document_id, document, version)

    def _interrupt(self) -> None:
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            interruption()


@pytest.fixture
def store() -> InterruptedStore:
    return InterruptedStore()


@pytest.fixture
def world(tmp_path: Path, store: InterruptedStore) -> World:
    return make_world(tmp_path, store=store)


@pytest.fixture(autouse=True)
def node(member: Caller, stranger: Caller) -> None:
    member.client_registered("node")
    stranger.client_registered("node")


def test_an_event_is_not_lost_to_a_report(store: InterruptedStore, member: Caller) -> None:
    job_id = member.job_made()
    store.interruption = lambda: member.post(f"/jobs/{job_id}/event", {"abort": None})
    member.patch(f"/jobs/{job_id}", {"job_schedule": {"status": "running"}})
    schedule = member.get(f"/jobs/{job_id}").json["job_schedule"]
    assert (schedule["event"], schedule["status"]) == ("abort", "running")


def test_the_answer_is_that_of_the_write(store: InterruptedStore, member: Caller) -> None:
    job_id = member.job_made()
    store.interruption = lambda: member.post(f"/jobs/{job_id}/event", {"stop": None})
    reply = member.post(f"/jobs/{job_id}/event", {"stop": None})
    assert reply.json == {"result": "stop already requested"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs/mine", job_body()),
        ("/sessions/mine", {"schedule": {}}),
        ("/actions/mine", {"freezer_action": {}}),
    ],
)
class TestSimultaneousReplacement:
    def test_of_the_same_project(
        self, store: InterruptedStore, member: Caller, path: str, body: dict[str, Any]
    ) -> None:
        store.interruption = lambda: member.post(path, body)
        reply = member.post(path, body)
        assert (reply.status, reply.json["version"]) == (201, 2)

    def test_of_another_project(
        self,
        store: InterruptedStore,
        member: Caller,
        stranger: Caller,
        path: str,
        body: dict[str, Any],
    ) -> None:
        store.interruption = lambda: stranger.post(path, body)
        assert member.post(path, body).status == 409
        assert stranger.get(path).json["project_id"] == "q"


def test_a_job_that_loses_its_id_leaves_nothing(
    store: InterruptedStore, member: Caller, stranger: Caller
) -> None:
    body = job_body(job_id="mine", job_actions=[])
    store.interruption = lambda: stranger.post("/jobs", body)
    assert member.post("/jobs", job_body(job_id="mine")).status == 409
    assert member.get("/actions").json == {"actions": []}


class TestCentralClients:
    def test_own_client_gives_way(
        self, store: InterruptedStore, admin: Caller, stranger: Caller
    ) -> None:
        body = {"client_id": "c", "is_central": True}
        store.interruption = lambda: admin.post("/clients", body)
        assert stranger.post("/clients", {"client_id": "c"}).status == 409
        assert stranger.get("/clients/c").json["client"]["is_central"] is True

    def test_central_client_gives_way(
        self, store: InterruptedStore, admin: Caller, stranger: Caller
    ) -> None:
        store.interruption = lambda: stranger.post("/clients", {"client_id": "c"})
        assert admin.post("/clients", {"client_id": "c", "is_central": True}).status == 409
        assert stranger.get("/clients/c").json["client"]["is_central"] is False
        assert admin.get("/clients/c").status == 404


def test_a_race_that_is_never_won_ends(tmp_path: Path) -> None:
    pauses: list[float] = []

    class Unlucky(MemoryStore):
        def replace(self, collection: Collection, document_id: str, *_more: Any) -> Stored:
            raise VersionConflict(collection, document_id)

    caller = make_world(tmp_path, store=Unlucky(), sleep=pauses.append).caller()
    caller.client_registered("node")
    job_id = caller.job_made()
    reply = caller.post(f"/jobs/{job_id}/event", {"start": None})
    assert (reply.status, reply.title) == (409, "Conflict")
    assert sum(pauses) < 10


class TestDyingHalfWay:
    """The store goes away in the middle; the same call afterwards finishes the work."""

    def interrupted(self, store: InterruptedStore, after: int) -> None:
        left = [after]

        def die() -> None:
            if left[0] == 0:
                raise StoreUnavailable("gone")
            left[0] -= 1
            store.interruption = die

        store.interruption = die

    @pytest.mark.parametrize("writes", [0, 1])
    def test_joining(self, store: InterruptedStore, member: Caller, writes: int) -> None:
        job_id = member.job_made()
        session_id = member.made("/sessions", {"schedule": {}})
        path = f"/sessions/{session_id}/jobs/{job_id}"
        self.interrupted(store, writes)
        assert member.put(path).status == 503
        assert member.put(path).status == 204
        assert list(member.get(f"/sessions/{session_id}").json["jobs"]) == [job_id]
        assert member.get(f"/jobs/{job_id}").json["session_id"] == session_id

    @pytest.mark.parametrize("writes", [0, 1])
    def test_leaving(self, store: InterruptedStore, member: Caller, writes: int) -> None:
        job_id = member.job_made()
        session_id = member.made("/sessions", {"schedule": {}})
        path = f"/sessions/{session_id}/jobs/{job_id}"
        member.put(path)
        self.interrupted(store, writes)
        assert member.delete(path).status == 503
        assert member.delete(path).status == 204
        assert member.get(f"/sessions/{session_id}").json["jobs"] == {}
        assert member.get(f"/jobs/{job_id}").json["session_id"] == ""

    @pytest.mark.parametrize("writes", [0, 1])
    def test_creating_a_job(self, store: InterruptedStore, member: Caller, writes: int) -> None:
        self.interrupted(store, writes)
        assert member.post("/jobs/mine", job_body()).status == 503
        assert member.post("/jobs/mine", job_body()).status == 201
        job = member.get("/jobs/mine").json
        assert member.get(f"/actions/{job['job_actions'][0]['action_id']}").status == 200
