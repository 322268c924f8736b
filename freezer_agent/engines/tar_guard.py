"""Keep a tar stream inside the directory that it is extracted to.

GNU tar removes leading slashes and ".." from names and delays symbolic links that point outside,
all within one archive. Two ways out are left to a hostile chain of archives: a symbolic link that
an earlier level (or the user) has placed in the target and a later member goes through, and the
records of an incremental archive that rename and purge directories. So this looks at every header
before tar does, and asks for the shape of `tar_shape`.
"""

# Names of an archive are bytes, which pathlib does not take.
# ruff: noqa: PTH108, PTH118

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from freezer_agent.engines.tar_members import Kind, Member, MemberWalk
from freezer_agent.engines.tar_moves import FormerPlaces, PlacedDirectories, without_moves
from freezer_agent.engines.tar_shape import ShapeCheck, hostile

# A directory of a million names has about 30 MB of records, and tar holds them in memory as well.
_MOST_EXTENSION_BYTES = 64 << 20


def guarded(
    chunks: Iterable[bytes],
    target: bytes,
    on_missing: Callable[[bytes], None] = lambda _name: None,
    look_at: Callable[[bytes, bytes], None] = lambda _name, _records: None,
) -> Iterator[bytes]:
    """The same chunks, each checked before it is passed on; recorded moves are carried out.

    Damaged for an archive that is cut, holed, altered or could reach out of `target`. A symbolic
    link in the target where the archive has a directory is removed. An archive that moves
    directories is held until all its directories are known; they are then moved in `target`, and
    the archive that is passed on moves none. `on_missing` gets each directory that should have
    unchanged files and does not, `look_at` each directory with its records, and may raise.
    """
    guard = _Guard(target, look_at)
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
    def __init__(self, target: bytes, look_at: Callable[[bytes, bytes], None]) -> None:
        self._target = target
        self._look_at = look_at
        self._shape = ShapeCheck()
        self._records: dict[bytes, bytes] = {}
        self._is_settled = False

    @property
    def has_moves(self) -> bool:
        """Whether the archive moves directories, and nothing has been done about it yet."""
        return bool(self._shape.moves) and not self._is_settled

    @property
    def waits(self) -> bool:
        """Whether it does, and not all directories are known."""
        return self.has_moves and self._shape.in_directories

    def settled(self, beginning: bytes, on_missing: Callable[[bytes], None]) -> bytes:
        """Move the directories; the beginning of the archive without what moves them."""
        end, records = self._shape.first_end, self._shape.first_records
        if beginning.count(records, 0, end) != 1:
            raise hostile(b".", "renames directories twice")
        placed = PlacedDirectories(self._target)
        places = FormerPlaces(self._shape.moves, self._records, placed.entries)
        placed.carry_out(places.choose(), self._records)
        for name in places.missing:
            on_missing(name)
        self._is_settled = True
        self._records.clear()
        return beginning[:end].replace(records, without_moves(records)) + beginning[end:]

    def check(self, member: Member) -> None:
        name = self._shape.name_of(member)
        if member.kind is not Kind.DIRECTORY:
            return
        self._look_at(name, member.directory_records)
        path = os.path.join(self._target, name)
        if name and _is_symlink(path):
            os.unlink(path)
        if self.has_moves:
            self._records[name] = member.directory_records


def _mode(path: bytes) -> int:
    """The mode of what is there, of a link itself; 0 if there is nothing."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _is_symlink(path: bytes) -> bool:
    return stat.S_ISLNK(_mode(path))
