"""Our API as a process behind a real Keystone, and the programs of upstream's release."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from freezer_client.api import Freezer, connect
from freezer_client.credentials import Credentials
from tests.fakes import api_server
from tests.services import peers
from tests.services.fixtures import require
from tests.services.identity_fixtures import PASSWORD, Registered, Tenancy, make_tenancy


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The running API, as a member of a project of its own sees it."""

    url: str
    tenancy: Tenancy

    def environment(self) -> dict[str, str]:
        """What an operator exports before he uses a command line client."""
        return {
            "OS_AUTH_URL": self.tenancy.keystone.url,
            "OS_USERNAME": f"member-{self.tenancy.name}",
            "OS_PASSWORD": PASSWORD,
            "OS_PROJECT_NAME": self.tenancy.name,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_BACKUP_URL": self.url,
        }

    def token(self) -> str:
        """A token of the member."""
        return str(self.tenancy.session("member").get_token())


@pytest.fixture(scope="session")
def api_process(
    freezer_in_keystone: Registered, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the API."""
    config = freezer_in_keystone.config(tmp_path_factory.mktemp("peers"))
    with api_server.running(config, "--workers", "1") as server:
        yield f"http://{server.host}:{server.port}"


@pytest.fixture
def service(freezer_in_keystone: Registered, api_process: str) -> Service:
    keystone = freezer_in_keystone.keystone
    tenancy = make_tenancy(keystone, ("member",))
    # Upstream's client turns the dashboard's token into one without a scope, unless its user has
    # a default project, which the users of a dashboard have.
    default = {"user": {"default_project_id": tenancy.project_id}}
    keystone.admin().patch(f"{keystone.url}/users/{tenancy.user_ids['member']}", json=default)
    return Service(url=api_process, tenancy=tenancy)


@pytest.fixture
def freezer(service: Service) -> Iterator[Freezer]:
    """Our own client in the same project."""
    one = connect(
        Credentials(
            auth_type="token",
            auth_url=service.tenancy.keystone.url,
            token=service.token(),
            project_id=service.tenancy.project_id,
            backup_url=service.url,
        )
    )
    yield one
    one.close()


def installed(name: str) -> Path:
    """The virtualenv of a program; the test is skipped without it."""
    require(lambda: peers.find(name), lambda: peers.install(name))
    return peers.find(name)
