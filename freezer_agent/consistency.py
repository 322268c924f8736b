"""Is what is stored one state of the tree? A quiet moment to read it, and a checksum of it."""

import contextlib
import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from freezer_agent.modes.base import Mode
from freezer_agent.requests import Dereference

_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def consistent_tree(mode: Mode, tree: Path) -> Iterator[Path]:
    """The tree to read from. Without a snapshot the quiet moment lasts as long as the block."""
    with mode.quiet():
        yield tree


def tree_checksum(
    source: Path,
    *,
    excludes: Sequence[str] = (),
    dereference: Dereference = Dereference.NONE,
) -> str:
    """A SHA-256 over names, kinds, permissions, link targets and contents, sorted by name.

    Equal for a source and for what was restored from it, on any file system. A single file
    counts like a directory that holds only it. What is excluded, unreadable, or vanishes while
    it is read, is left out.
    """
    follow = dereference in {Dereference.SOFT, Dereference.ALL}
    digest = hashlib.sha256()
    top = os.fsencode(source)
    if not source.is_dir():
        entries = [(os.path.basename(top), top)]  # noqa: PTH119  # names are bytes
    else:
        entries = sorted(_below(top, b"", excludes, follow=follow))
    for name, path in entries:
        with contextlib.suppress(OSError):
            digest.update(_entry_digest(name, path, follow=follow))
    return digest.hexdigest()


def count_excluded(
    source: Path, excludes: Sequence[str], dereference: Dereference = Dereference.NONE
) -> int:
    """How many names below the source the patterns leave out; a directory of them counts once."""
    if not excludes or not source.is_dir():
        return 0
    follow = dereference in {Dereference.SOFT, Dereference.ALL}
    return _count_excluded(os.fsencode(source), b"", excludes, follow=follow)


def _count_excluded(folder: bytes, prefix: bytes, excludes: Sequence[str], *, follow: bool) -> int:
    count = 0
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            name = prefix + entry.name
            if _is_excluded(os.fsdecode(name), excludes):
                count += 1
            elif entry.is_dir(follow_symlinks=follow):
                count += _count_excluded(entry.path, name + b"/", excludes, follow=follow)
    return count


def _below(
    folder: bytes,
    prefix: bytes,
    excludes: Sequence[str],
    *,
    follow: bool,
) -> Iterator[tuple[bytes, bytes]]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        name = prefix + entry.name
        if _is_excluded(os.fsdecode(name), excludes):
            continue
        yield name, entry.path
        if entry.is_dir(follow_symlinks=follow):
            yield from _below(entry.path, name + b"/", excludes, follow=follow)


def _is_excluded(name: str, excludes: Sequence[str]) -> bool:
    """As GNU tar matches --exclude: the pattern fits the end of the name from some slash on."""
    parts = f"./{name}".split("/")
    ends = ["/".join(parts[position:]) for position in range(len(parts))]
    return any(fnmatch.fnmatchcase(end, pattern) for pattern in excludes for end in ends)


def _entry_digest(name: bytes, path: bytes, *, follow: bool) -> bytes:
    status = os.stat(path) if follow else os.lstat(path)  # noqa: PTH116  # names are bytes
    digest = hashlib.sha256(b"%d %s" % (len(name), name))
    # Sockets are in no archive, and the kind of a node is part of its mode.
    if stat.S_ISSOCK(status.st_mode):
        return b""
    digest.update(b" %o " % status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        digest.update(os.readlink(path))  # noqa: PTH115  # names are bytes
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123  # names are bytes
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.digest()
