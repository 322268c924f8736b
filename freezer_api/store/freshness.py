"""What all workers of one service know of an index: whether a search of it needs a refresh first.

Elasticsearch shows a write to searches after a refresh. A worker that asks for one before each search
pays a second call for nothing, as long as nobody has written; but the writer may be another worker.
So all of them look at one small piece of memory, which is made before they are forked.

Why a search without a refresh misses nothing that this service has acknowledged: a writer notes a
mark that was never used before, after the server has carried out the write and before anybody hears
of it. Who refreshes reads the mark first and notes it as refreshed afterwards. Where both are equal,
the write with this mark was done before that refresh began, and so was every write whose mark it
has replaced. Whatever the order in which others note theirs, the two are at worst unlike, which costs
a refresh. A worker that dies between a write and its mark has not acknowledged it.

What other services write is seen since a refresh counts for a moment only.
"""

import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from freezer_api.store.base import Collection

FRESH_SECONDS = 0.5
"""How long a refresh counts: others' writes shall be seen within a second of them."""

_VERSIONS = 8
"""Indices of one collection that are told apart, by the version of their mapping."""
_CELL = 3
"""Numbers of 64 bits: the last mark, the mark that was refreshed, when that refresh began."""
_PLACES = {collection: number for number, collection in enumerate(Collection)}
_SIZE = len(_PLACES) * _VERSIONS * _CELL * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A refresh that is about to begin."""

    cell: int
    mark: int
    began: int


class Freshness:
    """The memory. Safe for several threads, and for processes that were forked after it was made.

    `new_mark` gives a number of 64 bits that no process has had before; `now` is a clock in
    nanoseconds that is the same for all of them.
    """

    def __init__(
        self,
        new_mark: Callable[[], int],
        *,
        file: Path | None = None,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._new_mark = new_mark
        self._now = now
        # Eight bytes at a time, aligned: half a number is never seen.
        self._numbers = memoryview(_mapped(file)).cast("Q")

    def refresh_needed(self, collection: Collection, version: int) -> Refresh | None:
        """What to hand to `refreshed` after a refresh; None if a search sees all without."""
        cell = _cell_of(collection, version)
        now = self._now()
        mark, refreshed, began = self._numbers[cell : cell + _CELL]
        if mark == refreshed and 0 <= now - began < FRESH_SECONDS * 1e9:
            return None
        return Refresh(cell=cell, mark=mark, began=now)

    def refreshed(self, refresh: Refresh) -> None:
        """The refresh was carried out, on every copy of the index."""
        self._numbers[refresh.cell + 1] = refresh.mark
        self._numbers[refresh.cell + 2] = refresh.began

    def written(self, collection: Collection, version: int) -> None:
        """A write was or may have been carried out, and nobody has heard of it yet."""
        self._numbers[_cell_of(collection, version)] = self._new_mark()


def _cell_of(collection: Collection, version: int) -> int:
    return (_PLACES[collection] * _VERSIONS + version % _VERSIONS) * _CELL


def _mapped(file: Path | None) -> mmap.mmap:
    """Memory that is shared with children, or with everybody who has the file."""
    if file is None:
        return mmap.mmap(-1, _SIZE)
    with file.open("ab") as made:
        made.truncate(_SIZE)
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), _SIZE)
