"""The same requests on a store as it grows: what grows with it, and what does not."""

import argparse
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from api_load import Connection, Request, Requests, Result, resident_mib, run
from api_operations import backup_body, poll
from api_servers import ROOT, Server, Size, ours_on_elasticsearch, ours_on_sqlite

PROJECT = "/v2/invented-0"
"""Of the loader, all of whose documents are in one project here."""
JOBS_PER_CLIENT = 10
AIM = 1.5
PAGE = 10
FAR_PAGE = 1000
MAKE = {"ours-sqlite": ours_on_sqlite, "ours-elasticsearch": ours_on_elasticsearch}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--servers", nargs="+", choices=list(MAKE), default=["ours-sqlite"])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)


def measure(options: argparse.Namespace) -> list[dict[str, object]]:
    """Every size of every server; the smallest size comes first and is what others are held to.

    One service and one store grow, so that the memory of its workers is seen to stay as it is.
    """
    rows: list[dict[str, object]] = []
    print(
        f"{'server':19} {'backups':>9} {'operation':14} {'p50 ms':>8} {'p99 ms':>8} {'x':>5} "
        f"{'cpu/1000':>9} {'x':>5} {'MiB':>6}  errors"
    )
    for name in options.servers:
        first: dict[str, Result] = {}
        shape = Size(workers=options.workers, threads=options.threads)
        with (
            tempfile.TemporaryDirectory(prefix="freezer-bench-") as folder,
            MAKE[name](Path(folder), shape) as server,
        ):
            for size in sorted(options.sizes):
                _load(server, size, options.jobs)
                rows += _one_size(server, size, options, first)
    return rows


def _load(server: Server, backups: int, jobs: int) -> None:
    """Fill the store up to this; what the loader made before is not made again."""
    command = [
        *(sys.executable, "-m", "freezer_api.cli.manage", "--config-file", str(server.config)),
        *("db", "load", "--projects", "1", "--clients", str(max(1, jobs // JOBS_PER_CLIENT))),
        *("--backups", str(backups), "--jobs", str(jobs)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The store could not be filled: {done.stderr[-1000:]}")


def _one_size(
    server: Server, size: int, options: argparse.Namespace, first: dict[str, Result]
) -> list[dict[str, object]]:
    rows = []
    for name, make in _operations(server).items():
        result = run(
            server.port,
            server.pid,
            make,
            concurrency=options.concurrency,
            seconds=options.seconds,
        )
        held_to = first.setdefault(name, result)
        rows.append(_shown(server, size, name, result, held_to))
    return rows


def _operations(server: Server) -> dict[str, Callable[[int], Requests]]:
    """The requests, on documents that the store names itself."""
    connection = Connection(server.port)

    def first_ten(kind: str) -> list[dict[str, object]]:
        path = f"{PROJECT}/{kind}?limit=10"
        documents: list[dict[str, object]] = connection.send(
            Request(method="GET", path=path)
        ).json()[kind]
        return documents

    jobs, backups = first_ten("jobs"), first_ten("backups")
    connection.close()
    clients = [str(job["client_id"]) for job in jobs]
    ids = [str(job["job_id"]) for job in jobs]
    described = [dict(backup["backup_metadata"]) for backup in backups]  # type: ignore[call-overload]

    def repeated(*requests: Request) -> Callable[[int], Requests]:
        def turns(caller: int) -> Requests:
            for number in itertools.count(caller):
                yield requests[number % len(requests)]

        return turns

    def page(number: int) -> Request:
        path = f"{PROJECT}/backups?limit={PAGE}&offset={(number - 1) * PAGE}"
        return Request(method="GET", path=path)

    def creates(caller: int) -> Requests:
        for number in itertools.count(caller * 1_000_000):
            body = backup_body(number)
            yield Request(method="POST", path=f"{PROJECT}/backups", body=body, expected=(201,))

    polls = [
        Request(method="GET", path=f"{PROJECT}/jobs?limit=10", body=poll(client))
        for client in clients
    ]
    # One document each, or the answers would grow with the store rather than their cost.
    searches = [
        Request(
            method="GET",
            path=f"{PROJECT}/backups?limit=1",
            body={
                "match": [
                    {"backup_name": each["backup_name"]},
                    {"hostname": each["hostname"]},
                ]
            },
        )
        for each in described
    ]
    gets = [Request(method="GET", path=f"{PROJECT}/jobs/{job}") for job in ids]
    return {
        "poll": repeated(*polls),
        "list page 1": repeated(page(1)),
        f"page {FAR_PAGE}": repeated(page(FAR_PAGE)),
        "search": repeated(*searches),
        "get": repeated(*gets),
        "create": creates,
    }


def _shown(
    server: Server, size: int, name: str, result: Result, held_to: Result
) -> dict[str, object]:
    slower = result.quantile_ms(0.99) / (held_to.quantile_ms(0.99) or float("nan"))
    dearer = result.cpu_per_thousand / (held_to.cpu_per_thousand or float("nan"))
    memory = resident_mib(server.pid)
    print(
        f"{server.name:19} {size:9} {name:14} {result.quantile_ms(0.5):8.1f} "
        f"{result.quantile_ms(0.99):8.1f} {slower:5.2f} {result.cpu_per_thousand:9.3f} {dearer:5.2f} "
        f"{memory:6.0f}  {result.errors or 'none'}",
        flush=True,
    )
    return {
        "server": server.name,
        "backups": size,
        "operation": name,
        "p50_ms": round(result.quantile_ms(0.5), 2),
        "p99_ms": round(result.quantile_ms(0.99), 2),
        "p99_times_smallest": round(slower, 2),
        "cpu_seconds_per_1000": round(result.cpu_per_thousand, 4),
        "cpu_times_smallest": round(dearer, 2),
        "memory_mib": round(memory, 1),
        "errors": result.errors,
        "aim": AIM,
    }
