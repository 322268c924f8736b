"""Which of several schedulers with one client id runs a job.

They form a group at a coordination service (tooz: redis, etcd, a directory, ...). A hash ring over
the members that live gives every job one owner, and a lock is held during each run, so that a ring
which just changed gives no job two.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from freezer_scheduler.errors import CoordinationUnavailable, HeldElsewhere

_RETRY_SECONDS = 1.0


class Ownership(Protocol):
    """Whose a job is. Safe for use by several threads after `open`."""

    def open(self) -> None:
        """Join the others. Raises CoordinationUnavailable."""
        ...

    def refresh(self) -> None:
        """Learn who else lives. Raises CoordinationUnavailable; then nothing is owned."""
        ...

    def owns(self, job_id: str) -> bool:
        """Whether this scheduler is to run the job, as of the last refresh."""
        ...

    def runs_elsewhere(self, job_id: str) -> bool:
        """Whether another scheduler runs the job now. Raises CoordinationUnavailable."""
        ...

    def running(self, job_id: str) -> Any:
        """A context manager for a run of the job.

        Entering it raises HeldElsewhere if another scheduler runs the job, CoordinationUnavailable
        if that cannot be told.
        """
        ...

    def close(self) -> None:
        """Leave the others."""
        ...


class Alone:
    """One scheduler for its client id: every job is its own."""

    def open(self) -> None:
        """There is nobody to join."""

    def refresh(self) -> None:
        """There is nobody to learn of."""

    def owns(self, job_id: str) -> bool:
        """Always."""
        del job_id
        return True

    def runs_elsewhere(self, job_id: str) -> bool:
        """Never."""
        del job_id
        return False

    @contextmanager
    def running(self, job_id: str) -> Iterator[None]:
        """Nothing to hold."""
        del job_id
        yield

    def close(self) -> None:
        """There is nobody to leave."""


class Shared:
    """One of several. `group` is the client id, `member` names this scheduler for ever.

    A directory (file://) keeps the names of members that died; there each member holds a lock while
    it lives, and those whose lock is free do not count.
    """

    def __init__(self, backend_url: str, *, group: str, member: str) -> None:
        self._backend_url = backend_url
        self._group = f"freezer-scheduler-{group}".encode()
        self._member = member.encode()
        self._lock = threading.RLock()
        self._coordinator: Any = None
        self._alive: Any = None
        self._ring: Any = None
        self._ended = threading.Event()
        self._beating = threading.Lock()

    def open(self) -> None:
        """Join the group. Raises CoordinationUnavailable."""
        with self._talking("The coordination service cannot be joined"), self._lock:
            if self._coordinator is None:
                self._join()

    def refresh(self) -> None:
        """Make the ring anew. Raises CoordinationUnavailable."""
        from tooz.hashring import HashRing  # noqa: PLC0415 - an extra

        self.open()
        with self._lock:
            self._ring = None
            try:
                with self._talking("The other schedulers cannot be told"):
                    members = self._coordinator.get_members(self._group).get()
                    self._ring = HashRing(sorted(self._living(members) | {self._member}))
            except CoordinationUnavailable:
                # A service that comes back may have forgotten us: join anew.
                self.close()
                raise

    def owns(self, job_id: str) -> bool:
        """Whether the ring gives the job to us; no while there is no ring."""
        with self._lock:
            return self._ring is not None and self._member in self._ring.get_nodes(job_id.encode())

    def runs_elsewhere(self, job_id: str) -> bool:
        """Whether somebody else holds the job's lock. Raises CoordinationUnavailable."""
        try:
            with self.running(job_id):
                return False
        except HeldElsewhere:
            return True

    @contextmanager
    def running(self, job_id: str) -> Iterator[None]:
        """Hold the job's lock. Raises HeldElsewhere and CoordinationUnavailable on entering."""
        with self._talking("The lock of a job cannot be taken"), self._lock:
            if self._coordinator is None:
                raise CoordinationUnavailable("The coordination service has not been joined")
            lock = self._coordinator.get_lock(self._name("job", job_id))
            if not lock.acquire(blocking=False):
                raise HeldElsewhere(f"another scheduler of this client runs job {job_id}")
        try:
            yield
        finally:
            # What could not be given back ends with our membership.
            with suppress(CoordinationUnavailable), self._talking("A lock cannot be given back"):
                lock.release()

    def close(self) -> None:
        """Leave the group; what cannot be said is left to the service's own time limit."""
        with self._lock:
            coordinator, self._coordinator, self._ring = self._coordinator, None, None
            if coordinator is None:
                return
            self._ended.set()
            with suppress(CoordinationUnavailable), self._talking("The group cannot be left"):
                coordinator.leave_group(self._group).get()
                self._alive.release()
            with (
                suppress(CoordinationUnavailable),
                self._talking("The group cannot be left"),
                self._beating,
            ):
                coordinator.stop()

    def _join(self) -> None:
        from tooz import coordination  # noqa: PLC0415 - an extra

        coordinator = coordination.get_coordinator(self._backend_url, self._member)
        coordinator.start()
        try:
            alive = coordinator.get_lock(self._name("member", self._member.decode()))
            self._require_own_name(taken=alive.acquire(blocking=False))
            with suppress(coordination.GroupAlreadyExist):
                coordinator.create_group(self._group).get()
            # Our name may still be there from a life that was killed.
            with suppress(coordination.MemberAlreadyExist):
                coordinator.join_group(self._group).get()
        except BaseException:
            coordinator.stop()
            raise
        self._coordinator, self._alive = coordinator, alive
        if coordinator.requires_beating:
            self._ended = threading.Event()
            threading.Thread(
                target=self._beat,
                args=(coordinator, self._ended),
                name="freezer-ownership",
                daemon=True,
            ).start()

    def _beat(self, coordinator: Any, ended: threading.Event) -> None:
        """Keep our membership and locks alive.

        The library's own thread for that tries for ever where a service is away, and cannot be
        ended while it does.
        """
        pause = 0.0
        while not ended.wait(pause):
            pause = _RETRY_SECONDS
            with (
                suppress(CoordinationUnavailable),
                self._talking("The heartbeat failed"),
                self._beating,
            ):
                # A coordinator that was stopped meanwhile has nothing to send it by.
                if not ended.is_set():
                    pause = coordinator.heartbeat() / 3

    def _require_own_name(self, *, taken: bool) -> None:
        if not taken:
            raise CoordinationUnavailable(
                f"Another scheduler calls itself {self._member.decode()}, or one did that was killed "
                "a moment ago; two of them on one host need different --state-dir"
            )

    def _living(self, members: set[bytes]) -> set[bytes]:
        from tooz.coordination import Characteristics  # noqa: PLC0415 - an extra

        others = members - {self._member}
        if Characteristics.NON_TIMEOUT_BASED not in self._coordinator.CHARACTERISTICS:
            return others
        return {member for member in others if self._lives(member)}

    def _lives(self, member: bytes) -> bool:
        lock = self._coordinator.get_lock(self._name("member", member.decode()))
        if lock.acquire(blocking=False):
            lock.release()
            return False
        return True

    def _name(self, kind: str, name: str) -> bytes:
        return f"{self._group.decode()}-{kind}-{name}".encode()

    @contextmanager
    def _talking(self, doing: str) -> Iterator[None]:
        """Errors of the library inside become CoordinationUnavailable, without the URL's password."""
        errors = _library_errors()
        try:
            yield
        except errors as error:
            reason = str(error).replace(self._backend_url, "the backend") or type(error).__name__
            raise CoordinationUnavailable(f"{doing}: {reason}") from error


def _library_errors() -> tuple[type[Exception], ...]:
    """What the library raises, and what it lets through of the libraries below it.

    Raises CoordinationUnavailable if it is not installed.
    """
    try:
        import tooz  # noqa: PLC0415 - an extra
        from redis.exceptions import RedisError  # noqa: PLC0415 - of the same extra
    except ImportError as error:
        raise CoordinationUnavailable(
            "--coordination-backend-url needs the package tooz: install freezer[coordination]"
        ) from error
    return tooz.ToozError, RedisError, OSError, RuntimeError, NotImplementedError
