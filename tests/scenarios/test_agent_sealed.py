"""Sealed backups from the command line: keys, levels, and what somebody may do to the storage."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.fakes.trees import change_tree, differences, make_tree, tree_state

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    make_tree(path)
    return path


@pytest.fixture
def pass_file(tmp_path: Path) -> Path:
    return secret(tmp_path / "pass", "correct horse battery staple\nsecond line\n")


def secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """As the manual tells to make one."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def metadata_files(agent: AgentCommand) -> list[Path]:
    return sorted(agent.container.glob("metadata/tar/*/*/*/metadata"))


def comes_back(agent: AgentCommand, source: Path, target: Path, *words: str | Path) -> None:
    ended = agent.restore(target, *words)
    assert ended.status == 0, ended.stderr
    assert differences(tree_state(source), tree_state(target)) == []


def refused(agent: AgentCommand, target: Path, *words: str | Path) -> str:
    ended = agent.restore(target, *words)
    assert ended.status == 1
    assert not target.exists()
    return ended.stderr


@pytest.mark.parametrize("cipher", ["automatic", "aes-256-gcm", "chacha20-poly1305"])
def test_a_chain_comes_back_with_the_pass_phrase(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path, cipher: str
) -> None:
    words = ["--max-level", "2", "--encrypt-pass-file", str(pass_file), "--cipher", cipher]
    for level in (0, 1, 2):
        report = agent.backup(source, *words)
        assert (report["level"], report["encrypted"], report["warnings"]) == (level, True, [])
        assert report["encryption_format"] == "freezer-seal-1"
        change_tree(source, level)
    agent.backup(source, *words)
    comes_back(agent, source, tmp_path / "out", "--encrypt-pass-file", pass_file)
    metadata = json.loads(metadata_files(agent)[0].read_text())
    assert metadata["encryption"] is True
    assert metadata["cipher"] in {"aes-256-gcm", "chacha20-poly1305"}
    assert cipher in {"automatic", metadata["cipher"]}


