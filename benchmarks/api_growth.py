"""The same requests on stores of several sizes: what grows with them, and what does not.

All sizes are served at the same time, and each operation is measured on one after the other, in
several rounds: what else the machine does then hits all of them alike. `--stores` keeps the stores,
which take long to fill; on SQLite a copy is measured of all but the largest, so that they stay as
they are (on Elasticsearch each measurement leaves some hundred documents behind).
"""

import argparse
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from api_load import Connection, Request, Requests, Result, resident_mib, run
from api_operations import poll
from api_servers import (
    Server,
    Size,
    elasticsearch_config,
    kept_node,
    manage,
    ours_on_node,
    ours_on_sqlite,
    sqlite_config,
)

PROJECT = "/v2/invented-0"
"""Of the loader, all of whose documents are in one project here."""
JOBS_PER_CLIENT = 10
AIM = 1.5
PAGE = 10
FAR_PAGE = 1000
PLACES = 20
LEAST = 10_000
"""Backups that every size has."""
STRIDE = 7919
"""From one request to the next: a prime, so that neighbours are far from each other."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--servers", nargs="+", choices=list(_SERVED), default=["ours-sqlite"])
    parser.add_argument("--stores", type=Path, help="keep filled stores in this folder, use them")
    parser.add_argument("--only-fill", action="store_true", help="fill them and measure nothing")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)


def measure(options: argparse.Namespace) -> list[dict[str, object]]:
    """Every size of every server; the smallest size is what the others are held to."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="freezer-bench-") as folder:
        stores: Path = (options.stores or Path(folder)).resolve()
        for name in options.servers:
            with _SERVED[name](stores, options) as servers:
                if not options.only_fill:
                    rows += _measured(servers, options)
    return rows


@contextmanager
def _on_sqlite(stores: Path, options: argparse.Namespace) -> Iterator[dict[int, Server]]:
    """A service on each size. The next larger store is made of a copy of a smaller one."""
    sizes = sorted(options.sizes)
    smaller: Path | None = None
    for size in sizes:
        folder = stores / f"sqlite-{size}"
        folder.mkdir(parents=True, exist_ok=True)
        if smaller and not (folder / "freezer.sqlite").exists():
            _copy(smaller, folder)
        _fill(sqlite_config(folder), size, options.jobs)
        smaller = folder
    with ExitStack() as stack:
        servers = {}
        for size in () if options.only_fill else sizes:
            folder = stores / f"sqlite-{size}"
            if size != sizes[-1]:
                copies = tempfile.TemporaryDirectory(prefix="copy-", dir=stores)
                folder = _copy(folder, Path(stack.enter_context(copies)))
            servers[size] = stack.enter_context(ours_on_sqlite(folder, _shape(options)))
        yield servers


def _copy(source: Path, folder: Path) -> Path:
    # Whoever closes the database last puts its log into the file.
    shutil.copy(source / "freezer.sqlite", folder)
    return folder


@contextmanager
def _on_elasticsearch(stores: Path, options: argparse.Namespace) -> Iterator[dict[int, Server]]:
    """A service on each size, on indices of its own in one node."""
    stores.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url = stack.enter_context(kept_node(stores / "elasticsearch"))
        servers = {}
        for size in sorted(options.sizes):
            folder = stores / f"elasticsearch-{size}"
            folder.mkdir(exist_ok=True)
            config = elasticsearch_config(folder, url, f"growth-{size}")
            _fill(config, size, options.jobs)
            if not options.only_fill:
                servers[size] = stack.enter_context(ours_on_node(config, _shape(options)))
        yield servers


_SERVED = {"ours-sqlite": _on_sqlite, "ours-elasticsearch": _on_elasticsearch}


def _shape(options: argparse.Namespace) -> Size:
    return Size(workers=options.workers, threads=options.threads)


