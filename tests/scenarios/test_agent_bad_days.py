"""What goes wrong: killed, full, damaged, locked, in the way."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.fakes.held_tar import HeldTar, held_tar
from tests.fakes.trees import differences, tree_state

BIG_BYTES = 8 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_text("first\n")
    return folder


@pytest.fixture
def tar(tmp_path: Path) -> Iterator[HeldTar]:
    with held_tar(tmp_path / "held tar") as tar:
        yield tar


def make_big(source: Path) -> None:
    (source / "big").write_bytes(os.urandom(BIG_BYTES))


def objects(agent: AgentCommand) -> list[str]:
    return sorted(
        str(path.relative_to(agent.container))
        for path in agent.container.rglob("*")
        if path.is_file()
    )


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, "the run has ended"
        assert time.monotonic() < deadline, "the run did not get so far"
        time.sleep(0.01)


def wait_for_bytes(agent: AgentCommand, process: "subprocess.Popen[bytes]") -> None:
    """Until the run has written what there is of its stream, and tar says nothing more."""
    wait_until(lambda: any(size >= BIG_BYTES for size in growing(agent)), process)


def growing(agent: AgentCommand) -> Iterator[int]:
    """The sizes of what is being written, which may be gone at any moment."""
    for folder, _, names in os.walk(agent.container):
        for name in names:
            if name.startswith(".freezer-incomplete-"):
                with suppress(FileNotFoundError):
                    yield Path(folder, name).stat().st_size


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_leaves_nothing(
    agent: AgentCommand, source: Path, tar: HeldTar, number: signal.Signals
) -> None:
    agent.backup(source)
    before = objects(agent)
    make_big(source)
    words = [*agent.storage, "-N", "name", "-F", source, "--compression", "none", "--nosync"]
    process = tar.start(agent, *words)
    wait_for_bytes(agent, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGTERM if number == signal.SIGTERM else 130)
    assert b"Nothing of this backup is left" in stderr
    assert objects(agent) == before
    assert len(agent.listed()) == 1


def test_a_run_that_is_killed_loses_nothing_and_the_next_one_works(
    agent: AgentCommand, source: Path, tar: HeldTar, tmp_path: Path
) -> None:
    agent.backup(source, "--incremental")
    make_big(source)
    words = [*agent.storage, "-N", "name", "-F", source, "--compression", "none", "--nosync"]
    process = tar.start(agent, *words, "--incremental")
    wait_for_bytes(agent, process)
    process.kill()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert len(agent.listed()) == 1
    assert [key for key in objects(agent) if key.startswith("locks")]
    report = agent.backup(source, "--incremental")
    assert report["level"] == 1
    assert agent.restore(tmp_path / "out").status == 0
    assert differences(tree_state(source), tree_state(tmp_path / "out")) == []
    assert [key for key in objects(agent) if key.startswith("locks")] == []


_DIES_AT = """
import os, signal, sys
from freezer_agent.catalog import catalog
from freezer_agent.cli import main

def dies(name):
    kept = getattr(catalog.Catalog, name)
    def stop(self, *words):
        if sys.argv[2] == "after":
            kept(self, *words)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(catalog.Catalog, name, stop)