def test_no_name_or_content_or_secret_is_readable_anywhere(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    (source / "a name that tells").write_text("a content that tells\n" * 50)
    words = ["--compression", "none", "--incremental", "--encrypt-pass-file", str(pass_file)]
    ended = agent.run_program(
        *agent.storage, "-N", "name", "-F", source, "--nosync", "--debug", *words
    )
    assert ended.status == 0, ended.stderr
    stored = [path for path in agent.container.rglob("*") if path.is_file()]
    assert {path.name for path in stored} >= {"data", "engine_metadata", "metadata"}
    for path in stored:
        content = path.read_bytes()
        assert b"that tells" not in content, path
        assert path.stat().st_mode & 0o077 == 0
    wrong = secret(tmp_path / "wrong", "a wrong guess of it\n")
    failed = agent.run_program(
        *("--action", "restore", *agent.storage, "-N", "name", "--debug"),
        *("--restore-abs-path", tmp_path / "out", "--encrypt-pass-file", wrong),
    )
    assert failed.status == 1
    told = [agent.log.read_text(), ended.stdout, ended.stderr, failed.stdout, failed.stderr]
    told += [path.read_text("latin-1") for path in agent.home.rglob("*") if path.is_file()]
    told += [path.read_text("latin-1") for path in stored]
    for phrase in ("correct horse", "a wrong guess"):
        assert not [text for text in told if phrase in text]


def test_a_wrong_key_is_told_apart_from_damage(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    agent.backup(source, "--encrypt-pass-file", pass_file)
    wrong = secret(tmp_path / "wrong", "something else\n")
    told = refused(agent, tmp_path / "out", "--encrypt-pass-file", wrong)
    assert "no key that was given opens" in told
    (data,) = agent.container.glob("data/tar/*/*/*/data")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 4
    data.write_bytes(content)
    ended = agent.restore(tmp_path / "out", "--encrypt-pass-file", pass_file)
    assert ended.status == 1
    assert "was altered" in ended.stderr
    assert "--encrypt-pass-file" not in ended.stderr


@needs_openssl
def test_a_node_with_a_public_key_writes_what_it_cannot_read(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    private, public = key_pair(tmp_path, "owner")
    words = ["--max-level", "3", "--encrypt-recipient", str(public)]
    for level in (0, 1):
        report = agent.backup(source, *words)
        assert (report["level"], report["warnings"]) == (level, [])
        change_tree(source, level)
    assert "without key" in refused(agent, tmp_path / "no")
    (other, _) = key_pair(tmp_path, "other")
    assert "no key that was given" in refused(agent, tmp_path / "no", "--decrypt-key-file", other)
    kept = list((agent.home / ".freezer" / "state-keys").iterdir())
    assert len(kept) == 2
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    agent.backup(source, *words)
    comes_back(agent, source, tmp_path / "out", "--decrypt-key-file", private)


@needs_openssl
def test_a_node_that_lost_its_state_keys_makes_a_full_backup(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    private, public = key_pair(tmp_path, "owner")
    body = "".join(public.read_text().splitlines()[1:-1])
    words = ["--max-level", "3", "--encrypt-recipient", body]
    agent.backup(source, *words)
    shutil.rmtree(agent.home / ".freezer" / "state-keys")
    report = agent.backup(source, *words)
    assert report["level"] == 0
    assert "lost, the key of its engine state): a full backup is made" in report["warnings"][0]
    assert agent.backup(source, *words)["level"] == 1
    # With the private key at hand nothing needs to be kept.
    shutil.rmtree(agent.home / ".freezer" / "state-keys")
    assert agent.backup(source, *words, "--decrypt-key-file", private)["level"] == 2
    assert not (agent.home / ".freezer" / "state-keys").exists()


def test_an_unencrypted_backup_in_the_place_of_a_sealed_one_is_refused(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    agent.backup(source, "--container", str(tmp_path / "forged"))
    agent.backup(source, "--encrypt-pass-file", pass_file)
    for name in ("data", "metadata"):
        (sound,) = agent.container.glob(f"{name}/tar/*/*/*/{name}")
        (forged,) = (tmp_path / "forged").glob(f"{name}/tar/*/*/*/{name}")
        shutil.copy(forged, sound)
    told = refused(agent, tmp_path / "out", "--encrypt-pass-file", pass_file)
    assert "is not encrypted, though a key was given" in told
    words: list[str | Path] = ["--encrypt-pass-file", pass_file, "--allow-unencrypted"]
    assert agent.restore(tmp_path / "out", *words).status == 0


def test_turning_encryption_on_begins_a_chain_of_its_own(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    agent.backup(source, "--incremental")
    report = agent.backup(source, "--incremental", "--encrypt-pass-file", pass_file)
    assert report["level"] == 0
    assert "it is not encrypted" in report["warnings"][0]
    comes_back(agent, source, tmp_path / "out", "--encrypt-pass-file", pass_file)
    assert agent.backup(source, "--incremental")["level"] == 0


def test_a_pass_phrase_file_for_everybody_is_warned_of(
    agent: AgentCommand, source: Path, pass_file: Path
) -> None:
    pass_file.chmod(0o644)
    report = agent.backup(source, "--encrypt-pass-file", pass_file)
    assert "chmod 600" in report["warnings"][0]


def rekey(agent: AgentCommand, *words: str | Path) -> dict[str, Any]:
    ended = agent.run(
        *("--action", "admin", "--rekey", *agent.storage, "-N", "name", "--metadata-out", "-"),
        *words,
    )
    assert ended.status == 0, ended.stderr
    return ended.report


def test_a_pass_phrase_is_changed_without_writing_data(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    new = secret(tmp_path / "new", "another one\n")
    for level in (0, 1):
        agent.backup(source, "--max-level", "2", "--encrypt-pass-file", pass_file)
        change_tree(source, level)
    before = {path: path.stat() for path in agent.container.glob("data/**/*") if path.is_file()}
    words: list[str | Path] = ["--encrypt-pass-file", pass_file, "--new-encrypt-pass-file", new]
    words += ["--remove-encrypt-pass-file", pass_file]
    assert len(rekey(agent, *words, "--dry-run")["changed_backups"]) == 2
    assert len(rekey(agent, *words)["changed_backups"]) == 2
    after = {path: path.stat() for path in agent.container.glob("data/**/*") if path.is_file()}
    assert {path: found.st_ino for path, found in before.items()} == {
        path: found.st_ino for path, found in after.items()
    }
    assert {path.stat().st_mode & 0o777 for path in metadata_files(agent)} == {0o600}
    # Again, as after an interruption: there is nothing left to do.
    assert len(rekey(agent, *words)["unchanged_backups"]) == 2
    assert "no key that was given" in refused(
        agent, tmp_path / "no", "--encrypt-pass-file", pass_file
    )
    report = agent.backup(source, "--max-level", "2", "--encrypt-pass-file", new)
    assert (report["level"], report["warnings"]) == (2, [])
    comes_back(agent, source, tmp_path / "out", "--encrypt-pass-file", new)


@needs_openssl
def test_a_public_key_is_added_and_the_pass_phrase_removed(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    private, public = key_pair(tmp_path, "owner")
    agent.backup(source, "--encrypt-pass-file", pass_file)
    opening = ["--encrypt-pass-file", str(pass_file)]
    rekey(agent, *opening, "--new-encrypt-recipient", public)
    comes_back(agent, source, tmp_path / "one", *opening)
    comes_back(agent, source, tmp_path / "two", "--decrypt-key-file", private)
    rekey(agent, *opening, "--remove-encrypt-pass-file", pass_file)
    comes_back(agent, source, tmp_path / "three", "--decrypt-key-file", private)
    assert "no key that was given" in refused(agent, tmp_path / "no", *opening)


def test_what_would_lock_everybody_out_is_refused(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    agent.backup(source, "--encrypt-pass-file", pass_file)
    (metadata,) = metadata_files(agent)
    before = metadata.read_bytes()
    common = ["--action", "admin", "--rekey", *agent.storage, "-N", "name"]
    wrong, new = secret(tmp_path / "wrong", "wrong\n"), secret(tmp_path / "new", "new\n")
    for words, told in (
        (["--encrypt-pass-file", pass_file, "--remove-encrypt-pass-file", pass_file], "needs one"),
        (["--encrypt-pass-file", wrong, "--new-encrypt-pass-file", new], "no key that was given"),
        (["--encrypt-pass-file", pass_file], "--rekey needs one of"),
        (["--new-encrypt-pass-file", new], "needs a key that opens"),
        (["--encrypt-pass-file", pass_file, "-R", "3", "--new-encrypt-pass-file", new], "removes"),
        (["--encrypt-pass-file", pass_file, "--new-encrypt-recipient", "x"], "is no public key"),
    ):
        ended = agent.run(*common, *map(str, words))
        assert (ended.status, told in ended.stderr) == (1, True), ended.stderr
        assert metadata.read_bytes() == before


def test_backups_that_are_not_sealed_are_named_and_left(
    agent: AgentCommand, source: Path, pass_file: Path, tmp_path: Path
) -> None:
    new = secret(tmp_path / "new", "another one\n")
    agent.backup(source)
    agent.backup(source, "--encrypt-pass-file", pass_file, "--cipher", "aes-256-cfb")
    before = [path.read_bytes() for path in metadata_files(agent)]
    words = ["--encrypt-pass-file", str(pass_file), "--new-encrypt-pass-file", str(new)]
    report = rekey(agent, *words)
    assert len(report["not_sealed_backups"]) == len(report["warnings"]) == 2
    assert [path.read_bytes() for path in metadata_files(agent)] == before


@needs_openssl
def test_a_job_file_names_several_public_keys(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    pairs = [key_pair(tmp_path, name) for name in ("one", "two")]
    bodies = ["".join(public.read_text().splitlines()[1:-1]) for _, public in pairs]
    job = tmp_path / "job.ini"
    job.write_text(
        "[default]\naction = backup\nstorage = local\nbackup_name = name\nsync = False\n"
        f"container = {agent.container}\npath_to_backup = {source}\n"
        "encrypt_recipient = " + "\n    ".join(bodies) + "\n"
    )
    ended = agent.run("--config", job)
    assert ended.status == 0, ended.stderr
    for number, (private, _) in enumerate(pairs):
        comes_back(agent, source, tmp_path / f"out{number}", "--decrypt-key-file", private)
