"""Freezer's own place in a real Keystone: its service, its user, and users of all roles."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.services import keystone
from tests.services.keystone import KeystoneServer

PASSWORD = "user-secret"
SERVICE_PASSWORD = "freezer-secret"
ROLES = ("member", "reader", "admin", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """A project of its own with a user for each role, named after it."""

    keystone: KeystoneServer
    name: str
    project_id: str
    user_ids: dict[str, str]
    _sessions: dict[str, Any] = field(default_factory=dict, repr=False)

    def session(self, role: str) -> Any:
        """The keystoneauth session of the user with the role, always the same."""
        if role not in self._sessions:
            self._sessions[role] = self.fresh_session(role)
        return self._sessions[role]

    def fresh_session(self, role: str) -> Any:
        """A session that logs in anew, for who has got other roles or loses his token."""
        return self.keystone.session(f"{role}-{self.name}", PASSWORD, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A Keystone that knows Freezer's own user."""

    keystone: KeystoneServer
    service_project: str
    service_user: str
    service_user_id: str

    def config(self, folder: Path, *extra: str, **options: str) -> Path:
        """A configuration of the API behind this Keystone; `options` of [keystone_authtoken]."""
        authtoken = {
            "auth_type": "password",
            "auth_url": self.keystone.url,
            "www_authenticate_uri": self.keystone.url,
            "username": self.service_user,
            "password": SERVICE_PASSWORD,
            "project_name": self.service_project,
            "user_domain_id": "default",
            "project_domain_id": "default",
            **options,
        }
        lines = [
            "[DEFAULT]",
            "auth_strategy = keystone",
            f"log_file = {folder}/api.log",
            "[sql]",
            f"connection = sqlite:///{folder}/freezer.sqlite",
            "[keystone_authtoken]",
            *(f"{name} = {value}" for name, value in authtoken.items()),
            *extra,
        ]
        config = folder / "freezer-api.conf"
        config.write_text("\n".join(lines) + "\n")
        return config


@pytest.fixture(scope="session")
def freezer_in_keystone(keystone_server: KeystoneServer) -> Registered:
    """Freezer's user, with the role that lets it validate tokens and see all projects."""
    project = keystone_server.add_project("freezer-services")
    user_id = keystone_server.add_user("freezer", SERVICE_PASSWORD, project, "service")
    return Registered(
        keystone=keystone_server,
        service_project="freezer-services",
        service_user="freezer",
        service_user_id=user_id,
    )


@pytest.fixture(scope="session")
def tenancy(keystone_server: KeystoneServer) -> Tenancy:
    """A project that tests may share."""
    return make_tenancy(keystone_server, ROLES)


@pytest.fixture(scope="session")
def other_tenancy(keystone_server: KeystoneServer) -> Tenancy:
    """Another project."""
    return make_tenancy(keystone_server, ROLES)


@pytest.fixture
def own_tenancy(keystone_server: KeystoneServer) -> Tenancy:
    """A project for one test, with a member whose roles it may take away."""
    return make_tenancy(keystone_server, ("member",))


@pytest.fixture(scope="session")
def keystone_of_dead_tokens(keystone_server: KeystoneServer) -> Iterator[KeystoneServer]:
    """The same Keystone, giving tokens that have expired already."""
    with keystone.with_short_tokens(keystone_server, 0) as server:
        yield server


def make_tenancy(server: KeystoneServer, roles: tuple[str, ...]) -> Tenancy:
    """A new project with a user for each of the roles."""
    name = f"tenant-{uuid.uuid4().hex[:8]}"
    project_id = server.add_project(name)
    users = {role: server.add_user(f"{role}-{name}", PASSWORD, project_id, role) for role in roles}
    return Tenancy(keystone=server, name=name, project_id=project_id, user_ids=users)
