"""Delegations of central jobs: made last, shared, ended with the last job, seen by few."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from freezer_api.errors import KeystoneUnavailable, MissingCredential, StoreUnavailable
from freezer_api.identity.context import Context
from freezer_api.identity.trusts import Delegation
from freezer_api.services.delegations import DelegationRule
from freezer_api.store.base import EVERYWHERE, Collection, Page, Query, Stored
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import Caller, World, job_body, make_world

CENTRAL = "central"


@pytest.fixture(autouse=True)
def _central(admin: Caller) -> None:
    admin.client_registered(CENTRAL, is_central=True)


@pytest.fixture
def tenant(world: World) -> Caller:
    return world.caller(project="q", user="v")


def trust_of(caller: Caller, job_id: str) -> str:
    return str(caller.get(f"/jobs/{job_id}").json["user_credentials"]["trust_id"])


class TestSharing:
    def test_jobs_of_one_user_and_project_share_one(self, world: World, tenant: Caller) -> None:
        jobs = [tenant.job_made(client_id=CENTRAL) for _ in range(3)]
        assert {trust_of(tenant, job) for job in jobs} == {"trust1-v-q"}
        assert world.trusts.made == 1

    @pytest.mark.parametrize(("project", "user"), [("q", "w"), ("r", "v")])
    def test_others_have_their_own(
        self, world: World, tenant: Caller, project: str, user: str
    ) -> None:
        first = tenant.job_made(client_id=CENTRAL)
        other = world.caller(project=project, user=user)
        assert trust_of(other, other.job_made(client_id=CENTRAL)) != trust_of(tenant, first)

    def test_a_dead_one_is_not_given_again(self, world: World, tenant: Caller) -> None:
        first = tenant.job_made(client_id=CENTRAL)
        world.trusts.alive.clear()
        second = tenant.job_made(client_id=CENTRAL)
        third = tenant.job_made(client_id=CENTRAL)
        assert trust_of(tenant, second) == trust_of(tenant, third) != trust_of(tenant, first)

    def test_what_only_looks_like_one_is_not_shared(self, world: World, tenant: Caller) -> None:
        planted = {"user_credentials": {"trust_id": "evil", "trustor_user_id": "v"}}
        dotted = {"user_credentials.trust_id": "evil", "user_credentials.trustor_user_id": "v"}
        world.trusts.alive.append("evil")
        for action in (planted, dotted):
            tenant.client_registered("own")
            tenant.job_made(client_id="own", job_actions=[{"freezer_action": action}])
        job = tenant.job_made(client_id=CENTRAL)
        assert trust_of(tenant, job) == "trust1-v-q"

    def test_a_planted_name_keeps_no_trust_alive(self, world: World, tenant: Caller) -> None:
        job = tenant.job_made(client_id=CENTRAL)
        action = {"user_credentials": {"trust_id": trust_of(tenant, job), "trustor_user_id": "v"}}
        tenant.client_registered("own")
        tenant.job_made(client_id="own", job_actions=[{"freezer_action": action}])
        tenant.delete(f"/jobs/{job}")
        assert world.trusts.withdrawn == ["trust1-v-q"]


class TestValidatedFirst:
    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (job_body(client_id="nobody"), 422),
            (job_body(client_id=CENTRAL, job_actions=[{"action_id": "unknown"}]), 422),
            (job_body(client_id=CENTRAL, job_id="taken"), 409),
            (job_body(client_id=CENTRAL, job_schedule={"schedule_interval": "1 day"}), 400),
            (job_body(client_id=CENTRAL, zzz=1), 400),
        ],
    )
    def test_a_refused_job_leaves_no_trust(
        self, world: World, tenant: Caller, body: dict[str, Any], status: int
    ) -> None:
        member = world.caller()
        member.client_registered()
        member.job_made(job_id="taken")
        assert tenant.post("/jobs", body).status == status
        assert world.trusts.made == 0

    def test_a_job_that_comes_too_late_leaves_no_trust(self, tmp_path: Path) -> None:
        """Somebody takes the id between the look and the write."""
        store = Overtaken()
        world = make_world(tmp_path, store=store)
        world.caller(roles="admin").client_registered(CENTRAL, is_central=True)
        reply = world.caller(project="q", user="v").post(
            "/jobs", job_body(client_id=CENTRAL, job_id="mine")
        )
        assert reply.status == 409
        assert world.trusts.withdrawn == ["trust1-v-q"]

    def test_a_store_that_fails_meanwhile_is_told_as_such(self, tmp_path: Path) -> None:
        store = Failing()
        world = make_world(tmp_path, store=store)
        world.caller(roles="admin").client_registered(CENTRAL, is_central=True)
        reply = world.caller(project="q").post("/jobs", job_body(client_id=CENTRAL))
        assert reply.status == 503
        assert "store" in reply.why


class Overtaken(MemoryStore):
    """Another project takes the id of each job a moment before it is written."""

    def insert(self, collection: Collection, document_id: str, document: dict[str, Any]) -> Stored:
        if collection is Collection.JOBS:
            super().insert(collection, document_id, {**document, "project_id": "faster"} | BARE)
        return super().insert(collection, document_id, document)


BARE: dict[str, Any] = {"user_credentials": None}


class Failing(MemoryStore):
    """Neither takes jobs nor finds any afterwards."""

    def insert(self, collection: Collection, document_id: str, document: dict[str, Any]) -> Stored:
        if collection is Collection.JOBS:
            self.search = self._fail  # type: ignore[method-assign]
            raise StoreUnavailable("gone")
        return super().insert(collection, document_id, document)

    def _fail(self, *_args: Any, **_named: Any) -> Any:
        raise StoreUnavailable("gone")


class TestLastJob:
    def test_the_trust_ends_with_it(self, world: World, tenant: Caller) -> None:
        jobs = [tenant.job_made(client_id=CENTRAL) for _ in range(2)]
        tenant.delete(f"/jobs/{jobs[0]}")
        assert world.trusts.withdrawn == []
        tenant.delete(f"/jobs/{jobs[1]}")
        assert world.trusts.withdrawn == ["trust1-v-q"]

    def test_a_new_job_does_not_keep_a_trust_that_ends_at_the_same_moment(
        self, tmp_path: Path
    ) -> None:
        """The last job goes after its trust was taken over, and before the new job is there."""
        store = Overlapping()
        world = make_world(tmp_path, store=store)
        world.caller(roles="admin").client_registered(CENTRAL, is_central=True)
        tenant = world.caller(project="q", user="v")
        last = tenant.job_made(client_id=CENTRAL)
        store.before_next_job = lambda: tenant.delete(f"/jobs/{last}")
        fresh = tenant.job_made(client_id=CENTRAL)
        assert world.trusts.withdrawn == ["trust1-v-q"]
        assert trust_of(tenant, fresh) == "trust2-v-q"
        assert world.trusts.alive == ["trust2-v-q"]

    def test_a_store_that_is_away_leaves_the_trust_and_says_so(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = Overlapping()
        world = make_world(tmp_path, store=store)
        world.caller(roles="admin").client_registered(CENTRAL, is_central=True)
        tenant = world.caller(project="q", user="v")
        job = tenant.job_made(client_id=CENTRAL)
        store.search_fails = True
        assert tenant.delete(f"/jobs/{job}").status == 204
        assert world.trusts.alive == ["trust1-v-q"]
        assert "trust1-v-q may be left behind" in caplog.text


@dataclass
class Overlapping(MemoryStore):
    """Lets something happen right before a job is written."""

    before_next_job: Any = None
    search_fails: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def insert(self, collection: Collection, document_id: str, document: dict[str, Any]) -> Stored:
        happening, self.before_next_job = self.before_next_job, None
        if happening is not None and collection is Collection.JOBS:
            happening()
        return super().insert(collection, document_id, document)

    def search(self, collection: Collection, *args: Any) -> list[Stored]:
        if self.search_fails and collection is Collection.JOBS:
            raise StoreUnavailable("gone")
        return super().search(collection, *args)


class TestWhoNeedsOne:
    @pytest.mark.parametrize(
        ("central", "everybody", "client_id", "made"),
        [
            (True, False, CENTRAL, 1),
            (True, False, "own", 0),
            (True, True, "own", 1),
            (False, True, CENTRAL, 0),
            (False, False, CENTRAL, 0),
        ],
    )
    def test_by_the_options(
        self, tmp_path: Path, *, central: bool, everybody: bool, client_id: str, made: int
    ) -> None:
        rule = DelegationRule(for_central_clients=central, for_all_clients=everybody)
        world = make_world(tmp_path, delegation_rule=rule)
        world.caller(roles="admin").client_registered(CENTRAL, is_central=True)
        tenant = world.caller(project="q")
        tenant.client_registered("own")
        job = tenant.job_made(client_id=client_id)
        assert world.trusts.made == made
        assert ("user_credentials" in tenant.get(f"/jobs/{job}").json) == bool(made)


class TestWhoSeesIt:
    def shown(self, caller: Caller, job_id: str) -> bool:
        one = "user_credentials" in caller.get(f"/jobs/{job_id}").json
        listed = caller.get("/jobs").json["jobs"]
        assert ["user_credentials" in job for job in listed] == [one]
        return one

    @pytest.mark.parametrize(
        ("project", "roles", "seen"),
        [
            ("q", "member", True),
            ("q", "reader", True),
            ("elsewhere", "admin", True),
            ("elsewhere", "service", True),
        ],
    )
    def test_the_owners_project_and_who_sees_all(
        self, tenant: Caller, *, project: str, roles: str, seen: bool
    ) -> None:
        job_id = tenant.job_made(client_id=CENTRAL)
        headers = {"X-Project-Id": project, "X-User-Id": "w", "X-Roles": roles}
        assert self.shown(Caller(tenant.client, "q", headers), job_id) == seen

    def test_not_a_stranger_whom_the_operator_lets_look(self, tmp_path: Path) -> None:
        world = make_world(tmp_path, enforcer=Auditors())
        world.caller(roles="admin").client_registered(CENTRAL, is_central=True)
        tenant = world.caller(project="q", user="v")
        job_id = tenant.job_made(client_id=CENTRAL)
        headers = {"X-Project-Id": "elsewhere", "X-User-Id": "w", "X-Roles": "auditor"}
        assert not self.shown(Caller(tenant.client, "q", headers), job_id)
        assert self.shown(tenant, job_id)


class Auditors:
    """A policy by which everybody may do everything but see all projects."""

    def allows(self, context: Context, rule: str) -> bool:
        return rule != "jobs:get_all_projects" and bool(context)

    def require(self, context: Context, rule: str) -> None:
        assert self.allows(context, rule)


@dataclass
class Refusing:
    """Makes no trust, for this reason."""

    reason: Exception
    asked: list[Context] = field(default_factory=list)

    def delegate(self, context: Context, known: Sequence[Delegation]) -> Delegation:
        assert not known
        self.asked.append(context)
        raise self.reason

    def withdraw(self, context: Context, delegation: Delegation) -> None:
        raise AssertionError((context, delegation))


class TestErrors:
    def world(self, folder: Path, reason: Exception) -> World:
        world = make_world(folder, trusts=Refusing(reason))
        world.caller(roles="admin").client_registered(CENTRAL, is_central=True)
        return world

    def test_no_trust_no_job(self, tmp_path: Path) -> None:
        world = self.world(tmp_path, MissingCredential("The role is missing"))
        tenant = world.caller(project="q")
        reply = tenant.post("/jobs", job_body(client_id=CENTRAL))
        assert (reply.status, reply.title, reply.why) == (
            422,
            "Missing required credentials",
            "The role is missing",
        )
        assert tenant.get("/jobs").json == {"jobs": []}
        assert tenant.get("/actions").json == {"actions": []}

    def test_keystone_away_may_pass(self, tmp_path: Path) -> None:
        world = self.world(tmp_path, KeystoneUnavailable("http://10.0.0.1 is closed"))
        reply = world.caller(project="q").post("/jobs", job_body(client_id=CENTRAL))
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert reply.why == "Keystone cannot be reached now. Try again in a moment"
        assert world.store.search(Collection.JOBS, EVERYWHERE, Query(), Page(limit=10)) == []
