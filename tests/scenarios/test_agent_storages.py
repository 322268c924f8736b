"""The agent's command line on every remote storage, each on its real server."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from freezer_agent.conf.checking import Surroundings, to_request
from freezer_agent.conf.options import gather
from freezer_agent.conf.parser import Parser
from freezer_agent.requests import ListRequest
from freezer_agent.storage_assembly import build_storage, make_network
from tests.fakes.agent_command import AgentCommand, Ended
from tests.services import ftp as ftp_service
from tests.services import sshd as sshd_service
from tests.services.cutting_proxy import CuttingProxy, cutting_proxy
from tests.services.fixtures import require
from tests.services.ftp import FtpServer
from tests.services.keystone import KeystoneServer
from tests.services.sshd import Sshd
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

pytestmark = pytest.mark.service

KEYSTONE_PASSWORD = "keystone-hidden"
SECRETS = (ftp_service.PASSWORD, TEMPAUTH_PASSWORD, KEYSTONE_PASSWORD)


class RemoteAgent:
    """freezer-agent with the options and the environment of one storage."""

    def __init__(
        self,
        agent: AgentCommand,
        options: Sequence[str | Path],
        *,
        kind: str,
        port: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.agent = agent
        self.options = list(map(str, options))
        self.kind = kind
        self._port = port
        self._monkeypatch = monkeypatch

    def through_proxy(
        self, prepare: Callable[[CuttingProxy], None], run: Callable[[], Ended]
    ) -> Ended:
        """Let it reach its server by a proxy only, which something is done to before the run."""
        straight, port = self.options, str(self._port)
        with cutting_proxy(self._port) as proxy, self._monkeypatch.context() as patch:
            through = str(proxy.port)
            self.options = [word.replace(port, through) for word in straight]
            for name in ("OS_AUTH_URL", "OS_STORAGE_URL"):
                if name in os.environ:
                    patch.setenv(name, os.environ[name].replace(port, through))
            prepare(proxy)
            ended = run()
        self.options = straight
        return ended

    def run(self, *words: str | Path) -> Ended:
        """Run it; nothing that it says or logs may name a secret."""
        ended = self.agent.run(
            *self.options, "--nosync", "--storage-attempts", "2", "-N", "name", *words
        )
        said = ended.stdout + ended.stderr + self.agent.log.read_text()
        assert not any(secret in said for secret in SECRETS)
        return ended

    def run_program(self, *words: str | Path) -> Ended:
        """Run it in a process of its own, which is gone afterwards: its locks are stale then."""
        access = {
            name: os.environ[name] for name in os.environ if name.startswith(("OS_", "SECRET"))
        }
        program = [sys.executable, "-m", "freezer_agent", "--log-file", str(self.agent.log)]
        ended = subprocess.run(
            [*program, *self.options, "--nosync", "-N", "name", *map(str, words)],
            env={**self.agent.environment(), **access},
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(status=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)

    def backup(self, source: Path, *words: str) -> Ended:
        return self.run("-F", source, "--metadata-out", "-", *words)

    def restore(self, target: Path, *words: str) -> Ended:
        return self.run("--action", "restore", "--restore-abs-path", target, *words)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "kept").write_text("kept\n")
    (folder / "changed").write_bytes(os.urandom(3_000_000))
    (folder / "removed").write_text("removed\n")
    return folder


def on_ssh(sshd: Sshd, folder: Path) -> list[str | Path]:
    return [
        *("--storage", "ssh", "--ssh-host", "127.0.0.1", "--ssh-port", str(sshd.port)),
        *("--ssh-username", sshd.username, "--ssh-key", sshd.key_file),
        *("--ssh-known-hosts", sshd.known_hosts_file, "-C", folder / "on ssh"),
    ]


def on_ftp(server: FtpServer, folder: Path, kind: str) -> list[str | Path]:
    password = folder / "ftp-password"
    password.write_text(f"{ftp_service.PASSWORD}\n")
    password.chmod(0o600)
    access = ["--ftp-username", ftp_service.USERNAME, "--ftp-password-file", str(password)]
    place = ["--storage", kind, "--ftp-host", "127.0.0.1", "--ftp-port", str(server.port)]
    tls = ["--ca-file", str(server.ca_file)] if kind == "ftps" else []
    return [*place, *access, *tls, "-C", folder.name]


@pytest.fixture(params=["ssh", "ftp", "ftps", "swift", "s3"])
def remote(
    request: pytest.FixtureRequest,
    agent: AgentCommand,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    swift_user: str,
) -> RemoteAgent:
    """An agent with a storage of its own on a real server."""
    kind = request.param
    made = partial(RemoteAgent, agent, kind=kind, monkeypatch=monkeypatch)
    if kind == "ssh":
        server = request.getfixturevalue("sshd_server")
        return made(on_ssh(server, tmp_path), port=server.port)
    if kind in {"ftp", "ftps"}:
        server = request.getfixturevalue(f"{kind}_server")
        return made(on_ftp(server, tmp_path, kind), port=server.port)
    swift: SwiftServer = request.getfixturevalue(
        "swift_without_slo" if kind == "swift-dlo" else "swift_server"
    )
    small_segments = ["-M", "1000000"]
    if kind == "s3":
        monkeypatch.setenv("SECRET_KEY", TEMPAUTH_PASSWORD)
        access = ["--access-key", swift_user, "--endpoint", swift.url]
        words = ["--storage", "s3", *access, "-C", "bucket/a", *small_segments]
        return made(words, port=swift.port)
    for name, value in version_1(swift, swift_user).items():
        monkeypatch.setenv(name, value)
    return made(["--storage", "swift", "-C", "box/a", *small_segments], port=swift.port)


def version_1(swift: SwiftServer, user: str) -> dict[str, str]:
    return {
        "OS_AUTH_URL": swift.auth_url,
        "OS_USERNAME": user,
        "OS_PASSWORD": TEMPAUTH_PASSWORD,
        "OS_IDENTITY_API_VERSION": "1",
    }


def only(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("remote", kinds, indirect=True)


@only("ssh", "ftp", "ftps", "swift", "swift-dlo", "s3")
def test_a_chain_is_made_listed_restored_and_removed(
    remote: RemoteAgent, source: Path, tmp_path: Path
) -> None:
    first = remote.backup(source, "--max-level", "2")
    assert first.status == 0, first.stderr
    (source / "removed").unlink()
    (source / "changed").write_text("changed\n")
    second = remote.backup(source, "--max-level", "2")
    assert second.status == 0, second.stderr
    assert (first.report["level"], second.report["level"]) == (0, 1)

    restored = remote.restore(tmp_path / "target")
    assert restored.status == 0, restored.stderr
    found = {path.name: path.read_text() for path in (tmp_path / "target").iterdir()}
    assert found == {"kept": "kept\n", "changed": "changed\n"}

    listed = remote.run("--action", "info", "-l", "--json")
    assert [one["level"] for one in listed.report["backups"]] == [0, 1]
    assert all(one["size"] for one in listed.report["backups"])
    shown = remote.run("--action", "info", "--json")
    assert sum(one["objects"] for one in shown.report["containers"]) >= 6

    pruned = remote.run(
        "--action", "admin", "--remove-before-date", "2100-01-01T00:00:00", "--force", "--json"
    )
    assert pruned.status == 0, pruned.stderr
    assert len(pruned.report["removed_backups"]) == 2
    assert not remote.run("--action", "info", "-l", "--json").report["backups"]


def altered(remote: RemoteAgent, pattern: str, change: Callable[[bytes], bytes]) -> None:
    """Do to one object of the storage what no agent does."""
    start = Path.cwd()
    words = [*remote.options, "--action", "list"]
    around = Surroundings(
        start=start, host="host", home=remote.agent.home, environment=dict(os.environ)
    )
    request = to_request(gather(Parser("freezer-agent").parse(words), start), around)
    assert isinstance(request, ListRequest)
    network = make_network(
        attempts=1,
        upload_limit=-1,
        download_limit=-1,
        monotonic=time.monotonic,
        sleep=time.sleep,
        chance=lambda: 0.0,
    )
    with build_storage(request.storage, network).storage as storage:
        (key,) = [one.key for one in storage.list("") if fnmatch(one.key, pattern)]
        storage.write(key, [change(b"".join(storage.read(key)))])


def flipped(content: bytes) -> bytes:
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


@pytest.mark.parametrize(
    "remote",
    [
        *("ssh", "ftps", "swift", "s3"),
        pytest.param("ftp", marks=pytest.mark.slow),
        pytest.param("swift-dlo", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_what_is_stored_is_listed_searched_verified_picked_and_thinned_out(
    remote: RemoteAgent, source: Path, tmp_path: Path
) -> None:
    """Three sealed backups in two chains, and then one that somebody has altered."""
    (tmp_path / "key").write_text("a pass phrase\n")
    (tmp_path / "key").chmod(0o600)
    key = ("--encrypt-pass-file", tmp_path / "key")

    def look(action: str, *words: str | Path, status: int = 0) -> dict[str, Any]:
        ended = remote.run("--action", action, "--json", *words)
        assert ended.status == status, ended.stderr
        return ended.report

    assert look("list")["backups"] == []
    for step in range(3):
        (source / f"added {step}").write_text(f"{step}\n")
        made = remote.backup(source, "--max-level", "1", *map(str, key))
        assert made.status == 0, made.stderr
    (source / "removed").unlink()

    listed = look("list")["backups"]
    assert [one["level"] for one in listed] == [0, 1, 0]
    assert all(one["encrypted"] and one["verified"] is None for one in listed)
    found = look("files", "--include", "added*", *key)["files"]
    assert [one["name"] for one in found] == ["added 0", "added 1", "added 2"]

    assert [one["checked"] for one in look("verify")["backups"]] == ["structure"] * 3
    read = look("verify", "--read-data", *key)["backups"]
    assert [(one["checked"], one["good"]) for one in read] == [("data", True)] * 3
    assert all(one["verified"]["good"] for one in look("list")["backups"])

    picked = remote.restore(tmp_path / "picked", "--include", "/added 2", *key)
    assert picked.status == 0, picked.stderr
    assert [path.name for path in (tmp_path / "picked").iterdir()] == ["added 2"]

    newest = f"data/*/0_{listed[2]['time_stamp']}/data"
    altered(remote, newest, flipped)
    assert look("verify")["good"]
    bad = look("verify", "--read-data", *key, status=1)["backups"]
    assert [one["good"] for one in bad] == [True, True, False]
    altered(remote, newest, lambda content: content[:-1])
    (problem,) = look("verify", status=1)["backups"][2]["problems"]
    assert "bytes, " in problem
    assert remote.restore(tmp_path / "target", *key).status == 1
    before = ("--restore-from-date", listed[1]["date"])
    restored = remote.restore(tmp_path / "before", *before, *key)
    assert restored.status == 0, restored.stderr
    assert (tmp_path / "before/removed").read_text() == "removed\n"

    told = look("admin", "--keep-last", "1", "--dry-run")
    assert len(told["removed_backups"]) == 2
    assert len(look("list")["backups"]) == 3
    look("admin", "--keep-last", "1")
    assert [one["backup"] for one in look("list")["backups"]] == [listed[2]["backup"]]


WRONG = {
    "ssh": ["--ssh-key", "{other_key}"],
    "ftp": ["--ftp-password-file", "{wrong}"],
    "ftps": ["--ftp-password-file", "{wrong}"],
    "s3": ["--secret-key-file", "{wrong}"],
}


def test_wrong_credentials_are_told_at_once(
    remote: RemoteAgent,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence, and no second attempt, which could not help and may lock an account."""
    (tmp_path / "wrong").write_text("wrong-secret\n")
    (tmp_path / "wrong").chmod(0o600)
    sshd_service.make_key(tmp_path / "other")
    monkeypatch.setenv("OS_PASSWORD", "wrong-secret")
    places = {"other_key": tmp_path / "other", "wrong": tmp_path / "wrong"}
    words = [word.format(**places) for word in WRONG.get(remote.kind, [])]
    if remote.kind == "s3":
        monkeypatch.delenv("SECRET_KEY")
    ended = remote.backup(source, *words)
    assert ended.status == 1
    assert len(ended.stderr.splitlines()) <= 2, ended.stderr
    assert (
        "refused" in ended.stderr
        or "check the access key" in ended.stderr
        or ("cannot log in" in ended.stderr)
    )
    assert "attempt" not in remote.agent.log.read_text()
    assert "wrong-secret" not in ended.stderr + remote.agent.log.read_text()


