"""freezer-scheduler as a real process, with state, jobs, home and log of its own below one folder."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from freezer_scheduler.pid_file import PidFile
from tests.fakes.api_server import Server

REPOSITORY = Path(__file__).parents[2]
PROJECT = "demo"
MARK = "FREEZER_TEST_SCHEDULER"
WAIT_SECONDS = 120
COMMAND_SECONDS = 120
END_SECONDS = 30


def await_(what: str, look: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """The first true answer of `look`; fails with its last one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited in vain for {what}: {answer!r}"
        time.sleep(0.05)


class SchedulerProcess:
    """One scheduler. Its client id is new each time: the pid files of root lie in one directory."""

    def __init__(self, folder: Path, backup_url: str = "", client_id: str = "") -> None:
        self.client_id = client_id or f"node-{uuid.uuid4().hex[:12]}"
        self.mark = f"{self.client_id} {uuid.uuid4().hex}"
        self.folder = folder
        self.jobs = folder / "jobs"
        self.state = folder / "state"
        self.log = folder / "scheduler.log"
        self.url = backup_url
        self.login: dict[str, str] = {}
        """The OS_* variables of who logs in at a Keystone; empty for an API without one."""
        self.variables: dict[str, str] = {}
        """More of its environment."""
        self._processes: list[subprocess.Popen[bytes]] = []
        for directory in (self.jobs, folder / "home", folder / "run", folder / "tmp"):
            directory.mkdir(parents=True, exist_ok=True)

    @property
    def _environment(self) -> dict[str, str]:
        """Every process that comes of this scheduler carries its mark."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        own |= {
            MARK: self.mark,
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(REPOSITORY),
        }
        if self.login:
            own |= {**self.login, "OS_BACKUP_URL": self.url}
        elif self.url:
            own |= {"OS_AUTH_TYPE": "none", "OS_BACKUP_URL": self.url, "OS_PROJECT_ID": PROJECT}
        return own | self.variables

    def _arguments(self, *words: str) -> list[str]:
        places = ["-c", self.client_id, "-f", str(self.jobs), "--state-dir", str(self.state)]
        log = ["-i", "1", "--log-file", str(self.log)]
        return [sys.executable, "-m", "freezer_scheduler", *places, *log, *words]

    def command(self, *words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the scheduler to its end."""
        environment = self._environment
        if url is not None:
            environment |= {"OS_BACKUP_URL": url}
        return subprocess.run(
            self._arguments(*words),
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start it in the foreground; returns at once."""
        with (self.folder / "scheduler.out").open("ab") as out:
            process = subprocess.Popen(
                self._arguments("--no-daemon", *words, "start"),
                cwd=REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._processes.append(process)
        return process

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the one that was started last; its exit code."""
        process = self._processes[-1]
        process.send_signal(number)
        return process.wait(COMMAND_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the one that was started last, and do not wait."""
        self._processes[-1].send_signal(number)

    def log_text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text() if self.log.exists() else ""

    def family(self) -> dict[int, str]:
        """Every living process that comes of this scheduler: pid and command line."""
        mark = f"{MARK}={self.mark}".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    if line:
                        found[int(process.name)] = line
            except OSError:
                continue  # It has ended meanwhile.
        return found

    def _left_after(self, seconds: float) -> dict[int, str]:
        """Who still lives then, or nobody as soon as all have ended: some are just about to."""
        deadline = time.monotonic() + seconds
        while (left := self.family()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def clear_up(self) -> dict[int, str]:
        """End whatever is left; returns what should not have been."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(WAIT_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        left = self._left_after(END_SECONDS)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        path = PidFile(self.client_id).path
        for left_file in path.parent.glob(f"{path.stem}*.pid"):
            left_file.unlink(missing_ok=True)
        return left


class JobDesk:
    """Asks the API about the jobs of one scheduler."""

    def __init__(self, server: Server, client_id: str) -> None:
        self.server = server
        self.client_id = client_id
        # Jobs are refused for clients that the API does not know, and ours may not run yet.
        body = {"client_id": client_id}
        assert server.send("POST", f"/v2/{PROJECT}/clients", body)[0] == 201

    def create(
        self, actions: list[Any], schedule: dict[str, Any] | None = None, **more: Any
    ) -> str:
        """The id of a new job."""
        document = {
            "client_id": self.client_id,
            "job_actions": actions,
            "job_schedule": schedule or {},
            "description": "of a test",
            **more,
        }
        status, answer = self.server.send("POST", f"/v2/{PROJECT}/jobs", document)
        assert status == 201, answer
        return str(answer["job_id"])

    def schedule(self, job_id: str) -> dict[str, Any]:
        """How the job goes."""
        status, answer = self.server.send("GET", f"/v2/{PROJECT}/jobs/{job_id}")
        assert status == 200, answer
        schedule = answer["job_schedule"]
        assert isinstance(schedule, dict)
        return schedule

    def runs(self, job_id: str) -> list[dict[str, Any]]:
        """The runs of the job that the API remembers, the oldest first."""
        path = f"/v2/{PROJECT}/jobs/{job_id}/runs?limit=10000"
        status, answer = self.server.send("GET", path)
        assert status == 200, answer
        return list(answer["runs"])

    def ask_for(self, job_id: str, event: str) -> None:
        """Request start, stop or abort."""
        status, answer = self.server.send(
            "POST", f"/v2/{PROJECT}/jobs/{job_id}/event", {event: None}
        )
        assert status in (200, 202), answer

    def delete(self, job_id: str) -> None:
        """Remove the job."""
        assert self.server.send("DELETE", f"/v2/{PROJECT}/jobs/{job_id}")[0] == 204

    def backups(self, job_id: str) -> list[dict[str, Any]]:
        """The metadata of the job's backups, oldest first."""
        status, answer = self.server.send("GET", f"/v2/{PROJECT}/backups?limit=1000")
        assert status == 200, answer
        found = [document["backup_metadata"] for document in answer["backups"]]
        return [metadata for metadata in found if metadata.get("job_id") == job_id]

    def await_schedule(
        self, job_id: str, seconds: float = WAIT_SECONDS, /, **wanted: Any
    ) -> dict[str, Any]:
        """The job's schedule as soon as it says all of this."""
        seen: dict[str, Any] = {}

        def look() -> bool:
            seen.clear()
            seen.update(self.schedule(job_id))
            return all(seen.get(key) == value for key, value in wanted.items())

        try:
            await_(f"{wanted} of the job", look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(seen, indent=1)}") from None
        return seen


@contextmanager
def cleared(scheduler: SchedulerProcess) -> Iterator[SchedulerProcess]:
    """The scheduler; afterwards nothing of it may be left."""
    try:
        yield scheduler
    except BaseException:
        # For whoever reads why the test failed: the log goes with the folder.
        sys.stderr.write(scheduler.log_text()[-8000:])
        scheduler.clear_up()
        raise
    left = scheduler.clear_up()
    assert not left, f"processes were left behind: {left}"
