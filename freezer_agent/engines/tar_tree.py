"""The files of a chain of tar archives at its newest level, and which archive has each of them.

Levels are put over each other as their extraction would do it: recorded moves, then removals,
then what the archive brings. All of it happens in an SQLite file, which holds a million names
without holding them in memory.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from freezer_agent.engines.base import Entry, SourceNotes, Streams
from freezer_agent.engines.selection import Selection
from freezer_agent.engines.tar_listing import members_of
from freezer_agent.engines.tar_members import Kind, Member
from freezer_agent.engines.tar_moves import (
    Entries,
    FormerPlaces,
    Move,
    deepest_first,
    highest_first,
)
from freezer_agent.engines.tar_shape import ShapeCheck

_SCHEMA = """
CREATE TABLE node (
    parent BLOB NOT NULL, name BLOB NOT NULL,
    kind TEXT NOT NULL, size INTEGER NOT NULL, modified REAL NOT NULL, mode INTEGER NOT NULL,
    owner INTEGER NOT NULL, grp INTEGER NOT NULL, link BLOB NOT NULL,
    level INTEGER NOT NULL, member BLOB NOT NULL, header BLOB,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE TABLE wanted (level INTEGER, member BLOB, PRIMARY KEY (level, member)) WITHOUT ROWID;
"""
_INSERT = "INSERT OR REPLACE INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BELOW = "(parent = :name OR (parent > :slash AND parent < :after))"
_ROWS_AT_ONCE = 2000

Extract = Callable[[Path, Iterable[bytes], SourceNotes], None]
Row = tuple[Any, ...]


class TarTree:
    """See `Tree`. `extract` runs tar on a stream of members, in a directory."""

    def __init__(self, work: Path, extract: Extract) -> None:
        self._file = work / "tree.sqlite"
        self._extract = extract
        self._levels = 0
        self._rows: list[Row] = []

    def __enter__(self) -> Self:
        self._database = sqlite3.connect(self._file, isolation_level=None)
        # The file is made anew for every run: nothing has to survive a crash.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_SCHEMA)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
        self._file.unlink(missing_ok=True)

    def add_level(self, chunks: Iterable[bytes], *, has_contents: bool) -> None:
        """Put the next level over what is there. Damaged for what no backup writes."""
        check = ShapeCheck()
        pending: dict[bytes, bytes] = {}
        self._database.execute("BEGIN")
        for member, header in members_of(chunks, has_contents=has_contents):
            name = check.name_of(member)
            if member.kind is not Kind.DIRECTORY:
                self._settle(check.moves, pending)
                self._add(name, member, None)
                if len(self._rows) >= _ROWS_AT_ONCE:
                    self._flush()
                continue
            pending[name] = member.directory_records
            if not check.moves:
                # With moves all directories have to be known first.
                self._settle((), pending)
            if name:
                self._add(name, member, header)
            if len(self._rows) >= _ROWS_AT_ONCE and not check.moves:
                self._flush()
        self._settle(check.moves, pending)
        self._flush()
        self._database.execute("COMMIT")
        self._levels += 1

    def entries(self, selection: Selection) -> Iterator[Entry]:
        """The selected names, those of a directory together."""
        for row in self._database.execute("SELECT * FROM node"):
            name = joined(row[0], row[1])
            if name in selection:
                yield Entry(
                    name=name,
                    kind=row[2],
                    size_bytes=row[3],
                    modified_seconds=row[4],
                    mode=row[5],
                    owner=row[6],
                    group=row[7],
                    link=row[8],
                    level=row[9],
                )

    def restore(
        self,
        selection: Selection,
        streams: Streams,
        target: Path,
        notes: SourceNotes,
    ) -> int:
        """Bring the selected names into `target`; see `Tree`."""
        from freezer_agent.engines.tar_picking import Picking  # noqa: PLC0415  # uses this module

        return Picking(self, self._extract, streams, notes).restore(selection, target)

    def chosen(self, selection: Selection) -> Iterator[tuple[bytes, Row]]:
        """The rows of the selected names: parent, name, kind, level, member, header, link."""
        rows = self._database.execute(
            "SELECT parent, name, kind, level, member, header, link FROM node"
        )
        for row in rows:
            name = joined(row[0], row[1])
            if name in selection:
                yield name, row

    def want(self, level: int, member: bytes) -> None:
        """Remember a member to take from the stream of a level."""
        self._database.execute("INSERT OR IGNORE INTO wanted VALUES (?, ?)", (level, member))

    def wants(self, level: int, member: bytes) -> bool:
        """Whether it was asked for."""
        found = self._database.execute(
            "SELECT 1 FROM wanted WHERE level = ? AND member = ?", (level, member)
        )
        return found.fetchone() is not None

    def wanted_levels(self) -> list[int]:
        """The levels that have members asked for."""
        return [
            row[0] for row in self._database.execute("SELECT DISTINCT level FROM wanted ORDER BY 1")
        ]

    def header_of(self, directory: bytes) -> bytes | None:
        """The header of a directory, as the newest archive has it."""
        parent, _, name = directory.rpartition(b"/")
        row = self._database.execute(
            "SELECT header FROM node WHERE parent = ? AND name = ?", (parent, name)
        ).fetchone()
        return row[0] if row else None

    def _add(self, name: bytes, member: Member, header: bytes | None) -> None:
        parent, _, last = name.rpartition(b"/")
        kind = "file" if member.kind is Kind.FILE else member.kind.name.lower().replace("_", " ")
        row = (
            *(parent, last, kind, member.size_bytes, member.modified_seconds, member.mode),
            *(member.owner, member.group, member.link_name, self._levels, name, header),
        )
        self._rows.append(row)

    def _flush(self) -> None:
        if self._levels:
            for parent, last, *_, header in self._rows:
                if header is None:
                    self._remove_below(joined(parent, last))
        self._database.executemany(_INSERT, self._rows)
        self._rows.clear()

    def _settle(self, moves: Sequence[Move], pending: dict[bytes, bytes]) -> None:
        """Move what moved, and remove what the records of these directories do not name."""
        if self._levels:
            if moves and pending:
                self._move(moves, pending)
            for name, records in pending.items():
                self._keep_only(name, records)
        pending.clear()

    def _keep_only(self, directory: bytes, records: bytes) -> None:
        """Remove what the records of a directory do not name."""
        named = {entry[1:] for entry in records.split(b"\0") if entry[:1] in b"YND"}
        rows = self._database.execute("SELECT name FROM node WHERE parent = ?", (directory,))
        for (name,) in rows.fetchall():
            if name not in named:
                self._remove(joined(directory, name))

    def _remove(self, name: bytes) -> None:
        parent, _, last = name.rpartition(b"/")
        self._database.execute("DELETE FROM node WHERE parent = ? AND name = ?", (parent, last))
        self._remove_below(name)

    def _remove_below(self, name: bytes) -> None:
        self._database.execute(f"DELETE FROM node WHERE {_BELOW}", _below(name))  # noqa: S608  # a constant

    def _move(self, moves: Sequence[Move], directories: dict[bytes, bytes]) -> None:
        roots = FormerPlaces(moves, directories, self._entries).choose()
        aside = {name: b"//%d" % number for number, name in enumerate(roots)}
        for name in deepest_first(roots):
            self._rename(roots[name], aside[name])
        for name in highest_first(roots):
            self._remove(name)
            self._rename(aside[name], name)

    def _entries(self, directory: bytes) -> Entries | None:
        parent, _, last = directory.rpartition(b"/")
        found = self._database.execute(
            "SELECT 1 FROM node WHERE parent = ? AND name = ? AND kind = 'directory'",
            (parent, last),
        ).fetchone()
        if directory and found is None:
            return None
        entries = Entries(directories=set(), others=set())
        rows = self._database.execute("SELECT name, kind FROM node WHERE parent = ?", (directory,))
        for name, kind in rows:
            (entries.directories if kind == "directory" else entries.others).add(name)
        return entries

    def _rename(self, old: bytes, new: bytes) -> None:
        (old_parent, _, old_name), (parent, _, name) = old.rpartition(b"/"), new.rpartition(b"/")
        self._database.execute(
            "UPDATE node SET parent = ?, name = ? WHERE parent = ? AND name = ?",
            (parent, name, old_parent, old_name),
        )
        self._database.execute(
            "UPDATE node SET parent = CAST(:new || substr(parent, :from) AS BLOB) "  # noqa: S608  # constants
            f"WHERE {_BELOW}",
            {**_below(old), "new": new, "from": len(old) + 1},
        )


def _below(name: bytes) -> dict[str, Any]:
    """The bounds of the parents of all that is in a directory, at any depth."""
    return {"name": name, "slash": name + b"/", "after": name + b"0"}


def joined(parent: bytes, name: bytes) -> bytes:
    """The name of something in a directory; b"" is the top."""
    return parent + b"/" + name if parent else name