@only("ssh", "swift", "s3")
def test_a_server_that_is_lost_in_mid_backup_leaves_nothing(
    remote: RemoteAgent, source: Path, tmp_path: Path
) -> None:
    (source / "large").write_bytes(os.urandom(8_000_000))
    ended = remote.through_proxy(
        lambda proxy: proxy.close_after(4_000_000),
        lambda: remote.run_program("-F", source, "--storage-attempts", "1"),
    )
    assert ended.status == 1
    assert "Critical Error: " in ended.stderr
    assert "unexpected" not in ended.stderr
    assert remote.run("--action", "info", "-l", "--json").report["backups"] == []
    again = remote.backup(source)
    assert again.status == 0, again.stderr
    assert remote.restore(tmp_path / "target").status == 0
    assert (tmp_path / "target/large").read_bytes() == (source / "large").read_bytes()


@only("ssh", "ftp", "swift", "s3")
def test_a_server_that_is_away_is_named(remote: RemoteAgent, tmp_path: Path) -> None:
    ended = remote.through_proxy(
        lambda proxy: proxy.close(), lambda: remote.restore(tmp_path / "target")
    )
    assert ended.status == 1
    said = ("Connection refused", "cannot be reached", "cannot connect", "Could not connect")
    assert any(text in ended.stderr for text in said), ended.stderr
    assert "attempt 2 of 2" in remote.agent.log.read_text()
    assert not (tmp_path / "target").exists()


