"""Run a command of the user: a pipeline of programs, without a shell."""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from freezer_agent.actions.base import Report
from freezer_agent.errors import CommandFailed
from freezer_agent.requests import CommandRequest

log = logging.getLogger(__name__)

_READ_BYTES = 65536
_KEPT_BYTES = 65536
# What only a shell understands. A last word ";" is find's.
_OF_A_SHELL = frozenset({";", "&", "&&", "<", ">", ">>", "2>", "2>&1", "&>"})
_SECONDS_TO_END = 5.0
# Nothing can refuse to die, but on a busy machine it may have to wait for the processor first.
_SECONDS_TO_DIE = 60.0

Monotonic = Callable[[], float]


@dataclass(slots=True)
class _Tail:
    """The last part of what a program printed."""

    content: bytes = b""
    cut: bool = False

    def add(self, more: bytes) -> None:
        self.content += more
        if len(self.content) > _KEPT_BYTES:
            self.content, self.cut = self.content[-_KEPT_BYTES:], True

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class _Running:
    """A pipeline that runs, and what it printed so far."""

    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    outputs: dict[IO[bytes], _Tail] = field(default_factory=dict)
    stdout: _Tail = field(default_factory=_Tail)
    stderr: _Tail = field(default_factory=_Tail)


class CommandAction:
    """Run the pipeline and wait for it; what it prints goes to the log, its last part if long.

    The programs' working directory and environment are the agent's. CommandFailed if one ends
    with another status than 0, or the time is up; a program that its successor stopped reading
    from may end by SIGPIPE.
    """

    def __init__(self, *, request: CommandRequest, monotonic: Monotonic) -> None:
        self._request = request
        self._monotonic = monotonic

    def run(self) -> Report:
        """Run it. With dry_run nothing is started."""
        pipeline = self._request.pipeline
        if self._request.dry_run:
            return self._report(_Running())
        log.info("running %s", " | ".join(argv[0] for argv in pipeline))
        seconds = self._request.timeout_seconds
        deadline = float("inf") if seconds is None else self._monotonic() + seconds
        with _started(pipeline) as running:
            self._read_all(running, deadline)
            self._wait(running, deadline)
            _log_output(running)
            _check(running, pipeline)
            return self._report(running)

    def _report(self, running: _Running) -> Report:
        return Report(
            warnings=_remarks(self._request.pipeline),
            document={
                "action": "exec",
                "dry_run": self._request.dry_run,
                "exit_codes": [process.returncode for process in running.processes],
                "stdout": running.stdout.text,
                "stderr": running.stderr.text,
            },
        )

    def _read_all(self, running: _Running, deadline: float) -> None:
        """Read what the programs print until all of them have ended, or closed their outputs."""
        with selectors.DefaultSelector() as selector:
            for pipe in running.outputs:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map() and _any_alive(running):
                for key, _ in selector.select(min(self._left(running, deadline), 0.5)):
                    _take(key.fd, running.outputs, selector)
            # What was printed just before the end; a child left behind may hold the pipe open.
            while selector.get_map() and (ready := selector.select(0)):
                for key, _ in ready:
                    _take(key.fd, running.outputs, selector)

    def _wait(self, running: _Running, deadline: float) -> None:
        for process in running.processes:
            left = self._left(running, deadline)
            try:
                process.wait(None if left == float("inf") else left)
            except subprocess.TimeoutExpired as error:
                raise self._time_is_up(running) from error

    def _left(self, running: _Running, deadline: float) -> float:
        left = deadline - self._monotonic()
        if left <= 0:
            raise self._time_is_up(running)
        return left

    def _time_is_up(self, running: _Running) -> CommandFailed:
        _log_output(running)
        reason = f"it took more than {self._request.timeout_seconds} seconds"
        return CommandFailed(self._request.pipeline[-1], -signal.SIGTERM, reason)


def _remarks(pipeline: Sequence[Sequence[str]]) -> list[str]:
    """Words that were meant for a shell, which the program takes as arguments."""
    found = [
        word
        for argv in pipeline
        for place, word in enumerate(argv, start=1)
        if (word in _OF_A_SHELL or word.endswith(";")) and (word, place) != (";", len(argv))
    ]
    advice = "no shell runs the command, use sh -c '...' for that"
    return [f"{word!r} is only an argument here: {advice}" for word in dict.fromkeys(found)]


@contextlib.contextmanager
def _started(pipeline: Sequence[Sequence[str]]) -> Iterator[_Running]:
    """The programs of the pipeline, running; none of them is left when the block is left."""
    running = _Running()
    try:
        for argv in pipeline:
            _start_next(running, argv)
        last = running.processes[-1].stdout
        assert last is not None  # noqa: S101  # a pipe was asked for
        running.outputs[last] = running.stdout
        yield running
    finally:
        for process in running.processes:
            _end(process)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def _start_next(running: _Running, argv: Sequence[str]) -> None:
    before = running.processes[-1].stdout if running.processes else None
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=before if before is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(argv, 127, f"cannot be started: {error.strerror}") from error
    if before is not None:
        # Only the next program may hold it, or the one before never sees that it is gone.
        before.close()
    running.processes.append(process)
    assert process.stderr is not None  # noqa: S101  # a pipe was asked for
    running.outputs[process.stderr] = running.stderr


def _take(
    descriptor: int,
    outputs: dict[IO[bytes], _Tail],
    selector: selectors.BaseSelector,
) -> None:
    pipe = next(pipe for pipe in outputs if pipe.fileno() == descriptor)
    if more := os.read(descriptor, _READ_BYTES):
        outputs[pipe].add(more)
    else:
        selector.unregister(pipe)


def _any_alive(running: _Running) -> bool:
    alive = [process.poll() is None for process in running.processes]
    return any(alive)


def _check(running: _Running, pipeline: Sequence[Sequence[str]]) -> None:
    last = len(pipeline) - 1
    for position, process in enumerate(running.processes):
        status = process.returncode
        if status == 0 or (position < last and status == -signal.SIGPIPE):
            continue
        raise CommandFailed(pipeline[position], status, running.stderr.text[-2000:])


def _log_output(running: _Running) -> None:
    for name, tail in (("stdout", running.stdout), ("stderr", running.stderr)):
        if tail.cut:
            log.info("%s is long, this is its end:", name)
        for line in tail.text.splitlines():
            log.info("%s: %s", name, line)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    for number, seconds in (
        (signal.SIGTERM, _SECONDS_TO_END),
        (signal.SIGKILL, _SECONDS_TO_DIE),
    ):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
