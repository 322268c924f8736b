"""The agent's memory, with three storages at the default segment size. Slow: it moves 150 MB.

Keystone is in one of them, since its library is one more to have in memory.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.agent_command import REPOSITORY
from tests.services.identity_fixtures import PASSWORD, make_tenancy
from tests.services.keystone import KeystoneServer
from tests.services.sshd import Sshd
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

pytestmark = [pytest.mark.service, pytest.mark.slow]

MIB = 1024 * 1024
# A small process of its own starts the agent: a child's peak begins with its parent's.
_MEASURED = """\
import json, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "freezer_agent", *sys.argv[1:]])
_, status, used = os.wait4(child.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_maxrss]))
"""


@dataclass(frozen=True, kw_only=True)
class Three:
    """Three storages of a job file, and the environment that opens them."""

    sections: str
    environment: dict[str, str]


@pytest.fixture
def three_near(tmp_path: Path, swift_server: SwiftServer, swift_user: str) -> Three:
    """A folder, a Swift that knows its users itself, and S3."""
    return Three(
        sections=f"[storage:disk]\nstorage = local\ncontainer = {tmp_path / 'disk'}\n"
        + swift_section()
        + s3_section(swift_server, swift_user),
        environment={
            "OS_AUTH_URL": swift_server.auth_url,
            "OS_USERNAME": swift_user,
            "OS_PASSWORD": TEMPAUTH_PASSWORD,
            "OS_IDENTITY_API_VERSION": "1",
        },
    )


@pytest.fixture
def three_remote(
    tmp_path: Path,
    swift_server: SwiftServer,
    swift_user: str,
    sshd_server: Sshd,
    keystone_server: KeystoneServer,
    request: pytest.FixtureRequest,
) -> Three:
    """A Swift with Keystone, S3 and SSH: nothing that the one needs is of use for the other."""
    request.getfixturevalue("swift_behind_keystone")
    tenancy = make_tenancy(keystone_server, ("member",))
    return Three(
        sections=swift_section()
        + s3_section(swift_server, swift_user)
        + "[storage:host]\nstorage = ssh\nssh_host = 127.0.0.1\n"
        f"ssh_port = {sshd_server.port}\nssh_username = {sshd_server.username}\n"
        f"ssh_key = {sshd_server.key_file}\nssh_known_hosts = {sshd_server.known_hosts_file}\n"
        f"container = {tmp_path / 'on ssh'}\n",
        environment={
            "OS_AUTH_URL": keystone_server.url,
            "OS_USERNAME": f"member-{tenancy.name}",
            "OS_PASSWORD": PASSWORD,
            "OS_PROJECT_NAME": tenancy.name,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_IDENTITY_API_VERSION": "3",
        },
    )


def swift_section() -> str:
    return "[storage:cloud]\nstorage = swift\ncontainer = box\n"


def s3_section(server: SwiftServer, user: str) -> str:
    return (
        "[storage:bucket]\nstorage = s3\ncontainer = bucket\n"
        f"access_key = {user}\nendpoint = {server.url}\n"
    )


@pytest.mark.parametrize(
    ("kind", "compression"),
    [("three_near", "gzip"), ("three_near", "zstd"), ("three_remote", "zstd")],
)
def test_three_storages_fit_into_128_mib(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, compression: str
) -> None:
    three: Three = request.getfixturevalue(kind)
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / str(number)).write_bytes(os.urandom(50 * MIB))
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("a pass phrase\n")
    job = tmp_path / "job.ini"
    job.write_text(
        f"[job]\npath_to_backup = {source}\nbackup_name = name\nsync = False\n"
        f"compression = {compression}\nencrypt_pass_file = {key}\n{three.sections}"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
        "SECRET_KEY": TEMPAUTH_PASSWORD,
        **three.environment,
    }
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, "--config", str(job), "--metadata-out", os.devnull],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    status, peak_kib = json.loads(ended.stdout)
    assert status == 0, ended.stderr
    # tar beside it takes 3 MiB.
    assert peak_kib / 1024 + 3 <= 128
