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
import shutil
import stat
from collections.abc import Iterable, Iterator

from freezer_agent.engines.tar_members import Kind, Member, MemberWalk
from freezer_agent.errors import Damaged

# A directory of a million names has about 30 MB of records, and tar holds them in memory as well.
_MOST_EXTENSION_BYTES = 64 << 20
_ROOT = b""
_SCRATCH = b"\0"


def guarded(chunks: Iterable[bytes], target: bytes) -> Iterator[bytes]:
    """The same chunks, each checked before it is passed on.

    Damaged for an archive that is cut, holed, altered or could reach out of `target`. A symbolic
    link in the target where the archive has a directory is removed.
    """
    walk = MemberWalk(_Guard(target).check, _MOST_EXTENSION_BYTES)
    for chunk in chunks:
        walk.feed(chunk)
        yield chunk
    walk.finish()


class _Guard:
    def __init__(self, target: bytes) -> None:
        self._target = target
        self._directories = {_ROOT}
        self._in_directories = True
        self._is_first = True

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
        renames = _renames(member.directory_records)
        if renames and not self._is_first:
            raise _hostile(name, "renames other directories late")
        _check_renames(renames, self._target)

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


def _renames(records: bytes) -> list[tuple[int, bytes]]:
    """The entries of a directory's records that move directories: R from, T to, X scratch."""
    if not any(records.startswith(letter) or b"\0" + letter in records for letter in _MOVES):
        return []
    entries = records.split(b"\0")
    return [(entry[0], entry[1:]) for entry in entries if entry[:1] in _MOVES]


_MOVES = (b"R", b"T", b"X")


def _check_renames(renames: list[tuple[int, bytes]], target: bytes) -> None:
    """Follow the renames in order, without doing them, and make way for them.

    None may start at a symbolic link or pass one. What is at the new place of a directory is
    removed: it is gone in this level, and tar would give up over it.
    """
    moved: list[tuple[bytes, bytes]] = []
    source = _ROOT
    for letter, raw in renames:
        name = _inside(raw) or _SCRATCH
        where = _before(name, moved)
        if letter == ord("R"):
            _check_no_link(target, where)
            source = where
        elif letter == ord("T"):
            if name != _SCRATCH:
                _make_way(target, where, source, {away for _, away in moved})
            moved.append((name, source))
        elif name != _SCRATCH:
            _check_no_link(target, where)


def _before(name: bytes, moved: list[tuple[bytes, bytes]]) -> bytes:
    """Where that which will be at `name` after the renames is now."""
    for destination, source in reversed(moved):
        if name == destination or name.startswith(destination + b"/"):
            name = source + name[len(destination) :]
    return name


def _make_way(target: bytes, name: bytes, source: bytes, away: set[bytes]) -> None:
    """Remove what is in the way of the directory `source` at `name`, unless it moves itself."""
    path = target
    for part in name.split(b"/"):
        path = os.path.join(path, part)
        if _exists(path) and not _is_directory(path):
            os.unlink(path)
    if name not in away and not (source + b"/").startswith(name + b"/") and _exists(path):
        shutil.rmtree(path)


def _check_no_link(target: bytes, name: bytes) -> None:
    path = target
    for part in name.split(b"/") if name and not name.startswith(_SCRATCH) else ():
        path = os.path.join(path, part)
        if _is_symlink(path):
            raise _hostile(name, "is renamed through a symbolic link")


def _mode(path: bytes) -> int:
    """The mode of what is there, of a link itself; 0 if there is nothing."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _exists(path: bytes) -> bool:
    return _mode(path) != 0


def _is_symlink(path: bytes) -> bool:
    return stat.S_ISLNK(_mode(path))


def _is_directory(path: bytes) -> bool:
    return stat.S_ISDIR(_mode(path))


def _hostile(name: bytes, why: str) -> Damaged:
    return Damaged(
        f"the archive was not made by a backup, or was altered: its member {name!r} {why}; "
        "nothing more of it is extracted"
    )
