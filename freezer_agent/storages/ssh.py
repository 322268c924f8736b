"""Objects as files on a host that is reached by SFTP.

As on a local disk, an object is written under a temporary name beside its place, brought to the
disk and renamed. What a broken connection leaves under such a name is never listed, and
`remove_leftovers` takes it away.
"""

import contextlib
import math
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
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
from freezer_agent.storages.retrying import Attempts, attempt
from freezer_agent.storages.sftp import Sftp
from freezer_agent.storages.sftp_files import (
    is_folder,
    is_there,
    make_folders,
    parent,
    remove_empty_folders,
    remove_if_there,
    sync_folders,
)
from freezer_agent.storages.sftp_packets import Code, Entry, SftpFailed
from freezer_agent.storages.ssh_connection import SshConnection
from freezer_model.clock import Clock, utc_now

# The class has a method of that name.
_Removed = list[str]
_Entries = list[Entry]

_TEMPORARY = b".freezer-incomplete-"
# Nobody can see from here whether a writer lives: one that wrote nothing for so long does not.
_LEFT_AFTER = timedelta(days=1)
# Less room than this, and a write that failed without a reason failed for lack of it.
_FULL_BELOW_BYTES = 4 * 1024 * 1024


class Ssh:
    """Files below `root`, a folder on the host (relative: from the user's home folder).

    It is made when the first object is written; folders and files are for their owner alone.
    A connection that was lost is made anew by the next call. A server without the extension
    posix-rename@openssh.com has, while an object is replaced, for a moment neither; one without
    fsync@openssh.com decides itself when bytes reach its disk.
    """

    kind = "ssh"

    def __init__(
        self,
        *,
        connection: SshConnection,
        root: str,
        attempts: Attempts,
        clock: Clock = utc_now,
    ) -> None:
        self._connection = connection
        self._attempts = attempts
        self._root = _bytes(root.rstrip("/") or "/")
        self._clock = clock

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks`, or nothing; replaces an object of that key."""
        path = self._path(key)
        return self._publish(key, path, chunks, Sftp.rename_over)

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already.

        Complete when it becomes visible. OpenSSH lets exactly one of several callers succeed,
        since it renames without replacing by a hard link; on file systems without hard links it
        looks first, which leaves a gap of a moment.
        """
        path = self._path(key)
        if self._exists(key, path):
            raise ObjectExists(key)
        try:
            self._publish(key, path, [content], Sftp.rename_new)
        except StorageError:
            # The protocol has no status for "there is one": look.
            if self._exists(key, path):
                raise ObjectExists(key) from None
            raise

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes, read ahead by up to 2 MiB."""
        path = self._path(key)
        return self._reading(key, path)

    def usage(self) -> list[ContainerUsage]:
        """The root as the one container, with everything in it."""
        size_bytes = objects = 0
        for stored in self.list(""):
            size_bytes += stored.size_bytes
            objects += 1
        root = self._root.decode(errors="surrogateescape")
        return [ContainerUsage(container=root, size_bytes=size_bytes, objects=objects)]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects below a folder, ordered by key; temporary files are none."""
        parts = folder_parts(prefix)
        folder = b"/".join([self._root, *map(_bytes, parts)])
        return self._listed(folder, "".join(f"{part}/" for part in parts))

    def delete(self, key: str) -> None:
        """Remove the object, and the folders that are empty without it."""
        path = self._path(key)
        with self._errors("delete", key):
            sftp = self._connection.sftp()
            remove_if_there(sftp, path)
            remove_empty_folders(sftp, parent(path), self._root)

    def remove_leftovers(self) -> _Removed:
        """Remove temporary files that nobody has written to for a day, and say which."""
        return self._remove_temporary(self._root, before=(self._clock() - _LEFT_AFTER).timestamp())

    def remove_pieces(self, folder: str) -> _Removed:
        """Remove the temporary files below a folder that nobody writes to, and say which."""
        parts = map(_bytes, folder_parts(folder))
        top = b"/".join([self._root, *parts])
        return attempt(lambda: self._remove_temporary(top, before=math.inf), self._attempts)

    def _remove_temporary(self, top: bytes, *, before: float) -> _Removed:
        removed = []
        for folder, entry in self._walk(top):
            if entry.name.startswith(_TEMPORARY) and entry.attributes.modified_at < before:
                path = folder + b"/" + entry.name
                with self._errors("clean", ""):
                    sftp = self._connection.sftp()
                    remove_if_there(sftp, path)
                    remove_empty_folders(sftp, folder, self._root)
                removed.append(path.decode(errors="surrogateescape"))
        return removed

    def __enter__(self) -> Self:
        with self._errors("open", ""):
            self._connection.sftp()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def _path(self, key: str) -> bytes:
        parts = [_bytes(part) for part in key_parts(key)]
        if any(part.startswith(_TEMPORARY) for part in parts):
            raise AccessRefused(f"{key!r} is no key of this storage: it names a temporary file")
        return b"/".join([self._root, *parts])

    def _publish(
        self,
        key: str,
        path: bytes,
        chunks: Iterable[bytes],
        rename: Callable[[Sftp, bytes, bytes], None],
    ) -> int:
        temporary = attempt(lambda: self._start(key, path), self._attempts)
        try:
            for chunk in chunks:
                with self._errors("write", key, path):
                    temporary.upload.put(chunk)
            with self._errors("write", key, path):
                temporary.complete()
                rename(temporary.sftp, temporary.path, path)
                sync_folders(temporary.sftp, parent(path), temporary.first_made)
        except BaseException:
            temporary.upload.abandon()
            with contextlib.suppress(StorageError), self._errors("clean", key):
                remove_if_there(self._connection.sftp(), temporary.path)
            raise
        return temporary.upload.size_bytes

    def _start(self, key: str, path: bytes) -> "_Temporary":
        """A new file beside the path. As often as wanted: nothing of the object is sent yet."""
        folder = parent(path)
        name = folder + b"/" + _TEMPORARY + secrets.token_hex(8).encode()
        try:
            with self._errors("write", key, path):
                sftp = self._connection.sftp()
                first_made = make_folders(sftp, folder)
                handle = sftp.create_file(name, 0o600)
                return _Temporary(sftp=sftp, path=name, handle=handle, first_made=first_made)
        except ObjectNotFound as error:
            # Somebody removed the folder as empty between its making and its use.
            raise StorageUnavailable(f"cannot write {key!r}: its folder was removed") from error

    def _reading(self, key: str, path: bytes) -> Iterator[bytes]:
        with self._errors("read", key):
            sftp = self._connection.sftp()
            attributes = sftp.stat(path)
            if not stat.S_ISREG(attributes.mode):
                raise ObjectNotFound(key)
            handle = sftp.open_file(path)
        offset, end = 0, attributes.size_bytes
        chunks = sftp.read(handle, offset, end)
        try:
            while offset < end:
                with self._errors("read", key):
                    chunk = next(chunks, b"")
                if not chunk:
                    raise StorageUnavailable(
                        f"{key!r} on {self._connection} became shorter while it was read: "
                        f"{end - offset} bytes are missing"
                    )
                offset += len(chunk)
                yield chunk
        finally:
            with contextlib.suppress(StorageError), self._errors("read", key):
                chunks.close()
                sftp.close_file(handle)

    def _exists(self, key: str, path: bytes) -> bool:
        with self._errors("look for", key):
            return is_there(self._connection.sftp(), path)

    def _listed(self, folder: bytes, start: str) -> Iterator[StoredObject]:
        # A folder sorts as its name and a slash, which is where its objects sort.
        for order, entry in sorted(
            ((_order(entry), entry) for entry in self._entries(folder)), key=lambda pair: pair[0]
        ):
            if order.endswith("/"):
                yield from self._listed(folder + b"/" + entry.name, start + order)
            elif not entry.name.startswith(_TEMPORARY) and stat.S_ISREG(entry.attributes.mode):
                yield StoredObject(key=start + order, size_bytes=entry.attributes.size_bytes)

    def _walk(self, folder: bytes) -> Iterator[tuple[bytes, Entry]]:
        for entry in self._entries(folder):
            if stat.S_ISDIR(entry.attributes.mode):
                yield from self._walk(folder + b"/" + entry.name)
            else:
                yield folder, entry

    def _entries(self, folder: bytes) -> _Entries:
        with self._errors("list", folder.decode(errors="backslashreplace")):
            sftp = self._connection.sftp()
            try:
                return sftp.list_folder(folder)
            except SftpFailed as error:
                if error.code == Code.NO_SUCH_FILE or not is_folder(sftp, folder):
                    return []
                raise

    @contextlib.contextmanager
    def _errors(self, verb: str, key: str, written: bytes = b"") -> Iterator[None]:
        """Translate the errors of the session into ours; `written` may be lacking room."""
        doing = f"cannot {verb} {key or 'the storage'!r} on {self._connection}"
        try:
            with self._connection.errors(doing):
                yield
        except SftpFailed as error:
            raise self._storage_error(error, key, doing, written) from error

    def _storage_error(
        self, error: SftpFailed, key: str, doing: str, written: bytes
    ) -> StorageError:
        if error.code == Code.NO_SUCH_FILE:
            return ObjectNotFound(key)
        if error.code == Code.PERMISSION_DENIED:
            return AccessRefused(f"{doing}: {error}; check the permissions of the folder")
        if written and self._is_full(parent(written)):
            return StorageFull(f"{doing}: no room left; make room there or give another container")
        return StorageUnavailable(f"{doing}: {error}")

    def _is_full(self, folder: bytes) -> bool:
        """Whether a failure without a reason has this one."""
        try:
            with self._connection.errors("look for room"):
                free = self._connection.sftp().free_bytes(folder)
        except (SftpFailed, StorageError):
            return False
        return free is not None and free < _FULL_BELOW_BYTES


class _Temporary:
    """An open file that takes an object's bytes."""

    def __init__(self, *, sftp: Sftp, path: bytes, handle: bytes, first_made: bytes | None) -> None:
        self.sftp = sftp
        self.path = path
        self.first_made = first_made
        self.upload = sftp.upload(handle)
        self._handle = handle

    def complete(self) -> None:
        """Everything is on the server's disk."""
        self.upload.finish()
        self.sftp.sync(self._handle)
        self.sftp.close_file(self._handle)


def _order(entry: Entry) -> str:
    name = entry.name.decode(errors="surrogateescape")
    return f"{name}/" if stat.S_ISDIR(entry.attributes.mode) else name


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
