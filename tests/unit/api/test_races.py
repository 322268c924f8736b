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


class TestActionsOfJobs:
    """A job that is written while its action changes has the action as it is in the end."""

    @pytest.fixture
    def action_id(self, member: Caller) -> str:
        return member.made("/actions", {"freezer_action": {"action": "exec", "command": "a"}})

    @pytest.fixture(params=["create", "replace", "patch"])
    def write(
        self, request: pytest.FixtureRequest, member: Caller, action_id: str
    ) -> "Callable[[], str]":
        """Writes a job that refers to the action; the job's id."""
        body = job_body(job_actions=[{"action_id": action_id}])
        if request.param == "create":
            return lambda: member.made("/jobs", body)
        job_id = member.job_made()
        path = f"/jobs/{job_id}"
        if request.param == "replace":
            return lambda: str(member.post(path, body).json["job_id"])
        return lambda: str(member.patch(path, {"job_actions": body["job_actions"]}).json["job_id"])

    def test_changed(
        self,
        store: InterruptedStore,
        member: Caller,
        action_id: str,
        write: "Callable[[], str]",
    ) -> None:
        changed = {"freezer_action": {"command": "b"}}
        store.interruption = lambda: member.patch(f"/actions/{action_id}", changed)
        [entry] = member.get(f"/jobs/{write()}").json["job_actions"]
        assert entry["freezer_action"] == {"action": "exec", "command": "b"}

    def test_removed(
        self,
        store: InterruptedStore,
        member: Caller,
        action_id: str,
        write: "Callable[[], str]",
    ) -> None:
        store.interruption = lambda: member.delete(f"/actions/{action_id}")
        assert member.get(f"/jobs/{write()}").json["job_actions"] == []

    def test_made_while_the_action_is_removed(
        self, store: InterruptedStore, member: Caller, action_id: str
    ) -> None:
        body = job_body(job_actions=[{"action_id": action_id}])
        member.made("/jobs", body)
        store.interruption = lambda: member.made("/jobs", body)
        assert member.delete(f"/actions/{action_id}").status == 204
        jobs = member.get("/jobs").json["jobs"]
        assert [job["job_actions"] for job in jobs] == [[], []]


class TestMembership:
    """Calls that meet leave lists that agree with what the job says."""

    def meets(self, store: InterruptedStore, after: int, other: "Callable[[], Any]") -> None:
        """Make the other call come right before the write that follows so many others."""

        def wait(left: int) -> None:
            if left == 0:
                other()
            else:
                store.interruption = lambda: wait(left - 1)

        store.interruption = lambda: wait(after)

    def made(self, member: Caller) -> tuple[str, str]:
        """A job and a session that have nothing to do with each other yet."""
        return member.job_made(), member.made("/sessions", {"schedule": {}})

    def lists(self, member: Caller, job_id: str) -> tuple[list[str], str]:
        """The sessions that list the job, and the one that it names."""
        sessions = member.get("/sessions").json["sessions"]
        listing = [each["session_id"] for each in sessions if job_id in each["jobs"]]
        return listing, member.get(f"/jobs/{job_id}").json["session_id"]

    @pytest.mark.parametrize("former", [False, True])
    @pytest.mark.parametrize("writes", range(4))
    def test_two_sessions_take_one_job(
        self, store: InterruptedStore, member: Caller, writes: int, *, former: bool
    ) -> None:
        job_id = member.job_made()
        one, two, three = (member.made("/sessions", {"schedule": {}}) for _ in range(3))
        if former:
            member.put(f"/sessions/{three}/jobs/{job_id}")
        self.meets(store, writes, lambda: member.put(f"/sessions/{two}/jobs/{job_id}"))
        assert member.put(f"/sessions/{one}/jobs/{job_id}").status == 204
        listing, named = self.lists(member, job_id)
        assert listing == [named]

    @pytest.mark.parametrize("writes", range(3))
    def test_joining_what_is_removed(
        self, store: InterruptedStore, member: Caller, writes: int
    ) -> None:
        job_id, session_id = self.made(member)
        self.meets(store, writes, lambda: member.delete(f"/sessions/{session_id}"))
        member.put(f"/sessions/{session_id}/jobs/{job_id}")
        member.delete(f"/sessions/{session_id}")
        assert self.lists(member, job_id) == ([], "")

    def test_removing_what_is_joined(self, store: InterruptedStore, member: Caller) -> None:
        first, second = member.job_made(), member.job_made()
        session_id = member.made("/sessions", {"schedule": {}})
        member.put(f"/sessions/{session_id}/jobs/{first}")
        self.meets(store, 0, lambda: member.put(f"/sessions/{session_id}/jobs/{second}"))
        assert member.delete(f"/sessions/{session_id}").status == 204
        for job_id in (first, second):
            assert self.lists(member, job_id) == ([], "")

    @pytest.mark.parametrize("writes", range(2))
    def test_joining_with_a_job_that_is_removed(
        self, store: InterruptedStore, member: Caller, writes: int
    ) -> None:
        job_id, session_id = self.made(member)
        self.meets(store, writes, lambda: member.delete(f"/jobs/{job_id}"))
        assert member.put(f"/sessions/{session_id}/jobs/{job_id}").status == 404
        assert member.get(f"/sessions/{session_id}").json["jobs"] == {}


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
