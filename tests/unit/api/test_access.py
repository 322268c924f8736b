"""Who may do what, on every route: a table of roles, and the two ways to know who asks."""

import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from falcon import testing
from oslo_config import cfg
from oslo_policy.policy import DocumentedRuleDefault

from freezer_api import conf as options
from freezer_api.identity.context import Context
from freezer_api.identity.middleware import confirmed_identity
from freezer_api.identity.trusts import NoTrusts
from freezer_api.policies import list_rules
from freezer_api.policies.enforcer import REMEMBERED_SECONDS, Enforcer, sample_enforcer
from freezer_api.policies.file import PolicyFileInvalid
from tests.access.matrix import Cloud, Row, cells
from tests.fakes.api_world import Caller, World, job_body, make_world

ADMIN = "admin"
CELLS = [pytest.param(row, place, id=f"{row.route} {place}") for row, place in cells()]
GUARDED = [rule for rule in list_rules() if isinstance(rule, DocumentedRuleDefault)]
"""The rules of routes; the others are the roles that these are made of."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return Cloud(tmp_path_factory.mktemp("cloud"))


@pytest.mark.parametrize(("row", "place"), CELLS)
class TestTable:
    def test_everybody_is_answered_as_it_says(self, cloud: Cloud, row: Row, place: str) -> None:
        replies = {who: cloud.try_cell(row, place, who) for who in row.cells[place]}
        assert {who: reply.status for who, reply in replies.items()} == row.cells[place]
        for who, reply in replies.items():
            if reply.status == 403:
                assert reply.json == {
                    "title": "Access Forbidden",
                    "description": "You are not allowed to access this resource",
                }
            if reply.status >= 400 or (place == "stranger" and who not in {"admin", "service"}):
                assert '"project_id":"p"' not in reply.text

    def test_head_is_answered_as_get(self, cloud: Cloud, row: Row, place: str) -> None:
        if row.method == "GET":
            for who, status in row.cells[place].items():
                reply = cloud.try_cell(replace(row, method="HEAD"), place, who)
                assert (reply.status, reply.text) == (status, "")


@pytest.mark.parametrize("rule", GUARDED, ids=lambda rule: rule.name)
def test_a_rule_guards_the_routes_that_it_names(
    cloud: Cloud, tmp_path: Path, rule: DocumentedRuleDefault
) -> None:
    """Closed to everybody, it stops even administrators there, and nowhere else."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(f'"{rule.name}": "!"\n')
    closed = cloud.under(Enforcer(enforcing(tmp_path, policy), lambda: 0.0))
    named = {f"{operation['method']} {operation['path']}" for operation in rule.operations}
    for row, place in cells():
        if place != "own" or row.cells[place][ADMIN] == 403:
            continue
        refused = closed.try_cell(row, place, ADMIN).status == 403
        central = bool(row.body) and bool(row.body.get("is_central"))
        if rule.name == "jobs:get_all_projects":
            assert not refused  # It widens what is seen, see test_jobs.
        elif rule.name == "clients:create_central":
            assert refused == central, row.route
        else:
            assert refused == (row.route in named and not central), row.route


def test_every_rule_is_of_the_project() -> None:
    assert all(rule.scope_types == ["project"] for rule in GUARDED)


def enforcing(folder: Path, policy: Path) -> cfg.ConfigOpts:
    config = folder / "freezer-api.conf"
    config.write_text(f"[oslo_policy]\npolicy_file = {policy}\n")
    return options.load([], prog="freezer-api", config_files=[str(config)])


class TestConfirmedIdentity:
    """As keystonemiddleware leaves it in the environment."""

    CONFIRMED: ClassVar[dict[str, str]] = {
        "X-Identity-Status": "Confirmed",
        "X-User-Id": "u",
        "X-Project-Id": "p",
        "X-Roles": "member, reader",
    }

    def status(self, tmp_path: Path, path: str, headers: dict[str, str]) -> int:
        world = make_world(tmp_path, read_identity=confirmed_identity)
        reply = testing.TestClient(world.app).simulate_get(path, headers=headers)
        if reply.status_code == 401:
            assert reply.headers["www-authenticate"].startswith("Keystone")
        return reply.status_code

    def test_confirmed(self, tmp_path: Path) -> None:
        assert self.status(tmp_path, "/v2/p/jobs", self.CONFIRMED) == 200

    @pytest.mark.parametrize("status", [None, "Invalid", "confirmed", ""])
    def test_anything_else(self, tmp_path: Path, status: str | None) -> None:
        headers = {
            key: value for key, value in self.CONFIRMED.items() if key != "X-Identity-Status"
        }
        if status is not None:
            headers["X-Identity-Status"] = status
        for path in ("/v2/p/jobs", "/v2"):
            assert self.status(tmp_path, path, headers) == 401

    def test_another_project(self, tmp_path: Path) -> None:
        assert self.status(tmp_path, "/v2/q/jobs", self.CONFIRMED) == 403

    def test_public_routes_need_nothing(self, tmp_path: Path) -> None:
        assert self.status(tmp_path, "/", {}) == 300
        assert self.status(tmp_path, "/healthcheck", {}) == 200

    @pytest.mark.parametrize("scope", [{"OpenStack-System-Scope": "all"}, {"X-Domain-Id": "d"}])
    def test_token_of_another_scope(self, tmp_path: Path, scope: dict[str, str]) -> None:
        headers = {**self.CONFIRMED, **scope, "X-Roles": "admin"}
        assert self.status(tmp_path, "/v2/p/jobs", headers) == 403


