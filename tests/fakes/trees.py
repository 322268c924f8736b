# The names are bytes, which pathlib does not take.
# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH106, PTH108, PTH115, PTH118, PTH119, PTH120
# ruff: noqa: PTH123, PTH211
"""Small file trees with everything a POSIX tree can hold, and a way to compare two of them.

`make_tree` builds one, `change_tree` does to it what a day of work does, and `tree_state` is what
a backup must bring back: two trees are the same when their states are equal. `wait_for_a_tick`
belongs between a level and a change.
"""

import errno
import hashlib
import os
import socket
import stat
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

NAMES = (
    b"with blank",
    b" leading and trailing ",
    b"new\nline",
    b"tab\tand\rreturn",
    b"-rf",
    b"--exclude=x",
    b"*",
    b"a?b[c]",
    b"$(touch pwned)",
    b"`id`;&|",
    b"quote'\"",
    b"back\\slash\\nor\\101",
    b"caf\xc3\xa9",
    b"latin1 \xe9\xff",
    b"colon: Cannot open: x",
    b"~",
    b"%s%n",
    b"x" * 255,
)
"""File names that have broken backup programs; a shell expands one, tar unquotes another."""

_ACL_UNDEFINED_ID = 0xFFFFFFFF
_ACL_ENTRIES = (
    (0x01, 6, _ACL_UNDEFINED_ID),  # owner: rw-
    (0x02, 4, 65534),  # user 65534: r--
    (0x04, 4, _ACL_UNDEFINED_ID),  # group: r--
    (0x10, 4, _ACL_UNDEFINED_ID),  # mask: r--
    (0x20, 0, _ACL_UNDEFINED_ID),  # other: ---
)
_CAPABILITY_NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
_TIME_NS = 1_500_000_000_123_456_789


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What must come back of one file, directory or other node."""

    mode: int
    owner: tuple[int, int]
    mtime_ns: int | None
    size_bytes: int | None
    digest: str | None
    link_target: bytes | None
    device: int | None
    same_file_as: bytes | None
    xattrs: tuple[tuple[str, bytes], ...]


def tree_state(
    root: Path, *, owners: bool = True, xattrs: bool = True, sockets: bool = False
) -> dict[bytes, NodeState]:
    """The state of every node below and including `root` (b"."), by relative name.

    Hard links are told by the first name, in order, of the same file. Sockets are left out unless
    asked for: no archive holds them.
    """
    first_names: dict[tuple[int, int], bytes] = {}
    top = os.fsencode(root)
    states = {}
    for relative in sorted([b".", *_names_below(top)]):
        path = os.path.join(top, relative)
        status = os.lstat(path)
        if stat.S_ISSOCK(status.st_mode) and not sockets:
            continue
        same_as = None
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            same_as = first_names.setdefault((status.st_dev, status.st_ino), relative)
        states[relative] = _node_state(path, status, same_as, owners=owners, xattrs=xattrs)
    return states


def differences(before: dict[bytes, NodeState], after: dict[bytes, NodeState]) -> list[str]:
    """One line per name that differs: what a failing test should print."""
    lines = []
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one == other:
            continue
        if one is None or other is None:
            lines.append(f"{name!r}: {'appeared' if one is None else 'is missing'}")
            continue
        fields = [
            f"{field} {getattr(one, field)!r} -> {getattr(other, field)!r}"
            for field in NodeState.__slots__
            if getattr(one, field) != getattr(other, field)
        ]
        lines.append(f"{name!r}: {', '.join(fields)}")
    return lines


def make_tree(root: Path) -> None:
    """Fill the directory `root`, made if missing, with one of everything this user may make."""
    top = os.fsencode(root)
    os.makedirs(top, exist_ok=True)
    _make_plain(top)
    _make_names(top)
    _make_links(top)
    _make_sparse(os.path.join(top, b"sparse"), 8 * 2**20)
    _make_special(top)
    _make_attributes(top)
    _make_deep(top)
    _set_times(top)


def change_tree(root: Path, step: int = 1) -> None:
    """Add, change, move, replace and remove nodes of a tree that `make_tree` made."""
    top = os.fsencode(root)

    def path(name: bytes) -> bytes:
        return os.path.join(top, name)

    def write(name: bytes, content: bytes) -> None:
        with open(path(name), "wb") as file:
            file.write(content)

    write(b"plain/changed", b"changed in step %d\n" % step * 100)
    write(b"plain/added %d" % step, b"new\n")
    write(b"set-uid", b"#!/bin/sh\n# step %d\n" % step)
    os.chmod(path(b"set-uid"), 0o4755)  # noqa: S103 - the bit is what is tested
    os.chmod(path(b"plain/mode"), 0o600 if step % 2 else 0o640)
    if step == 1:
        os.unlink(path(b"plain/removed"))
        os.unlink(path(b"gone/deep/down/file"))
        os.removedirs(path(b"gone/deep/down"))
        os.rename(path(b"moved"), path(b"moved away"))
        os.unlink(path(b"file becomes directory"))
        os.makedirs(path(b"file becomes directory/inside"))
        os.unlink(path(b"directory becomes file/x"))
        os.rmdir(path(b"directory becomes file"))
        write(b"directory becomes file", b"now a file\n")
        os.unlink(path(b"link becomes directory"))
        os.makedirs(path(b"link becomes directory"))
        write(b"link becomes directory/x", b"x\n")
    os.link(path(b"hard/one"), path(b"hard/step %d" % step))
    os.unlink(path(b"to plain"))
    os.symlink(b"plain/changed", path(b"to plain"))


def wait_for_a_tick(folder: Path) -> None:
    """Until the clock of the folder's file system has moved on, a few milliseconds.

    A file that changes in place in the tick in which tar has begun, right after tar has read it,
    has a time from before that: the next level would not have it.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(b"x")
        first = os.fstat(file.fileno()).st_mtime_ns
        while os.fstat(file.fileno()).st_mtime_ns == first:
            file.write(b"x")