def test_there_is_nothing_to_restore_yet(remote: RemoteAgent, tmp_path: Path) -> None:
    ended = remote.restore(tmp_path / "target")
    assert ended.status == 1
    assert "No matching backup name" in ended.stderr


@only("ssh")
def test_an_unknown_host_key_is_refused_or_accepted_once(
    remote: RemoteAgent, source: Path, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    words = ("--ssh-known-hosts", str(hosts))
    refused = remote.backup(source, *words)
    assert refused.status == 1
    assert "the host key of [127.0.0.1]" in refused.stderr
    assert "--ssh-accept-new-host-key" in refused.stderr
    assert "attempt" not in remote.agent.log.read_text()
    assert remote.backup(source, *words, "--ssh-accept-new-host-key").status == 0
    assert remote.backup(source, *words).status == 0

    name, kind, _ = hosts.read_text().split()
    sshd_service.make_key(tmp_path / "other")
    hosts.write_text(f"{name} {kind} {(tmp_path / 'other.pub').read_text().split()[1]}\n")
    changed = remote.backup(source, *words, "--ssh-accept-new-host-key")
    assert changed.status == 1
    assert "Somebody may be between" in changed.stderr


@only("ftps")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    remote: RemoteAgent, source: Path
) -> None:
    at = remote.options.index("--ca-file")
    del remote.options[at : at + 2]
    ended = remote.backup(source)
    assert ended.status == 1
    assert "the certificate is not accepted" in ended.stderr
    assert "attempt" not in remote.agent.log.read_text()


