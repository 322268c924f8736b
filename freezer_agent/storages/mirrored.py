"""Several storages as one to write to: every object goes to each of them, at the same time.

A member that fails is left out from then on; the rest goes on without it. Which members have a
complete copy, and what became of the others, is told afterwards. Reading a copy with the choice
between several is not done here: see `actions.several`.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from freezer_agent.errors import ObjectExists, ObjectNotFound, StorageError
from freezer_agent.storages.base import ContainerUsage, StoredObject
from freezer_agent.storages.keys import folder_parts, key_parts
from freezer_agent.storages.lanes import Lane, LaneLimits, fan_out
from freezer_agent.storages.member import Member
from freezer_agent.storages.retrying import without_start

Result = TypeVar("Result")


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

    def live(self) -> list[Member]:
        """The members that have not failed. NoStorageLeft if there is none."""
        live = [member for member in self.members if member.failure is None]
        if not live:
            raise NoStorageLeft(self.members)
        return live

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the stream in every member, at once; the size if at least one has it whole."""
        key_parts(key)  # a wrong key is no fault of a storage
        if isinstance(chunks, list | tuple):
            return self._each(lambda member: member.write(key, chunks))[0]
        lanes = {member: self._lane(member, key) for member in self.live()}
        fan_out(chunks, list(lanes.values()))
        for member, lane in lanes.items():
            _settle(member, lane)
        self.live()
        sizes = {lane.size_bytes for lane in lanes.values() if lane.size_bytes is not None}
        return sizes.pop()

    def create(self, key: str, content: bytes) -> None:
        """Store `content` in every member, or in none if one has such an object."""
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
        return [one for found in self._each(Member.usage) for one in found]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object that any member holds, ordered by key; the size is that of the first."""
        folder_parts(prefix)
        listings = self._each(lambda member: list(member.list(prefix)))
        merged = heapq.merge(*listings, key=lambda stored: stored.key)
        for _, same in itertools.groupby(merged, key=lambda stored: stored.key):
            yield next(same)

    def delete(self, key: str) -> None:
        """Remove the object from every member."""
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
        live = self.live()
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

    def _lane(self, member: Member, key: str) -> Lane:
        return Lane(member.name, lambda pieces: member.write(key, pieces), self._limits)


def _settle(member: Member, lane: Lane) -> None:
    """A lane that stalled fails its storage too; an error of another kind is a defect of ours."""
    if isinstance(lane.error, StorageError):
        member.set_aside(lane.error)
    elif lane.error is not None:
        raise lane.error
