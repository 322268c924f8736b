"""Several storages as one to write to: every object goes to each of them, at the same time.

A member that fails is left out from then on; the rest goes on without it. One that is slow falls
behind: the others get what comes after the stream at once, so that their copies are complete, and
it gets that when it has the stream, in `catching_up`. Which members have a complete copy, and what
became of the others, is told afterwards. Reading a copy with the choice between several is not
done here: see `actions.several`.
"""

import contextlib
import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from freezer_agent.errors import ObjectExists, ObjectNotFound, StorageError, StorageUnavailable
from freezer_agent.pipeline.streams import counted
from freezer_agent.storages.base import ContainerUsage, StoredObject
from freezer_agent.storages.keys import folder_parts, key_parts
from freezer_agent.storages.lanes import Lane, LaneLimits, ends, fan_out, stop
from freezer_agent.storages.member import Member
from freezer_agent.storages.postponed import Postponed
from freezer_agent.storages.retrying import without_start

log = logging.getLogger(__name__)

Result = TypeVar("Result")
# The class has a method of that name.
_Members = list[Member]


class NoStorageLeft(StorageError):
    """Every one of several storages has failed."""

    def __init__(self, members: Sequence[Member]) -> None:
        told = "; ".join(f"storage {one.name}: {one.failure}" for one in members)
        super().__init__(f"no storage is left: {told}")