def test_ftps_with_a_client_certificate(
    agent: AgentCommand,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require(ftp_service.find, ftp_service.install)
    client, server_folder = tmp_path / "client", tmp_path / "server"
    client.mkdir()
    server_folder.mkdir()
    ftp_service.make_certificate(client)
    server = ftp_service.start(server_folder, tls=True, client_ca=client / "certificate.pem")
    try:
        remote = RemoteAgent(
            agent,
            on_ftp(server, tmp_path, "ftps"),
            kind="ftps",
            port=server.port,
            monkeypatch=monkeypatch,
        )
        assert remote.backup(source, "--storage-attempts", "1").status == 1
        files = ("--ftp-certfile", str(client / "certificate.pem"))
        ended = remote.backup(source, *files, "--ftp-keyfile", str(client / "key.pem"))
        assert ended.status == 0, ended.stderr
    finally:
        server.server.stop()


def keystone_user(keystone: KeystoneServer, project: str = "") -> tuple[dict[str, str], str]:
    """The OS_* values of a new user, and the id of the user's project."""
    name = uuid.uuid4().hex
    project_id = keystone.add_project(project or name)
    keystone.add_user(name, KEYSTONE_PASSWORD, project_id, "member")
    values = {
        "OS_AUTH_URL": keystone.url,
        "OS_USERNAME": name,
        "OS_PASSWORD": KEYSTONE_PASSWORD,
        "OS_PROJECT_NAME": project or name,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
    }
    return values, project_id


def by_application_credential(keystone: KeystoneServer, values: dict[str, str]) -> dict[str, str]:
    session = keystone.session(values["OS_USERNAME"], KEYSTONE_PASSWORD, values["OS_PROJECT_NAME"])
    path = f"{keystone.url}/users/{session.get_user_id()}/application_credentials"
    body = {"application_credential": {"name": "agent"}}
    made = session.post(path, json=body).json()["application_credential"]
    return {
        "OS_AUTH_URL": keystone.url,
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_APPLICATION_CREDENTIAL_ID": made["id"],
        "OS_APPLICATION_CREDENTIAL_SECRET": made["secret"],
    }


def by_token(keystone: KeystoneServer, values: dict[str, str]) -> dict[str, str]:
    session = keystone.session(values["OS_USERNAME"], KEYSTONE_PASSWORD, values["OS_PROJECT_NAME"])
    return {
        "OS_AUTH_URL": keystone.url,
        "OS_AUTH_METHOD": "token",
        "OS_TOKEN": session.get_token(),
        "OS_PROJECT_NAME": values["OS_PROJECT_NAME"],
        "OS_PROJECT_DOMAIN_NAME": "Default",
    }


def by_trust(keystone: KeystoneServer, values: dict[str, str]) -> dict[str, str]:
    """Another user acts for the first one in that one's project."""
    session = keystone.session(values["OS_USERNAME"], KEYSTONE_PASSWORD, values["OS_PROJECT_NAME"])
    trustee, _ = keystone_user(keystone)
    other = keystone.session(trustee["OS_USERNAME"], KEYSTONE_PASSWORD, trustee["OS_PROJECT_NAME"])
    trust = {
        "trustor_user_id": session.get_user_id(),
        "trustee_user_id": other.get_user_id(),
        "project_id": session.get_project_id(),
        "impersonation": False,
        "roles": [{"name": "member"}],
    }
    made = session.post(f"{keystone.url}/OS-TRUST/trusts", json={"trust": trust}).json()["trust"]
    return {**trustee, "OS_TRUST_ID": made["id"]}


@pytest.mark.parametrize("way", [None, by_application_credential, by_token, by_trust])
def test_swift_by_every_way_into_keystone(
    agent: AgentCommand,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keystone_server: KeystoneServer,
    swift_behind_keystone: SwiftServer,
    way: Callable[[KeystoneServer, dict[str, str]], dict[str, str]] | None,
) -> None:
    """By an osrc file for the password, as clouds hand it out; else by the environment."""
    values, _ = keystone_user(keystone_server)
    words = ["--storage", "swift", "-C", "box", "--prefix-container"]
    if way is None:
        lines = [f"export {name}={value}\n" for name, value in values.items()]
        (tmp_path / "openrc").write_text("unset OS_TOKEN\n" + "".join(lines))
        words += ["--osrc", str(tmp_path / "openrc")]
    else:
        for name, value in way(keystone_server, values).items():
            monkeypatch.setenv(name, value)
    remote = RemoteAgent(
        agent, words, kind="swift", port=swift_behind_keystone.port, monkeypatch=monkeypatch
    )
    made = remote.backup(source)
    assert made.status == 0, made.stderr
    shown = remote.run("--action", "info", "--json")
    assert [one["container"] for one in shown.report["containers"]] == ["freezer_box"]
    restored = remote.restore(tmp_path / "target")
    assert restored.status == 0, restored.stderr
    assert (tmp_path / "target/kept").read_text() == "kept\n"


def test_keystone_is_told_apart_from_swift(
    agent: AgentCommand,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    keystone_server: KeystoneServer,
) -> None:
    values, _ = keystone_user(keystone_server)
    for name, value in {**values, "OS_PASSWORD": "wrong-secret"}.items():
        monkeypatch.setenv(name, value)
    remote = RemoteAgent(
        agent, ["--storage", "swift"], kind="swift", port=0, monkeypatch=monkeypatch
    )
    ended = remote.backup(source)
    assert ended.status == 1
    assert "Keystone gives no access" in ended.stderr
    assert "attempt" not in agent.log.read_text()
    monkeypatch.delenv("OS_PASSWORD")
    missing = remote.backup(source)
    assert missing.status == 1
    assert "OS_PASSWORD" in missing.stderr


def test_several_servers_at_once_one_of_which_is_lost(
    agent: AgentCommand,
    source: Path,
    tmp_path: Path,
    swift_user: str,
    swift_server: SwiftServer,
    sshd_server: Sshd,
) -> None:
    """Swift by an osrc file, S3, SSH and a folder; SSH breaks in the middle of the stream."""
    (source / "large").write_bytes(os.urandom(8_000_000))
    lines = [
        f"export {name}={value}\n" for name, value in version_1(swift_server, swift_user).items()
    ]
    (tmp_path / "openrc").write_text("".join(lines))
    (tmp_path / "secret").write_text(f"{TEMPAUTH_PASSWORD}\n")
    (tmp_path / "secret").chmod(0o600)
    job = tmp_path / "job.ini"

    def run(ssh_port: int, *words: str | Path) -> Ended:
        job.write_text(
            "[default]\nbackup_name = name\nsync = False\nstorage_attempts = 2\n"
            "max_segment_size = 1000000\nmax_level = 3\n"
            f"[storage:folder]\nstorage = local\ncontainer = {tmp_path / 'folder'}\n"
            f"[storage:cloud]\nstorage = swift\ncontainer = several\nosrc = {tmp_path / 'openrc'}\n"
            f"[storage:bucket]\nstorage = s3\ncontainer = bucket/b\naccess_key = {swift_user}\n"
            f"secret_key_file = {tmp_path / 'secret'}\nendpoint = {swift_server.url}\n"
            f"[storage:host]\nstorage = ssh\nssh_host = 127.0.0.1\nssh_port = {ssh_port}\n"
            f"ssh_key = {sshd_server.key_file}\nssh_known_hosts = {tmp_path / 'hosts'}\n"
            f"ssh_accept_new_host_key = True\ncontainer = {tmp_path / 'on the host'}\n"
        )
        return agent.run("--config", job, *words)

    backup = ("-F", source, "--metadata-out", "-")
    first = run(sshd_server.port, *backup)
    assert first.status == 0, first.stderr
    with cutting_proxy(sshd_server.port) as proxy:
        proxy.close_after(3_000_000)
        (source / "large").write_bytes(os.urandom(8_000_000))
        second = run(proxy.port, *backup)
    assert second.status == 1
    assert "storage host:" in second.stderr
    assert "a complete copy is in folder, cloud, bucket" in second.stderr
    listed = run(sshd_server.port, "--action", "info", "-l", "--json")
    levels = {
        one["storage"]: [each["level"] for each in one["backups"]]
        for one in listed.report["storages"]
    }
    assert levels == {"folder": [0, 1], "cloud": [0, 1], "bucket": [0, 1], "host": [0]}
    shutil.rmtree(tmp_path / "folder")
    restored = run(
        sshd_server.port,
        "--action",
        "restore",
        "--restore-abs-path",
        tmp_path / "target",
        "--metadata-out",
        "-",
    )
    assert restored.status == 0, restored.stderr
    assert restored.report["storage"] == "cloud"
    assert (tmp_path / "target/large").read_bytes() == (source / "large").read_bytes()
