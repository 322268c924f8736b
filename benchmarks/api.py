"""What requests cost freezer-api, beside the former release and a bare application, in one run.

    python benchmarks/api.py [--seconds 2] [--warm-up 1] [--servers ...] [--operations ...] [--json FILE]
    python benchmarks/api.py growth [--sizes 10000 100000 1000000] [--stores DIR]
    python benchmarks/api.py polling [--schedulers 5000] [--interval 60] [--seconds 60]

`compare` (the default): every server has the same gunicorn workers and threads and gets the same
requests, one server at a time. CPU is that of the server's whole process tree per 1,000 requests,
and the last column its multiple of the ceiling's, which answers one small document. The numbers of
a machine that does other things are worth little: the load average is printed beside them.

`growth`: p99 and CPU on a store of each size, and how many times those of the smallest.

`polling`: so many schedulers poll one worker process, each once per interval, with If-None-Match.

Everything stays on the loopback and in a temporary folder. Nothing runs longer than it is told.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import api_growth
import api_polling
from api_load import Result, resident_mib, run
from api_operations import CEILING, OPERATIONS, Documents, Operation, fill
from api_servers import (
    CannotMeasure,
    Server,
    Size,
    ceiling,
    ours_on_elasticsearch,
    ours_on_sqlite,
    peer,
)

SERVERS = ("ours-sqlite", "ours-elasticsearch", "peer")
MOST_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    operation: str
    concurrency: int
    server: str
    result: Result
    multiple: float
    aim: float
    memory_mib: float

    def text(self) -> str:
        """For people."""
        result = self.result
        failed = ", ".join(f"{count} x {kind}" for kind, count in result.errors.items()) or "none"
        return (
            f"{self.operation:12} {self.concurrency:4} {self.server:19} "
            f"{result.throughput:8.0f} {result.quantile_ms(0.5):8.1f} {result.quantile_ms(0.99):8.1f} "
            f"{result.cpu_per_thousand:9.3f} {self.multiple:8.1f} {self.memory_mib:6.0f}  {failed}"
        )

    def document(self) -> dict[str, object]:
        """For programs."""
        result = self.result
        return {
            "operation": self.operation,
            "concurrency": self.concurrency,
            "server": self.server,
            "requests": result.requests,
            "throughput": round(result.throughput, 1),
            "p50_ms": round(result.quantile_ms(0.5), 2),
            "p99_ms": round(result.quantile_ms(0.99), 2),
            "errors": result.errors,
            "cpu_seconds_per_1000": round(result.cpu_per_thousand, 4),
            "multiple_of_ceiling": round(self.multiple, 2),
            "aim": self.aim,
            "memory_mib": round(self.memory_mib, 1),
        }


HEADER = (
    f"{'operation':12} {'conc':>4} {'server':19} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} "
    f"{'cpu/1000':>9} {'x ceil':>8} {'MiB':>6}  errors"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for; 1 if a server could not be had."""
    options = _parsed(sys.argv[1:] if argv is None else argv)
    print(describe_machine())
    try:
        rows = options.measure(options)
    except CannotMeasure as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        document = {"machine": describe_machine(), "arguments": sys.argv[1:], "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def describe_machine() -> str:
    """Cores, versions and how busy it is."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load average {load}"
    )


def compare(options: argparse.Namespace) -> list[dict[str, object]]:
    """Every operation on every server."""
    size = Size(workers=options.workers, threads=options.threads)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="freezer-bench-") as folder, ExitStack() as stack:
        bottom = stack.enter_context(ceiling(_made(Path(folder), "ceiling"), size))
        running: list[tuple[Server, Documents]] = []
        for name in options.servers:
            server = stack.enter_context(_start(name, _made(Path(folder), name), size, options))
            running.append((server, fill(server.port)))
        print(HEADER)
        for concurrency in options.concurrency:
            floor = _measured(bottom, CEILING, Documents(), concurrency, options.seconds)
            rows.append(_shown(CEILING, concurrency, bottom, floor, floor))
            for operation in _chosen(options.operations):
                for server, documents in running:
                    result = _measured(server, operation, documents, concurrency, options.seconds)
                    rows.append(_shown(operation, concurrency, server, result, floor))
    return rows


def _warm_up(running: list[tuple[Server, Documents]], options: argparse.Namespace) -> None:
    """What a service does for months is not the first second of a compiler at run time."""
    if not options.warm_up:
        return
    for server, documents in running:
        for operation in _chosen(options.operations):
            _measured(server, operation, documents, options.concurrency[0], options.warm_up)


def _measured(
    server: Server,
    operation: Operation,
    documents: Documents,
    concurrency: int,
    seconds: float,
) -> Result:
    return run(
        server.port,
        server.pid,
        lambda caller: operation.requests(documents, caller),
        concurrency=concurrency,
        seconds=seconds,
    )


def _shown(
    operation: Operation, concurrency: int, server: Server, result: Result, floor: Result
) -> dict[str, object]:
    row = Row(
        operation=operation.name,
        concurrency=concurrency,
        server=server.name,
        result=result,
        multiple=result.cpu_per_thousand / (floor.cpu_per_thousand or float("nan")),
        aim=operation.aim,
        memory_mib=resident_mib(server.pid),
    )
    print(row.text(), flush=True)
    return row.document()


def _start(
    name: str, folder: Path, size: Size, options: argparse.Namespace
) -> AbstractContextManager[Server]:
    if name == "ours-sqlite":
        return ours_on_sqlite(folder, size)
    if name == "ours-elasticsearch":
        return ours_on_elasticsearch(folder, size)
    return peer(folder, size, options.peer_environment)


def _made(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _chosen(names: list[str]) -> list[Operation]:
    return [each for each in OPERATIONS if each.name in names]


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(measure=compare)
    names = [operation.name for operation in OPERATIONS]
    _add_size(parser)
    parser.add_argument("--seconds", type=_seconds, default=2.0, help="of each measurement")
    parser.add_argument(
        "--warm-up", type=float, default=1.0, help="seconds of each operation before, not counted"
    )
    parser.add_argument("--concurrency", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--operations", nargs="+", choices=names, default=names)
    cache = Path(os.environ.get("FREEZER_TEST_CACHE") or Path.home() / ".cache/freezer-tests")
    parser.add_argument(
        "--peer-environment",
        type=Path,
        default=cache / "freezer-api-19.0.0",
        help="virtualenv of the former release; made if it is missing",
    )
    commands = parser.add_subparsers()
    growing = commands.add_parser("growth", help="the same operations on stores of several sizes")
    api_growth.add_arguments(growing)
    growing.set_defaults(measure=api_growth.measure)
    polling = commands.add_parser("polling", help="many schedulers, one worker")
    api_polling.add_arguments(polling)
    polling.set_defaults(measure=api_polling.measure)
    for command in (parser, growing, polling):
        command.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args(argv)


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {MOST_SECONDS}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
