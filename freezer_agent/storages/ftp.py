"""Objects as files on an FTP server, plain or with TLS.

An object is sent under a temporary name beside its place and renamed when the server has all of
it. What a broken connection leaves under such a name is never listed, and `remove_leftovers`
takes it away.
"""

import contextlib
import ftplib
import hashlib
import secrets
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Self

from freezer_agent.errors import (
    AccessRefused,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageUnavailable,
)
from freezer_agent.storages.base import ContainerUsage, StoredObject
from freezer_agent.storages.ftp_connection import FtpConnections
from freezer_agent.storages.ftp_folders import (
    FtpEntry,
    entries,
    is_file,
    make_folders,
    remove_empty_folders,
)
from freezer_agent.storages.keys import folder_parts, key_parts
from freezer_agent.storages.names import Escapes
from freezer_agent.storages.retrying import Attempts, attempt
from freezer_model.clock import Clock, utc_now

# The class has a method of that name.
_Names = list[str]
_Entries = list[FtpEntry]

_CHUNK_BYTES = 1 << 18
_TEMPORARY = ".freezer-incomplete-"
# Nobody can see from here whether a writer lives: one that wrote nothing for so long does not.
_LEFT_AFTER = timedelta(days=1)
# Line breaks would end a command; blanks at the ends and other control characters get lost.
_ESCAPES = Escapes(r"[\x00-\x1f\x7f]|\A | \Z")


