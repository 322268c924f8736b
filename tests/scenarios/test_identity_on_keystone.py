"""Who gets in, on a real Keystone with all that production puts before the application."""

from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from tests.access.matrix import NOBODY, ask, prepare, read_rows
from tests.fakes.api_behind_keystone import GuardedApi, guarded_api
from tests.fakes.api_world import Reply
from tests.services.identity_fixtures import (
    PASSWORD,
    ROLES,
    Registered,
    Tenancy,
    make_tenancy,
)
from tests.services.keystone import ADMIN_PASSWORD, KeystoneServer

pytestmark = pytest.mark.service

REQUEST_ID = "req-0123456789abcdef0123456789abcdef"
NO_CACHE = {"token_cache_time": "-1"}
"""Each request asks Keystone, so that what it has revoked counts at once."""


@pytest.fixture(scope="module")
def api(freezer_in_keystone: Registered, tmp_path_factory: pytest.TempPathFactory) -> GuardedApi:
    return guarded_api(freezer_in_keystone, tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def strict_api(
    freezer_in_keystone: Registered, tmp_path_factory: pytest.TempPathFactory
) -> GuardedApi:
    return guarded_api(freezer_in_keystone, tmp_path_factory.mktemp("strict"), **NO_CACHE)


@pytest.fixture(scope="module")
def ids(api: GuardedApi, tenancy: Tenancy) -> dict[str, str]:
    """Documents of every kind in the tenancy's project."""
    return prepare(api.inside().caller(tenancy.project_id, "member", "owner"))


def is_refused_for_identity(reply: Reply) -> bool:
    """What keystonemiddleware answers, with the request id that every answer has."""
    assert reply.headers["www-authenticate"].startswith('Keystone uri="http')
    assert reply.headers["x-openstack-request-id"].startswith("req-")
    assert reply.json["error"]["code"] == 401
    return reply.status == 401


class TestRoles:
    def test_the_table_holds_for_real_tokens(
        self, api: GuardedApi, ids: dict[str, str], tenancy: Tenancy, other_tenancy: Tenancy
    ) -> None:
        """Every refusal and every look of the table, by users who have just these roles."""
        wrong = []
        for row in read_rows():
            for place, line in row.cells.items():
                owner = other_tenancy if place in {"foreign", "stranger"} else tenancy
                project = (other_tenancy if place == "stranger" else tenancy).project_id
                path = row.path.format(project_id=project, **ids)
                for who in (*ROLES, NOBODY):
                    status = line[who]
                    if row.method != "GET" and status < 400:
                        continue  # It would change what the next cells look at.
                    headers = {}
                    if who != NOBODY:
                        headers["X-Auth-Token"] = owner.session(who).get_token()
                    reply = ask(api.application, row.method, path, row.body, headers)
                    if reply.status != status:
                        wrong.append((row.route, place, who, status, reply.status))
        assert wrong == []

    def test_changes_are_for_members(self, api: GuardedApi, tenancy: Tenancy) -> None:
        for role, status in {"member": 201, "admin": 201, "reader": 403, "service": 403}.items():
            caller = api.caller(tenancy.project_id, tenancy.session(role).get_token())
            assert caller.post("/sessions", {"schedule": {}}).status == status, role

    def test_documents_name_who_made_them(self, api: GuardedApi, tenancy: Tenancy) -> None:
        member = api.caller(tenancy.project_id, tenancy.session("member").get_token())
        made = member.made("/sessions", {"schedule": {}, "user_id": "x", "project_id": "y"})
        session = member.get(f"/sessions/{made}").json
        assert session["user_id"] == tenancy.user_ids["member"]
        assert session["project_id"] == tenancy.project_id

    def test_what_the_policy_file_admits_may_use_a_foreign_project(
        self,
        freezer_in_keystone: Registered,
        tenancy: Tenancy,
        other_tenancy: Tenancy,
        tmp_path: Path,
    ) -> None:
        policy = tmp_path / "policy.yaml"
        policy.write_text('"backups:get_all": "role:reader"\n')
        lines = ("[oslo_policy]", f"policy_file = {policy}")
        api = guarded_api(freezer_in_keystone, tmp_path, *lines)
        reader = api.caller(tenancy.project_id, other_tenancy.session("reader").get_token())
        assert reader.get("/backups").status == 200
        assert reader.get("/jobs").status == 403

    @pytest.mark.parametrize("scope", [{"system_scope": "all"}, {"domain_id": "default"}])
    def test_tokens_without_a_project_are_for_nothing_here(
        self, api: GuardedApi, keystone_server: KeystoneServer, tenancy: Tenancy, scope: Any
    ) -> None:
        if "domain_id" in scope:
            grant_on_domain(keystone_server, tenancy.user_ids["admin"])
            name, password = f"admin-{tenancy.name}", PASSWORD
        else:
            name, password = "admin", ADMIN_PASSWORD
        who = Password(
            auth_url=keystone_server.url,
            username=name,
            password=password,
            user_domain_id="default",
            **scope,
        )
        token = Session(auth=who).get_token()
        assert api.caller(tenancy.project_id, token).get("/jobs").status == 403


def grant_on_domain(keystone: KeystoneServer, user_id: str) -> None:
    admin = keystone.admin()
    (role,) = admin.get(f"{keystone.url}/roles", params={"name": "admin"}).json()["roles"]
    admin.put(f"{keystone.url}/domains/default/users/{user_id}/roles/{role['id']}")


class TestTokens:
    def test_none_and_nonsense(self, api: GuardedApi, tenancy: Tenancy) -> None:
        for token in (None, "", "gAAAAA", "x" * 300, "a b", "../../v3/users"):
            assert is_refused_for_identity(api.caller(tenancy.project_id, token).get("/jobs"))

    def test_forged_headers_do_not_help_without_a_token(
        self, api: GuardedApi, tenancy: Tenancy
    ) -> None:
        forged = forged_headers(tenancy.project_id)
        assert is_refused_for_identity(api.caller(tenancy.project_id, **forged).get("/jobs"))
        assert is_refused_for_identity(
            api.caller(tenancy.project_id, "nonsense", **forged).get("/jobs")
        )

    def test_forged_headers_do_not_help_beside_a_token(
        self, api: GuardedApi, tenancy: Tenancy, other_tenancy: Tenancy
    ) -> None:
        forged = forged_headers(tenancy.project_id)
        reader = tenancy.session("reader").get_token()
        caller = api.caller(tenancy.project_id, reader, **forged)
        assert caller.post("/sessions", {"schedule": {}}).status == 403
        stranger = other_tenancy.session("member").get_token()
        assert api.caller(tenancy.project_id, stranger, **forged).get("/jobs").status == 403

    def test_expired(
        self, api: GuardedApi, tenancy: Tenancy, keystone_of_dead_tokens: KeystoneServer
    ) -> None:
        who = Password(
            auth_url=keystone_of_dead_tokens.url,
            username=f"member-{tenancy.name}",
            password=PASSWORD,
            project_id=tenancy.project_id,
            user_domain_id="default",
        )
        token = Session(auth=who).get_token()
        assert token
        assert is_refused_for_identity(api.caller(tenancy.project_id, token).get("/jobs"))

    def test_revoked(
        self, strict_api: GuardedApi, tenancy: Tenancy, keystone_server: KeystoneServer
    ) -> None:
        token = tenancy.fresh_session("member").get_token()
        member = strict_api.caller(tenancy.project_id, token)
        assert member.get("/jobs").status == 200
        keystone_server.revoke(token)
        assert is_refused_for_identity(member.get("/jobs"))

    def test_revoked_before_it_was_ever_seen_counts_with_a_cache_too(
        self, api: GuardedApi, tenancy: Tenancy, keystone_server: KeystoneServer
    ) -> None:
        token = tenancy.fresh_session("member").get_token()
        keystone_server.revoke(token)
        assert is_refused_for_identity(api.caller(tenancy.project_id, token).get("/jobs"))

    def test_of_a_user_who_lost_his_role(
        self, strict_api: GuardedApi, keystone_server: KeystoneServer, own_tenancy: Tenancy
    ) -> None:
        member = strict_api.caller(
            own_tenancy.project_id, own_tenancy.session("member").get_token()
        )
        assert member.get("/jobs").status == 200
        keystone_server.take_away(own_tenancy.user_ids["member"], own_tenancy.project_id, "member")
        assert is_refused_for_identity(member.get("/jobs"))

    def test_of_an_application_credential(
        self, api: GuardedApi, keystone_server: KeystoneServer
    ) -> None:
        tenancy = make_tenancy(keystone_server, ("reader",))
        session = keystone_server.application_credential(tenancy.session("reader"))
        reader = api.caller(tenancy.project_id, session.get_token())
        assert reader.get("/jobs").status == 200
        assert reader.post("/sessions", {"schedule": {}}).status == 403
        assert api.caller("another", session.get_token()).get("/jobs").status == 403


def forged_headers(project_id: str) -> dict[str, str]:
    return {
        "X_Identity_Status": "Confirmed",
        "X_User_Id": "forger",
        "X_Project_Id": project_id,
        "X_Tenant_Id": project_id,
        "X_Roles": "admin,member,service",
        "X_Role": "admin",
        "X_Service_Identity_Status": "Confirmed",
        "X_Service_Roles": "admin",
        "OpenStack_System_Scope": "all",
        "X_Is_Admin_Project": "True",
    }


class TestAround:
    def test_what_is_public_needs_no_keystone(
        self, freezer_in_keystone: Registered, tmp_path: Path
    ) -> None:
        api = guarded_api(freezer_in_keystone, tmp_path, auth_url="http://127.0.0.1:1/v3")
        for path, status in {"/": 300, "/healthcheck": 200}.items():
            assert ask(api.application, "GET", path, None, {}).status == status
        assert ask(api.application, "GET", "/v2", None, {}).status == 401

    def test_keystone_that_is_away_is_not_the_callers_fault(
        self, freezer_in_keystone: Registered, tenancy: Tenancy, tmp_path: Path
    ) -> None:
        away = {"auth_url": "http://127.0.0.1:1/v3", "http_request_max_retries": "0"}
        api = guarded_api(freezer_in_keystone, tmp_path, **away)
        token = tenancy.session("member").get_token()
        reply = api.caller(tenancy.project_id, token).get("/jobs")
        assert reply.status == 503
        assert reply.headers["x-openstack-request-id"].startswith("req-")

    @pytest.mark.parametrize("path", ["/", "/v2", "/v2/x/jobs", "/v2/x/nothing", "/nowhere"])
    def test_every_answer_has_the_callers_request_id(
        self, api: GuardedApi, tenancy: Tenancy, path: str
    ) -> None:
        for token in ({}, {"X-Auth-Token": tenancy.session("member").get_token()}):
            headers = {"X-OpenStack-Request-ID": REQUEST_ID, **token}
            reply = ask(api.application, "GET", path, None, headers)
            assert reply.headers["x-openstack-request-id"] == REQUEST_ID
            assert reply.text.count(REQUEST_ID) == 0

    @pytest.mark.parametrize(
        ("option", "href"),
        [("true", "https://backup.example:8443/v2/"), ("false", "http://falconframework.org/v2/")],
    )
    def test_proxies_are_believed_where_the_operator_says_so(
        self, freezer_in_keystone: Registered, tmp_path: Path, option: str, href: str
    ) -> None:
        lines = ("[oslo_middleware]", f"enable_proxy_headers_parsing = {option}")
        api = guarded_api(freezer_in_keystone, tmp_path, *lines)
        seen = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "backup.example:8443"}
        reply = testing.TestClient(api.application).simulate_get("/", headers=seen)
        assert reply.json["versions"][0]["links"][0]["href"] == href