class Mirrored:
    """Writes to all of `members`; lists what any of them holds.

    Raises NoStorageLeft where each of them has failed, and else only the errors that are answers.
    """

    kind = "mirrored"

    def __init__(self, members: Sequence[Member], limits: LaneLimits) -> None:
        self.members = tuple(members)
        self._limits = limits
        self._ended = threading.Condition()
        self._behind: dict[Member, Lane] = {}
        self._postponed: dict[Member, list[Postponed]] = {}
        self._kept: list[Postponed] = []

    def live(self) -> list[Member]:
        """The members that have not failed. NoStorageLeft if there is none."""
        live = [member for member in self.members if member.failure is None]
        if not live:
            raise NoStorageLeft(self.members)
        return live

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the stream in every member, at once; the size if at least one has it whole."""
        key_parts(key)  # a wrong key is no fault of a storage
        if not self._in_step():
            _exhaust(self.catching_up())
        if isinstance(chunks, list | tuple):
            if self._behind:
                self._postpone(Postponed(key, chunks))
            if not self._each(lambda member: member.write(key, chunks)):
                _exhaust(self.catching_up())
            return sum(map(len, chunks))
        total = 0

        def add(size_bytes: int) -> None:
            nonlocal total
            total += size_bytes

        stream = counted(chunks, add)
        if self._behind:
            postponed = Postponed(key)
            self._postpone(postponed)
            stream = postponed.kept(stream)
        self._write_stream(key, stream)
        if self._behind and not self._in_step():
            _exhaust(stream)
            _exhaust(self.catching_up())
        self.live()
        return total

    def catching_up(self) -> Iterator[bytes]:
        """Wait for members that are behind, and give them what the others have got since.

        Yields an empty chunk once a second. Ending it early gives up those that are still behind:
        their copies never become visible. So does everything but `write` before this.
        """
        lanes = dict(self._behind)
        try:
            for _ in ends(list(lanes.values()), self._ended):
                for member in [member for member in self._behind if lanes[member].is_closed]:
                    self._catch_up(member)
                yield b""
            for member in list(self._behind):
                self._catch_up(member)
        finally:
            for member in self._stop_behind():
                member.set_aside(StorageUnavailable("the run ended before it had everything"))

    def create(self, key: str, content: bytes) -> None:
        """Store `content` in every member, or in none if one has such an object."""
        self._stop_behind()
        key_parts(key)
        created: list[Member] = []
        for member in self.live():
            try:
                member.create(key, content)
            except ObjectExists:
                for other in created:
                    other.delete(key)
                raise
            except StorageError:
                continue
            created.append(member)
        self.live()

    def read(self, key: str) -> Iterator[bytes]:
        """The object as the first member holds it; another one goes on where a member fails.

        What was written to all of them is the same everywhere.
        """
        self._stop_behind()
        key_parts(key)
        passed_bytes = 0
        for member in self.live():
            try:
                for chunk in without_start(member.read(key), passed_bytes):
                    yield chunk
                    passed_bytes += len(chunk)
            except StorageError:
                continue
            return
        self.live()
        raise ObjectNotFound(key)

    def usage(self) -> list[ContainerUsage]:
        """The containers of all members."""
        self._stop_behind()
        return [one for found in self._each(Member.usage) for one in found]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object that any member holds, ordered by key; the size is that of the first."""
        self._stop_behind()
        folder_parts(prefix)
        listings = self._each(lambda member: list(member.list(prefix)))
        merged = heapq.merge(*listings, key=lambda stored: stored.key)
        for _, same in itertools.groupby(merged, key=lambda stored: stored.key):
            yield next(same)

    def delete(self, key: str) -> None:
        """Remove the object from every member."""
        self._stop_behind()
        key_parts(key)
        self._each(lambda member: member.delete(key))

    def __enter__(self) -> Self:
        self._each(Member.__enter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for member in self.members:
            member.__exit__(kind, error, trace)

    def _each(self, action: Callable[[Member], Result]) -> Sequence[Result]:
        """The results of the members that did not fail, all asked at the same time."""
        live = self._in_step()
        with ThreadPoolExecutor(len(live), "storage") as pool:
            waiting = [pool.submit(action, member) for member in live]
        results = []
        for asked in waiting:
            error = asked.exception()
            if error is None:
                results.append(asked.result())
            elif not isinstance(error, StorageError):
                raise error
        self.live()
        return results

    def _in_step(self) -> _Members:
        """The members that have not failed and are not behind."""
        return [member for member in self.live() if member not in self._behind]

    def _await(self, lanes: Sequence[Lane]) -> None:
        """Wait for all; once one has the whole stream, for the others only so long."""
        grace_seconds = self._limits.grace_seconds
        for seconds in ends(lanes, self._ended):
            if any(lane.size_bytes is not None for lane in lanes):
                grace_seconds -= seconds
                if grace_seconds <= 0:
                    return

    def _write_stream(self, key: str, stream: Iterator[bytes]) -> None:
        """To all that are in step; who is not done a while after the first is behind then."""
        lanes = {member: self._lane(member, key) for member in self._in_step()}
        try:
            fan_out(stream, list(lanes.values()))
            self._await(list(lanes.values()))
        except BaseException:
            stop(list(lanes.values()))
            raise
        for member, lane in lanes.items():
            if lane.is_closed:
                _settle(member, lane)
            else:
                log.info("storage %s is slow: the others do not wait for it", member.name)
                self._behind[member] = lane
                self._postponed[member] = []

    def _postpone(self, postponed: Postponed) -> None:
        for member in self._behind:
            self._postponed[member].append(postponed)
        self._kept.append(postponed)

    def _catch_up(self, member: Member) -> None:
        _settle(member, self._behind.pop(member))
        rest = self._postponed.pop(member)
        if member.failure is not None:
            return
        log.info("storage %s has the stream now, and gets the rest", member.name)
        with contextlib.suppress(StorageError):  # it is set aside with the reason
            for postponed in rest:
                member.write(postponed.key, postponed.chunks())

    def _stop_behind(self) -> _Members:
        """End what is still on its way, and say whose; one that does not end is set aside."""
        behind = dict(self._behind)
        stop(list(behind.values()))
        self._behind.clear()
        self._postponed.clear()
        for postponed in self._kept:
            postponed.close()
        self._kept.clear()
        for member, lane in behind.items():
            if not lane.is_done:
                member.set_aside(StorageUnavailable("it does not answer"))
        return list(behind)

    def _lane(self, member: Member, key: str) -> Lane:
        def write(pieces: Iterator[bytes]) -> int:
            return member.write(key, pieces)

        return Lane(member.name, write, self._limits, self._ended)


def _exhaust(chunks: Iterable[bytes]) -> None:
    """Wait for the end."""
    for _ in chunks:
        pass


def _settle(member: Member, lane: Lane) -> None:
    """A lane that stalled fails its storage too; an error of another kind is a defect of ours."""
    if isinstance(lane.error, StorageError):
        member.set_aside(lane.error)
    elif lane.error is not None:
        raise lane.error
