"""One real scheduler with very many jobs: start, memory, idle, polls, punctuality.

    python benchmarks/scheduler.py                      # 10,000 jobs on an API on SQLite
    python benchmarks/scheduler.py --jobs 1000 --json   # smaller, the figures as JSON

The API is made and filled first, which takes most of the time. All numbers are of one scheduler
process; what other processes of the machine do shows in them. For 5,000 schedulers at one API see
`python benchmarks/api.py polling`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from api_load import Connection, Request
from api_operations import PROJECT
from api_servers import ROOT, Server, Size, ours_on_sqlite
from counting_relay import CountingRelay

CLIENT = "bench-node"
MAKERS = 4
MOST_JOBS = 50_000
QUIET_SECONDS = 10.0
ARMED = re.compile(r"job (\w+) is due at")
RUNS = re.compile(r"^(\S+ \S+) .* job (\w+) runs$", re.MULTILINE)
AIMS = {
    "armed_seconds": 10.0,
    "memory_mib": 200.0,
    "idle_cpu_share": 0.01,
    "requests_per_poll": 1.0,
    "latest_start_seconds": 1.0,
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=100, help="starts in one minute")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--interval", type=int, default=20, help="seconds between two polls")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not 0 < options.jobs <= MOST_JOBS:
        parser.error(f"--jobs must be at most {MOST_JOBS}")
    with tempfile.TemporaryDirectory(prefix="freezer-bench-") as folder:
        figures = _measured(options, Path(folder))
    figures["aims"] = AIMS
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name}: {value}")
    return 0


def _measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    load = os.getloadavg()[0]
    with (
        ours_on_sqlite(folder, Size(workers=1, threads=8)) as server,
        CountingRelay(server.port) as relay,
    ):
        began = time.perf_counter()
        _fill(server, options.jobs)
        filled = time.perf_counter() - began
        log = folder / "scheduler.log"
        began = time.perf_counter()
        with _scheduler(folder, relay.port, log, options.interval) as process:
            armed = _await_lines(log, ARMED, options.jobs, 300) - began
            reported = _await_quiet(relay) - began
            idle = _idle(process, relay, options)
            memory = psutil.Process(process.pid).memory_info().rss / 2**20
            late = _punctuality(server, log, options)
    return {
        "jobs": options.jobs,
        "load_before": round(load, 1),
        "fill_seconds": round(filled, 1),
        "armed_seconds": round(armed, 2),
        "reported_seconds": round(reported, 2),
        "memory_mib": round(memory, 1),
        **idle,
        **late,
    }


def _fill(server: Server, count: int) -> None:
    """Jobs that are due tomorrow."""
    connection = Connection(server.port)
    _posted(connection, "clients", {"client_id": CLIENT, "hostname": CLIENT})
    connection.close()
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    def make(numbers: range) -> None:
        own = Connection(server.port)
        for number in numbers:
            start = (tomorrow + timedelta(seconds=number)).isoformat(timespec="seconds")
            _posted(own, "jobs", _job(f"job {number}", start, schedule_interval="1 days"))
        own.close()

    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(make, [range(first, count, MAKERS) for first in range(MAKERS)]))


def _job(description: str, start: str, **schedule: str) -> dict[str, Any]:
    key = "schedule_start_date" if schedule else "schedule_date"
    return {
        "client_id": CLIENT,
        "description": description,
        "job_actions": [{"freezer_action": {"action": "exec", "command": "true"}}],
        "job_schedule": {key: start, **schedule},
    }


def _posted(connection: Connection, kind: str, body: dict[str, Any]) -> None:
    answer = connection.send(Request(method="POST", path=f"{PROJECT}/{kind}", body=body))
    if answer.status != 201:
        raise RuntimeError(f"{answer.status} {answer.body[:300]!r}")


@contextmanager
def _scheduler(
    folder: Path, port: int, log: Path, interval: int
) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {name: value for name, value in os.environ.items() if name[:3] != "OS_"}
    environment |= {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "OS_AUTH_TYPE": "none",
        "OS_BACKUP_URL": f"http://127.0.0.1:{port}",
        "OS_PROJECT_ID": PROJECT.rsplit("/", 1)[-1],
    }
    places = ["-f", str(folder / "jobs"), "--state-dir", str(folder / "state")]
    words = ["-c", CLIENT, "-i", str(interval), "--log-file", str(log), "--concurrent-jobs", "20"]
    process = subprocess.Popen(
        [sys.executable, "-m", "freezer_scheduler", "--no-daemon", *places, *words, "start"],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _await_lines(log: Path, pattern: re.Pattern[str], count: int, seconds: float) -> float:
    """When so many jobs had been logged."""
    deadline = time.perf_counter() + seconds
    while True:
        found = set(pattern.findall(log.read_text())) if log.exists() else set()
        now = time.perf_counter()
        if len(found) >= count:
            return now
        if now > deadline:
            raise SystemExit(f"only {len(found)} of {count} jobs after {seconds:.0f} s")
        time.sleep(0.2)


def _await_quiet(relay: CountingRelay) -> float:
    """When the last state was reported: no other request than those of polls for ten seconds."""
    deadline = time.perf_counter() + 600
    before, changed = -1, time.perf_counter()
    while (now := time.perf_counter()) - changed < QUIET_SECONDS:
        if now > deadline:
            raise SystemExit("the reports of the start do not end")
        if (count := relay.count - relay.polls) != before:
            before, changed = count, now
        time.sleep(0.2)
    return changed


def _idle(
    process: "subprocess.Popen[bytes]", relay: CountingRelay, options: argparse.Namespace
) -> dict[str, Any]:
    root = psutil.Process(process.pid)
    # The first poll after the reports still reads them all.
    _await_polls(relay, 2)
    before, requests, polls = root.cpu_times(), relay.count, relay.polls
    time.sleep(options.idle_seconds)
    after = root.cpu_times()
    used = after.user + after.system - before.user - before.system
    seen = max(relay.polls - polls, 1)
    return {
        "idle_cpu_share": round(used / options.idle_seconds, 4),
        "polls": relay.polls - polls,
        "requests_per_poll": round((relay.count - requests) / seen, 2),
    }


def _await_polls(relay: CountingRelay, count: int) -> None:
    """Until the last of so many polls from now on has been answered."""
    deadline = time.perf_counter() + 300
    wanted = relay.polls + count
    while relay.polls < wanted:
        if time.perf_counter() > deadline:
            raise SystemExit("the scheduler does not poll")
        time.sleep(0.2)
    time.sleep(5)


def _punctuality(server: Server, log: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Jobs for single moments of one minute; how late each began."""
    first = datetime.now(UTC) + timedelta(seconds=3 * options.interval + 10)
    connection = Connection(server.port)
    due: dict[str, datetime] = {}
    for number in range(options.starts):
        at = first + timedelta(seconds=int(60 * number / options.starts))
        at = at.replace(microsecond=0)
        body = _job(f"start {number}", at.isoformat())
        answer = connection.send(Request(method="POST", path=f"{PROJECT}/jobs", body=body))
        due[json.loads(answer.body)["job_id"]] = at
    connection.close()
    _await_lines(log, re.compile(r"job (\w+) ended after"), options.starts, 300)
    late = []
    for text, job_id in RUNS.findall(log.read_text()):
        if job_id in due:
            # The log is in local time.
            began = datetime.fromisoformat(text).astimezone(UTC)
            late.append((began - due[job_id]).total_seconds())
    late.sort()
    return {
        "starts": len(late),
        "median_start_seconds": round(late[len(late) // 2], 3),
        "latest_start_seconds": round(late[-1], 3),
    }


if __name__ == "__main__":
    sys.exit(main())