class TestClaimedIdentity:
    def test_nothing_said_is_an_administrator_of_the_project(self, world: World) -> None:
        caller = Caller(testing.TestClient(world.app), "any")
        caller.client_registered("node", is_central=True)
        shown = caller.get("/clients/node").json
        assert (shown["project_id"], shown["user_id"]) == ("any", "admin")

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
    def test_web_pages_are_refused(self, world: World, origin: str) -> None:
        caller = Caller(testing.TestClient(world.app), "any", {"Origin": origin})
        assert caller.post("/clients", {"client_id": "node"}).status == 403
        assert caller.get("/jobs").status == 403


class TestEnforcer:
    def context(self, roles: str) -> Context:
        return Context(user_id="u", project_id="p", own_project_id="p", roles=(roles,))

    def test_policy_file_counts(self, tmp_path: Path) -> None:
        policy = tmp_path / "policy.yaml"
        policy.write_text('"jobs:get_all": "role:auditor"\n')
        now = [0.0]
        enforcer = Enforcer(enforcing(tmp_path, policy), lambda: now[0])
        assert enforcer.allows(self.context("auditor"), "jobs:get_all")
        assert not enforcer.allows(self.context("member"), "jobs:get_all")
        assert enforcer.allows(self.context("member"), "jobs:create")
        policy.write_text('"jobs:get_all": "role:member"\n')
        os.utime(policy, (2**31, 2**31))
        now[0] += REMEMBERED_SECONDS
        assert enforcer.allows(self.context("member"), "jobs:get_all")
        assert not enforcer.allows(self.context("auditor"), "jobs:get_all")

    def test_a_file_that_breaks_meanwhile_lets_nobody_in(self, tmp_path: Path) -> None:
        policy = tmp_path / "policy.yaml"
        policy.write_text('"jobs:get_all": "role:member"\n')
        now = [0.0]
        enforcer = Enforcer(enforcing(tmp_path, policy), lambda: now[0])
        assert enforcer.allows(self.context("member"), "jobs:get_all")
        policy.write_text("{ no yaml: [")
        os.utime(policy, (2**31, 2**31))
        now[0] += REMEMBERED_SECONDS
        with pytest.raises(PolicyFileInvalid, match=r"^The policy file cannot be used: [^\n]*$"):
            enforcer.allows(self.context("member"), "jobs:get_all")

    def test_a_decision_is_for_one_caller_and_project(self) -> None:
        conf = options.load([], prog="freezer-api", config_files=[])
        enforcer = Enforcer(conf, lambda: 0.0)
        member = self.context("member")
        assert enforcer.allows(member, "jobs:create")
        assert not enforcer.allows(replace(member, project_id="q"), "jobs:create")
        assert not enforcer.allows(replace(member, own_project_id="q"), "jobs:create")
        assert not enforcer.allows(replace(member, roles=("reader",)), "jobs:create")

    def test_unknown_rule_lets_nobody_in(self) -> None:
        conf = options.load([], prog="freezer-api", config_files=[])
        assert not Enforcer(conf, lambda: 0.0).allows(self.context("admin"), "jobs:fly")

    def test_sample_knows_all_rules(self) -> None:
        assert set(sample_enforcer().registered_rules) == {rule.name for rule in list_rules()}


def test_without_trusts_a_central_job_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path, trusts=NoTrusts())
    world.caller(roles="admin").client_registered("central", is_central=True)
    reply = world.caller(project="q").post("/jobs", job_body(client_id="central"))
    assert (reply.status, reply.title) == (422, "Missing required credentials")
    assert world.caller(project="q").get("/actions").json == {"actions": []}
    assert world.caller(project="q").get("/jobs").json == {"jobs": []}
