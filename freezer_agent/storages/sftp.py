"""SFTP version 3 over an SSH channel: file names are bytes, transfers are pipelined.

Written on the bare protocol (draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL file), because
a storage needs what the general client has not: names that are no UTF-8, both directions
pipelined in bounded memory without threads, and the extensions for durability and free space.
What a key, a root folder or a host is, `ssh.py` knows.
"""

import struct
import threading
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from freezer_agent.storages.sftp_packets import (
    ATTRS,
    EXTENDED_REPLY,
    HANDLE,
    Answer,
    Attributes,
    Entry,
    Fields,
    SftpFailed,
    SftpLost,
)

# 64 requests of 32 KiB are on their way at most: 2 MiB, the window of one SSH channel.
_REQUEST_BYTES = 32 * 1024
_REQUESTS_UNDERWAY = 64
_BLOCK_BYTES = 2 * 1024 * 1024
# OpenSSH sends no packet above 256 KiB; folders are listed in packets of 100 names.
_PACKET_LIMIT = 16 * 1024 * 1024

_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE, _FSTAT = 1, 2, 3, 4, 5, 6, 8
_OPENDIR, _READDIR, _REMOVE, _MKDIR, _RMDIR, _STAT, _RENAME = 11, 12, 13, 14, 15, 17, 18
_EXTENDED = 200

_FLAG_READ, _FLAG_CREATE_EXCLUSIVELY = 0x01, 0x02 | 0x08 | 0x20
_HAS_MODE = 0x04

_POSIX_RENAME = b"posix-rename@openssh.com"
_FSYNC = b"fsync@openssh.com"
_STATVFS = b"statvfs@openssh.com"


class Channel(Protocol):
    """What the session needs of an SSH channel."""

    def sendall(self, data: bytes, /) -> None:
        """Send everything."""
        ...

    def recv(self, size: int, /) -> bytes:
        """What has come, at least one byte; nothing at the end."""
        ...


