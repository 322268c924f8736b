"""One agent at a time for a set of backups.

Two locks, because neither is enough: a locked file of this host, which the kernel releases however
the process dies, and an object in the storage, which other hosts see. The object carries an
expiry and is renewed while bytes flow; one that is expired, or whose process on this host is gone,
is stale and is broken with a warning.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from freezer_agent.catalog import layout
from freezer_agent.catalog.backup import BackupName
from freezer_agent.errors import (
    BackupLocked,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageFull,
)
from freezer_agent.storages.base import Storage
from freezer_model.clock import Clock

log = logging.getLogger(__name__)

# A set is nearly always written by its own host, which sees at once that a process is gone. Only
# the crash of another host has to wait, so the time is long enough for an engine that is silent
# for hours while it looks for the first change in a huge tree.
_EXPIRES_AFTER = timedelta(hours=24)
_RENEW_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a lock. `life` tells this run of the machine and of its process from others."""

    host: str
    pid: int
    life: str

    @classmethod
    def this_process(cls, host: str) -> "Owner":
        """The owner that this process is."""
        return cls(host=host, pid=os.getpid(), life=_life_of(os.getpid()))

    def is_gone(self, here: str) -> bool:
        """Whether the process surely has ended; never true for one of another host."""
        return self.host == here and _life_of(self.pid) != self.life and _same_realm(self.life)


class SetLock:
    """The lock of one set of backups. Use `held`; call `renewing` around what takes long."""

    def __init__(
        self,
        *,
        storage: Storage,
        name: BackupName,
        place: str,
        folder: Path,
        owner: Owner,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._name = name
        self._key = layout.lock(name)
        digest = hashlib.sha256(f"{place}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
        self._file = folder / f"{digest}.lock"
        self._owner = owner
        self._clock = clock
        self._taken_at: datetime | None = None
        self._renewed_at: datetime | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold both locks while inside. BackupLocked at once if somebody else does."""
        with self._file_held():
            self._take()
            try:
                yield
            finally:
                self._release()

    def renewing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks; now and then the expiry of the lock is moved on between two."""
        for chunk in chunks:
            self.renew_if_due()
            yield chunk

    def renew_if_due(self) -> None:
        """Move the expiry on if that was last done a while ago."""
        now = self._clock()
        if self._renewed_at is not None and now - self._renewed_at >= _RENEW_EVERY:
            self._renewed_at = now
            self._storage.write(self._key, [self._document(now)])

    @contextlib.contextmanager
    def _file_held(self) -> Iterator[None]:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # The object in the storage still keeps others away.
            log.warning("no lock file on this host (%s): %s", self._file, error.strerror)
            yield
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise self._refusal(self._read_object()) from error
            yield
        finally:
            os.close(descriptor)

    def _take(self) -> None:
        now = self._clock()
        self._taken_at = self._renewed_at = now
        try:
            self._storage.create(self._key, self._document(now))
        except StorageFull as error:
            self._do_without_object(error)
        except ObjectExists as error:
            held = self._read_object()
            if held is not None and not self._is_stale(held):
                raise self._refusal(held) from error
            log.warning("breaking a stale lock of backup %s: %s", self._name, _told(held))
            self._storage.delete(self._key)
            try:
                self._storage.create(self._key, self._document(now))
            except ObjectExists as again:
                raise self._refusal(self._read_object()) from again

    def _do_without_object(self, error: StorageFull) -> None:
        """Go on with the lock of this host only: what is removed now is what makes room."""
        held = self._read_object()
        if held is not None and not self._is_stale(held):
            raise self._refusal(held) from error
        log.warning("no room for the lock of backup %s, other hosts do not see it", self._name)

    def _release(self) -> None:
        try:
            self._storage.delete(self._key)
        except StorageError as error:
            log.warning("the lock of backup %s stays until it expires: %s", self._name, error)

    def _document(self, now: datetime) -> bytes:
        taken_at = self._taken_at or now
        document = {
            **asdict(self._owner),
            "taken_at": taken_at.isoformat(),
            "expires_at": (now + _EXPIRES_AFTER).isoformat(),
        }
        return json.dumps(document).encode()

    def _read_object(self) -> "_Held | None":
        """Who the object names; None if there is none, or nothing that an agent wrote."""
        try:
            document = json.loads(b"".join(self._storage.read(self._key)))
            return _Held(
                owner=Owner(
                    host=str(document["host"]),
                    pid=int(document["pid"]),
                    life=str(document["life"]),
                ),
                taken_at=datetime.fromisoformat(document["taken_at"]),
                expires_at=datetime.fromisoformat(document["expires_at"]),
            )
        except (ObjectNotFound, ValueError, KeyError, TypeError):
            return None

    def _is_stale(self, held: "_Held") -> bool:
        return held.expires_at <= self._clock() or held.owner.is_gone(self._owner.host)

    def _refusal(self, held: "_Held | None") -> BackupLocked:
        if held is None:
            return BackupLocked(
                f"another agent on this host works on backup {str(self._name)!r}; try again when "
                "it has ended",
            )
        age = max(self._clock() - held.taken_at, timedelta(0))
        return BackupLocked(
            f"backup {str(self._name)!r} is being worked on by process {held.owner.pid} of host "
            f"{held.owner.host}, for {str(age).partition('.')[0]} (h:mm:ss); try again when it "
            "has ended",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    owner: Owner
    taken_at: datetime
    expires_at: datetime


def _told(held: _Held | None) -> str:
    if held is None:
        return "its object cannot be read"
    return f"process {held.owner.pid} of host {held.owner.host}, since {held.taken_at.isoformat()}"


def _life_of(pid: int) -> str:
    """BOOT/NAMESPACE/START of a process of this machine; START is empty if it is gone."""
    return f"{_realm()}/{_start_of(pid)}"


def _same_realm(life: str) -> bool:
    """Whether a pid of that life means something here: after a reboot it surely is gone.

    Another pid namespace of the running machine cannot be looked into; its lock has to expire.
    """
    boot, _, rest = life.partition("/")
    here_boot, _, here_rest = _realm().partition("/")
    return boot != here_boot or rest.rpartition("/")[0] == here_rest


def _realm() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown/unknown"
    return f"{boot}/{namespace}"


def _start_of(pid: int) -> str:
    """When the process started, in ticks since boot: a reused pid has another one."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = status.rpartition(b")")[2].split()
    # Field 20 after the name is the start time; a zombie (state Z) has ended already.
    return "" if fields[0] == b"Z" else fields[19].decode()
