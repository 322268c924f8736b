"""The pid file: the proof that one scheduler, and no other, runs for a client.

A pid in a file proves nothing, since numbers are given out again. What proves that a scheduler
lives is the lock that it holds on the file, which the kernel drops with the process.
"""

import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from freezer_scheduler.errors import AlreadyRunning, DaemonFailed

_PROGRAM = "freezer-scheduler"
_LONGEST_NAME = 100
_TRIES = 6
_PAUSE_SECONDS = 0.05


def runtime_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the pid file lies: a directory into which no other user can put anything.

    An XDG_RUNTIME_DIR that is not there, as after su, does not count.
    """
    if os.geteuid() == 0:
        return Path("/run/freezer")
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
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
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self.write_pid()
        except DaemonFailed:
            self.release()
            raise

    def write_pid(self) -> None:
        """Note the present process as the holder; for a child that goes on with the lock."""
        if self._descriptor is None:
            raise DaemonFailed(f"The pid file {self.path} is not ours to write")
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise self._cannot_write(error) from error

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

    def _cannot_write(self, error: OSError) -> DaemonFailed:
        return DaemonFailed(f"The pid file {self.path} cannot be written: {error.strerror}")

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
                time.sleep(_PAUSE_SECONDS)
            else:
                return
        raise AlreadyRunning(self._wait_for_pid(descriptor))

    def _wait_for_pid(self, descriptor: int) -> int:
        """What the holder of the lock wrote: it may have taken it just now."""
        for _ in range(_TRIES):
            pid = _read_pid(descriptor)
            if pid is not None:
                return pid
            time.sleep(_PAUSE_SECONDS)
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
