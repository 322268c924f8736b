"""Freshness: no acknowledged write is missed, in whatever order its callers take turns."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freezer_api.store.base import Collection
from freezer_api.store.freshness import FRESH_SECONDS, Freshness, Refresh

JOBS = Collection.JOBS
MOMENT = int(FRESH_SECONDS * 1e9)


class Clock:
    """Nanoseconds that stand still."""

    def __init__(self) -> None:
        self.at = MOMENT * 100

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def freshness(clock: Clock) -> Freshness:
    return made(clock)


def made(clock: Clock, file: Path | None = None) -> Freshness:
    return Freshness(itertools.count(1).__next__, file=file, now=clock)


def refresh(freshness: Freshness, collection: Collection = JOBS, version: int = 2) -> None:
    needed = freshness.refresh_needed(collection, version)
    assert needed is not None
    freshness.refreshed(needed)


def test_an_index_of_which_nothing_is_known_needs_a_refresh(freshness: Freshness) -> None:
    assert freshness.refresh_needed(JOBS, 2) is not None


def test_one_refresh_serves_all_searches_until_the_next_write(freshness: Freshness) -> None:
    refresh(freshness)
    assert freshness.refresh_needed(JOBS, 2) is None
    assert freshness.refresh_needed(JOBS, 2) is None
    freshness.written(JOBS, 2)
    refresh(freshness)
    assert freshness.refresh_needed(JOBS, 2) is None


def test_a_refresh_counts_for_a_moment_only(freshness: Freshness, clock: Clock) -> None:
    """Others write too, of whom nothing is known here."""
    refresh(freshness)
    clock.at += MOMENT - 1
    assert freshness.refresh_needed(JOBS, 2) is None
    clock.at += 1
    assert freshness.refresh_needed(JOBS, 2) is not None


def test_the_moment_begins_with_the_refresh_and_not_with_its_end(
    freshness: Freshness, clock: Clock
) -> None:
    needed = freshness.refresh_needed(JOBS, 2)
    assert needed is not None
    clock.at += MOMENT
    freshness.refreshed(needed)
    assert freshness.refresh_needed(JOBS, 2) is not None


def test_a_clock_that_was_set_back_is_not_believed(freshness: Freshness, clock: Clock) -> None:
    """A file may outlive the boot that its times are of."""
    refresh(freshness)
    clock.at -= MOMENT * 50
    assert freshness.refresh_needed(JOBS, 2) is not None


def test_a_write_during_the_refresh_asks_for_another(freshness: Freshness) -> None:
    needed = freshness.refresh_needed(JOBS, 2)
    assert needed is not None
    freshness.written(JOBS, 2)
    freshness.refreshed(needed)
    assert freshness.refresh_needed(JOBS, 2) is not None


def test_collections_and_versions_of_an_index_are_told_apart(freshness: Freshness) -> None:
    """After an upgrade a collection is in another index, whatever was refreshed before."""
    every = [(collection, version) for collection in Collection for version in (1, 2, 3)]
    for collection, version in every:
        refresh(freshness, collection, version)
    freshness.written(JOBS, 2)
    needing = [one for one in every if freshness.refresh_needed(*one) is not None]
    assert needing == [(JOBS, 2)]


def test_a_file_is_shared_by_all_who_have_it(tmp_path: Path, clock: Clock) -> None:
    one, other = made(clock, tmp_path / "freshness"), made(clock, tmp_path / "freshness")
    refresh(one)
    assert other.refresh_needed(JOBS, 2) is None
    other.written(JOBS, 2)
    assert one.refresh_needed(JOBS, 2) is not None


def test_a_forked_process_tells_its_parent(freshness: Freshness) -> None:
    refresh(freshness)
    child = os.fork()
    if not child:
        freshness.written(JOBS, 2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert freshness.refresh_needed(JOBS, 2) is not None


class Index:
    """What an index holds, and what a search of it shows."""

    def __init__(self, freshness: Freshness) -> None:
        self.freshness = freshness
        self.held: set[str] = set()
        self.shown: set[str] = set()
        self.acknowledged: set[str] = set()

    def writer(self, name: str) -> list[Callable[[], None]]:
        """The steps of one write, between which others take turns."""

        def acknowledge() -> None:
            self.freshness.written(JOBS, 2)
            self.acknowledged.add(name)

        return [lambda: self.held.add(name), acknowledge]

    def searcher(self) -> list[Callable[[], None]]:
        """The steps of one search."""
        needed: list[Refresh] = []

        def look() -> None:
            found = self.freshness.refresh_needed(JOBS, 2)
            if found is None:
                self.require_complete()
            else:
                needed.append(found)

        def carry_out() -> None:
            if needed:
                self.shown |= self.held

        def note() -> None:
            if needed:
                self.freshness.refreshed(needed.pop())

        return [look, carry_out, note]

    def require_complete(self) -> None:
        assert self.acknowledged <= self.shown

    def require_complete_if_fresh(self) -> None:
        if self.freshness.refresh_needed(JOBS, 2) is None:
            self.require_complete()


def orders(lengths: list[int]) -> Iterator[list[int]]:
    """Every order in which so many callers can take their steps."""
    if not any(lengths):
        yield []
    for who, left in enumerate(lengths):
        if left:
            fewer = [*lengths[:who], left - 1, *lengths[who + 1 :]]
            yield from ([who, *rest] for rest in orders(fewer))


def test_no_order_of_two_writes_and_two_searches_misses_a_write(clock: Clock) -> None:
    count = 0
    for order in orders([2, 2, 3, 3]):
        index = Index(made(clock))
        callers = [
            *(index.writer("a"), index.writer("b")),
            *(index.searcher(), index.searcher()),
        ]
        for who in order:
            callers[who].pop(0)()
            index.require_complete_if_fresh()
        count += 1
    assert count == 25_200
