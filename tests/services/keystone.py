"""A real Keystone on SQLite, with a user for Swift itself and one who makes backups."""

import getpass
import grp
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from tests.services.launching import (
    Server,
    ServiceMissing,
    find_virtualenv,
    free_ports,
    install_virtualenv,
)

NAME = "keystone-30.0.0"
REQUIREMENTS = ("keystone==30.0.0", "gunicorn>=23,<28")
ADMIN_PASSWORD = "admin-secret"

_CONFIG = Template("""\
[DEFAULT]
use_stderr = true
max_token_size = 512
[database]
connection = sqlite:///$folder/keystone.db
[token]
provider = fernet
expiration = 3600
[fernet_tokens]
key_repository = $folder/fernet
[fernet_receipts]
key_repository = $folder/fernet
[credential]
key_repository = $folder/credential
[cache]
enabled = false
[identity]
password_hash_rounds = 4
""")
# Keystone reads the arguments of the process itself: the server's own must be hidden from it.
_APPLICATION = 'import sys\nsys.argv = ["keystone"]\nfrom keystone.wsgi.api import application\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class KeystoneServer:
    """A running Keystone."""

    folder: Path
    url: str
    server: Server

    def admin(self) -> Any:
        """A client of its administrator: a keystoneauth adapter."""
        return self.session("admin", ADMIN_PASSWORD, "admin")

    def session(self, username: str, password: str, project: str) -> Any:
        """A keystoneauth session of one of its users."""
        who = Password(
            auth_url=self.url,
            username=username,
            password=password,
            project_name=project,
            user_domain_id="default",
            project_domain_id="default",
        )
        return Session(auth=who)

    def add_project(self, name: str) -> str:
        """A new project's id."""
        return str(self._post("projects", {"project": {"name": name}})["project"]["id"])

    def add_user(self, name: str, password: str, project_id: str, role: str) -> str:
        """A new user with a role in the project; gives the user's id."""
        made = self._post("users", {"user": {"name": name, "password": password}})
        user_id = str(made["user"]["id"])
        found = self.admin().get(f"{self.url}/roles", params={"name": role}).json()
        role_id = found["roles"][0]["id"]
        self.admin().put(f"{self.url}/projects/{project_id}/users/{user_id}/roles/{role_id}")
        return user_id

    def add_endpoint(self, kind: str, url: str) -> None:
        """A service of the kind with a public endpoint."""
        service = self._post("services", {"service": {"type": kind, "name": kind}})["service"]
        endpoint = {"service_id": service["id"], "interface": "public", "url": url}
        self._post("endpoints", {"endpoint": endpoint | {"region_id": "RegionOne"}})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self.admin().post(f"{self.url}/{path}", json=body).json()


def find() -> Path:
    """Keystone's virtualenv. Raises ServiceMissing."""
    return find_virtualenv(NAME)


def install() -> Path:
    """Make Keystone's virtualenv unless it is there. Raises ServiceMissing."""
    return install_virtualenv(NAME, REQUIREMENTS)


def start(folder: Path) -> KeystoneServer:
    """A Keystone that keeps everything in the folder."""
    programs = find() / "bin"
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/v3"
    config = folder / "keystone.conf"
    config.write_text(_CONFIG.substitute(folder=folder))
    (folder / "application.py").write_text(_APPLICATION)
    for name in ("fernet", "credential"):
        (folder / name).mkdir(mode=0o700)
    _set_up(programs, config, url)
    gunicorn = [str(programs / "gunicorn"), "--no-control-socket", "--pythonpath", str(folder)]
    serve = ["-b", f"127.0.0.1:{port}", "-w", "1", "--threads", "4", "application:application"]
    environment = {"PATH": str(programs), "OS_KEYSTONE_CONFIG_FILES": str(config)}
    server = Server([*gunicorn, *serve], folder / "keystone.log", environment)
    server.wait_until(lambda: _answers(port))
    return KeystoneServer(folder=folder, url=url, server=server)


@contextmanager
def running(folder: Path) -> Iterator[KeystoneServer]:
    """A Keystone that is gone afterwards."""
    keystone = start(folder)
    try:
        yield keystone
    finally:
        keystone.server.stop()


def _set_up(programs: Path, config: Path, url: str) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    owner = ["--keystone-user", getpass.getuser(), "--keystone-group", group]
    urls = [f"--bootstrap-{kind}-url={url}" for kind in ("admin", "public", "internal")]
    region = ["--bootstrap-region-id", "RegionOne"]
    commands = (
        ["db_sync"],
        ["fernet_setup", *owner],
        ["credential_setup", *owner],
        ["bootstrap", "--bootstrap-password", ADMIN_PASSWORD, *region, *urls],
    )
    manage = [str(programs / "keystone-manage"), "--config-file", str(config)]
    for command in commands:
        done = Server([*manage, *command], config.parent / "setup.log")
        if done.wait():
            text = done.log.read_text()[-2000:]
            raise ServiceMissing(f"keystone-manage {command[0]} failed:\n{text}")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v3", timeout=60) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
