"""The whole loop with real processes: freezer-api, freezer-scheduler and freezer-agent."""

import hashlib
import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from freezer_api.store.base import EVERYWHERE, Collection
from freezer_api.store.sql import SqlStore
from tests.fakes.api_server import Server, running, write_config
from tests.fakes.scheduler_process import JobDesk, SchedulerProcess, await_, cleared

NOWHERE = "http://127.0.0.1:1"
LONG_ENOUGH_TO_FIRE = 1.6
"""Seconds in which a job of every second would have been seen to run."""


def exec_action(script: str, **more: Any) -> dict[str, Any]:
    """An action that runs a shell script."""
    command = f"sh -c {shlex.quote(script)}"
    return {"freezer_action": {"action": "exec", "command": command}, **more}


def line_action(path: Path, word: str = "x", **more: Any) -> dict[str, Any]:
    """An action that adds one line to a file."""
    return exec_action(f"echo {word} >> {path}", **more)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def backup_action(source: Path, container: Path, **more: Any) -> dict[str, Any]:
    options = {
        "action": "backup",
        "mode": "fs",
        "backup_name": "name",
        "path_to_backup": str(source),
        "storage": "local",
        "container": str(container),
        "log_file": str(container.parent / "agent.log"),
        "no_incremental": False,
        "max_level": 5,
    }
    return {"freezer_action": options, "max_retries": 0, **more}


def kill_all(server: Server) -> None:
    """End the service and its workers at once, as when the machine loses its power."""
    pid = server.process.pid
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    server.process.kill()
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(int(worker), signal.SIGKILL)
    server.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def api_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def server(api_folder: Path) -> Iterator[Server]:
    with running(write_config(api_folder)) as server:
        yield server


@pytest.fixture
def database(api_folder: Path, server: Server) -> str:
    """The database of the running server."""
    assert server.process.poll() is None
    return f"sqlite:///{api_folder}/freezer.sqlite"


@pytest.fixture
def scheduler(tmp_path: Path, server: Server) -> Iterator[SchedulerProcess]:
    with cleared(
        SchedulerProcess(tmp_path / "node", f"http://127.0.0.1:{server.port}")
    ) as scheduler:
        yield scheduler


@pytest.fixture
def desk(server: Server, scheduler: SchedulerProcess) -> JobDesk:
    return JobDesk(server, scheduler.client_id)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[SchedulerProcess]:
    """A scheduler without an API, or with one of the test's own."""
    with cleared(SchedulerProcess(tmp_path / "node")) as scheduler:
        yield scheduler