def _fill(config: Path, backups: int, jobs: int) -> None:
    """Fill the store up to this; what the loader made before is not made again."""
    done = config.parent / f"filled-{backups}-{jobs}"
    if done.exists():
        return
    clients = max(1, jobs // JOBS_PER_CLIENT)
    amounts = ("--clients", str(clients), "--jobs", str(jobs), "--backups", str(backups))
    manage(config, "db", "load", "--projects", "1", *amounts)
    done.touch()


def _measured(servers: dict[int, Server], options: argparse.Namespace) -> list[dict[str, object]]:
    operations = {size: _operations(server, options.jobs) for size, server in servers.items()}
    names = list(next(iter(operations.values())))
    results = {(name, size): Result() for name in names for size in servers}
    fresh = {size: resident_mib(server.pid) for size, server in servers.items()}
    for turn in range(options.rounds):
        for name, (size, server) in itertools.product(names, _turned(servers, turn)):
            result = run(
                server.port,
                server.pid,
                operations[size][name],
                concurrency=options.concurrency,
                seconds=options.seconds,
            )
            results[name, size].add(result)
    print(
        f"{'server':19} {'backups':>9} {'operation':14} {'requests':>8} {'p50 ms':>8} {'p99 ms':>8} {'x':>5} "
        f"{'cpu/1000':>9} {'x':>5} {'MiB':>9}  errors"
    )
    return [
        _shown(
            servers[size],
            size,
            name,
            result=result,
            held_to=results[name, min(servers)],
            fresh_mib=fresh[size],
        )
        for (name, size), result in results.items()
    ]


def _turned(servers: dict[int, Server], turn: int) -> list[tuple[int, Server]]:
    """Another one first each time: what comes after a write may find the disk busy."""
    first = turn % len(servers)
    return [*servers.items()][first:] + [*servers.items()][:first]


def _operations(server: Server, jobs: int) -> dict[str, Callable[[int], Requests]]:
    """The requests, on documents that the store names itself, from all over it."""
    known = _spread(server, "jobs", jobs)
    clients = [str(job["client_id"]) for job in known]
    described = [
        backup["backup_metadata"] for backup in _spread(server, "backups", min(jobs, LEAST))
    ]
    polls = [
        Request(method="GET", path=f"{PROJECT}/jobs?limit=10", body=poll(client))
        for client in clients
    ]
    # One document each, or the answers would grow with the store rather than their cost.
    searches = [
        Request(
            method="GET",
            path=f"{PROJECT}/backups?limit=1",
            body={"match": [{name: each[name]} for name in ("backup_name", "hostname")]},
        )
        for each in described
    ]
    gets = [Request(method="GET", path=f"{PROJECT}/jobs/{job['job_id']}") for job in known]
    return {
        "poll": _repeated(polls),
        "list page 1": _repeated([_page(1)]),
        f"page {FAR_PAGE}": _repeated([_page(FAR_PAGE)]),
        "search": _repeated(searches),
        "get": _repeated(gets),
        "create": lambda caller: _creations(caller, described[0], jobs),
    }


def _spread(server: Server, kind: str, number: int) -> list[dict[str, Any]]:
    """Some documents from each of several places among the first so many."""
    connection = Connection(server.port)
    found: list[dict[str, Any]] = []
    for place in range(PLACES):
        path = f"{PROJECT}/{kind}?limit=10&offset={place * number // PLACES}"
        found += connection.send(Request(method="GET", path=path)).json()[kind]
    connection.close()
    return found


def _repeated(requests: list[Request]) -> Callable[[int], Requests]:
    def turns(caller: int) -> Requests:
        for number in itertools.count(caller * STRIDE):
            yield requests[number * STRIDE % len(requests)]

    return turns


def _page(number: int) -> Request:
    path = f"{PROJECT}/backups?limit={PAGE}&offset={(number - 1) * PAGE}"
    return Request(method="GET", path=path)


def _creations(caller: int, described: dict[str, Any], jobs: int) -> Requests:
    """Records of runs of any of the jobs, one second after the other."""
    for number in itertools.count(caller * 1_000_000):
        job = number * STRIDE % jobs
        body = described | {
            "backup_name": f"data-{job}",
            "fs_real_path": f"/srv/data-{job}",
            "hostname": f"node-{job % max(1, jobs // JOBS_PER_CLIENT)}",
            "job_id": f"{job:032x}",
            "path_to_backup": f"/srv/data-{job}",
            "time_stamp": 1_800_000_000 + number,
        }
        yield Request(method="POST", path=f"{PROJECT}/backups", body=body, expected=(201,))


def _shown(
    server: Server, size: int, name: str, *, result: Result, held_to: Result, fresh_mib: float
) -> dict[str, object]:
    slower = result.quantile_ms(0.99) / (held_to.quantile_ms(0.99) or float("nan"))
    dearer = result.cpu_per_thousand / (held_to.cpu_per_thousand or float("nan"))
    memory = resident_mib(server.pid)
    print(
        f"{server.name:19} {size:9} {name:14} {result.requests:8} {result.quantile_ms(0.5):8.1f} "
        f"{result.quantile_ms(0.99):8.1f} {slower:5.2f} {result.cpu_per_thousand:9.3f} {dearer:5.2f} "
        f"{fresh_mib:4.0f}-{memory:<4.0f}  {result.errors or 'none'}",
        flush=True,
    )
    return {
        "server": server.name,
        "backups": size,
        "operation": name,
        "requests": result.requests,
        "p50_ms": round(result.quantile_ms(0.5), 2),
        "p99_ms": round(result.quantile_ms(0.99), 2),
        "p99_times_smallest": round(slower, 2),
        "cpu_seconds_per_1000": round(result.cpu_per_thousand, 4),
        "cpu_times_smallest": round(dearer, 2),
        "memory_mib_before": round(fresh_mib, 1),
        "memory_mib": round(memory, 1),
        "errors": result.errors,
        "aim": AIM,
    }
