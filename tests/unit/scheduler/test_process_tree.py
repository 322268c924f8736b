"""Nothing of an agent that was ended outlives it, wherever it hid."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from freezer_scheduler.process_tree import (
    VARIABLE,
    Process,
    end_agents,
    end_marked,
    mark_of,
    marked,
    process_start,
)
from tests.unit.scheduler.test_agent_process import agent, wait_for

WAITS = "import time; time.sleep(120)"
IGNORES = "import signal; signal.signal(15, signal.SIG_IGN); print('on', flush=True); " + WAITS


class Started:
    """Processes of a test; whatever happens, they end with it."""

    def __init__(self) -> None:
        self.mark = uuid4().hex
        self.all: list[subprocess.Popen[str]] = []

    def python(self, program: str, **variables: str) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={"PATH": os.environ["PATH"], VARIABLE: self.mark, **variables},
            start_new_session=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.all.append(process)
        if "print" in program:
            assert process.stdout
            process.stdout.readline()
        return self.known(process.pid)

    def known(self, pid: int) -> Process:
        started = process_start(pid)
        assert started is not None
        return Process(pid=pid, started=started)


@pytest.fixture
def started() -> Iterator[Started]:
    one = Started()
    yield one
    for process in one.all:
        process.kill()
        process.communicate()


def test_all_that_carries_the_mark_is_ended_and_no_other(started: Started) -> None:
    ours = started.python(WAITS)
    other = started.python(WAITS, **{VARIABLE: "another"})
    wait_for(lambda: mark_of(ours.pid) == started.mark and mark_of(other.pid) == "another")
    assert [process.pid for process in marked(started.mark)] == [ours.pid]
    assert end_marked(started.mark) == 1
    assert not ours.is_alive()
    assert other.is_alive()
    assert end_marked(started.mark) == 0
    assert end_marked("") == 0


def test_who_does_not_obey_is_killed(started: Started) -> None:
    deaf = started.python(IGNORES)
    end_marked(started.mark, grace_seconds=0)
    wait_for(lambda: not deaf.is_alive())
    assert started.all[0].wait(timeout=60) == -signal.SIGKILL


def test_a_later_process_of_the_same_pid_is_not_signalled(started: Started) -> None:
    real = started.python(WAITS)
    Process(pid=real.pid, started="1").signal(signal.SIGKILL)
    end_agents([Process(pid=real.pid, started="1")], grace_seconds=0)
    assert real.is_alive()


def test_the_agents_of_a_dead_scheduler_are_killed_if_they_do_not_end(started: Started) -> None:
    deaf, willing = started.python(IGNORES), started.python(WAITS)
    wait_for(lambda: len(marked(started.mark)) == 2)
    end_agents([deaf, willing], grace_seconds=0.2)
    wait_for(lambda: not deaf.is_alive() and not willing.is_alive())
    codes = [process.wait(timeout=60) for process in started.all]
    assert codes[0] == -signal.SIGKILL
    assert codes[1] in (-signal.SIGTERM, -signal.SIGKILL)


def escapee_of(path: Path) -> Process | None:
    if not path.exists():
        return None
    pid = int(path.read_text())
    found = process_start(pid)
    return None if found is None else Process(pid=pid, started=found)


def test_what_left_the_group_of_an_ended_agent_does_not_outlive_it(tmp_path: Path) -> None:
    file = tmp_path / "escapee"
    one = agent(grace=0.2)
    action = {"escapee": str(file), "sleep": "120", "ignore_term": "yes"}
    runs = threading.Thread(
        target=one.run, args=(action,), kwargs={"max_run_seconds": None, "on_start": lambda _: None}
    )
    runs.start()
    try:
        wait_for(lambda: escapee_of(file))
        escapee = escapee_of(file)
        assert escapee is not None
        # A process that has just become another program shows no environment for a moment.
        wait_for(lambda: mark_of(escapee.pid))
    finally:
        one.end()
        runs.join()
    assert not escapee.is_alive()


def test_what_an_agent_that_ended_by_itself_left_running_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "escapee"
    outcome = agent().run({"escapee": str(file)}, max_run_seconds=None, on_start=lambda _: None)
    escapee = escapee_of(file)
    assert outcome.exit_code == 0
    assert escapee is not None
    assert escapee.is_alive()
    escapee.signal(signal.SIGKILL)
