"""A real Keystone on SQLite, with a user for Swift itself and one who makes backups."""

import grp
import os
import pwd
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from keystoneauth1.identity.v3 import ApplicationCredential, Password
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
connection = sqlite:///$folder/keystone.db?timeout=60
# What is lost when the machine dies does not matter here, so nothing waits for a disk.
sqlite_synchronous = false
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
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def admin(self) -> Any:
        """A session of its administrator, always the same: logging in is what costs most."""
        if "admin" not in self._kept:
            self._kept["admin"] = self.session("admin", ADMIN_PASSWORD, "admin")
        return self._kept["admin"]

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
        self.grant(user_id, project_id, role)
        return user_id

    def grant(self, user_id: str, project_id: str, role: str) -> None:
        """Give the user a role in the project."""
        self.admin().put(self._assignment(user_id, project_id, role))

    def take_away(self, user_id: str, project_id: str, role: str) -> None:
        """Take the role away from the user again."""
        self.admin().delete(self._assignment(user_id, project_id, role))

    def application_credential(self, session: Any, *, unrestricted: bool = False) -> Any:
        """A session by a new application credential of the session's user."""
        body = {"application_credential": {"name": "tests", "unrestricted": unrestricted}}
        path = f"{self.url}/users/{session.get_user_id()}/application_credentials"
        made = session.post(path, json=body).json()["application_credential"]
        who = ApplicationCredential(
            auth_url=self.url,
            application_credential_id=made["id"],
            application_credential_secret=made["secret"],
        )
        return Session(auth=who)

    def revoke(self, token: str) -> None:
        """Make the token worthless."""
        self.admin().delete(f"{self.url}/auth/tokens", headers={"X-Subject-Token": token})

    def trust_ids(self) -> set[str]:
        """The ids of all trusts that there are."""
        listed = self.admin().get(f"{self.url}/OS-TRUST/trusts").json()["trusts"]
        return {str(trust["id"]) for trust in listed}

    def trust(self, trust_id: str) -> dict[str, Any]:
        """A trust, with its roles' names."""
        answer = self.admin().get(f"{self.url}/OS-TRUST/trusts/{trust_id}").json()["trust"]
        return {**answer, "roles": sorted(role["name"] for role in answer["roles"])}

    def end_trust(self, trust_id: str) -> None:
        """Remove a trust, as an administrator may."""
        self.admin().delete(f"{self.url}/OS-TRUST/trusts/{trust_id}")

    def add_endpoint(self, kind: str, url: str) -> None:
        """A service of the kind with a public endpoint."""
        service = self._post("services", {"service": {"type": kind, "name": kind}})["service"]
        endpoint = {"service_id": service["id"], "interface": "public", "url": url}
        self._post("endpoints", {"endpoint": endpoint | {"region_id": "RegionOne"}})

    def _assignment(self, user_id: str, project_id: str, role: str) -> str:
        if "roles" not in self._kept:
            found = self.admin().get(f"{self.url}/roles").json()["roles"]
            self._kept["roles"] = {each["name"]: each["id"] for each in found}
        role_id = self._kept["roles"][role]
        return f"{self.url}/projects/{project_id}/users/{user_id}/roles/{role_id}"

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
    return KeystoneServer(folder=folder, url=url, server=_serve(config, port))


@contextmanager
def with_short_tokens(keystone: KeystoneServer, seconds: int) -> Iterator[KeystoneServer]:
    """The same Keystone at another address, where tokens live so long: 0 for not at all."""
    (port,) = free_ports(1)
    config = keystone.folder / f"keystone-{port}.conf"
    text = (keystone.folder / "keystone.conf").read_text()
    config.write_text(text.replace("expiration = 3600", f"expiration = {seconds}"))
    server = _serve(config, port)
    try:
        url = f"http://127.0.0.1:{port}/v3"
        yield KeystoneServer(folder=keystone.folder, url=url, server=server)
    finally:
        server.stop()


@contextmanager
def running(folder: Path) -> Iterator[KeystoneServer]:
    """A Keystone that is gone afterwards."""
    keystone = start(folder)
    try:
        yield keystone
    finally:
        keystone.server.stop()


def _serve(config: Path, port: int) -> Server:
    programs, folder = find() / "bin", config.parent
    gunicorn = [str(programs / "gunicorn"), "--no-control-socket", "--pythonpath", str(folder)]
    serve = ["-b", f"127.0.0.1:{port}", "-w", "1", "--threads", "4"]
    # Neither is a busy machine's worker replaced while it starts, nor a connection closed just when
    # somebody uses it again.
    serve += ["--timeout", "0", "--keep-alive", "3600", "application:application"]
    environment = {"PATH": str(programs), "OS_KEYSTONE_CONFIG_FILES": str(config)}
    server = Server([*gunicorn, *serve], folder / f"{config.stem}.log", environment)
    server.wait_until(lambda: _answers(port))
    return server


def _set_up(programs: Path, config: Path, url: str) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    owner = ["--keystone-user", pwd.getpwuid(os.geteuid()).pw_name, "--keystone-group", group]
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
