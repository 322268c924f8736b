"""Run external programs from argument lists: no shell, no thread, nothing left behind.

Three ways: `run` for a short command whose output is wanted whole, `stream_out` for one that makes
a stream and `feed_in` for one that takes a stream. In all three the program's stderr is read
along, so that it can never block, and its tail is part of the error. Every program leads a process
group of its own; when its user leaves early, the whole group is ended.
"""

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from freezer_agent.errors import CommandFailed

ErrorLine = Callable[[bytes], None]

_CHUNK_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20
_TAIL_BYTES = 4096
_LONGEST_LINE_BYTES = 64 * 1024
_SECONDS_TO_END = 5.0
# Nothing can refuse to die, but on a busy machine it may have to wait for the processor first.
_SECONDS_TO_DIE = 60.0
_OPEN_PIPE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a short command printed."""

    stdout: bytes
    stderr: bytes


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input_bytes: bytes = b"",
    timeout_seconds: float | None = None,
) -> Output:
    """Run a command to its end. CommandFailed if its status is not 0 or its time is up."""
    with _started(argv, cwd=cwd, env=env, stdin=subprocess.PIPE) as process:
        try:
            stdout, stderr = process.communicate(input_bytes, timeout_seconds)
        except subprocess.TimeoutExpired as error:
            _end(process)
            reason = f"gave no answer within {timeout_seconds} seconds"
            raise CommandFailed(argv, -signal.SIGTERM, reason) from error
    if process.returncode != 0:
        raise CommandFailed(argv, process.returncode, _text(stderr[-_TAIL_BYTES:]))
    return Output(stdout=stdout, stderr=stderr)


def stream_out(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Collection[int] = (),
    accept: Collection[int] = (0,),
    on_error_line: ErrorLine | None = None,
    idle_seconds: float | None = None,
) -> Generator[bytes, None, int]:
    """Start a command and yield what it writes to stdout, as it comes.

    The generator returns the exit status (for `yield from`); one that is not in `accept` raises
    CommandFailed. `on_error_line` gets every line of stderr, without its end. With `idle_seconds`
    an empty chunk is yielded when nothing has come for so long: whoever draws may want to leave.
    Closing the generator early, or an error inside it, ends the command and everything it started.
    """
    with _started(argv, cwd=cwd, env=env, pass_fds=pass_fds) as process:
        stderr = _ErrorTail(process.stderr, on_error_line)
        assert process.stdout is not None  # noqa: S101 - for the type checker: a pipe was asked for
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            stderr.register(selector)
            stdout = process.stdout.fileno()
            is_open = True
            while is_open:
                ready = [key.fd for key, _ in selector.select(idle_seconds)]
                if stderr.number in ready:
                    stderr.read(selector)
                if stdout not in ready:
                    # Many messages and no output are idleness too.
                    if idle_seconds is not None:
                        yield b""
                elif chunk := os.read(stdout, _CHUNK_BYTES):
                    yield chunk
                else:
                    is_open = False
        status = _wait_reading(process, stderr)
    if status not in accept:
        raise CommandFailed(argv, status, stderr.tail)
    return status


def feed_in(
    argv: Sequence[str],
    chunks: Iterable[bytes],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    accept: Collection[int] = (0,),
    on_error_line: ErrorLine | None = None,
) -> int:
    """Write all of `chunks` to the stdin of a command and return its exit status.

    CommandFailed if the status is not in `accept`, as soon as the command has ended. A command
    that ends well before it has read everything is content; the rest of `chunks` is still drawn,
    so that an error at its end is seen. An error of `chunks` ends the command and passes on
    unchanged.
    """
    stream = iter(chunks)
    with _started(argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=None) as process:
        stderr = _ErrorTail(process.stderr, on_error_line)
        _write_all(process, stream, stderr)
        status = _wait_reading(process, stderr)
    if status not in accept:
        raise CommandFailed(argv, status, stderr.tail)
    for _ in stream:
        pass
    return status


def _write_all(
    process: "subprocess.Popen[bytes]", chunks: Iterator[bytes], stderr: "_ErrorTail"
) -> None:
    """Write until the chunks end or the process closes its stdin, reading stderr along."""
    assert process.stdin is not None  # noqa: S101 - for the type checker: a pipe was asked for
    stdin = process.stdin.fileno()
    os.set_blocking(stdin, False)
    with selectors.DefaultSelector() as selector:
        selector.register(stdin, selectors.EVENT_WRITE)
        stderr.register(selector)
        for chunk in chunks:
            if not _write_chunk(stdin, memoryview(chunk), selector, stderr):
                break
    process.stdin.close()


def _write_chunk(
    stdin: int,
    rest: memoryview,
    selector: selectors.BaseSelector,
    stderr: "_ErrorTail",
) -> bool:
    """Write a chunk; False if nobody reads it any more."""
    while rest:
        for key, _ in selector.select():
            if key.fd != stdin:
                stderr.read(selector)
                continue
            try:
                rest = rest[os.write(stdin, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
    return True


class _ErrorTail:
    """The stderr of a process, read without blocking: its lines passed on, its end kept."""

    def __init__(self, pipe: IO[bytes] | None, on_line: ErrorLine | None) -> None:
        assert pipe is not None  # noqa: S101 - for the type checker: a pipe was asked for
        self._pipe = pipe
        self._on_line = on_line
        self._kept = b""
        self._line = b""
        self.is_open = True
        os.set_blocking(pipe.fileno(), False)

    @property
    def number(self) -> int:
        """Its file descriptor."""
        return self._pipe.fileno()

    @property
    def tail(self) -> str:
        return _text(self._kept)

    def register(self, selector: selectors.BaseSelector) -> None:
        if self.is_open:
            selector.register(self._pipe, selectors.EVENT_READ)

    def read(self, selector: selectors.BaseSelector) -> None:
        """Take what is there; leave the selector when the other side has closed."""
        try:
            text = os.read(self._pipe.fileno(), _LONGEST_LINE_BYTES)
        except BlockingIOError:
            return
        if text:
            self._take(text)
        else:
            self.is_open = False
            selector.unregister(self._pipe)
            self._take(b"\n" if self._line else b"")

    def _take(self, text: bytes) -> None:
        self._kept = (self._kept + text)[-_TAIL_BYTES:]
        if self._on_line is None:
            return
        *lines, rest = (self._line + text).split(b"\n")
        for line in lines:
            self._on_line(line)
        self._line = rest[-_LONGEST_LINE_BYTES:]


def _wait_reading(process: "subprocess.Popen[bytes]", stderr: _ErrorTail) -> int:
    """Wait for the end of the process, and read its stderr until then and a little longer.

    The process may have left a child that holds the pipe open: its end is not waited for.
    """
    with selectors.DefaultSelector() as selector:
        stderr.register(selector)
        while stderr.is_open:
            ended = process.poll() is not None
            if selector.select(0 if ended else _OPEN_PIPE_SECONDS):
                stderr.read(selector)
            elif ended:
                break
    return process.wait()


@contextlib.contextmanager
def _started(
    argv: Sequence[str],
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: int | None = None,
    stdout: int | None = subprocess.PIPE,
    pass_fds: Collection[int] = (),
) -> Iterator["subprocess.Popen[bytes]"]:
    """A running process; none of its group is left when the block is left."""
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise CommandFailed(argv, 127, f"cannot be started: {error}") from error
    try:
        for pipe in (process.stdin, process.stdout):
            _widen(pipe)
        yield process
    finally:
        _end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _widen(pipe: IO[bytes] | None) -> None:
    # Fewer hand-overs between the processes; the kernel may refuse when the user has many pipes.
    if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process group: TERM, then KILL. Nothing to do if it has ended."""
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


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
