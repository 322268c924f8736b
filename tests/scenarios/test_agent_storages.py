"""The agent's command line on every remote storage, each on its real server."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand, Ended
from tests.services import ftp as ftp_service
from tests.services.ftp import FtpServer
from tests.services.sshd import Sshd
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

pytestmark = pytest.mark.service

SECRETS = (ftp_service.PASSWORD, TEMPAUTH_PASSWORD)


class RemoteAgent:
    """freezer-agent with the options and the environment of one storage."""

    def __init__(self, agent: AgentCommand, options: Sequence[str | Path]) -> None:
        self.agent = agent
        self.options = options

    def run(self, *words: str | Path) -> Ended:
        """Run it; nothing that it says or logs may name a secret."""
        ended = self.agent.run(
            *self.options, "--nosync", "--storage-attempts", "2", "-N", "name", *words
        )
        said = ended.stdout + ended.stderr + self.agent.log.read_text()
        assert not any(secret in said for secret in SECRETS)
        return ended

    def backup(self, source: Path, *words: str) -> Ended:
        return self.run("-F", source, "--metadata-out", "-", *words)

    def restore(self, target: Path, *words: str) -> Ended:
        return self.run("--action", "restore", "--restore-abs-path", target, *words)


@pytest.fixture
def agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AgentCommand:
    for name in [name for name in os.environ if name.startswith(("OS_", "ST_", "AWS_"))]:
        monkeypatch.delenv(name)
    command = AgentCommand(tmp_path, capsys)
    monkeypatch.setenv("HOME", str(command.home))
    return command


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


@pytest.fixture(params=["ssh", "ftp", "ftps", "swift", "swift-dlo", "s3"])
def remote(
    request: pytest.FixtureRequest,
    agent: AgentCommand,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    swift_user: str,
) -> RemoteAgent:
    """An agent with a storage of its own on a real server."""
    kind = request.param
    if kind == "ssh":
        return RemoteAgent(agent, on_ssh(request.getfixturevalue("sshd_server"), tmp_path))
    if kind in {"ftp", "ftps"}:
        server = request.getfixturevalue(f"{kind}_server")
        return RemoteAgent(agent, on_ftp(server, tmp_path, kind))
    swift: SwiftServer = request.getfixturevalue(
        "swift_without_slo" if kind == "swift-dlo" else "swift_server"
    )
    small_segments = ["-M", "1000000"]
    if kind == "s3":
        monkeypatch.setenv("SECRET_KEY", TEMPAUTH_PASSWORD)
        access = ["--access-key", swift_user, "--endpoint", swift.url]
        return RemoteAgent(agent, ["--storage", "s3", *access, "-C", "bucket/a", *small_segments])
    for name, value in version_1(swift, swift_user).items():
        monkeypatch.setenv(name, value)
    return RemoteAgent(agent, ["--storage", "swift", "-C", "box/a", *small_segments])


def version_1(swift: SwiftServer, user: str) -> dict[str, str]:
    return {
        "OS_AUTH_URL": swift.auth_url,
        "OS_USERNAME": user,
        "OS_PASSWORD": TEMPAUTH_PASSWORD,
        "OS_IDENTITY_API_VERSION": "1",
    }


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


def test_there_is_nothing_to_restore_yet(remote: RemoteAgent, tmp_path: Path) -> None:
    ended = remote.restore(tmp_path / "target")
    assert ended.status == 1
    assert "No matching backup name" in ended.stderr
