"""The agent as a process: what it is told, what is collected, and that nothing of it stays."""

import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freezer_agent.conf.jobfile import read_job_file
from freezer_scheduler.agent_process import (
    AgentProcess,
    Outcome,
    find_agent,
    with_trust,
)
from freezer_scheduler.errors import AgentNotFound, JobNotSupported
from freezer_scheduler.process_tree import process_start

PROGRAM = str(Path(__file__).parents[2] / "fakes" / "fake_agent.py")
PATIENCE_SECONDS = 60


def wait_for(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def agent(**settings: Any) -> AgentProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return AgentProcess(PROGRAM, {"PATH": path, "OS_TOKEN": "given"}, **settings)


def run(action: dict[str, Any], seconds: int | None = None, **settings: Any) -> Outcome:
    return agent(**settings).run(action, max_run_seconds=seconds, on_start=lambda _: None)


def test_success_with_a_report() -> None:
    outcome = run({"report": '{"action": "backup", "level": 0}', "say": "a word"})
    assert outcome == Outcome(
        exit_code=0, report={"action": "backup", "level": 0}, error="a word", overran=False
    )


@pytest.mark.parametrize("text", ["", "no json", "[1]", "[" * 100_000])
def test_output_that_is_no_object_is_no_report(text: str) -> None:
    assert run({"report": text}).report is None


def test_the_exit_code_is_kept() -> None:
    assert run({"exit_code": 65}).exit_code == 65


def test_values_reach_the_agent(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    action = {
        "copy": str(copy),
        "path_to_backup": "/srv/100% \u00fc\u4e2d %(x)s",
        "exclude": ["*.tmp", "%%", None, "#c"][:3],
        "nothing": None,
        "no_incremental": True,
        "restart_always_level": 3,
        "Mixed-Case": "v",
        "first": "# no comment",
        "colon": "a: b = c",
    }
    assert run(action).exit_code == 0
    values = read_job_file(copy).values
    assert values == {
        "copy": str(copy),
        "path_to_backup": "/srv/100% \u00fc\u4e2d %(x)s",
        "exclude": "*.tmp\n%%",
        "no_incremental": "True",
        "restart_always_level": "3",
        "mixed_case": "v",
        "first": "# no comment",
        "colon": "a: b = c",
    }
    assert stat.S_IMODE(copy.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize(
    "action",
    [
        {"a\nb": "x"},
        {"a = x\n[other]\nb": "x"},
        {"": "x"},
        {"[x]": "y"},
        {"mode": "fs\r[x]"},
        {"mode": "fs\0"},
        {"mode": "fs\n# lost"},
        {"mode": "fs\n\nlost"},
        {"mode": "\ud800"},
        {"action": "backup", "ACTION": "exec"},
        {"backup-name": "a", "backup_name": "b"},
    ],
)
def test_what_no_job_file_can_say_is_refused(action: dict[str, Any]) -> None:
    with pytest.raises(JobNotSupported):
        run(action)


def test_a_continued_line_cannot_open_a_section(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    run({"copy": str(copy), "mode": "fs\n[other]\naction = exec"})
    assert read_job_file(copy).values == {"copy": str(copy), "mode": "fs\n[other]\naction = exec"}


def test_the_job_file_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run({"exit_code": 1})
    with pytest.raises(JobNotSupported):
        run({"mode": "\ud800"})
    assert list(tmp_path.iterdir()) == []


def test_the_environment_is_the_given_one(tmp_path: Path) -> None:
    found = tmp_path / "env"
    run({"environment": str(found)})
    assert '"OS_TOKEN": "given"' in found.read_text()
    assert '"HOME"' not in found.read_text()


def test_spew_is_bounded_and_does_not_block() -> None:
    outcome = run({"spew": 20_000_000, "say": "the end"})
    assert outcome.exit_code == 0
    assert outcome.report is None
    assert len(outcome.error) <= 8192
    assert outcome.error.endswith("the end")


def test_end_reaches_the_whole_group(tmp_path: Path) -> None:
    child, started = tmp_path / "child", tmp_path / "started"
    action = {"child": str(child), "started": str(started), "sleep": 120}
    one, outcomes = agent(), []
    thread = threading.Thread(
        target=lambda: outcomes.append(
            one.run(action, max_run_seconds=None, on_start=lambda _: None)
        )
    )
    thread.start()
    wait_for(started.exists)
    one.end()
    thread.join(PATIENCE_SECONDS)
    assert outcomes[0].exit_code == -15
    wait_for(lambda: process_start(int(child.read_text())) is None)
    wait_for(lambda: process_start(int(started.read_text())) is None)


def test_kill_after_the_grace_time(tmp_path: Path) -> None:
    started = tmp_path / "started"
    one = agent(grace=0.3)
    watcher = threading.Thread(target=lambda: (wait_for(started.exists), one.end()))
    watcher.start()
    outcome = one.run(
        {"ignore_term": "yes", "started": str(started), "sleep": 120},
        max_run_seconds=None,
        on_start=lambda _: None,
    )
    watcher.join()
    assert outcome.exit_code == -9
    assert not outcome.overran


def test_max_run_time() -> None:
    outcome = run({"sleep": 120}, seconds=1)
    assert outcome.overran
    assert outcome.exit_code == -15


def test_a_child_that_outlives_the_agent_is_ended(tmp_path: Path) -> None:
    child = tmp_path / "child"
    assert run({"child": str(child)}).exit_code == 0
    wait_for(lambda: process_start(int(child.read_text())) is None)


def test_a_broken_on_start_ends_the_agent() -> None:
    pids: list[int] = []

    def broken(pid: int) -> None:
        pids.append(pid)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        agent().run({"sleep": 120}, max_run_seconds=None, on_start=broken)
    assert process_start(pids[0]) is None


def test_a_missing_agent(tmp_path: Path) -> None:
    missing = str(tmp_path / "freezer-agent")
    with pytest.raises(AgentNotFound, match="Install it"):
        AgentProcess(missing, {}).run({}, max_run_seconds=None, on_start=lambda _: None)
    with pytest.raises(AgentNotFound):
        find_agent(missing)
    assert find_agent(PROGRAM) == PROGRAM


def test_process_start_tells_processes_apart() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    assert process_start(os.getpid()) != process_start(1)


def test_an_agent_with_a_trust_gets_no_other_scope() -> None:
    environment = {
        "PATH": "/bin",
        "OS_USERNAME": "freezer",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_NAME": "service",
        "OS_PROJECT_ID": "1",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_TENANT_NAME": "service",
        "OS_DOMAIN_ID": "default",
        "OS_SYSTEM_SCOPE": "all",
    }
    assert with_trust(environment, "t") == {
        "PATH": "/bin",
        "OS_USERNAME": "freezer",
        "OS_USER_DOMAIN_ID": "default",
        "OS_TRUST_ID": "t",
    }
