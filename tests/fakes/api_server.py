"""freezer-api as a real process on the loopback, with a database of its own."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from freezer_api.cli import manage

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 120
"""Only a limit. A machine may be so busy that a request waits for its turn of the processor."""
ANSWER_SECONDS = 120


def write_config(folder: Path, extra: str = "") -> Path:
    config = folder / "freezer-api.conf"
    config.write_text(
        f"[DEFAULT]\nauth_strategy = noauth\n{extra}\n"
        f"[sql]\nconnection = sqlite:///{folder}/freezer.sqlite\n"
    )
    return config


def start_process(
    config: Path, *arguments: str, errors: "IO[str] | int" = subprocess.PIPE
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "freezer_api.cli.serve",
            "--config-file",
            str(config),
            "--bind-port",
            "0",
            *arguments,
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


@dataclass(frozen=True)
class Server:
    """A running service."""

    process: subprocess.Popen[str]
    errors: IO[str]
    """What it writes to its standard error. A pipe that nobody reads would fill up and stop it."""
    ready_line: str
    host: str
    port: int

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded answer of one request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def workers(self, count: int) -> list[int]:
        """The process ids of the workers, once there are so many."""
        pid = self.process.pid
        deadline = time.monotonic() + START_SECONDS
        while True:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if len(children) == count:
                return [int(child) for child in children]
            assert time.monotonic() < deadline, children
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code, and what was still written."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=START_SECONDS)
        self.errors.seek(0)
        return self.process.returncode, out, self.errors.read()


@contextmanager
def running(config: Path, *arguments: str, sync: bool = True) -> Iterator[Server]:
    """A service, its store prepared unless told not to; ended afterwards, however that goes."""
    if sync:
        assert manage.main(["--config-file", str(config), "db", "sync"]) == 0
    with tempfile.TemporaryFile("w+") as errors:
        process = start_process(config, *arguments, errors=errors)
        try:
            line = _first_line(process, errors)
            found = re.search(r"http://([\d.]+):(\d+)", line)
            assert found, line
            yield Server(process, errors, line, found[1], int(found[2]))
        finally:
            process.terminate()
            try:
                process.communicate(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _first_line(process: subprocess.Popen[str], errors: IO[str]) -> str:
    assert process.stdout is not None
    alarm = threading.Timer(START_SECONDS, process.kill)
    alarm.start()
    try:
        line = process.stdout.readline()
    finally:
        alarm.cancel()
    if not line:
        errors.seek(0)
        raise AssertionError(f"The service did not start: {errors.read()}")
    return line
