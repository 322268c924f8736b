"""Two schedulers with one client id share its jobs by a directory, and one survives the other."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_server import Server, running, write_config
from tests.fakes.scheduler_process import JobDesk, SchedulerProcess, await_

JOBS = 6


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "api"
    folder.mkdir()
    with running(write_config(folder), "--workers", "1") as server:
        yield server


@pytest.fixture
def pair(server: Server, tmp_path: Path) -> Iterator[tuple[SchedulerProcess, SchedulerProcess]]:
    url = f"http://{server.host}:{server.port}"
    one = SchedulerProcess(tmp_path / "one", url)
    other = SchedulerProcess(tmp_path / "other", url, one.client_id)
    yield one, other
    assert one.clear_up() == {}
    assert other.clear_up() == {}


def action(told: Path) -> dict[str, Any]:
    script = f"echo in $PPID >> {told}; sleep 0.3; echo out >> {told}"
    return {"freezer_action": {"action": "exec", "command": f"sh -c '{script}'"}}


def seen(told: Path) -> list[str]:
    return [line.split()[0] for line in told.read_text().splitlines()] if told.exists() else []


def test_each_job_runs_once_at_a_time_and_goes_on_when_one_is_killed(
    server: Server, pair: tuple[SchedulerProcess, SchedulerProcess], tmp_path: Path
) -> None:
    one = pair[0]
    desk = JobDesk(server, one.client_id)
    told = [tmp_path / f"told{number}" for number in range(JOBS)]
    for path in told:
        desk.create([action(path)], {"schedule_interval": "1 seconds"})
    backend = ["--coordination-backend-url", f"file://{tmp_path / 'shared'}"]
    for scheduler in pair:
        scheduler.start(*backend, "--concurrent-jobs", "10")
        await_("its journal", lambda scheduler=scheduler: list(scheduler.state.glob("*.journal")))
        assert "Running with pid" in scheduler.command(*backend, "status").stdout
    await_("runs of every job", lambda: all(len(seen(path)) >= 6 for path in told))
    for path in told:
        words = seen(path)
        assert words == (["in", "out"] * len(words))[: len(words)]
    one.end(signal.SIGKILL)
    await_("the end of what it had begun", lambda: not one.family())
    before = [len(seen(path)) for path in told]
    await_(
        "runs of every job by the other one",
        lambda: all(len(seen(path)) > count + 4 for path, count in zip(told, before, strict=True)),
    )
