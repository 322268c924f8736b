"""The packets of SFTP version 3 taken apart: fields, answers, and what they can say.

Numbers and layouts are those of draft-ietf-secsh-filexfer-02. Nothing here sends or waits.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x01, 0x02, 0x04, 0x08, 0x80000000


class Code(IntEnum):
    """The protocol's status codes that a caller can treat differently."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    UNSUPPORTED = 8


class SftpFailed(Exception):
    """The server answered a request with a status that is not OK."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text or f"SFTP status {code}")
        self.code = code


class SftpLost(Exception):
    """The session ended, or the server does not speak the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What the server tells about a file; a mode it does not tell is 0."""

    size_bytes: int
    mode: int
    modified_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of a folder."""

    name: bytes
    attributes: Attributes


class Fields:
    """The fields of one packet, taken from left to right behind its type."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self._at = 1

    def left(self) -> int:
        """How many bytes are not taken yet."""
        return len(self._packet) - self._at

    def starts_with(self, number: int) -> bool:
        """Whether this number comes next; takes nothing."""
        return self._packet[self._at : self._at + 4] == struct.pack(">I", number)

    def number(self) -> int:
        """A number of 32 bits."""
        return int.from_bytes(self._take(4))

    def wide(self) -> int:
        """A number of 64 bits."""
        return int.from_bytes(self._take(8))

    def text(self) -> bytes:
        """Bytes behind their length."""
        return self._take(self.number())

    def attributes(self) -> Attributes:
        """The attributes of a file."""
        has = self.number()
        size = self.wide() if has & _HAS_SIZE else 0
        if has & _HAS_OWNER:
            self.wide()
        mode = self.number() if has & _HAS_MODE else 0
        modified = self.wide() & 0xFFFFFFFF if has & _HAS_TIMES else 0
        for _ in range(self.number() if has & _HAS_MORE else 0):
            self.text()
            self.text()
        return Attributes(size_bytes=size, mode=mode, modified_at=modified)

    def _take(self, size: int) -> bytes:
        if size > self.left():
            raise SftpLost("the server sent a packet that is cut off")
        self._at += size
        return self._packet[self._at - size : self._at]


class Answer:
    """The server's answer to one request."""

    def __init__(self, kind: int, fields: Fields) -> None:
        self._kind = kind
        self._fields = fields

    def check(self) -> None:
        """For requests that are answered by a status."""
        self.expect(STATUS)
        self._raise_status()

    def expect(self, kind: int) -> Fields:
        """The fields of an answer of this type; a status that is an error is raised."""
        if self._kind == kind:
            return self._fields
        if self._kind == STATUS:
            self._raise_status()
        raise SftpLost(f"the server answered with a packet of type {self._kind}, not {kind}")

    def data(self) -> bytes:
        """What was read; nothing at the end of the file."""
        return b"" if self._is_end() else self.expect(DATA).text()

    def names(self) -> list[Entry]:
        """One page of a folder; nothing at its end."""
        if self._is_end():
            return []
        fields = self.expect(NAME)
        return [_entry(fields) for _ in range(fields.number())]

    def _is_end(self) -> bool:
        return self._kind == STATUS and self._fields.starts_with(Code.EOF)

    def _raise_status(self) -> None:
        code = self._fields.number()
        if code != Code.OK:
            text = self._fields.text().decode(errors="replace") if self._fields.left() else ""
            raise SftpFailed(code, text)


def _entry(fields: Fields) -> Entry:
    name = fields.text()
    fields.text()
    return Entry(name=name, attributes=fields.attributes())