def _make_plain(top: bytes) -> None:
    for name, content in (
        (b"empty", b""),
        (b"plain/changed", b"first\n"),
        (b"plain/removed", b"will go\n"),
        (b"plain/mode", b"mode\n"),
        (b"plain/same", bytes(range(256)) * 300),
        (b"plain/exactly one block", b"b" * 512),
        (b"plain/exactly one record", b"r" * 10240),
        (b"gone/deep/down/file", b"x"),
        (b"moved/inside/file", b"moves along\n"),
        (b"file becomes directory", b"file\n"),
        (b"directory becomes file/x", b"x\n"),
    ):
        path = os.path.join(top, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    os.mkdir(os.path.join(top, b"empty directory"))
    os.mkdir(os.path.join(top, b"private"), 0o700)
    for name, mode in ((b"set-uid", 0o4755), (b"set-gid", 0o2755), (b"read only", 0o444)):
        path = os.path.join(top, name)
        with open(path, "wb") as file:
            file.write(b"#!/bin/sh\n")
        os.chmod(path, mode)
    sticky = os.path.join(top, b"sticky")
    os.mkdir(sticky)
    os.chmod(sticky, 0o1777)  # noqa: S103 - a sticky directory is one


def _make_names(top: bytes) -> None:
    for folder in (b"names", b"names of directories"):
        os.mkdir(os.path.join(top, folder))
    for name in NAMES:
        with open(os.path.join(top, b"names", name), "wb") as file:
            file.write(b"content of " + name)
        os.mkdir(os.path.join(top, b"names of directories", name))


def _make_links(top: bytes) -> None:
    def path(name: bytes) -> bytes:
        return os.path.join(top, name)

    os.mkdir(path(b"hard"))
    with open(path(b"hard/one"), "wb") as file:
        file.write(b"one file, several names\n")
    os.link(path(b"hard/one"), path(b"hard/two"))
    os.link(path(b"hard/one"), path(b"three, elsewhere"))
    os.symlink(b"plain/same", path(b"to plain"))
    os.symlink(b"nowhere", path(b"dangling"))
    os.symlink(b"/etc/hostname", path(b"absolute"))
    os.symlink(b"../../outside", path(b"upwards"))
    os.symlink(b".", path(b"loop"))
    os.symlink(b"plain", path(b"link becomes directory"))
    os.symlink(b"t" * 300, path(b"long target"))
    os.symlink(b"target \n\xff", path(b"strange target"))


def _make_sparse(path: bytes, size_bytes: int) -> None:
    with open(path, "wb") as file:
        file.write(b"head")
        file.seek(size_bytes // 2)
        file.write(b"middle")
        file.truncate(size_bytes)


def _make_special(top: bytes) -> None:
    os.mkfifo(os.path.join(top, b"fifo"), 0o640)
    _make_socket(os.path.join(top, b"socket"))
    if os.geteuid() == 0:
        os.mknod(os.path.join(top, b"character"), stat.S_IFCHR | 0o620, os.makedev(1, 3))
        os.mknod(os.path.join(top, b"block"), stat.S_IFBLK | 0o600, os.makedev(7, 200))
        owned = os.path.join(top, b"of nobody")
        with open(owned, "wb") as file:
            file.write(b"no name for this owner\n")
        os.chown(owned, 12345, 54321)


def _make_socket(path: bytes) -> None:
    # A socket's address holds 107 bytes, less than many temporary directories are long.
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(b"/proc/self/fd/%d/%s" % (directory, os.path.basename(path)))
    finally:
        os.close(directory)


def _make_attributes(top: bytes) -> None:
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in _ACL_ENTRIES)
    wanted = [("user.note", b"kept \x00\xff"), ("system.posix_acl_access", acl)]
    if os.geteuid() == 0:
        wanted += [("trusted.note", b"root only"), ("security.capability", _CAPABILITY_NET_RAW)]
    path = os.path.join(top, b"attributes")
    with open(path, "wb") as file:
        file.write(b"attributes\n")
    folder = os.path.join(top, b"attributes of a directory")
    os.mkdir(folder)
    for name, value in wanted:
        _set_attribute(path, name, value)
    _set_attribute(folder, "user.note", b"directory")
    _set_attribute(folder, "system.posix_acl_default", acl)


def _set_attribute(path: bytes, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        # Not every file system under a temporary directory has them; the others are compared.
        if error.errno not in {errno.ENOTSUP, errno.EPERM, errno.EINVAL}:
            raise


def _make_deep(top: bytes) -> None:
    path = os.path.join(top, *(b"level %d with a long name of a directory" % n for n in range(9)))
    os.makedirs(path)
    with open(os.path.join(path, b"n" * 200), "wb") as file:
        file.write(b"at the end of a path of more than 500 bytes\n")


def _set_times(top: bytes) -> None:
    for number, relative in enumerate(sorted(_names_below(top), reverse=True)):
        when = _TIME_NS + number * 1_000_000_007
        os.utime(os.path.join(top, relative), ns=(when, when), follow_symlinks=False)


def _names_below(top: bytes) -> list[bytes]:
    return [
        os.path.relpath(os.path.join(folder, name), top)
        for folder, directories, files in os.walk(top)
        for name in (*directories, *files)
    ]


def _node_state(
    path: bytes, status: os.stat_result, same_as: bytes | None, *, owners: bool, xattrs: bool
) -> NodeState:
    kind = status.st_mode
    regular = stat.S_ISREG(kind)
    return NodeState(
        mode=kind,
        owner=(status.st_uid, status.st_gid) if owners else (0, 0),
        mtime_ns=status.st_mtime_ns,
        size_bytes=status.st_size if regular else None,
        digest=_digest(path) if regular else None,
        link_target=os.readlink(path) if stat.S_ISLNK(kind) else None,
        device=status.st_rdev if stat.S_ISCHR(kind) or stat.S_ISBLK(kind) else None,
        same_file_as=same_as,
        xattrs=_xattrs(path) if xattrs else (),
    )


def _digest(path: bytes) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        return None


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    return tuple((n, os.getxattr(path, n, follow_symlinks=False)) for n in sorted(names))