def test_backs_up_and_the_second_run_is_incremental(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("one")
    job = desk.create([backup_action(source, tmp_path / "container")])
    scheduler.start()
    ended = desk.await_schedule(job, status="completed")
    assert (ended["result"], ended["exit_code"]) == ("success", 0), ended
    assert ended["time_ended"] >= ended["time_started"] > 0
    assert ended.get("error", "") == ""
    assert ended.get("current_pid") is None
    (first,) = desk.backups(job)
    assert (first["curr_backup_level"], first["job_id"]) == (0, job)

    (source / "file").write_text("two")
    desk.ask_for(job, "start")
    await_("a second backup", lambda: len(desk.backups(job)) == 2)
    ended = desk.await_schedule(job, status="completed", result="success")
    levels = sorted(int(metadata["curr_backup_level"]) for metadata in desk.backups(job))
    assert levels == [0, 1]
    assert scheduler.end() == 0


def test_failing_actions_are_retried_and_mandatory_ones_still_run(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    job = desk.create(
        [
            line_action(told, "before"),
            exec_action(
                f"echo try >> {told}; echo the disk is blue >&2; exit 7",
                max_retries=2,
                max_retries_interval=0,
            ),
            line_action(told, "skipped"),
            line_action(told, "after", mandatory=True),
        ]
    )
    scheduler.start()
    ended = desk.await_schedule(job, status="completed")
    assert lines(told) == ["before", "try", "try", "try", "after"]
    assert ended["result"] == "fail"
    assert ended["exit_code"] not in (0, None)
    assert "the disk is blue" in ended["error"]
    assert desk.backups(job) == []


def test_abort_ends_a_long_command_and_all_its_processes(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    job = desk.create(
        [
            exec_action(f"sleep 1111 & echo begun >> {told}; sleep 2222", max_retries=3),
            line_action(told, "mandatory", mandatory=True),
        ]
    )
    scheduler.start()
    await_("the command", lambda: lines(told))
    running_now = desk.await_schedule(job, status="running")
    assert running_now["current_pid"] in scheduler.family()
    desk.ask_for(job, "abort")
    ended = desk.await_schedule(job, status="completed")
    assert (ended["result"], ended["event"]) == ("aborted", ""), ended
    assert ended.get("current_pid") is None
    await_("the end of the sleeps", lambda: "sleep" not in str(scheduler.family().values()))
    assert lines(told) == ["begun", "mandatory"]


def test_an_api_that_dies_during_a_run_gets_every_report_later(
    alone: SchedulerProcess, tmp_path: Path
) -> None:
    source, gate, beats = tmp_path / "source", tmp_path / "gate", tmp_path / "beats"
    source.mkdir()
    (source / "file").write_text("one")
    folder = tmp_path / "api"
    folder.mkdir()
    config = write_config(folder)
    with ExitStack() as servers:
        server = servers.enter_context(running(config))
        alone.url = f"http://127.0.0.1:{server.port}"
        desk = JobDesk(server, alone.client_id)
        interval = desk.create([line_action(beats)], {"schedule_interval": "1 seconds"})
        job = desk.create(
            [
                exec_action(f"until test -e {gate}; do sleep 0.1; done"),
                backup_action(source, tmp_path / "container"),
            ]
        )
        process = alone.start("--concurrent-jobs", "3")
        desk.await_schedule(job, status="running")
        await_("a beat", lambda: lines(beats))
        kill_all(server)
        before = len(lines(beats))
        gate.touch()
        await_("two beats without the API", lambda: len(lines(beats)) >= before + 2)
        await_("the end of the run", lambda: f"job {job} ended" in alone.log_text())
        assert process.poll() is None

        again = servers.enter_context(running(config, "--bind-port", str(server.port)))
        desk.server = again
        ended = desk.await_schedule(job, status="completed", result="success")
        assert ended["exit_code"] == 0
        (metadata,) = await_("the backup's record", lambda: desk.backups(job))
        assert metadata["curr_backup_level"] == 0
        before = len(lines(beats))
        await_("a beat with the API", lambda: len(lines(beats)) > before)
        assert desk.schedule(interval)["status"] in ("scheduled", "running")
        assert len(desk.backups(job)) == 1
        assert alone.end() == 0


def test_a_killed_scheduler_reports_the_lost_run_and_runs_again(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path
) -> None:
    told, gate = tmp_path / "told", tmp_path / "gate"
    command = f"echo begun >> {told}; until test -e {gate}; do sleep 0.1; done"
    job = desk.create([exec_action(command)])
    scheduler.start()
    await_("the command", lambda: lines(told))
    orphan = desk.await_schedule(job, status="running")["current_pid"]
    assert scheduler.end(signal.SIGKILL) == -signal.SIGKILL
    assert orphan in scheduler.family()

    scheduler.start()
    # The job itself shows the failure for two seconds only, until it runs again.
    (lost,) = await_("the end of the lost run", lambda: completed(desk, job))
    assert lost["result"] == "fail", lost
    assert "the scheduler died" in lost["error"], lost
    await_("the end of the orphan", lambda: orphan not in scheduler.family())
    await_("the second run", lambda: len(lines(told)) == 2)
    gate.touch()
    ended = desk.await_schedule(job, status="completed")
    assert (ended["result"], ended.get("error", "")) == ("success", ""), ended
    assert [run["result"] for run in completed(desk, job)] == ["fail", "success"]


def completed(desk: JobDesk, job_id: str) -> list[dict[str, Any]]:
    return [run for run in desk.runs(job_id) if run["status"] == "completed"]


def test_broken_jobs_that_slipped_through_fail_alone(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path, database: str
) -> None:
    told = tmp_path / "told"
    broken = {
        desk.create([line_action(told, key)], {"schedule_interval": "1 days"}): {key: value}
        for key, value in {
            "schedule_minute": "every so often",
            "schedule_interval": "3 fortnights",
            "schedule_date": "the ides of march",
        }.items()
    }
    good = desk.create([line_action(told, "good")])
    store = SqlStore(database)
    try:
        for job, schedule in broken.items():
            stored = store.get(Collection.JOBS, EVERYWHERE, job)
            document = {**stored.document, "job_schedule": schedule}
            store.replace(Collection.JOBS, job, document, stored.version)
    finally:
        store.close()
    scheduler.start()
    desk.await_schedule(good, status="completed", result="success")
    assert lines(told) == ["good"]
    for job, schedule in broken.items():
        failed = desk.await_schedule(job, status="completed", result="fail")
        assert next(iter(schedule)) in failed["error"], failed


def test_the_daemon_is_started_asked_reloaded_restarted_and_stopped(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path
) -> None:
    def pid() -> int | None:
        said = scheduler.command("status", url=NOWHERE)
        assert said.returncode == 0, said
        word, _, number = said.stdout.strip().rpartition(" ")
        return int(number) if word == "Running with pid:" else None

    assert pid() is None
    started = scheduler.command("start")
    assert (started.returncode, started.stderr) == (0, "")
    first = pid()
    assert first is not None
    second = scheduler.command("start")
    assert second.returncode == 1
    assert str(first) in second.stderr
    assert pid() == first

    told = tmp_path / "told"
    job = desk.create([line_action(told)])
    assert scheduler.command("reload", url=NOWHERE).returncode == 0
    desk.await_schedule(job, status="completed", result="success")
    await_("the reload", lambda: "Reading the jobs anew" in scheduler.log_text())

    assert scheduler.command("restart").returncode == 0
    other = pid()
    assert other is not None
    assert other != first
    assert scheduler.command("stop", url=NOWHERE).returncode == 0
    assert pid() is None
    # It gives up its pid file a moment before it is gone.
    await_("its end", lambda: not scheduler.family())
    assert scheduler.command("stop", url=NOWHERE).stdout == "Not Running\n"
    assert lines(told) == ["x"]


def test_a_stop_during_a_run_ends_the_agent_and_reports(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    once = desk.create([exec_action(f"echo begun >> {told}; sleep 1111")])
    scheduler.start()
    await_("the command", lambda: lines(told))
    assert scheduler.end() == 0
    assert scheduler.family() == {}
    ended = desk.schedule(once)
    assert (ended["status"], ended["result"]) == ("completed", "aborted"), ended
    assert ended["time_ended"] >= ended["time_started"]


def test_a_directory_of_jobs_needs_no_network(alone: SchedulerProcess, tmp_path: Path) -> None:
    source, told = tmp_path / "source", tmp_path / "told"
    source.mkdir()
    (source / "file").write_text("one")

    def write(name: str, *actions: dict[str, Any], **schedule: Any) -> None:
        text = json.dumps({"job_actions": actions, "job_schedule": schedule})
        (alone.jobs / f"{name}.conf").write_text(text)

    def state(name: str) -> dict[str, Any]:
        path = alone.jobs / f"{name}.state"
        return dict(json.loads(path.read_text())) if path.exists() else {"job_schedule": {}}

    def is_over(name: str) -> bool:
        """Whether the job of the file as it is now has ended; a state is of one content of it."""
        content = (alone.jobs / f"{name}.conf").read_bytes()
        found = state(name)
        is_of_it = found.get("of") == hashlib.sha256(content).hexdigest()
        return is_of_it and found["job_schedule"].get("status") == "completed"

    write("backup", backup_action(source, tmp_path / "container"))
    (alone.jobs / "broken.conf").write_text("{")
    write("bad", line_action(told, "bad"), schedule_minute="now and then")
    alone.url = ""
    alone.start("--no-api")
    await_("the backup", lambda: is_over("backup"))
    done = state("backup")
    assert done["job_schedule"]["result"] == "success", done
    assert done["last_backup"]["curr_backup_level"] == 0
    assert (alone.jobs / "backup.state").stat().st_mode & 0o077 == 0
    await_("the refusal", lambda: is_over("bad"))
    assert state("bad")["job_schedule"]["result"] == "fail"

    write("later", line_action(told, "later"))
    await_("the new file", lambda: is_over("later"))
    assert lines(told) == ["later"]
    write("later", line_action(told, "edited"))
    await_("the edit", lambda: lines(told) == ["later", "edited"])
    await_("its end", lambda: is_over("later"))
    assert alone.end() == 0

    first_life = alone.log_text()
    alone.start("--no-api")
    write("third", line_action(told, "third"))
    await_("a job of the next life", lambda: is_over("third"))
    assert lines(told) == ["later", "edited", "third"]
    assert "Traceback" not in alone.log_text().removeprefix(first_life)


@pytest.mark.parametrize("interval", ["1 seconds", "continuous"])
def test_a_repeated_job_runs_one_at_a_time_until_it_is_stopped(
    scheduler: SchedulerProcess, desk: JobDesk, tmp_path: Path, interval: str
) -> None:
    told = tmp_path / "told"
    # Longer than the interval: a second run beside it would be seen between its lines.
    slow = exec_action(f"echo in >> {told}; sleep 0.7; echo out >> {told}")
    job = desk.create([slow], {"schedule_interval": interval})
    scheduler.start("--concurrent-jobs", "4")
    await_("three runs", lambda: len(lines(told)) >= 6)
    seen = lines(told)
    assert seen == (["in", "out"] * len(seen))[: len(seen)]
    await_("its status", lambda: desk.schedule(job)["status"] in ("scheduled", "running"))

    desk.ask_for(job, "stop")
    await_(
        "the stop",
        lambda: (
            desk.schedule(job)["event"] == ""
            and desk.schedule(job)["status"] in ("stop", "completed")
        ),
    )
    stopped = lines(told)
    assert stopped.count("in") == stopped.count("out")
    until = time.monotonic() + LONG_ENOUGH_TO_FIRE
    await_("time to pass", lambda: time.monotonic() > until)
    assert lines(told) == stopped

    desk.ask_for(job, "start")
    await_("a run after the start", lambda: len(lines(told)) > len(stopped))
    desk.delete(job)
    await_("the job to be forgotten", lambda: f"job {job} is gone" in scheduler.log_text())
    gone = lines(told)
    until = time.monotonic() + LONG_ENOUGH_TO_FIRE
    await_("time to pass", lambda: time.monotonic() > until)
    assert lines(told) == gone
    await_("the end of its copy", lambda: not (scheduler.jobs / f"job_{job}.conf").exists())
