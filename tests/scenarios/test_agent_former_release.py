"""Backups that freezer 19.0.0 made are listed, restored and continued; ours open without us."""

import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.fakes.trees import differences, make_tree, tree_state

FIXTURE = Path(__file__).parents[1] / "fixtures" / "freezer-19.0.0"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())
UNFILLED = "freezer_{mode}_{resource_id}"
RUNS = [
    (name, run["time_stamp"], run["state"])
    for name, runs in sorted(EXPECTED["runs"].items())
    for run in runs
    if name not in {"single", UNFILLED}
]


@pytest.fixture
def agent(agent: AgentCommand) -> AgentCommand:
    shutil.copytree(FIXTURE / "container", agent.container)
    return agent


def restore(agent: AgentCommand, target: Path, *words: str | Path) -> None:
    common = ["--action", "restore", *agent.storage, "--hostname", "node"]
    ended = agent.run(*common, "--restore-abs-path", target, *words)
    assert ended.status == 0, ended.stderr


def state_of(target: Path) -> dict[str, dict[str, Any]]:
    """In the form of the fixture: without owners, which a test may not be allowed to set."""
    return {
        name.decode(): {
            "mode": node.mode,
            "size_bytes": node.size_bytes,
            "digest": node.digest,
            "mtime": (node.mtime_ns or 0) // 10**9,
            "link_target": node.link_target.decode() if node.link_target else None,
            "same_file_as": node.same_file_as.decode() if node.same_file_as else None,
        }
        for name, node in tree_state(target, owners=False, xattrs=False).items()
    }


@pytest.mark.parametrize(("name", "taken_at", "state"), RUNS)
def test_every_backup_comes_back_as_it_was(
    agent: AgentCommand, tmp_path: Path, name: str, taken_at: int, state: int
) -> None:
    date = datetime.fromtimestamp(taken_at).isoformat()  # noqa: DTZ006 - as a user types it
    words: list[str | Path] = ["-N", name, "--restore-from-date", date]
    if name == "encrypted":
        words += ["--encrypt-pass-file", FIXTURE / "pass-phrase"]
    restore(agent, tmp_path / "out", *words)
    assert state_of(tmp_path / "out") == EXPECTED["states"][state]


def test_the_latest_is_the_newest_of_several_level_two(agent: AgentCommand, tmp_path: Path) -> None:
    restore(agent, tmp_path / "out", "-N", "always")
    assert state_of(tmp_path / "out") == EXPECTED["states"][4]


def test_the_unfilled_name_is_found_by_default(agent: AgentCommand, tmp_path: Path) -> None:
    restore(agent, tmp_path / "out")
    assert state_of(tmp_path / "out") == EXPECTED["states"][0]


def test_a_single_file_comes_back(agent: AgentCommand, tmp_path: Path) -> None:
    restore(agent, tmp_path / "out", "-N", "single")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plain.txt"]
    assert (tmp_path / "out" / "plain.txt").read_text() == "first\n"


def test_an_encrypted_backup_needs_its_key(agent: AgentCommand, tmp_path: Path) -> None:
    words = ["--action", "restore", *agent.storage, "--hostname", "node", "-N", "encrypted"]
    ended = agent.run(*words, "--restore-abs-path", tmp_path / "out")
    assert ended.status == 1
    assert "without key" in ended.stderr


def test_who_wants_sealed_backups_gets_no_others(agent: AgentCommand, tmp_path: Path) -> None:
    words = ["--action", "restore", *agent.storage, "--hostname", "node", "-N", "encrypted"]
    key = ["--encrypt-pass-file", str(FIXTURE / "pass-phrase"), "--cipher", "aes-256-gcm"]
    ended = agent.run(*words, *key, "--restore-abs-path", tmp_path / "out")
    assert ended.status == 1
    assert "is not sealed" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_all_of_them_are_listed(agent: AgentCommand) -> None:
    listed = [(one["backup_name"], one["time_stamp"]) for one in agent.listed()]
    made = [(name, run["time_stamp"]) for name, runs in EXPECTED["runs"].items() for run in runs]
    assert sorted(listed) == sorted(made)
    assert all(one["size"] > 0 for one in agent.listed())