dies(sys.argv[1])
main(sys.argv[3:])
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["write_data", "write_state", "publish"])
def test_killed_at_every_step_of_a_backup(
    agent: AgentCommand, source: Path, tmp_path: Path, step: str, when: str
) -> None:
    agent.backup(source, "--incremental")
    first = tree_state(source)
    (source / "file").write_text("second\n")
    words = [*agent.storage, "-N", "name", "-F", str(source), "--nosync", "--incremental"]
    ended = subprocess.run(
        [sys.executable, "-c", _DIES_AT, step, when, "--log-file", str(agent.log), *words],
        env=agent.environment(),
        timeout=120,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    published = (step, when) == ("publish", "after")
    assert len(agent.listed()) == (2 if published else 1)
    assert agent.restore(tmp_path / "out").status == 0
    expected = tree_state(source) if published else first
    assert differences(expected, tree_state(tmp_path / "out")) == []
    (source / "file").write_text("third\n")
    assert agent.backup(source, "--incremental")["level"] == (2 if published else 1)
    assert agent.restore(tmp_path / "again").status == 0
    assert differences(tree_state(source), tree_state(tmp_path / "again")) == []


def test_a_full_disk_leaves_the_earlier_backups_and_no_half_one(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    agent.backup(source)
    before, state = objects(agent), tree_state(source)
    make_big(source)

    def fill_up_early() -> None:
        # A file that may not grow is what a full disk looks like to the one who writes it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, 5 << 20))

    ended = agent.run_program(
        *agent.storage,
        *("-N", "name", "-F", source, "--compression", "none", "--nosync"),
        preexec_fn=fill_up_early,
    )
    assert ended.status == 1
    assert "Critical Error: " in ended.stderr
    assert "large" in ended.stderr or "room" in ended.stderr or "space" in ended.stderr
    assert objects(agent) == before
    assert agent.restore(tmp_path / "out").status == 0
    assert differences(state, tree_state(tmp_path / "out")) == []


def test_a_missing_level_is_refused_before_anything_is_extracted(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    for _ in range(3):
        agent.backup(source, "--max-level", "5")
    (doomed,) = agent.container.glob("metadata/tar/*/*/1_*/metadata")
    doomed.unlink()
    ended = agent.restore(tmp_path / "out")
    assert ended.status == 1
    assert "misses level 1" in ended.stderr
    assert not (tmp_path / "out").exists()
    report = agent.backup(source, "--max-level", "5")
    assert report["level"] == 0
    assert "cannot be continued" in report["warnings"][0]


def test_missing_data_is_refused_before_anything_is_extracted(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        agent.backup(source, "--max-level", "5")
    (doomed,) = agent.container.glob("data/tar/*/*/1_*/data")
    doomed.unlink()
    ended = agent.restore(tmp_path / "out")
    assert ended.status == 1
    assert "lost its data" in ended.stderr
    assert not (tmp_path / "out").exists()
    report = agent.backup(source, "--max-level", "5")
    assert report["level"] == 0
    assert "lost its data" in report["warnings"][0]


@pytest.mark.parametrize("change", ["cut", "flipped", "longer"])
def test_damaged_data_is_an_error(
    agent: AgentCommand, source: Path, tmp_path: Path, change: str
) -> None:
    agent.backup(source, "--compression", "none")
    (data,) = agent.container.glob("data/tar/*/*/*/data")
    content = bytearray(data.read_bytes())
    if change == "cut":
        del content[-1024:]
    elif change == "longer":
        content += b"\0" * 512
    else:
        content[content.index(b"first")] ^= 1
    data.write_bytes(content)
    ended = agent.restore(tmp_path / "out")
    assert ended.status == 1
    assert "damaged" in ended.stderr
    assert "restore" in ended.stderr


def test_a_target_with_files_needs_overwrite(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    agent.backup(source)
    target = tmp_path / "out"
    target.mkdir()
    (target / "mine").write_text("keep me")
    ended = agent.restore(target)
    assert ended.status == 1
    assert "--overwrite" in ended.stderr
    assert [path.name for path in target.iterdir()] == ["mine"]
    assert agent.restore(target, "--overwrite").status == 0
    assert (target / "file").read_text() == "first\n"


def test_an_empty_target_is_fine(agent: AgentCommand, source: Path, tmp_path: Path) -> None:
    agent.backup(source)
    (tmp_path / "out").mkdir()
    assert agent.restore(tmp_path / "out").status == 0


@pytest.mark.parametrize("words", [[], ["--restore-from-date", "2001-01-01T00:00:00"]])
def test_no_such_backup(agent: AgentCommand, tmp_path: Path, words: list[str]) -> None:
    ended = agent.restore(tmp_path / "out", *words)
    assert ended.status == 1
    assert 'No matching backup name "' in ended.stderr
    assert not (tmp_path / "out").exists()


def test_the_second_of_two_agents_is_told_who_works(
    agent: AgentCommand, source: Path, tar: HeldTar
) -> None:
    make_big(source)
    words = [*agent.storage, "-N", "name", "-F", source, "--compression", "none", "--nosync"]
    process = tar.start(agent, *words)
    try:
        wait_for_bytes(agent, process)
        ended = agent.run(*words)
    finally:
        tar.release()
        process.communicate(timeout=120)
    assert ended.status == 1
    assert f"process {process.pid} of host" in ended.stderr
    assert "h:mm:ss" in ended.stderr
    assert process.returncode == 0
    assert len(agent.listed()) == 1


def test_an_unknown_compression_is_told(agent: AgentCommand, source: Path, tmp_path: Path) -> None:
    agent.backup(source)
    (metadata,) = agent.container.glob("metadata/tar/*/*/*/metadata")
    metadata.write_text(json.dumps({"engine_name": "tar", "compression": "lzma9"}))
    ended = agent.restore(tmp_path / "out")
    assert ended.status == 1
    assert "'lzma9'" in ended.stderr


def test_a_storage_that_refuses(agent: AgentCommand, source: Path, tmp_path: Path) -> None:
    (tmp_path / "container").write_text("a file is in the way")
    ended = agent.run(*agent.storage, "-N", "name", "-F", source, "--nosync")
    assert ended.status == 1
    assert "Critical Error: " in ended.stderr
    assert "unexpected" not in ended.stderr


def test_quiet_is_silent(agent: AgentCommand) -> None:
    for words in (["-q"], ["--quiet", "--storage", "swift"], ["-q", "--max-level", "x"]):
        ended = agent.run(*words)
        assert (ended.status, ended.stdout, ended.stderr) == (1, "", "")


def test_quiet_shows_what_was_asked_for_only(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    words = (*agent.storage, "-N", "name", "-F", source, "--nosync", "-q")
    made = agent.run(*words)
    assert (made.status, made.stdout, made.stderr) == (0, "", "")
    told = agent.run(*words, "--metadata-out", "-")
    assert told.report["backup_name"] == "name"
    assert "| name" in agent.run("--action", "list", *agent.storage, "-q").stdout
    assert agent.restore(tmp_path / "out", "-q").stdout == ""


def test_errors_are_in_the_log_too(agent: AgentCommand, tmp_path: Path) -> None:
    agent.restore(tmp_path / "out")
    assert "CRITICAL" in agent.log.read_text()
    assert "No matching backup name" in agent.log.read_text()


def test_a_restore_that_is_told_to_stop_says_what_it_leaves(
    agent: AgentCommand, source: Path, tar: HeldTar, tmp_path: Path
) -> None:
    make_big(source)
    agent.backup(source, "--compression", "none")
    target = tmp_path / "out"
    words = ["--action", "restore", *agent.storage, "-N", "name"]
    process = tar.start(agent, *words, "--restore-abs-path", target)
    wait_until((target / "big").exists, process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM
    assert f"What is in '{target}' now is incomplete".encode() in stderr
