"""Trusts of central jobs on a real Keystone: made last, shared while they work, withdrawn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_behind_keystone import GuardedApi, guarded_api
from tests.fakes.api_world import Caller, job_body
from tests.services.identity_fixtures import (
    SERVICE_PASSWORD,
    Registered,
    Tenancy,
    make_tenancy,
)
from tests.services.keystone import KeystoneServer

pytestmark = pytest.mark.service

CENTRAL = "central"


@pytest.fixture(scope="module")
def api(freezer_in_keystone: Registered, tmp_path_factory: pytest.TempPathFactory) -> GuardedApi:
    return api_with_central(freezer_in_keystone, tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def _trusts_before(keystone_server: KeystoneServer) -> set[str]:
    return keystone_server.trust_ids()


@pytest.fixture(autouse=True)
def _no_trust_is_left(keystone_server: KeystoneServer, _trusts_before: set[str]) -> Iterator[None]:
    yield
    assert keystone_server.trust_ids() == _trusts_before


def api_with_central(registered: Registered, folder: Path, *lines: str) -> GuardedApi:
    """An API with these lines in its configuration, and a central client."""
    api = guarded_api(registered, folder, *lines)
    api.inside().caller("services", "admin").client_registered(CENTRAL, is_central=True)
    return api


def calls_of(api: GuardedApi, tenancy: Tenancy, role: str = "member") -> Caller:
    return api.caller(tenancy.project_id, tenancy.session(role).get_token())


def central_job(**fields: Any) -> dict[str, Any]:
    return job_body(client_id=CENTRAL, **fields)


def trust_of(caller: Caller, job_id: str) -> str:
    return str(caller.get(f"/jobs/{job_id}").json["user_credentials"]["trust_id"])


def test_the_trust_is_what_was_promised(
    api: GuardedApi,
    keystone_server: KeystoneServer,
    freezer_in_keystone: Registered,
    tenancy: Tenancy,
) -> None:
    member = calls_of(api, tenancy)
    job = member.made("/jobs", central_job())
    shown = member.get(f"/jobs/{job}").json["user_credentials"]
    trust = keystone_server.trust(shown["trust_id"])
    assert trust["trustor_user_id"] == tenancy.user_ids["member"] == shown["trustor_user_id"]
    assert trust["trustee_user_id"] == freezer_in_keystone.service_user_id
    assert trust["project_id"] == tenancy.project_id
    assert trust["roles"] == ["member"]
    assert (trust["impersonation"], trust["expires_at"]) == (False, None)
    assert trust["redelegation_count"] == 0
    assert member.delete(f"/jobs/{job}").status == 204


def test_jobs_share_it_and_the_last_one_ends_it(
    api: GuardedApi, keystone_server: KeystoneServer, tenancy: Tenancy
) -> None:
    member = calls_of(api, tenancy)
    jobs = [member.made("/jobs", central_job()) for _ in range(3)]
    (trust,) = {trust_of(member, job) for job in jobs}
    for job in jobs:
        assert trust in keystone_server.trust_ids()
        member.delete(f"/jobs/{job}")
    assert trust not in keystone_server.trust_ids()


def test_the_trustee_acts_in_the_tenants_project(
    api: GuardedApi, freezer_in_keystone: Registered, tenancy: Tenancy
) -> None:
    """What the central scheduler does with it: report and record, and no more than a member."""
    member = calls_of(api, tenancy)
    job = member.made("/jobs", central_job())
    session = trustee(freezer_in_keystone, trust_of(member, job))
    assert session.get_project_id() == tenancy.project_id
    central = api.caller(tenancy.project_id, session.get_token())
    report = {"job_schedule": {"status": "running", "current_pid": 42}}
    assert central.patch(f"/jobs/{job}", report).status == 200
    backup = central.made("/backups", {"container": "c", "hostname": "h", "backup_name": "b"})
    found = member.get(f"/backups/{backup}").json
    assert found["project_id"] == tenancy.project_id
    assert found["user_id"] == freezer_in_keystone.service_user_id
    assert member.get(f"/jobs/{job}").json["user_id"] == tenancy.user_ids["member"]
    assert "current_pid" not in member.get(f"/jobs/{job}").json["job_schedule"]
    # A trust cannot be passed on, and its holder makes no jobs of his own for the scheduler.
    reply = central.post("/jobs", central_job())
    assert (reply.status, reply.title) == (422, "Missing required credentials")
    assert "role member" in reply.why
    member.delete(f"/jobs/{job}")


def trustee(registered: Registered, trust_id: str) -> Any:
    from keystoneauth1.identity.v3 import Password
    from keystoneauth1.session import Session

    who = Password(
        auth_url=registered.keystone.url,
        username=registered.service_user,
        password=SERVICE_PASSWORD,
        user_domain_id="default",
        trust_id=trust_id,
    )
    return Session(auth=who)


def test_a_trust_that_was_withdrawn_by_hand_is_replaced(
    api: GuardedApi, keystone_server: KeystoneServer, tenancy: Tenancy
) -> None:
    member = calls_of(api, tenancy)
    first = member.made("/jobs", central_job())
    keystone_server.end_trust(trust_of(member, first))
    second = member.made("/jobs", central_job())
    assert trust_of(member, second) != trust_of(member, first)
    for job in (first, second):
        assert member.delete(f"/jobs/{job}").status == 204


def test_a_trust_that_keystone_lets_nobody_use_is_not_given_again(
    api: GuardedApi, keystone_server: KeystoneServer, tenancy: Tenancy, other_tenancy: Tenancy
) -> None:
    """It looks as it should, but its trustor has lost the role: only a login tells."""
    user = other_tenancy.user_ids["admin"]
    token = other_tenancy.session("admin").get_token()
    admin = api.caller(tenancy.project_id, token)
    refused = admin.post("/jobs", central_job())
    assert (refused.status, refused.title) == (422, "Missing required credentials")
    assert "role member" in refused.why
    keystone_server.grant(user, tenancy.project_id, "member")
    # Whoever changes the roles of a user ends his tokens with that.
    admin = api.caller(tenancy.project_id, other_tenancy.fresh_session("admin").get_token())
    jobs = [admin.made("/jobs", central_job()) for _ in range(2)]
    (trust,) = {trust_of(admin, job) for job in jobs}
    keystone_server.take_away(user, tenancy.project_id, "member")
    admin = api.caller(tenancy.project_id, other_tenancy.fresh_session("admin").get_token())
    refused = admin.post("/jobs", central_job())
    assert (refused.status, refused.title) == (422, "Missing required credentials")
    assert trust in keystone_server.trust_ids()
    for job in jobs:
        assert admin.delete(f"/jobs/{job}").status == 204


@pytest.mark.slow
def test_a_trust_with_other_roles_is_not_reused(
    freezer_in_keystone: Registered,
    keystone_server: KeystoneServer,
    own_tenancy: Tenancy,
    tmp_path: Path,
) -> None:
    """The operator changes the roles: new jobs get a trust with the new ones."""
    keystone_server.grant(own_tenancy.user_ids["member"], own_tenancy.project_id, "manager")
    narrow = api_with_central(freezer_in_keystone, tmp_path)
    wide_roles = ("[centralized_scheduler]", "trusts_delegated_roles = member,manager")
    wide = guarded_api(freezer_in_keystone, tmp_path, *wide_roles)
    wide.store.__dict__.update(narrow.store.__dict__)
    before = calls_of(narrow, own_tenancy)
    after = calls_of(wide, own_tenancy)
    first = before.made("/jobs", central_job())
    second, third = (after.made("/jobs", central_job()) for _ in range(2))
    assert keystone_server.trust(trust_of(before, first))["roles"] == ["member"]
    assert keystone_server.trust(trust_of(after, second))["roles"] == ["manager", "member"]
    assert trust_of(after, third) == trust_of(after, second)
    for job in (first, second, third):
        assert after.delete(f"/jobs/{job}").status == 204


@pytest.mark.slow
def test_no_roles_named_means_all_of_the_token(
    freezer_in_keystone: Registered,
    keystone_server: KeystoneServer,
    tenancy: Tenancy,
    tmp_path: Path,
) -> None:
    every = ("[centralized_scheduler]", "trusts_delegated_roles =")
    api = api_with_central(freezer_in_keystone, tmp_path, *every)
    member = calls_of(api, tenancy)
    jobs = [member.made("/jobs", central_job()) for _ in range(2)]
    (trust,) = {trust_of(member, job) for job in jobs}
    assert keystone_server.trust(trust)["roles"] == ["member", "reader"]
    for job in jobs:
        member.delete(f"/jobs/{job}")


def test_missing_roles_are_named(
    freezer_in_keystone: Registered, tenancy: Tenancy, tmp_path: Path
) -> None:
    lacking = ("[centralized_scheduler]", "trusts_delegated_roles = member,manager")
    api = api_with_central(freezer_in_keystone, tmp_path, *lacking)
    reply = calls_of(api, tenancy).post("/jobs", central_job())
    assert (reply.status, reply.title) == (422, "Missing required credentials")
    assert "manager" in reply.why
    assert calls_of(api, tenancy).get("/jobs").json == {"jobs": []}


def test_restricted_application_credentials_cannot_trust_and_are_told(
    api: GuardedApi, keystone_server: KeystoneServer, own_tenancy: Tenancy
) -> None:
    session = own_tenancy.session("member")
    restricted = keystone_server.application_credential(session)
    reply = api.caller(own_tenancy.project_id, restricted.get_token()).post("/jobs", central_job())
    assert (reply.status, reply.title) == (422, "Missing required credentials")
    assert "Log in with a password" in reply.why


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"password": "wrong", "username": "freezer"}, "not known to Keystone"),
        ({"password": SERVICE_PASSWORD, "username": "nobody"}, "not known to Keystone"),
        ({}, "names no auth_type"),
    ],
)
def test_a_trustee_that_is_not_known_is_told(
    freezer_in_keystone: Registered,
    keystone_server: KeystoneServer,
    tenancy: Tenancy,
    tmp_path: Path,
    section: dict[str, str],
    why: str,
) -> None:
    common = {
        "auth_type": "password",
        "auth_url": keystone_server.url,
        "project_name": freezer_in_keystone.service_project,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    lines = [
        f"{name} = {value}" for name, value in ({**common, **section} if section else {}).items()
    ]
    other = ("[centralized_scheduler]", "auth_section = trustee", "[trustee]", *lines)
    api = api_with_central(freezer_in_keystone, tmp_path, *other)
    reply = calls_of(api, tenancy).post("/jobs", central_job())
    assert (reply.status, reply.title) == (422, "Missing required credentials")
    assert why in reply.why
    assert SERVICE_PASSWORD not in reply.text


def test_keystone_that_is_away_may_pass(
    freezer_in_keystone: Registered, tenancy: Tenancy, tmp_path: Path
) -> None:
    """Tokens are still known for a while; trusts cannot be made."""
    away = ("auth_url = http://127.0.0.1:1/v3", "auth_type = password", "username = freezer")
    where = ("project_name = p", "password = x", "user_domain_id = default")
    lines = ("[centralized_scheduler]", "auth_section = trustee", "[trustee]", *away, *where)
    api = api_with_central(freezer_in_keystone, tmp_path, *lines)
    reply = calls_of(api, tenancy).post("/jobs", central_job())
    assert reply.status == 503
    assert "Keystone" in reply.why
    assert "127.0.0.1" not in reply.why


def test_a_last_job_that_another_member_removes_leaves_a_line_for_the_operator(
    api: GuardedApi,
    keystone_server: KeystoneServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither he nor our own user, who is no administrator, may end somebody else's trust."""
    tenancy = make_tenancy(keystone_server, ("member", "admin"))
    member = calls_of(api, tenancy)
    job = member.made("/jobs", central_job())
    trust = trust_of(member, job)
    assert calls_of(api, tenancy, "admin").delete(f"/jobs/{job}").status == 204
    assert f"openstack trust delete {trust}" in caplog.text
    keystone_server.end_trust(trust)