class Sftp:
    """One session. `start` comes first; every call may raise SftpFailed, SftpLost or OSError.

    Several generators and threads may use it at the same time: answers are sorted by request.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._last_id = 0
        self._answers: dict[int, Answer] = {}
        self._dropped: set[int] = set()
        self._came = b""
        self._taken = 0
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self.extensions: frozenset[bytes] = frozenset()

    def start(self) -> None:
        """Agree on the version and learn the server's extensions."""
        self._channel.sendall(_packet(_INIT, struct.pack(">I", 3)))
        kind, fields = self._receive()
        if kind != _VERSION or fields.number() < 3:
            raise SftpLost("the server does not speak SFTP version 3")
        names = []
        while fields.left():
            names.append(fields.text())
            fields.text()
        self.extensions = frozenset(names)

    def create_file(self, path: bytes, mode: int) -> bytes:
        """The handle of a new file; fails if there is one already."""
        attributes = struct.pack(">II", _HAS_MODE, mode)
        flags = struct.pack(">I", _FLAG_CREATE_EXCLUSIVELY)
        return self._ask(_OPEN, _text(path) + flags + attributes).expect(HANDLE).text()

    def open_file(self, path: bytes) -> bytes:
        """The handle of an existing file (OpenSSH: also of a folder) for reading."""
        body = _text(path) + struct.pack(">II", _FLAG_READ, 0)
        return self._ask(_OPEN, body).expect(HANDLE).text()

    def close_file(self, handle: bytes) -> None:
        """Give the handle back. What a server could not write it may tell here."""
        self._ask(_CLOSE, _text(handle)).check()

    def upload(self, handle: bytes) -> "Upload":
        """Write to the open file, from its start on."""
        return Upload(self, handle)

    def read(self, handle: bytes, offset: int, end: int) -> Generator[bytes]:
        """The bytes from `offset` to `end`, in order; ends early where the file does."""
        underway: deque[_Range] = deque()
        asked = offset
        try:
            while asked < end or underway:
                while asked < end and len(underway) < _REQUESTS_UNDERWAY:
                    size = min(_REQUEST_BYTES, end - asked)
                    underway.append(self._ask_range(handle, asked, size))
                    asked += size
                wanted = underway.popleft()
                data = self.wait(wanted.request).data()
                if not data:
                    return
                yield data
                if len(data) < wanted.size:
                    rest = wanted.size - len(data)
                    underway.appendleft(self._ask_range(handle, wanted.offset + len(data), rest))
        finally:
            self.forget(wanted.request for wanted in underway)

    def stat(self, path: bytes) -> Attributes:
        """About the file that the path leads to."""
        return self._ask(_STAT, _text(path)).expect(ATTRS).attributes()

    def stat_file(self, handle: bytes) -> Attributes:
        """About the open file."""
        return self._ask(_FSTAT, _text(handle)).expect(ATTRS).attributes()

    def list_folder(self, path: bytes) -> list[Entry]:
        """Every name of the folder, without "." and "..", in any order."""
        handle = self._ask(_OPENDIR, _text(path)).expect(HANDLE).text()
        entries: list[Entry] = []
        try:
            while page := self._ask(_READDIR, _text(handle)).names():
                entries.extend(entry for entry in page if entry.name not in {b".", b".."})
        finally:
            self.close_file(handle)
        return entries

    def make_folder(self, path: bytes, mode: int) -> None:
        """Make one folder; fails if something is there."""
        self._ask(_MKDIR, _text(path) + struct.pack(">II", _HAS_MODE, mode)).check()

    def remove_folder(self, path: bytes) -> None:
        """Remove an empty folder."""
        self._ask(_RMDIR, _text(path)).check()

    def remove_file(self, path: bytes) -> None:
        """Remove a file."""
        self._ask(_REMOVE, _text(path)).check()

    def rename_new(self, old: bytes, new: bytes) -> None:
        """Rename; fails if `new` is there (OpenSSH: atomically, by a hard link)."""
        self._ask(_RENAME, _text(old) + _text(new)).check()

    def rename_over(self, old: bytes, new: bytes) -> None:
        """Rename and replace `new`: at once where the server has the extension for it.

        Without it `new` is removed first, so that for a moment there is neither.
        """
        if _POSIX_RENAME in self.extensions:
            self._extended(_POSIX_RENAME, _text(old) + _text(new)).check()
            return
        try:
            self.rename_new(old, new)
        except SftpFailed:
            self.remove_file(new)
            self.rename_new(old, new)

    def sync(self, handle: bytes) -> None:
        """Bring the open file to the disk, where the server has the extension for it."""
        if _FSYNC in self.extensions:
            self._extended(_FSYNC, _text(handle)).check()

    def free_bytes(self, path: bytes) -> int | None:
        """The room that is left where `path` lies; None if the server does not tell."""
        if _STATVFS not in self.extensions:
            return None
        fields = self._extended(_STATVFS, _text(path)).expect(EXTENDED_REPLY)
        fields.wide()
        fragment_size = fields.wide()
        fields.wide()
        fields.wide()
        return fragment_size * fields.wide()

    def _extended(self, name: bytes, body: bytes) -> Answer:
        return self._ask(_EXTENDED, _text(name) + body)

    def send_write(self, handle: bytes, offset: int, data: bytes) -> int:
        """Send one piece of a file; the number is for `wait` or `forget`."""
        place = _text(handle) + struct.pack(">QI", offset, len(data))
        return self._send(_WRITE, place, data)

    def _ask_range(self, handle: bytes, offset: int, size: int) -> "_Range":
        request = self._send(_READ, _text(handle) + struct.pack(">QI", offset, size))
        return _Range(request=request, offset=offset, size=size)

    def _ask(self, kind: int, body: bytes) -> Answer:
        return self.wait(self._send(kind, body))

    def _send(self, kind: int, body: bytes, data: bytes = b"") -> int:
        with self._sending:
            self._last_id = (self._last_id + 1) & 0xFFFFFFFF
            request = self._last_id
            self._channel.sendall(_packet(kind, struct.pack(">I", request) + body + data))
        return request

    def wait(self, request: int) -> Answer:
        """The answer to a request that was sent."""
        while True:
            with self._receiving:
                if request in self._answers:
                    return self._answers.pop(request)
                kind, fields = self._receive()
                number = fields.number()
                if number in self._dropped:
                    self._dropped.remove(number)
                else:
                    self._answers[number] = Answer(kind, fields)

    def forget(self, requests: Iterable[int]) -> None:
        """Nobody will wait for these: forget their answers as they come."""
        with self._receiving:
            for request in requests:
                if self._answers.pop(request, None) is None:
                    self._dropped.add(request)

    def _receive(self) -> tuple[int, Fields]:
        (size,) = struct.unpack(">I", self._receive_exactly(4))
        if not 0 < size <= _PACKET_LIMIT:
            raise SftpLost("the server sent something that is not SFTP")
        packet = self._receive_exactly(size)
        return packet[0], Fields(packet)

    def _receive_exactly(self, size: int) -> bytes:
        while len(self._came) - self._taken < size:
            # Everything that has come at once: taking small pieces from the channel is slow.
            block = self._channel.recv(_BLOCK_BYTES)
            if not block:
                raise SftpLost("the server closed the connection")
            self._came = self._came[self._taken :] + block
            self._taken = 0
        self._taken += size
        return self._came[self._taken - size : self._taken]


class Upload:
    """The bytes of one file on their way: pieces are sent before earlier ones are confirmed."""

    def __init__(self, sftp: Sftp, handle: bytes) -> None:
        self._sftp = sftp
        self._handle = handle
        self._underway: deque[int] = deque()
        self.size_bytes = 0

    def put(self, chunk: bytes) -> None:
        """Send a chunk of any size; what the server says about earlier ones is raised here."""
        for start in range(0, len(chunk), _REQUEST_BYTES):
            if len(self._underway) >= _REQUESTS_UNDERWAY:
                self._confirm_one()
            piece = chunk[start : start + _REQUEST_BYTES]
            self._underway.append(self._sftp.send_write(self._handle, self.size_bytes, piece))
            self.size_bytes += len(piece)

    def finish(self) -> None:
        """Wait until the server has confirmed everything."""
        while self._underway:
            self._confirm_one()

    def abandon(self) -> None:
        """Wait for nothing any more."""
        self._sftp.forget(self._underway)
        self._underway.clear()

    def _confirm_one(self) -> None:
        self._sftp.wait(self._underway.popleft()).check()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """A read request that is on its way."""

    request: int
    offset: int
    size: int


def _packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


def _text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value
