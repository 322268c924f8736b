"""Callers that send requests without a pause, and what that costs the server.

A client of our own, of forty lines: it shares two cores with what it measures, and takes a tenth of
the time of the standard library's.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import psutil

JIFFIES = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, and the statuses that are no error."""

    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    expected: tuple[int, ...] = (200,)

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        payload = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: freezer", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if payload:
            lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
        return "\r\n".join([*lines, "", ""]).encode() + payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


Requests = Generator[Request, Answer, None]
"""Endless: gives requests, is sent the answers."""


class Connection:
    """One connection, opened when it is needed and again after the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, request: Request) -> Answer:
        """The answer. Raises OSError."""
        reused = self._socket is not None
        try:
            return self._exchange(request)
        except OSError:
            self.close()
            if not reused:
                raise
            return self._exchange(request)

    def close(self) -> None:
        """Give the connection up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: Request) -> Answer:
        wire = self._socket = self._socket or _connected(self._port)
        wire.sendall(request.encoded())
        received = b""
        while b"\r\n\r\n" not in received:
            received += _received(wire)
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0)) if status not in {204, 304} else 0
        while len(body) < length:
            body += _received(wire)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status=status, headers=headers, body=body)


def _connected(port: int) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", port), timeout=60)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return wire


def _received(wire: socket.socket) -> bytes:
    some = wire.recv(1 << 16)
    if not some:
        raise ConnectionResetError("the server closed the connection")
    return some


@dataclass(slots=True, kw_only=True)
class Result:
    """What one run of one operation gave."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    cpu_seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many were answered, well or not."""
        return len(self.latencies)

    @property
    def throughput(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def cpu_per_thousand(self) -> float:
        """CPU seconds of the server's processes per 1,000 requests."""
        return 1000 * self.cpu_seconds / self.requests if self.requests else 0.0

    def add(self, other: "Result") -> None:
        """Take the figures of another run in."""
        self.seconds += other.seconds
        self.latencies += other.latencies
        self.cpu_seconds += other.cpu_seconds
        for kind, count in other.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count

    def quantile_ms(self, share: float) -> float:
        """A quantile of the latencies, in milliseconds."""
        ranked = sorted(self.latencies)
        return 1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def run(
    port: int,
    pid: int,
    make: Callable[[int], Requests],
    *,
    concurrency: int,
    seconds: float,
) -> Result:
    """Let so many callers work for so long; `make` gives the requests of the caller of a number."""
    for number in range(min(concurrency, 4)):  # code paths and connections of the server
        _call(port, make(number), lambda done: done >= 3, Result(), threading.Lock())
    result, lock = Result(), threading.Lock()
    before, began = cpu_seconds(pid), time.perf_counter()
    until = began + seconds

    def over(_done: int) -> bool:
        return time.perf_counter() >= until

    callers = [
        threading.Thread(target=_call, args=(port, make(number), over, result, lock))
        for number in range(concurrency)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    result.seconds = time.perf_counter() - began
    result.cpu_seconds = cpu_seconds(pid) - before
    return result


def _call(
    port: int,
    requests: Requests,
    over: Callable[[int], bool],
    result: Result,
    lock: "threading.Lock",
) -> None:
    connection = Connection(port)
    latencies: list[float] = []
    errors: dict[str, int] = {}
    request = next(requests)
    while not over(len(latencies)):
        began = time.perf_counter()
        try:
            answer = connection.send(request)
        except OSError as error:
            latencies.append(time.perf_counter() - began)
            errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
            connection.close()
            continue
        latencies.append(time.perf_counter() - began)
        if answer.status not in request.expected:
            errors[str(answer.status)] = errors.get(str(answer.status), 0) + 1
        request = requests.send(answer)
    connection.close()
    with lock:
        result.latencies += latencies
        for kind, count in errors.items():
            result.errors[kind] = result.errors.get(kind, 0) + count


def cpu_seconds(pid: int) -> float:
    """CPU time of the process, its descendants, and those of them that have ended."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def resident_mib(pid: int) -> float:
    """Resident memory of the largest worker."""
    workers = psutil.Process(pid).children(recursive=True)
    return max((worker.memory_info().rss for worker in workers), default=0) / 2**20
