"""Secrets of a run are in no argument, log, traceback, report or file that others may read."""

import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand, Ended

SECRET = "5ecret-that-nobody-may-see"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "file").write_text("content\n")
    return path


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback where nobody listens, and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def job_file(folder: Path, **values: object) -> Path:
    path = folder / "job.ini"
    path.touch(mode=0o600)
    lines = [f"{key} = {value}" for key, value in values.items()]
    path.write_text("\n".join(["[default]", *lines]) + "\n")
    return path


def secret_file(path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(f"{SECRET}\n")
    return path


def assert_nothing_tells(agent: AgentCommand, ended: Ended, inputs: set[Path]) -> None:
    """No output, and no file but those that brought the secret, holds it."""
    for told in (ended.stdout, ended.stderr):
        assert SECRET not in told
    for path in agent.folder.rglob("*"):
        if path.is_file() and path not in inputs:
            assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("kind", ["ssh", "ftp", "ftps", "s3", "swift"])
def test_a_storage_that_is_away_does_not_make_us_talk(
    agent: AgentCommand,
    source: Path,
    tmp_path: Path,
    closed_port: int,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "ST_AUTH": f"http://127.0.0.1:{closed_port}/auth/v1.0",
        "ST_USER": "user",
        "ST_KEY": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    job = job_file(
        tmp_path,
        action="backup",
        storage=kind,
        container="container",
        backup_name="name",
        path_to_backup=source,
        storage_attempts=1,
        proxy=f"http://user:{SECRET}@127.0.0.1:{closed_port}",
        ssh_host="127.0.0.1",
        ssh_port=closed_port,
        ssh_username="user",
        ssh_password=SECRET,
        ftp_host="127.0.0.1",
        ftp_port=closed_port,
        ftp_username="user",
        ftp_password=SECRET,
        endpoint=f"http://127.0.0.1:{closed_port}",
        access_key="access",
        secret_key=SECRET,
        encrypt_pass_file=secret_file(tmp_path / "pass"),
    )
    ended = agent.run("--config", job, "--debug", "--nosync", "--metadata-out", "-")
    assert ended.status == 1
    assert "127.0.0.1" in ended.stderr
    assert agent.log.stat().st_size > 0
    assert_nothing_tells(agent, ended, {job, tmp_path / "pass"})


@pytest.mark.parametrize("cipher", ["automatic", "aes-256-cfb"])
def test_no_program_that_we_start_gets_a_secret_and_no_file_is_for_others(
    agent: AgentCommand,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cipher: str,
) -> None:
    tar, arguments = shutil.which("tar"), tmp_path / "arguments"
    wrapper = tmp_path / "bin" / "tar"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {arguments}\nexec {tar} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    pass_file = secret_file(tmp_path / "pass")
    words = ["--encrypt-pass-file", str(pass_file), "--cipher", cipher, "--debug"]
    old_mask = os.umask(0)
    try:
        made = [agent.run(*agent.storage, "-N", "name", "-F", source, *words) for _ in range(2)]
        restored = agent.restore(tmp_path / "out", *words)
    finally:
        os.umask(old_mask)
    assert "--create" in arguments.read_text()
    for ended in (*made, restored):
        assert ended.status == 0, ended.stderr
        assert_nothing_tells(agent, ended, {pass_file})
    for path in (*agent.container.rglob("*"), *(agent.home / ".freezer").rglob("*")):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_a_traceback_of_what_should_not_happen_has_no_secret(
    agent: AgentCommand, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_size: int) -> bytes:
        raise TypeError("no more entropy")

    pass_file = secret_file(tmp_path / "pass")
    monkeypatch.setattr(secrets, "token_bytes", fail)
    words = ["--encrypt-pass-file", str(pass_file), "--debug"]
    ended = agent.run(*agent.storage, "-N", "name", "-F", source, "--nosync", *words)
    assert ended.status == 1
    assert "Traceback" in agent.log.read_text()
    assert_nothing_tells(agent, ended, {pass_file})
