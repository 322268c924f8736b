"""A fake coordination service: it keeps members and locks, and forgets those of the dead in time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from tooz.hashring import HashRing

from freezer_scheduler.errors import HeldElsewhere
from tests.simulation.loop import Loop

TIME_LIMIT = timedelta(seconds=30)
"""How long a member that went silent still counts, and holds its locks."""


class FakeCoordination:
    """The service of one client's schedulers."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.members: dict[str, Member] = {}
        self.holders: dict[str, Member] = {}

    def counts(self, member: "Member") -> bool:
        """Whether it lives, or died a moment ago."""
        silent = member.silent_since
        return silent is None or self._loop.now - silent < TIME_LIMIT

    def living(self) -> set[str]:
        """The names of those that count."""
        return {name for name, member in self.members.items() if self.counts(member)}


class Member:
    """An Ownership by that service; `silent_since` says when its machine died."""

    def __init__(self, service: FakeCoordination, name: str) -> None:
        self._service = service
        self._name = name
        self._ring: HashRing | None = None
        self.silent_since: datetime | None = None

    def open(self) -> None:
        self._service.members[self._name] = self

    def refresh(self) -> None:
        self.open()
        self._ring = HashRing(sorted(self._service.living()))

    def owns(self, job_id: str) -> bool:
        return self._ring is not None and self._name in self._ring.get_nodes(job_id.encode())

    def runs_elsewhere(self, job_id: str) -> bool:
        holder = self._service.holders.get(job_id)
        return holder is not None and holder is not self and self._service.counts(holder)

    @contextmanager
    def running(self, job_id: str) -> Iterator[None]:
        if self.runs_elsewhere(job_id):
            raise HeldElsewhere(f"another scheduler of this client runs job {job_id}")
        self._service.holders[job_id] = self
        try:
            yield
        finally:
            if self.silent_since is None:
                del self._service.holders[job_id]

    def close(self) -> None:
        if self._service.members.get(self._name) is self:
            del self._service.members[self._name]