@pytest.mark.parametrize("words", [["--incremental"], ["--always-level", "3"]])
def test_a_chain_is_continued(agent: AgentCommand, tmp_path: Path, words: list[str]) -> None:
    source = tmp_path / "source"
    restore(agent, source, "-N", "gzip")
    (source / "ours").write_text("new\n")
    (source / "plain.txt").unlink()
    report = agent.backup(source, "-N", "gzip", "--hostname", "node", *words)
    assert report["level"] == 3
    restore(agent, tmp_path / "out", "-N", "gzip")
    assert differences(tree_state(source), tree_state(tmp_path / "out")) == []


def test_an_encrypted_chain_is_continued_with_its_cipher(
    agent: AgentCommand, tmp_path: Path
) -> None:
    source, key = tmp_path / "source", FIXTURE / "pass-phrase"
    restore(agent, source, "-N", "encrypted", "--encrypt-pass-file", key)
    (source / "ours").write_text("new\n")
    words: list[str | Path] = ["-N", "encrypted", "--hostname", "node", "--incremental"]
    words += ["--encrypt-pass-file", key]
    report = agent.backup(source, *words, "--cipher", "aes-256-cfb")
    assert (report["level"], report["encryption_format"]) == (3, "aes-256-cfb")
    restore(agent, tmp_path / "out", "-N", "encrypted", "--encrypt-pass-file", key)
    assert differences(tree_state(source), tree_state(tmp_path / "out")) == []
    report = agent.backup(source, *words)
    assert (report["level"], report["encryption_format"]) == (0, "freezer-seal-1")
    assert "encrypted as aes-256-cfb" in report["warnings"][-1]


def test_old_chains_are_removed(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    words = ["-N", "always", "--hostname", "node"]
    cutoff = datetime.fromtimestamp(EXPECTED["runs"]["always"][-1]["time_stamp"])  # noqa: DTZ006
    agent.backup(source, *words)
    common = ["--action", "admin", *agent.storage, *words, "--metadata-out", "-"]
    ended = agent.run(*common, "--remove-from-date", cutoff.isoformat())
    assert len(ended.report["removed_backups"]) == 5
    assert not list(agent.container.glob("*/tar/node_always/*/2_*"))


def test_a_stray_directory_breaks_nothing(agent: AgentCommand, tmp_path: Path) -> None:
    (agent.container / "metadata" / "tar" / "node_gzip" / "lost+found").mkdir()
    (agent.container / "metadata" / "tar" / "x").mkdir()
    restore(agent, tmp_path / "out", "-N", "gzip")
    assert len(agent.listed()) == sum(len(runs) for runs in EXPECTED["runs"].values())


@pytest.mark.parametrize(
    ("compression", "program"), [("gzip", "gzip"), ("bzip2", "bzip2"), ("xz", "xz")]
)
def test_what_we_encrypt_opens_with_openssl_and_tar(
    agent: AgentCommand, tmp_path: Path, compression: str, program: str
) -> None:
    if shutil.which("openssl") is None or shutil.which(program) is None:
        pytest.skip(f"openssl or {program} is not installed")
    source, target = tmp_path / "source", tmp_path / "out"
    make_tree(source)
    target.mkdir()
    key = FIXTURE / "pass-phrase"
    words: list[str | Path] = ["--encrypt-pass-file", key, "--cipher", "aes-256-cfb"]
    agent.backup(source, "--compression", compression, *words)
    (data,) = agent.container.glob("data/tar/*_name/*/*/data")
    with data.open("rb") as stream:
        opened = subprocess.run(
            ["openssl", "enc", "-d", "-aes-256-cfb", "-pass", f"file:{key}"],
            stdin=stream,
            capture_output=True,
            check=True,
        ).stdout
    subprocess.run(
        ["tar", "-x", f"--{compression}", "--xattrs", "--incremental", "-C", str(target)],
        input=opened,
        check=True,
    )
    assert differences(tree_state(source, xattrs=False), tree_state(target, xattrs=False)) == []
