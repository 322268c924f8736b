"""The life of the scheduler's process: the way to the background, and its signals."""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from freezer_scheduler.errors import DaemonFailed, NotRunning
from freezer_scheduler.pid_file import PidFile

__all__ = ["PidFile", "Readiness", "Signals", "daemonize", "signal_running", "stopping"]

_POLL_SECONDS = 0.05


class Readiness:
    """How a daemon tells the command that started it how the start went; said once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def ready(self) -> None:
        """The daemon works: the command ends with status 0."""
        self._say("ready")

    def failed(self, text: str) -> None:
        """The daemon gives up: the command prints the text and ends with status 1."""
        self._say(f"failed {text}")

    def _say(self, text: str) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            os.write(descriptor, text.encode()[:4000])
        except BrokenPipeError:
            pass  # The command was interrupted; the daemon does not depend on it.
        finally:
            os.close(descriptor)


def daemonize() -> Readiness:
    """Go on in the background; returns in the daemon only.

    The starting process waits for what the daemon says through the Readiness, and exits with 0, or
    with 1 after the reason on stderr, also if the daemon dies without a word. The daemon is in a
    session of its own, below "/", with its standard streams on /dev/null; descriptors and the umask
    stay. Threads do not survive: call it before any is started. A lock of a pid file taken before
    goes on with the daemon, which then has to write_pid().

    Thirty lines of our own because the libraries for it close descriptors that are needed (the lock
    of the pid file, logs) and none tells the caller whether the start succeeded.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    try:
        starter = os.fork()
    except OSError as error:
        raise DaemonFailed(f"No process could be started: {error.strerror}") from error
    if starter:
        os._exit(_verdict(reading, writing, starter))
    os.close(reading)
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
    except OSError as error:
        Readiness(writing).failed(f"No process could be started: {error.strerror}")
        os._exit(1)
    os.chdir("/")
    _streams_to_null()
    return Readiness(writing)


class Signals:
    """What signals have asked for so far; `stopping()` makes one and listens."""

    def __init__(self) -> None:
        # A socket and plain flags: a handler may interrupt anything, and would wait for ever for
        # the lock inside a threading.Event that the interrupted code holds.
        self._awake, self._waker = socket.socketpair()
        self._awake.settimeout(0)
        self._waker.settimeout(0)
        self._stop = False
        self._reload = False
        self._interrupted = False

    def is_stopping(self) -> bool:
        """Whether the process should end."""
        return self._stop

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        wanted, self._reload = self._reload, False
        return wanted

    def wait(self, seconds: float) -> None:
        """Sleep for so long, or until a signal or wake() comes; not at all once stopping."""
        if not self._stop and select.select([self._awake], [], [], max(0.0, seconds))[0]:
            with suppress(BlockingIOError):  # Another thread that waits was faster.
                self._awake.recv(4096)

    def stop(self) -> None:
        """Ask for the end as SIGTERM does, from any thread."""
        self._stop = True
        self.wake()

    def wake(self) -> None:
        """End the present wait(), or the next one at once."""
        with suppress(OSError):  # Full of wake-ups is awake enough; closed waits no more.
            self._waker.send(b".")

    def close(self) -> None:
        """Wake nobody any more. Threads that are late with stop() or wake() do no harm."""
        self._waker.close()
        self._awake.close()

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """The signal handler."""
        if number == signal.SIGHUP:
            self._reload = True
        elif number == signal.SIGINT and self._interrupted:
            raise KeyboardInterrupt
        else:
            self._interrupted = self._interrupted or number == signal.SIGINT
            self._stop = True
        self.wake()


@contextmanager
def stopping() -> Iterator[Signals]:
    """Listen to SIGTERM and SIGINT (stop) and SIGHUP (reload) for the block; main thread only.

    A second SIGINT raises KeyboardInterrupt: whoever presses Ctrl-C twice does not want to wait.
    """
    signals = Signals()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signals.receive) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.close()


def signal_running(
    pid_file: PidFile,
    number: signal.Signals,
    *,
    timeout_seconds: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Send a signal to the scheduler that runs and return its pid.

    With `timeout_seconds` it is one that ends the scheduler: returns when it has ended, or raises
    DaemonFailed when it has not by then. Raises NotRunning if there is none.
    """
    pid = pid_file.holder()
    if pid is None:
        raise NotRunning
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise NotRunning from None
    except PermissionError as error:
        raise DaemonFailed(f"The scheduler (pid {pid}) belongs to another user") from error
    if timeout_seconds is None:
        return pid
    deadline = monotonic() + timeout_seconds
    while pid_file.holder() == pid:
        if monotonic() >= deadline:
            raise DaemonFailed(
                f"The scheduler (pid {pid}) still runs {timeout_seconds:g} s after {number.name}. "
                f"It may wait for agents to end; kill -9 {pid} ends it at once."
            )
        sleep(_POLL_SECONDS)
    return pid


def _verdict(reading: int, writing: int, starter: int) -> int:
    """The exit status for the command that started the daemon."""
    try:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode(errors="replace")
        os.waitpid(starter, 0)
    except KeyboardInterrupt:
        return 130
    if said == "ready":
        return 0
    reason = said.removeprefix("failed ") or "The scheduler died while it started; see its log."
    os.write(2, f"{reason}\n".encode())
    return 1


def _streams_to_null() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)
