"""Who may do what, on every route: a table of roles, and the two ways to know who asks."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from falcon import testing

from freezer_api import conf as options
from freezer_api.identity.context import Context
from freezer_api.identity.middleware import confirmed_identity
from freezer_api.identity.trusts import NoTrusts
from freezer_api.policies import list_rules
from freezer_api.policies.enforcer import REMEMBERED_SECONDS, Enforcer, sample_enforcer
from tests.fakes.api_world import Caller, World, job_body, make_world

READ = {"admin", "service", "member", "reader"}
CHANGE = {"admin", "member"}
REPORT = {"admin", "service", "member"}

# Rule, method, path, body, roles that may in their own project.
TABLE: list[tuple[str, str, str, Any, set[str]]] = [
    ("backups:get_all", "GET", "/backups", None, READ),
    ("backups:create", "POST", "/backups", {"backup_name": "b", "status": "creating"}, REPORT),
    ("backups:get", "GET", "/backups/x", None, READ),
    ("backups:update", "PATCH", "/backups/x", {"x": 1}, REPORT),
    ("backups:delete", "DELETE", "/backups/x", None, REPORT),
    ("clients:get_all", "GET", "/clients", None, READ),
    ("clients:create", "POST", "/clients", {"client_id": "n"}, CHANGE),
    ("clients:get", "GET", "/clients/x", None, READ),
    ("clients:delete", "DELETE", "/clients/x", None, CHANGE),
    ("jobs:get_all", "GET", "/jobs", None, READ),
    ("jobs:create", "POST", "/jobs", job_body(), CHANGE),
    ("jobs:get", "GET", "/jobs/x", None, READ),
    ("jobs:create", "POST", "/jobs/x", job_body(), CHANGE),
    ("jobs:update", "PATCH", "/jobs/x", {}, CHANGE),
    ("jobs:delete", "DELETE", "/jobs/x", None, CHANGE),
    ("jobs:event:create", "POST", "/jobs/x/event", {"start": None}, CHANGE),
    ("jobs:runs:get_all", "GET", "/jobs/x/runs", None, READ),
    ("jobs:runs:get", "GET", "/jobs/x/runs/y", None, READ),
    ("jobs:runs:update", "PUT", "/jobs/x/runs/y", {"status": "running"}, CHANGE),
    ("actions:get_all", "GET", "/actions", None, READ),
    ("actions:create", "POST", "/actions", {"freezer_action": {}}, CHANGE),
    ("actions:get", "GET", "/actions/x", None, READ),
    ("actions:replace", "POST", "/actions/x", {"freezer_action": {}}, CHANGE),
    ("actions:update", "PATCH", "/actions/x", {}, CHANGE),
    ("actions:delete", "DELETE", "/actions/x", None, CHANGE),
    ("sessions:get_all", "GET", "/sessions", None, READ),
    ("sessions:create", "POST", "/sessions", {"schedule": {}}, CHANGE),
    ("sessions:get", "GET", "/sessions/x", None, READ),
    ("sessions:replace", "POST", "/sessions/x", {"schedule": {}}, CHANGE),
    ("sessions:update", "PATCH", "/sessions/x", {}, CHANGE),
    ("sessions:delete", "DELETE", "/sessions/x", None, CHANGE),
    ("sessions:action:create", "POST", "/sessions/x/action", {"start": {}}, CHANGE),
    ("sessions:job:add", "PUT", "/sessions/x/jobs/y", None, CHANGE),
    ("sessions:job:remove", "DELETE", "/sessions/x/jobs/y", None, CHANGE),
]


@pytest.mark.parametrize("role", ["admin", "service", "member", "reader", "other", ""])
@pytest.mark.parametrize(("rule", "method", "path", "body", "roles"), TABLE)
class TestTable:
    def test_own_project(
        self, world: World, role: str, rule: str, method: str, path: str, body: Any, roles: set[str]
    ) -> None:
        caller = Caller(
            testing.TestClient(world.app),
            "p",
            {"X-Project-Id": "p", "X-User-Id": "u", "X-Roles": role or ","},
        )
        reply = caller.send(method, path, body)
        assert (reply.status != 403) == (role in roles), (rule, reply.text)
        if reply.status == 403:
            assert reply.json == {
                "title": "Access Forbidden",
                "description": "You are not allowed to access this resource",
            }

    def test_another_project(
        self, world: World, role: str, rule: str, method: str, path: str, body: Any, roles: set[str]
    ) -> None:
        headers = {"X-Project-Id": "q", "X-User-Id": "u", "X-Roles": role or ","}
        reply = Caller(testing.TestClient(world.app), "p", headers).send(method, path, body)
        admitted = role in roles and role in {"admin", "service"}
        assert (reply.status != 403) == admitted, rule


def test_table_names_every_rule() -> None:
    rules = {rule.name for rule in list_rules() if ":" in rule.name}
    assert rules - {row[0] for row in TABLE} == {
        "clients:create_central",
        "jobs:get_all_projects",
    }


def test_every_rule_names_its_routes() -> None:
    described = {
        (operation["method"], operation["path"].replace("/v2/{project_id}", ""))
        for rule in list_rules()
        if ":" in rule.name
        for operation in rule.operations
    }
    asked = {(method, path) for _, method, path, _, _ in TABLE}
    assert len(described) == len(asked)
    assert all(rule.scope_types == ["project"] for rule in list_rules() if ":" in rule.name)


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
        config = tmp_path / "freezer-api.conf"
        config.write_text(f"[oslo_policy]\npolicy_file = {policy}\n")
        conf = options.load([], prog="freezer-api", config_files=[str(config)])
        now = [0.0]
        enforcer = Enforcer(conf, lambda: now[0])
        assert enforcer.allows(self.context("auditor"), "jobs:get_all")
        assert not enforcer.allows(self.context("member"), "jobs:get_all")
        assert enforcer.allows(self.context("member"), "jobs:create")
        policy.write_text('"jobs:get_all": "role:member"\n')
        os.utime(policy, (2**31, 2**31))
        now[0] += REMEMBERED_SECONDS
        assert enforcer.allows(self.context("member"), "jobs:get_all")
        assert not enforcer.allows(self.context("auditor"), "jobs:get_all")

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
