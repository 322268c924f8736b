"""Keep a tar stream inside the directory that it is extracted to.

GNU tar removes leading slashes and ".." from names and delays symbolic links that point outside,
all within one archive. Two ways out are left to a hostile chain of archives: a symbolic link that
an earlier level (or the user) has placed in the target and a later member goes through, and the
records of an incremental archive that rename and purge directories. So this looks at every header
before tar does, and asks for the shape that `tar --listed-incremental` always has: all directories
come first, each after the one it is in, then everything else, each in one of these directories.
In such a stream no member's path can lead through a link.
"""

# Names of an archive are bytes, which pathlib does not take.
# ruff: noqa: PTH108, PTH118

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from freezer_agent.engines.tar_members import Kind, Member, MemberWalk
from freezer_agent.engines.tar_moves import (
    FormerPlaces,
    MalformedMoves,
    Move,
    find_moves,
    pair_up,
    without_moves,
)
from freezer_agent.errors import Damaged

# A directory of a million names has about 30 MB of records, and tar holds them in memory as well.
_MOST_EXTENSION_BYTES = 64 << 20
_ROOT = b""


def guarded(
    chunks: Iterable[bytes],
    target: bytes,
    on_missing: Callable[[bytes], None] = lambda _name: None,
) -> Iterator[bytes]:
    """The same chunks, each checked before it is passed on; recorded moves are carried out.

    Damaged for an archive that is cut, holed, altered or could reach out of `target`. A symbolic
    link in the target where the archive has a directory is removed. An archive that moves
    directories is held until all its directories are known; they are then moved in `target`, and
    the archive that is passed on moves none. `on_missing` gets each directory that should have
    unchanged files and does not.
    """
    guard = _Guard(target)
    walk = MemberWalk(guard.check, _MOST_EXTENSION_BYTES)
    held: list[bytes] = []
    for chunk in chunks:
        walk.feed(chunk)
        if guard.waits:
            held.append(chunk)
        elif held:
            held.append(chunk)
            yield guard.settled(b"".join(held), on_missing)
            held.clear()
        elif guard.has_moves:
            yield guard.settled(chunk, on_missing)
        else:
            yield chunk
    walk.finish()
    if held:
        yield guard.settled(b"".join(held), on_missing)


class _Guard:
    def __init__(self, target: bytes) -> None:
        self._target = target
        self._directories = {_ROOT}
        self._in_directories = True
        self._is_first = True
        self._moves: list[Move] = []
        self._first_records = b""
        self._first_end = 0
        self._records: dict[bytes, bytes] = {}

    @property
    def has_moves(self) -> bool:
        """Whether the archive moves directories, and nothing has been done about it yet."""
        return bool(self._first_end)

    @property
    def waits(self) -> bool:
        """Whether it does, and not all directories are known."""
        return self.has_moves and self._in_directories

    def settled(self, beginning: bytes, on_missing: Callable[[bytes], None]) -> bytes:
        """Move the directories; the beginning of the archive without what moves them."""
        end, records = self._first_end, self._first_records
        if beginning.count(records, 0, end) != 1:
            raise _hostile(b".", "renames directories twice")
        for name in FormerPlaces(self._target, self._moves, self._records).carry_out():
            on_missing(name)
        self._first_end = 0
        self._records.clear()
        return beginning[:end].replace(records, without_moves(records)) + beginning[end:]

    def check(self, member: Member) -> None:
        if member.is_cut:
            raise _hostile(b"?", "has a header of more than 64 MiB")
        name = _inside(member.name)
        if member.kind is Kind.DIRECTORY:
            self._check_directory(name, member)
        else:
            self._check_other(name, member)
        self._is_first = False

    def _check_directory(self, name: bytes, member: Member) -> None:
        if not self._in_directories:
            raise _hostile(name, "is a directory that comes after files")
        self._check_parent(name)
        self._directories.add(name)
        path = os.path.join(self._target, name)
        if name != _ROOT and _is_symlink(path):
            os.unlink(path)
        records = member.directory_records
        if moves := find_moves(records):
            if not self._is_first:
                raise _hostile(name, "renames other directories late")
            self._take_moves(moves, member)
        if self._first_end:
            self._records[name] = records

    def _take_moves(self, entries: list[tuple[int, bytes]], member: Member) -> None:
        """Remember what the first member moves; all names must stay inside."""
        inside = [(code, _inside(raw)) for code, raw in entries]
        try:
            self._moves = pair_up(inside)
        except MalformedMoves:
            raise _hostile(b".", "renames a directory to nothing") from None
        self._first_records = member.directory_records
        self._first_end = member.extent.end

    def _check_other(self, name: bytes, member: Member) -> None:
        self._in_directories = False
        self._check_parent(name)
        if name in self._directories:
            raise _hostile(name, "is a directory and something else")
        if member.kind is Kind.FILE and member.name.endswith(b"/"):
            raise _hostile(name, "is a file with the name of a directory")
        if member.directory_records:
            raise _hostile(name, "has the records of a directory but is none")
        if member.kind is Kind.HARD_LINK:
            self._check_parent(_inside(member.link_name))

    def _check_parent(self, name: bytes) -> None:
        if name.rpartition(b"/")[0] not in self._directories:
            raise _hostile(name, "lies in a directory that the archive does not hold")


def _inside(name: bytes) -> bytes:
    """The name relative to the target, without dots and doubled slashes; b"" is the target."""
    if name.startswith(b"/"):
        raise _hostile(name, "is absolute")
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise _hostile(name, "leads upwards")
    return b"/".join(parts)


def _mode(path: bytes) -> int:
    """The mode of what is there, of a link itself; 0 if there is nothing."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _is_symlink(path: bytes) -> bool:
    return stat.S_ISLNK(_mode(path))


def _hostile(name: bytes, why: str) -> Damaged:
    return Damaged(
        f"the archive was not made by a backup, or was altered: its member {name!r} {why}; "
        "nothing more of it is extracted"
    )
