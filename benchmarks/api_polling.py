"""Many schedulers poll one worker process, each once per interval, and nothing changes meanwhile.

Each has a connection of its own for each poll, as processes that sleep between two polls do, and
sends If-None-Match with the ETag of the answer before.
"""

import argparse
import heapq
import queue
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from api_growth import PROJECT
from api_load import Connection, Request, Result, cpu_seconds, resident_mib
from api_operations import poll
from api_servers import Server, Size, manage, ours_on_elasticsearch, ours_on_sqlite

AIM_SHARE = 0.2
CALLERS = 32
MOST_SCHEDULERS = 100_000


@dataclass(slots=True, kw_only=True)
class Scheduler:
    """One that polls."""

    client: str
    etag: str = ""

    def request(self) -> Request:
        """Its next poll."""
        headers = (("If-None-Match", self.etag),) if self.etag else ()
        return Request(
            method="GET",
            path=f"{PROJECT}/jobs?limit=10",
            body=poll(self.client),
            headers=(*headers, ("Connection", "close")),
            expected=(200, 304),
        )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the polls gave."""

    result: Result = field(default_factory=Result)
    unchanged: int = 0
    late_seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.add_argument("--schedulers", type=int, default=5000)
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between two polls")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they poll")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument(
        "--server", choices=["ours-sqlite", "ours-elasticsearch"], default="ours-sqlite"
    )


def measure(options: argparse.Namespace) -> list[dict[str, object]]:
    """Fill the store, let every scheduler poll once, then measure."""
    if not 0 < options.schedulers <= MOST_SCHEDULERS:
        raise SystemExit(f"--schedulers must be at most {MOST_SCHEDULERS}")
    make = {"ours-sqlite": ours_on_sqlite, "ours-elasticsearch": ours_on_elasticsearch}
    size = Size(workers=1, threads=options.threads)
    with (
        tempfile.TemporaryDirectory(prefix="freezer-bench-") as folder,
        make[options.server](Path(folder), size) as server,
    ):
        count = options.schedulers
        print(f"{count} clients with a job each are made")
        if server.config is not None:
            amounts = ("--clients", str(count), "--jobs", str(count), "--backups", "0")
            manage(server.config, "db", "load", "--projects", "1", *amounts)
        schedulers = [Scheduler(client=f"invented-0_node-{number}") for number in range(count)]
        first = _polls(server, schedulers, rate=0.0, seconds=0.0)
        print(f"first polls: {first.result.requests}, errors {first.result.errors or 'none'}")
        tally = _polls(
            server,
            schedulers,
            rate=options.schedulers / options.interval,
            seconds=options.seconds,
        )
        return [_shown(server, tally, options)]


def _polls(server: Server, schedulers: list[Scheduler], *, rate: float, seconds: float) -> Tally:
    """Poll in turn, `rate` times a second; without a rate each once, as fast as it goes."""
    tally = Tally()
    due: queue.Queue[tuple[float, Scheduler] | None] = queue.Queue()
    callers = [
        threading.Thread(target=_caller, args=(server.port, due, tally)) for _ in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    before, began = cpu_seconds(server.pid), time.perf_counter()
    if rate:
        timetable = [(began + index / rate, index) for index in range(len(schedulers))]
        heapq.heapify(timetable)
        interval = len(schedulers) / rate
        while timetable[0][0] < began + seconds:
            at, index = timetable[0]
            time.sleep(max(0.0, at - time.perf_counter()))
            due.put((at, schedulers[index]))
            heapq.heapreplace(timetable, (at + interval, index))
    else:
        for scheduler in schedulers:
            due.put((began, scheduler))
    for _ in callers:
        due.put(None)
    for caller in callers:
        caller.join()
    tally.result.seconds = time.perf_counter() - began
    tally.result.cpu_seconds = cpu_seconds(server.pid) - before
    return tally


def _caller(port: int, due: "queue.Queue[tuple[float, Scheduler] | None]", tally: Tally) -> None:
    while (next_one := due.get()) is not None:
        at, scheduler = next_one
        connection = Connection(port)
        began = time.perf_counter()
        try:
            answer = connection.send(scheduler.request())
        except OSError as error:
            status, kind = 0, type(error).__name__
        else:
            status, kind = answer.status, str(answer.status)
            scheduler.etag = answer.headers.get("etag", scheduler.etag)
        connection.close()
        ended = time.perf_counter()
        with tally.lock:
            tally.result.latencies.append(ended - began)
            tally.unchanged += status == 304
            tally.late_seconds = max(tally.late_seconds, began - at)
            if status not in {200, 304}:
                tally.result.errors[kind] = tally.result.errors.get(kind, 0) + 1


def _shown(server: Server, tally: Tally, options: argparse.Namespace) -> dict[str, object]:
    result = tally.result
    share = result.cpu_seconds / result.seconds
    print(
        f"{server.name}: {result.requests} polls in {result.seconds:.0f} s, {tally.unchanged} of "
        f"them 304, errors {result.errors or 'none'}\n"
        f"CPU {100 * share:.1f} % of one core (aim: at most {100 * AIM_SHARE:.0f} %), p50 "
        f"{result.quantile_ms(0.5):.1f} ms, p99 {result.quantile_ms(0.99):.1f} ms, "
        f"{result.cpu_per_thousand:.2f} CPU s per 1,000 polls, {resident_mib(server.pid):.0f} MiB\n"
        f"A poll was sent at most {tally.late_seconds:.2f} s late: more than a second, and it was "
        "the callers that were too slow"
    )
    return {
        "server": server.name,
        "schedulers": options.schedulers,
        "interval_seconds": options.interval,
        "polls": result.requests,
        "not_modified": tally.unchanged,
        "errors": result.errors,
        "cpu_share": round(share, 4),
        "aim": AIM_SHARE,
        "p50_ms": round(result.quantile_ms(0.5), 2),
        "p99_ms": round(result.quantile_ms(0.99), 2),
        "memory_mib": round(resident_mib(server.pid), 1),
    }