class Ftp:
    """Files below `root`, a folder on the server (relative: from where the login leads).

    It is made when the first object is written. The server decides about permissions and about
    when bytes reach its disk: FTP has no words for either. A server that does not rename over an
    existing file has, while an object is replaced, for a moment neither.

    Parts of keys that FTP cannot carry (control characters such as line breaks, undecodable
    bytes, blanks at the ends) are written as percent escapes, see `names`.
    """

    def __init__(
        self,
        *,
        connections: FtpConnections,
        root: str,
        attempts: Attempts,
        clock: Clock = utc_now,
    ) -> None:
        self.kind = "ftps" if connections.has_tls else "ftp"
        self._connections = connections
        self._root = root
        self._attempts = attempts
        self._clock = clock
        self._absolute_root: str | None = None

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks`, or nothing; replaces an object of that key."""
        path = self._path(key)
        folder, _ = _split(path)
        temporary = f"{folder}/{_TEMPORARY}{secrets.token_hex(8)}"
        upload = attempt(lambda: self._start(key, folder, temporary), self._attempts)
        try:
            for chunk in chunks:
                with self._errors("write", key):
                    upload.put(chunk)
            with self._errors("write", key):
                upload.finish()
                self._check_size(upload, temporary)
                _rename_over(upload.ftp, temporary, path)
        except BaseException:
            upload.abandon()
            with contextlib.suppress(StorageError), self._errors("clean", key):
                self._remove(temporary)
            raise
        self._connections.give_back(upload.ftp)
        return upload.size_bytes

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already.

        What decides is a hidden folder beside the object: servers make it once only, and it goes
        when the object is deleted. A writer that dies in between leaves it behind, so that the
        object can be neither read nor created until `delete` of the key has cleaned up.
        """
        path = self._path(key)
        self._take_claim(key, path)
        try:
            self._check_free(key, path)
            self.write(key, [content])
        except BaseException:
            with contextlib.suppress(StorageError), self._errors("clean", key):
                self._remove_claim(path)
            raise

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes as they come."""
        path = self._path(key)
        return self._reading(key, path)

    def usage(self) -> list[ContainerUsage]:
        """The root as the one container, with everything in it."""
        size_bytes = objects = 0
        for stored in self.list(""):
            size_bytes += stored.size_bytes
            objects += 1
        return [ContainerUsage(container=self._root, size_bytes=size_bytes, objects=objects)]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects below a folder, ordered by key; temporary files are none."""
        parts = folder_parts(prefix)
        folder = "/".join([self._root_path(), *map(_sent, parts)])
        return self._listed(folder, "".join(f"{part}/" for part in parts))

    def delete(self, key: str) -> None:
        """Remove the object, and the folders that are empty without it."""
        path = self._path(key)
        with self._errors("delete", key), self._connections.taken() as ftp:
            try:
                ftp.delete(path)
            except ftplib.error_perm:
                if is_file(ftp, path):
                    raise
            with contextlib.suppress(ftplib.error_perm):
                ftp.rmd(_claim(path))
            remove_empty_folders(ftp, _split(path)[0], self._root_path())

    def remove_leftovers(self) -> _Names:
        """Remove temporary files that nobody has written to for a day, and say which.

        Only where the server tells the time of its files (MLSD).
        """
        oldest = self._clock() - _LEFT_AFTER
        return self._remove_temporary(
            self._root_path(),
            lambda entry: entry.modified_at is not None and entry.modified_at < oldest,
        )

    def remove_pieces(self, folder: str) -> _Names:
        """Remove the temporary files below a folder that nobody writes to, and say which."""
        parts = map(_sent, folder_parts(folder))
        top = "/".join([self._root_path(), *parts])
        return attempt(lambda: self._remove_temporary(top, lambda _: True), self._attempts)

    def _remove_temporary(self, top: str, is_left: Callable[[FtpEntry], bool]) -> _Names:
        removed = []
        for folder, entry in self._walk(top):
            if entry.name.startswith(_TEMPORARY) and is_left(entry):
                path = f"{folder}/{entry.name}"
                with self._errors("clean", path):
                    self._remove(path)
                removed.append(path)
        return removed

    def __enter__(self) -> Self:
        self._root_path()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connections.close()

    def _root_path(self) -> str:
        """The root from the server's top on; asks for the login's folder at the first use."""
        if self._absolute_root is None:
            root = self._root.encode(errors="surrogateescape").decode("latin-1")
            if not root.startswith("/"):
                with self._errors("open", ""), self._connections.taken() as ftp:
                    root = f"{ftp.pwd().rstrip('/')}/{root}"
            self._absolute_root = root.rstrip("/")
        return self._absolute_root

    def _path(self, key: str) -> str:
        parts = key_parts(key)
        if any(part.startswith(_TEMPORARY) for part in parts):
            raise AccessRefused(f"{key!r} is no key of this storage: it names a temporary file")
        return "/".join([self._root_path(), *map(_sent, parts)])

    def _start(self, key: str, folder: str, temporary: str) -> "_Upload":
        """A file that takes bytes. As often as wanted: nothing of the object is sent yet."""
        ftp = self._connections.take()
        try:
            with self._errors("write", key):
                make_folders(ftp, folder)
                ftp.voidcmd("TYPE I")  # looking for folders has left it in text mode
                return _Upload(ftp, ftp.transfercmd(f"STOR {temporary}"))
        except BaseException:
            ftp.close()
            raise

    def _check_size(self, upload: "_Upload", path: str) -> None:
        """A server that ran out of room may call a part of the file a success."""
        stored = _size(upload.ftp, path)
        if stored != upload.size_bytes:
            raise StorageUnavailable(
                f"{self._connections} kept {stored} of {upload.size_bytes} bytes of {path!r}"
            )

    def _reading(self, key: str, path: str) -> Iterator[bytes]:
        with self._errors("read", key):
            ftp, data, missing = self._opened(key, path)
        try:
            while True:
                with self._errors("read", key):
                    chunk = data.recv(_CHUNK_BYTES)
                if not chunk:
                    break
                missing -= len(chunk)
                yield chunk
            self._check_complete(key, missing)
            with self._errors("read", key):
                _end_transfer(ftp, data)
        except BaseException:
            data.close()
            ftp.close()
            raise
        self._connections.give_back(ftp)

    def _check_complete(self, key: str, missing: int) -> None:
        if missing:
            raise StorageUnavailable(
                f"{key!r} on {self._connections} ended early: {missing} bytes are missing"
            )

    def _opened(self, key: str, path: str) -> "tuple[ftplib.FTP, socket.socket, int]":
        ftp = self._connections.take()
        try:
            size_bytes = _size(ftp, path)
            return ftp, ftp.transfercmd(f"RETR {path}"), size_bytes
        except ftplib.error_perm as error:
            is_missing = not is_file(ftp, path)
            ftp.close()
            if is_missing:
                raise ObjectNotFound(key) from error
            raise
        except BaseException:
            ftp.close()
            raise

    def _listed(self, folder: str, start: str) -> Iterator[StoredObject]:
        found = ((_order(entry), entry) for entry in self._entries(folder))
        # A folder sorts as its name and a slash, which is where its objects sort.
        for order, entry in sorted(found, key=lambda pair: pair[0]):
            if entry.name.startswith(_TEMPORARY):
                continue
            if entry.is_folder:
                yield from self._listed(f"{folder}/{entry.name}", start + order)
            else:
                yield StoredObject(key=start + order, size_bytes=entry.size_bytes)

    def _walk(self, folder: str) -> Iterator[tuple[str, FtpEntry]]:
        for entry in self._entries(folder):
            if not entry.is_folder:
                yield folder, entry
            elif not entry.name.startswith(_TEMPORARY):
                yield from self._walk(f"{folder}/{entry.name}")

    def _entries(self, folder: str) -> _Entries:
        with self._errors("list", folder), self._connections.taken() as ftp:
            return entries(ftp, folder or "/")

    def _remove(self, path: str) -> None:
        with self._connections.taken() as ftp:
            try:
                ftp.delete(path)
            except ftplib.error_perm:
                if is_file(ftp, path):
                    raise
            remove_empty_folders(ftp, _split(path)[0], self._root_path())

    def _take_claim(self, key: str, path: str) -> None:
        folder, _ = _split(path)
        with self._errors("create", key), self._connections.taken() as ftp:
            make_folders(ftp, folder)
            try:
                ftp.mkd(_claim(path))
            except ftplib.error_perm:
                if any(entry.name == _claim_name(path) for entry in entries(ftp, folder)):
                    raise ObjectExists(key) from None
                raise

    def _check_free(self, key: str, path: str) -> None:
        with self._errors("create", key), self._connections.taken() as ftp:
            if is_file(ftp, path):
                raise ObjectExists(key)

    def _remove_claim(self, path: str) -> None:
        with self._connections.taken() as ftp:
            ftp.rmd(_claim(path))

    def _errors(self, verb: str, key: str) -> contextlib.AbstractContextManager[None]:
        return self._connections.errors(
            f"cannot {verb} {key or 'the storage'!r} on {self._connections}"
        )


class _Upload:
    """A file on its way to the server, and the connection that is busy with it."""

    def __init__(self, ftp: ftplib.FTP, data: socket.socket) -> None:
        self.ftp = ftp
        self.size_bytes = 0
        self._data = data

    def put(self, chunk: bytes) -> None:
        self._data.sendall(chunk)
        self.size_bytes += len(chunk)

    def finish(self) -> None:
        """The end of the file is the end of its connection; the server says if it has it."""
        _end_transfer(self.ftp, self._data)

    def abandon(self) -> None:
        self._data.close()
        self.ftp.close()


def _end_transfer(ftp: ftplib.FTP, data: socket.socket) -> None:
    if isinstance(data, ssl.SSLSocket):
        data.unwrap().close()
    data.close()
    ftp.voidresp()


def _rename_over(ftp: ftplib.FTP, old: str, new: str) -> None:
    try:
        ftp.rename(old, new)
    except ftplib.error_perm:
        if not is_file(ftp, new):
            raise
        ftp.delete(new)  # this server renames to free names only
        ftp.rename(old, new)


def _size(ftp: ftplib.FTP, path: str) -> int:
    return int(ftp.voidcmd(f"SIZE {path}").split()[1])


def _claim(path: str) -> str:
    return f"{_split(path)[0]}/{_claim_name(path)}"


def _claim_name(path: str) -> str:
    digest = hashlib.sha256(_split(path)[1].encode("latin-1")).hexdigest()
    return f"{_TEMPORARY}claim-{digest[:32]}"


def _order(entry: FtpEntry) -> str:
    name = _ESCAPES.unescape(entry.name.encode("latin-1").decode(errors="surrogateescape"))
    return f"{name}/" if entry.is_folder else name


def _sent(part: str) -> str:
    """The part as the bytes that go over the wire, which the client library takes as latin-1."""
    return _ESCAPES.escape(part).encode().decode("latin-1")


def _split(path: str) -> tuple[str, str]:
    above, _, name = path.rpartition("/")
    return above, name
