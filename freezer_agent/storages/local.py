"""Objects as files below a directory: a disk, or a mounted NFS or CIFS share.

An object is written under a temporary name beside its place and renamed when it is complete and
on the disk. What a killed process leaves under such a name is never listed, and
`remove_leftovers` takes it away.
"""

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from freezer_agent.errors import (
    AccessRefused,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from freezer_agent.storages.base import ContainerUsage, StoredObject
from freezer_agent.storages.keys import folder_parts, key_parts

_CHUNK_BYTES = 1 << 20
_TEMPORARY = ".freezer-incomplete-"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
}


def _new_id() -> str:
    return secrets.token_hex(8)


class Local:
    """Files below `root`, which is made when the first object is written.

    Directories that it makes are for their owner alone (0700), files too (0600). `new_id` names
    the temporary files.
    """

    kind = "local"

    def __init__(self, root: Path, new_id: Callable[[], str] = _new_id) -> None:
        self._root = root
        self._new_id = new_id

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks`, or nothing; replaces an object of that key."""
        path = self._path(key)
        with self._errors("write", key):
            temporary = _Temporary(self._made_directory(path.parent), self._new_id())
        with temporary:
            size_bytes = 0
            for chunk in chunks:
                with self._errors("write", key):
                    temporary.write(chunk)
                size_bytes += len(chunk)
            with self._errors("write", key):
                temporary.publish(path, replace=True)
        return size_bytes

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already.

        Complete when it becomes visible, and exactly one of several callers succeeds: a hard
        link to a complete file is the step that decides. File systems without hard links (some
        CIFS shares) get an exclusive creation instead, which a crash can leave empty.
        """
        path = self._path(key)
        with self._errors("create", key):
            temporary = _Temporary(self._made_directory(path.parent), self._new_id())
        with temporary, self._errors("create", key):
            temporary.write(content)
            try:
                temporary.publish(path, replace=False)
            except FileExistsError:
                raise ObjectExists(key) from None

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes in chunks of up to a MiB."""
        path = self._path(key)
        with self._errors("read", key):
            if not path.is_file():
                raise ObjectNotFound(key)
            file = path.open("rb", buffering=0)
        with file:
            with self._errors("read", key):
                missing = os.fstat(file.fileno()).st_size
            while missing > 0:
                with self._errors("read", key):
                    chunk = file.read(min(_CHUNK_BYTES, missing))
                if not chunk:
                    raise StorageUnavailable(
                        f"{path} became shorter while it was read: {missing} bytes are missing"
                    )
                missing -= len(chunk)
                yield chunk

    def usage(self) -> list[ContainerUsage]:
        """The root as the one container, with everything in it."""
        size_bytes = objects = 0
        for stored in self.list(""):
            size_bytes += stored.size_bytes
            objects += 1
        return [ContainerUsage(container=str(self._root), size_bytes=size_bytes, objects=objects)]

    def remove_leftovers(self) -> list[Path]:
        """Remove the temporary files whose writer is gone, and say which.

        A living writer holds a lock on its file, so this is safe at any time.
        """
        return self._remove_temporary(self._root, _is_left)

    def remove_pieces(self, folder: str) -> list[Path]:
        """Remove the temporary files below a folder, and say which.

        The caller knows that nobody writes there, so no lock is looked for: some network file
        systems have none.
        """
        return self._remove_temporary(self._root.joinpath(*folder_parts(folder)), lambda _: True)

    def _remove_temporary(self, top: Path, is_left: Callable[[Path], bool]) -> list[Path]:
        removed = []
        with self._errors("clean", ""):
            for folder, _, names in os.walk(top, onerror=_raise):
                for name in names:
                    path = Path(folder, name)
                    if name.startswith(_TEMPORARY) and is_left(path):
                        path.unlink(missing_ok=True)
                        removed.append(path)
                        self._remove_empty(path.parent)
        return removed

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects below a folder, ordered by key; temporary files are none."""
        parts = folder_parts(prefix)
        return self._listed(self._root.joinpath(*parts), "".join(f"{part}/" for part in parts))

    def delete(self, key: str) -> None:
        """Remove the object, and the directories that are empty without it."""
        path = self._path(key)
        with self._errors("delete", key):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
            self._remove_empty(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def _path(self, key: str) -> Path:
        parts = key_parts(key)
        if any(part.startswith(_TEMPORARY) for part in parts):
            raise AccessRefused(f"{key!r} is no key of this storage: it names a temporary file")
        return self._root.joinpath(*parts)

    def _listed(self, folder: Path, start: str) -> Iterator[StoredObject]:
        with self._errors("list", start):
            entries = _entries(folder)
        # A directory sorts as its name and a slash, which is where its objects sort.
        for order, entry in sorted(entries):
            with self._errors("list", start):
                size_bytes = None if order.endswith("/") else _size(entry)
            if order.endswith("/"):
                yield from self._listed(Path(entry.path), start + order)
            elif size_bytes is not None:
                yield StoredObject(key=start + order, size_bytes=size_bytes)

    def _made_directory(self, folder: Path) -> Path:
        """The directory, made durable with all its parents that were missing."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            if folder == folder.parent:
                break
            folder = folder.parent
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            _sync_directory(path.parent)
        return missing[0] if missing else folder

    def _remove_empty(self, folder: Path) -> None:
        while folder != self._root and self._root in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOTDIR}:
                    return
                raise
            folder = folder.parent

    @contextlib.contextmanager
    def _errors(self, verb: str, key: str) -> Iterator[None]:
        """Translate the errors of the operating system into ours."""
        try:
            yield
        except OSError as error:
            if verb == "read" and error.errno in {errno.ENOENT, errno.ENOTDIR}:
                raise ObjectNotFound(key) from error
            raise _storage_error(
                error, f"cannot {verb} {key or self._root} in {self._root}"
            ) from error


class _Temporary:
    """A file beside its final place, locked while it is written; gone unless published."""

    def __init__(self, folder: Path, token: str) -> None:
        self._folder = folder
        self._path = folder / f"{_TEMPORARY}{token}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def publish(self, path: Path, *, replace: bool) -> None:
        """Make it durable, then visible, then that durable too."""
        os.fsync(self._descriptor)
        if replace:
            self._path.replace(path)
        else:
            self._link(path)
        _sync_directory(self._folder)

    def _link(self, path: Path) -> None:
        try:
            path.hardlink_to(self._path)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
            # No hard links here: take the name exclusively, then put the content in its place.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self._path.replace(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _entries(folder: Path) -> list[tuple[str, "os.DirEntry[str]"]]:
    try:
        with os.scandir(folder) as found:
            return [
                (f"{entry.name}/" if entry.is_dir() else entry.name, entry)
                for entry in found
                if not entry.name.startswith(_TEMPORARY)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(entry: "os.DirEntry[str]") -> int | None:
    """The size of a regular file; None for other things and for what is gone by now."""
    try:
        return entry.stat().st_size if entry.is_file() else None
    except FileNotFoundError:
        return None


def _is_left(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Locked by its writer, or no locks here: then nobody can tell.
        return False
    finally:
        os.close(descriptor)
    return True


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot, and need not.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _storage_error(error: OSError, doing: str) -> StorageError:
    message = f"{doing}: {error.strerror or error}"
    if error.errno in _FULL:
        return StorageFull(f"{message}; make room there or give another --container")
    if error.errno in _REFUSED:
        return AccessRefused(f"{message}; check the permissions of the directory")
    return StorageUnavailable(message)


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
