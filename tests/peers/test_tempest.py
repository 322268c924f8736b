"""The tempest plugin 3.5.0: OpenStack's own tests of this API, its clients and the agent.

Its tests of the scheduler's daemon are left out: they start it where one runs already, and expect
that not to be refused.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pytest

from tests.fakes import api_server
from tests.peers.conftest import installed
from tests.services import keystone, peers
from tests.services.fixtures import require
from tests.services.identity_fixtures import SERVICE_PASSWORD, Registered
from tests.services.keystone import ADMIN_PASSWORD, KeystoneServer

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE_SECONDS = 1500
PARTS = {
    "api": ["version", "clients", "backups", "actions", "sessions", "jobs", "central"],
    "commands": ["action", "client", "job", "session", "backup"],
    "agent": ["fs_backup", "backup_compress", "metadata_checksum", "tests_running"],
}
MODULES = {
    "api": "freezer_tempest_plugin.tests.freezer_api.api.test_api_",
    "commands": "freezer_tempest_plugin.tests.freezerclient.test_freezer_cmd_",
    "agent": "freezer_tempest_plugin.tests.freezer.agent.test_",
}
CONFIG = Template("""\
[DEFAULT]
log_file = $folder/tempest.log
[oslo_concurrency]
lock_path = $folder/locks
[auth]
use_dynamic_credentials = true
admin_username = admin
admin_password = $password
admin_project_name = admin
admin_domain_name = Default
tempest_roles = member
[identity]
uri_v3 = $url
auth_version = v3
region = RegionOne
v3_endpoint_type = public
[service_available]
cinder = false
nova = false
glance = false
neutron = false
swift = false
[backup]
region = RegionOne
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """A cloud of Keystone and our API, with tempest's configuration in a folder."""

    keystone: KeystoneServer
    folder: Path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """With a Keystone of its own: tempest finds the API in the catalogue, others must not."""
    require(keystone.find, keystone.install)
    folder = tmp_path_factory.mktemp("tempest")
    (folder / "keystone").mkdir()
    with keystone.running(folder / "keystone") as identity:
        project = identity.add_project("freezer-services")
        user_id = identity.add_user("freezer", SERVICE_PASSWORD, project, "service")
        registered = Registered(
            keystone=identity,
            service_project="freezer-services",
            service_user="freezer",
            service_user_id=user_id,
        )
        text = CONFIG.substitute(folder=folder, password=ADMIN_PASSWORD, url=identity.url)
        (folder / "tempest.conf").write_text(text)
        with api_server.running(registered.config(folder), "--workers", "1") as server:
            identity.add_endpoint("backup", f"http://{server.host}:{server.port}")
            yield Cloud(keystone=identity, folder=folder)


@pytest.mark.parametrize("part", PARTS)
def test_it_passes(part: str, cloud: Cloud) -> None:
    tempest, client = installed(peers.TEMPEST) / "bin", installed(peers.CLIENT) / "bin"
    ours = Path(sys.executable).parent
    environment = {
        "PATH": f"{tempest}:{ours}:{client}:/usr/bin:/bin",
        "HOME": str(cloud.folder),
        "OS_AUTH_URL": cloud.keystone.url,
        "TEMPEST_CONFIG_DIR": str(cloud.folder),
        "TEMPEST_CONFIG": "tempest.conf",
    }
    names = [f"{MODULES[part]}{name}" for name in PARTS[part]]
    done = subprocess.run(
        [str(tempest / "python"), "-W", "ignore", "-m", "unittest", *names],
        env=environment,
        cwd=cloud.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    # "OK (skipped=...)" would be a part that was not tried.
    assert done.stderr.endswith("\nOK\n"), done.stderr[-8000:]
    assert done.returncode == 0
