"""The life of the scheduler's process: its pid file, the way to the background, its signals.

A pid in a file proves nothing, since numbers are given out again. What proves that a scheduler
lives is the lock that it holds on the file, which the kernel drops with the process.
"""

import fcntl
import hashlib
import os
import re
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Self

from freezer_scheduler.errors import AlreadyRunning, DaemonFailed, NotRunning

_PROGRAM = "freezer-scheduler"
_LONGEST_NAME = 100
_POLL_SECONDS = 0.05
_TRIES = 6


def runtime_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the pid file lies: a directory into which no other user can put anything."""
    if os.geteuid() == 0:
        return Path("/run/freezer")
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "freezer"
    home = _home()
    if home is None:
        raise DaemonFailed("This user has no home directory. Set HOME or XDG_RUNTIME_DIR.")
    return home / ".freezer"


class PidFile:
    """The one scheduler of a user and client id.

    `directory` is the user's runtime directory unless given. A scheduler of freezer 19.0.0 or
    before counts too; it leaves its pid below `old_directory`.
    """

    def __init__(
        self,
        client_id: str = "",
        *,
        directory: Path | None = None,
        old_directory: Path = Path("/tmp"),  # noqa: S108 - theirs; checked before it is believed
    ) -> None:
        suffix = f"-{_as_file_name(client_id)}" if client_id else ""
        self.path = (directory or runtime_directory()) / f"{_PROGRAM}{suffix}.pid"
        home = _home()
        self._old_path = None if home is None else old_directory / f"freezer_sched_{home.name}.pid"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock for the rest of this process's life, or until release().

        Raises AlreadyRunning, and DaemonFailed where the file cannot be made.
        """
        old = self._old_holder()
        if old is not None:
            raise AlreadyRunning(old)
        try:
            _make_private_directory(self.path.parent)
            self._descriptor = self._locked_descriptor()
            self.write_pid()
        except OSError as error:
            self.release()
            raise DaemonFailed(
                f"The pid file {self.path} cannot be written: {error.strerror or error}"
            ) from error

    def write_pid(self) -> None:
        """Note the present process as the holder; for a child that goes on with the lock."""
        if self._descriptor is None:
            raise DaemonFailed(f"The pid file {self.path} is not ours to write")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def holder(self) -> int | None:
        """The pid of the scheduler that runs, None if there is none."""
        if self._descriptor is not None:
            return os.getpid()
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._old_holder()
        except OSError as error:
            raise DaemonFailed(f"The pid file {self.path} cannot be read: {error}") from error
        try:
            return self._wait_for_pid(descriptor) if _is_locked(descriptor) else self._old_holder()
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Remove the file and drop the lock. Fine if it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        # Removed before the lock goes, or the file of a successor would be removed.
        if _same_file(descriptor, self.path):
            self.path.unlink(missing_ok=True)
        os.close(descriptor)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _locked_descriptor(self) -> int:
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o600)
            try:
                self._lock(descriptor)
                # The one before may have removed the file while we waited for the lock.
                if _same_file(descriptor, self.path):
                    os.fchmod(descriptor, 0o600)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """Take the lock. Tried for a moment: a `status` that looks holds it for an instant."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
            else:
                return
        raise AlreadyRunning(self._wait_for_pid(descriptor))

    def _wait_for_pid(self, descriptor: int) -> int:
        """What the holder of the lock wrote: it may have taken it just now."""
        for _ in range(_TRIES):
            pid = _read_pid(descriptor)
            if pid is not None:
                return pid
            time.sleep(_POLL_SECONDS)
        raise DaemonFailed(
            f"A process holds the lock on {self.path} but has not left its pid there"
        )

    def _old_holder(self) -> int | None:
        """The scheduler of an earlier release, if its file can be believed."""
        if self._old_path is None:
            return None
        try:
            descriptor = os.open(self._old_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            ours = status.st_uid == os.geteuid() and stat.S_ISREG(status.st_mode)
            if not ours or status.st_mode & 0o022:
                return None
            pid = _read_pid(descriptor)
        finally:
            os.close(descriptor)
        return pid if pid is not None and _is_our_scheduler(pid) else None


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

    Call it first, then acquire the pid file. The starting process waits for what the daemon says through the Readiness, and exits with 0, or
    with 1 after the reason on stderr, also if the daemon dies without a word. The daemon is in a
    session of its own, below "/", with its standard streams on /dev/null; descriptors and the umask
    stay. Threads do not survive: call it before any is started.

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
        os.close(writing)
        os._exit(_verdict(reading, starter))
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


def _verdict(reading: int, starter: int) -> int:
    """The exit status for the command that started the daemon."""
    try:
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


def _make_private_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise DaemonFailed(f"{path} belongs to another user, who could put a false pid there")
    if status.st_mode & 0o022:
        path.chmod(stat.S_IMODE(status.st_mode) & ~0o022)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _read_pid(descriptor: int) -> int | None:
    """The number in the file, if it is one of a process that lives."""
    text = os.pread(descriptor, 32, 0).strip()
    # Nine digits hold every pid; 0 and 1 are nobody to send a signal to.
    if not re.fullmatch(rb"[0-9]{1,9}", text) or int(text) < 2:
        return None
    return int(text) if Path(f"/proc/{int(text)}").exists() else None


def _is_our_scheduler(pid: int) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        if pid == os.getpid() or process.stat().st_uid != os.geteuid():
            return False
        arguments = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(Path(os.fsdecode(part)).name == _PROGRAM for part in arguments[:3])


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # A user id without an entry, as containers have.
        return None


def _as_file_name(client_id: str) -> str:
    """The client id as one path component, different for different ids."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", client_id)[:_LONGEST_NAME]
    if name == client_id:
        return name
    digest = hashlib.sha256(client_id.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{name}-{digest[:12]}"
