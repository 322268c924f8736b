"""Carry out the moves of directories that an incremental archive records, in place of GNU tar.

Tar knows a moved directory by its inode number, and writes "R old T new" into the records of the
archive's first directory. It carries them out in the order of its table of directories and gives
up at the first that fails. Two things make them fail although all data is there: a number that was
used again makes a new directory look like a removed one moved; and the order of the table is not
always the one in which the moves can be made (old to new and older to old, say).

So the moves are made here and tar gets an archive without them. What tells the truth are the
records of each directory of the new state: they name the entries that the archive does not bring
because they are unchanged. A directory's former place is the one that has these.
"""

# Names of an archive are bytes, which pathlib does not take.
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH118

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from freezer_agent.errors import EngineError

_ROOT = b""
_SCRATCH = b"\0"
_CODES = b"RTX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A recorded move, by names relative to the target; `source` as the archive names it."""

    source: bytes
    destination: bytes


class MalformedMoves(Exception):
    """The records are not what tar writes."""


def find_moves(records: bytes) -> list[tuple[int, bytes]]:
    """The entries of a directory's records that move directories: R from, T to, X scratch."""
    if not any(records.startswith(letter) or b"\0" + letter in records for letter in _LETTERS):
        return []
    return [(entry[0], entry[1:]) for entry in records.split(b"\0") if entry[:1] in _LETTERS]


_LETTERS = tuple(bytes([code]) for code in _CODES)


def pair_up(entries: Sequence[tuple[int, bytes]]) -> list[Move]:
    """The moves of checked entries; one by way of a scratch name becomes one move.

    MalformedMoves if an R is not followed by its T.
    """
    moves: list[Move] = []
    waiting: bytes | None = None
    aside = _SCRATCH
    for code, name in entries:
        if (code == ord("T")) != (waiting is not None):
            raise MalformedMoves
        if code == ord("R"):
            waiting = name or aside
        elif waiting is not None:
            if name:
                moves.append(Move(source=waiting, destination=name))
            else:
                aside = waiting
            waiting = None
    if waiting is not None:
        raise MalformedMoves
    return list(dict.fromkeys(moves))


def without_moves(records: bytes) -> bytes:
    """Records of the same length that move nothing.

    The letter of a move becomes one that tar passes over. With N, say, the entry would count as
    one of the directory's, and tar looks these up as if they were sorted.
    """
    entries = records.split(b"\0")
    return b"\0".join(b"/" + one[1:] if one[:1] in _LETTERS else one for one in entries)


class FormerPlaces:
    """Finds out where each directory of the new state is in the old one.

    `entries_of` tells what is in a directory of the old state; None if there is no such directory.
    """

    def __init__(
        self,
        moves: Sequence[Move],
        directories: Mapping[bytes, bytes],
        entries_of: Callable[[bytes], "Entries | None"],
    ) -> None:
        self._moves = moves
        self._directories = directories
        self._entries_of = entries_of
        self._sources = {_ROOT: _ROOT}
        self.missing: list[bytes] = []
        """Directories that should have unchanged files, which are nowhere."""

    def choose(self) -> dict[bytes, bytes]:
        """The former place of each directory that has to be moved by itself, by its new place.

        A directory without a former place is left to the archive, which brings what is in it.
        """
        claimed: set[bytes] = set()
        moved = {move.destination for move in self._moves}
        order = sorted(self._directories, key=lambda name: (name not in moved, _depth(name)))
        for name in order:
            if name == _ROOT:
                continue
            wanted = _Wanted.of(self._directories[name])
            candidates = self._candidates(name) if name in moved else self._unmoved(name)
            found = [one for one in dict.fromkeys(candidates) if one not in claimed]
            best = wanted.best_of({one: self._entries_of(one) for one in found})
            if best is not None:
                claimed.add(best)
                self._sources[name] = best
            if wanted.unchanged and (best is None or wanted.lacking(self._entries_of(best))[0]):
                self.missing.append(name)
        return {name: self._sources[name] for name in self._sources if self._is_root(name)}

    def _candidates(self, name: bytes) -> Iterator[bytes]:
        """Where a moved directory may be now: its source as it is named, or before other moves.

        Names in the records are those of the table while it was made: after some of the moves.
        """
        for position, move in enumerate(self._moves):
            if move.destination == name:
                yield move.source
                yield _before(move.source, self._moves[:position])
                yield _before(move.source, self._moves)

    def _unmoved(self, name: bytes) -> Iterator[bytes]:
        """Where any other may be: moved along with the directory it is in, or where it was."""
        parent, _, last = name.rpartition(b"/")
        if parent in self._sources:
            yield _joined(self._sources[parent], last)
        yield name

    def _is_root(self, name: bytes) -> bool:
        """Whether the directory has to be moved by itself, and not along with its parent."""
        parent, _, last = name.rpartition(b"/")
        if name == _ROOT:
            return False
        return self._sources[name] != _joined(self._sources.get(parent, _SCRATCH), last)


