"""freezer 19.0.0 itself beside ours, on a disk and on a real Swift behind a real Keystone.

What it writes restores exactly with ours, and what ours writes with legacy settings restores with
it, and with plain tar and openssl.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import swiftclient.client

from tests.fakes.agent_command import AgentCommand
from tests.fakes.trees import NodeState, change_tree, differences, make_tree, tree_state
from tests.services import peers
from tests.services.fixtures import require
from tests.services.identity_fixtures import PASSWORD, Tenancy, make_tenancy
from tests.services.keystone import KeystoneServer

pytestmark = [pytest.mark.service, pytest.mark.former, pytest.mark.timeout(1200)]

COMPRESSIONS = ("gzip", "bzip2", "xz")
_Tree = dict[bytes, NodeState]


@dataclass(kw_only=True)
class Both:
    """Both agents on one storage, with one identity."""

    agent: AgentCommand
    storage: list[str]
    environment: dict[str, str]
    tenancy: Tenancy

    def former(self, *words: str | Path) -> None:
        """Run 19.0.0, which must succeed."""
        programs = peers.find(peers.SCHEDULER) / "bin"
        command = [str(programs / "freezer-agent"), "--hostname", "node"]
        command += ["--log-file", str(self.agent.folder / "former.log"), *self.storage]
        ended = subprocess.run(
            [*command, *map(str, words)],
            env={
                **self.environment,
                "PATH": f"{programs}:/usr/bin:/bin",
                "HOME": str(self.agent.home),
            },
            cwd=self.agent.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ended.returncode == 0, ended.stderr[-2000:]

    def former_backup(self, source: Path, *words: str | Path) -> None:
        self.former("--path-to-backup", source, "--nosync", *words)

    def ours(self, *words: str | Path) -> None:
        ended = self.agent.run(*self.storage, "--hostname", "node", *words)
        assert ended.status == 0, ended.stderr

    def restored_by_ours(self, name: str, at: int | None, *words: str | Path) -> _Tree:
        target = self.agent.folder / "ours"
        date = []
        if at is not None:
            date = ["--restore-from-date", f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"]
        common = ["--action", "restore", "-N", name, *date]
        self.ours(*common, "--restore-abs-path", target, *words)
        return self._taken(target)

    def restored_by_former(self, name: str, *words: str | Path) -> _Tree:
        target = self.agent.folder / "former"
        common = ["--action", "restore", "--backup-name", name, "--incremental"]
        self.former(*common, "--restore-abs-path", target, *words)
        return self._taken(target)

    def moments(self, name: str) -> list[int]:
        """The seconds of the backups of a name, the oldest first."""
        ended = self.agent.run("--action", "info", "-l", *self.storage, "--json")
        assert ended.status == 0, ended.stderr
        listed = ended.report["backups"]
        return sorted(one["time_stamp"] for one in listed if one["backup_name"] == name)

    def _taken(self, target: Path) -> _Tree:
        tree = state_of(target)
        shutil.rmtree(target)
        return tree


def state_of(folder: Path) -> _Tree:
    """Without what 19.0.0 does not store: extended attributes and parts of a second."""
    return {
        name: replaced(node, mtime_ns=(node.mtime_ns or 0) // 10**9)
        for name, node in tree_state(folder, xattrs=False).items()
    }


def replaced(node: NodeState, **changes: int) -> NodeState:
    return NodeState(**{field: getattr(node, field) for field in NodeState.__slots__} | changes)


def without_lost_bits(tree: _Tree) -> _Tree:
    """Without the set-uid bit that 19.0.0 loses on a file that is in two levels of a chain."""
    return {name: replaced(node, mode=node.mode & ~0o6000) for name, node in tree.items()}


@pytest.fixture
def agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AgentCommand:
    require(lambda: peers.find(peers.SCHEDULER), lambda: peers.install(peers.SCHEDULER))
    for name in [name for name in os.environ if name.startswith(("OS_", "ST_", "AWS_"))]:
        monkeypatch.delenv(name)
    command = AgentCommand(tmp_path, capsys)
    monkeypatch.setenv("HOME", str(command.home))
    return command


@pytest.fixture(params=["local", "swift"])
def both(
    request: pytest.FixtureRequest,
    agent: AgentCommand,
    keystone_server: KeystoneServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Both:
    tenancy = make_tenancy(keystone_server, ("member",))
    environment = {
        "OS_AUTH_URL": keystone_server.url,
        "OS_USERNAME": f"member-{tenancy.name}",
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": tenancy.name,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    storage = ["--storage", "local", "--container", str(agent.container)]
    if request.param == "swift":
        request.getfixturevalue("swift_behind_keystone")
        storage = ["--storage", "swift", "--container", "box", "--max-segment-size", "100000"]
    return Both(agent=agent, storage=storage, environment=environment, tenancy=tenancy)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    make_tree(folder)
    (folder / "large").write_bytes(os.urandom(300_000))  # several segments
    return folder


@pytest.fixture
def pass_phrase(tmp_path: Path) -> Path:
    path = tmp_path / "pass-phrase"
    path.touch(mode=0o600)
    path.write_text("a pass phrase\n")
    return path


@pytest.mark.parametrize("name", [*COMPRESSIONS, "encrypted", "bl ank"])
def test_levels_of_19_restore_with_ours(
    both: Both, source: Path, pass_phrase: Path, name: str
) -> None:
    key = ["--encrypt-pass-file", str(pass_phrase)] if name == "encrypted" else []
    compression = ["--compression", name] if name in COMPRESSIONS else []
    states = []
    for step in range(3):
        if step:
            change_tree(source, step)
        words = ["--backup-name", name, "--incremental", "--max-level", "2"]
        both.former_backup(source, *words, *key, *compression)
        states.append(state_of(source))
    moments = both.moments(name)
    assert len(moments) == 3
    for moment, state in zip(moments, states, strict=True):
        assert differences(state, both.restored_by_ours(name, moment, *key)) == []


def test_always_level_siblings_of_19_restore_with_ours(both: Both, source: Path) -> None:
    states = []
    for step in range(4):
        if step:
            change_tree(source, step)
        words = ["--backup-name", "always", "--incremental", "--always-level", "1"]
        both.former_backup(source, *words)
        states.append(state_of(source))
    for moment, state in zip(both.moments("always"), states, strict=True):
        assert differences(state, both.restored_by_ours("always", moment)) == []


def test_a_single_file_of_19_restores_with_ours(both: Both, source: Path) -> None:
    both.former_backup(source / "large", "--backup-name", "single")
    tree = both.restored_by_ours("single", None)
    assert tree[b"large"].digest == state_of(source)[b"large"].digest


@pytest.mark.parametrize("cipher", [None, "aes-256-cfb"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_levels_of_ours_restore_with_19(
    both: Both, source: Path, pass_phrase: Path, compression: str, cipher: str | None
) -> None:
    key = ["--encrypt-pass-file", str(pass_phrase)] if cipher else []
    legacy = ["--cipher", cipher] if cipher else []
    for step in range(3):
        if step:
            change_tree(source, step)
        words = ["-N", "ours", "-F", source, "--nosync", "--max-level", "2"]
        both.ours(*words, "--compression", compression, *key, *legacy)
    restored = both.restored_by_former("ours", *key)
    found = differences(without_lost_bits(state_of(source)), without_lost_bits(restored))
    assert found == []


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_levels_of_ours_open_with_openssl_and_tar(
    both: Both, source: Path, pass_phrase: Path, compression: str, tmp_path: Path
) -> None:
    key = ["--encrypt-pass-file", str(pass_phrase), "--cipher", "aes-256-cfb"]
    target = tmp_path / "by-hand"
    target.mkdir()
    for step in range(2):
        if step:
            change_tree(source, step)
        words = ["-N", "plain", "-F", source, "--nosync", "--max-level", "2"]
        both.ours(*words, "--compression", compression, *key)
    for number, stream in enumerate(streams(both)):
        opened = subprocess.run(
            ["openssl", "enc", "-d", "-aes-256-cfb", "-pass", f"file:{pass_phrase}"],
            input=stream,
            capture_output=True,
            check=True,
        ).stdout
        extract = ["tar", "-x", f"--{compression}", "--incremental", "-C", str(target)]
        subprocess.run(extract, input=opened, check=True)
        assert number < 2
    assert differences(state_of(source), state_of(target)) == []


def streams(both: Both) -> list[bytes]:
    """The stored streams of all levels as any client of the storage reads them."""
    if "local" in both.storage:
        found = sorted(both.agent.container.glob("data/tar/*/*/*/data"))
        return [path.read_bytes() for path in found]
    session = both.tenancy.session("member")
    connection = swiftclient.client.Connection(session=session)
    _, listed = connection.get_container("box")
    names = sorted(one["name"] for one in listed if one["name"].endswith("/data"))
    return [connection.get_object("box", name)[1] for name in names]