class PlacedDirectories:
    """Moves directories of a target."""

    def __init__(self, target: bytes) -> None:
        self._target = target

    def carry_out(self, roots: Mapping[bytes, bytes], directories: Iterable[bytes]) -> None:
        """Move what `FormerPlaces` chose.

        In the end no name of `directories` is a link or a file. EngineError if something could
        not be moved.
        """
        try:
            if roots:
                self._rearrange(roots)
            for name in sorted(directories, key=_depth):
                path = self._path(name)
                if name != _ROOT and _exists(path) and not _is_directory(path):
                    os.unlink(path)
        except OSError as error:
            where = os.fsdecode(error.filename or self._target)
            raise EngineError(
                f"a moved directory cannot be put into place: {where}: {error.strerror}"
            ) from error

    def entries(self, name: bytes) -> "Entries | None":
        """What is in a directory of the target; None if it is none, or behind a link."""
        path = self._target
        for part in name.split(b"/") if name else ():
            path = os.path.join(path, part)
            if not _is_directory(path):
                return None
        directories: set[bytes] = set()
        others: set[bytes] = set()
        with os.scandir(path) as entries:
            for entry in entries:
                kind = directories if entry.is_dir(follow_symlinks=False) else others
                kind.add(entry.name)
        return Entries(directories=directories, others=others)

    def _rearrange(self, roots: Mapping[bytes, bytes]) -> None:
        """Take all aside, the deepest first, then put all into place, the highest first."""
        scratch = tempfile.mkdtemp(prefix=b".freezer-moves-", dir=self._target)
        aside = {name: os.path.join(scratch, b"%d" % n) for n, name in enumerate(roots)}
        for name in deepest_first(roots):
            os.rename(self._path(roots[name]), aside[name])
        for name in highest_first(roots):
            self._make_way(name, os.path.join(scratch, b"old"))
            os.rename(aside[name], self._path(name))
            if _exists(os.path.join(scratch, b"old")):
                shutil.rmtree(os.path.join(scratch, b"old"))
        os.rmdir(scratch)

    def _make_way(self, name: bytes, old: bytes) -> None:
        """Make the directories above a name, and take away what is at it."""
        path = self._target
        *above, last = name.split(b"/")
        for part in above:
            path = os.path.join(path, part)
            if _exists(path) and not _is_directory(path):
                os.unlink(path)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        path = os.path.join(path, last)
        if _is_directory(path):
            os.rename(path, old)
        elif _exists(path):
            os.unlink(path)

    def _path(self, name: bytes) -> bytes:
        return os.path.join(self._target, name) if name else self._target


def deepest_first(roots: Mapping[bytes, bytes]) -> list[bytes]:
    """The new places, so that what is inside another old place is taken out of it first."""
    return sorted(roots, key=lambda name: _depth(roots[name]), reverse=True)


def highest_first(roots: Mapping[bytes, bytes]) -> list[bytes]:
    """The new places, so that a directory is there before what is put into it."""
    return sorted(roots, key=_depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """The names in a directory."""

    directories: set[bytes]
    others: set[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What a directory's former place should have."""

    unchanged: set[bytes]
    directories: set[bytes]

    @classmethod
    def of(cls, records: bytes) -> "_Wanted":
        entries = records.split(b"\0")
        return cls(
            unchanged={entry[1:] for entry in entries if entry[:1] == b"N"},
            directories={entry[1:] for entry in entries if entry[:1] == b"D"},
        )

    def best_of(self, places: Mapping[bytes, Entries | None]) -> bytes | None:
        """The first of the places that lack least."""
        return min(
            (name for name, entries in places.items() if entries is not None),
            key=lambda name: self.lacking(places[name]),
            default=None,
        )

    def lacking(self, entries: Entries | None) -> tuple[int, int]:
        """How many unchanged files are not there, and how many directories."""
        there = entries or Entries(directories=set(), others=set())
        return (len(self.unchanged - there.others), len(self.directories - there.directories))


def _before(name: bytes, moves: Sequence[Move]) -> bytes:
    """Where that which is at `name` after the moves was before them."""
    for move in reversed(moves):
        if name == move.destination or name.startswith(move.destination + b"/"):
            name = move.source + name[len(move.destination) :]
    return name


def _joined(parent: bytes, last: bytes) -> bytes:
    return parent + b"/" + last if parent else last


def _depth(name: bytes) -> tuple[int, bytes]:
    return (name.count(b"/") + 1 if name else 0, name)


def _mode(path: bytes) -> int:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _exists(path: bytes) -> bool:
    return _mode(path) != 0


def _is_directory(path: bytes) -> bool:
    return stat.S_ISDIR(_mode(path))
