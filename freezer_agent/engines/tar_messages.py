"""What GNU tar says on stderr in the C locale, turned into counts and names of troubled files."""

import re

from freezer_agent.engines.base import SourceNotes

_ENDING = b"Exiting with failure status due to previous errors"
_HARMLESS = re.compile(
    rb": (?:socket ignored|door ignored|file is on a different filesystem; not dumped|"
    rb"Directory is new|Directory has been renamed from .*|Directory has been renamed)$"
)
_CHANGED = re.compile(
    rb"^[^:]*: (?P<name>.*): (?P<what>file changed as we read it|"
    rb"File shrank by \d+ bytes?; padding with zeros|"
    rb"File shrank, (?:padding|truncated).*|[Ff]ile grew.*)$"
)
_VANISHED = re.compile(
    rb"^[^:]*: (?P<name>.*): (?P<what>File removed before we read it|"
    rb"(?:Cannot [a-z]+|Cannot [a-z ]+): (?:No such file or directory|Stale file handle))$"
)
_UNREADABLE = re.compile(
    rb"^[^:]*: (?P<name>.*): (?P<what>Cannot [^:]+: [^:]+|"
    rb"Read error at byte \d+, while reading \d+ bytes?: [^:]+|"
    rb"[Uu]nknown file type; file ignored)$"
)
_ESCAPE = re.compile(rb"\\([0-7]{3}|[abfnrtv\\?\" ])")
_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"?": b"\x7f",
}


class TarMessages:
    """Takes tar's lines while it reads a source, and counts in `notes` what they mean.

    What is neither about a single file nor harmless is kept in `failures`.
    """

    def __init__(self, notes: SourceNotes) -> None:
        self._notes = notes
        self._last = b""
        self.failures: list[str] = []

    def take(self, line: bytes) -> None:
        """One line, without its end. Tar repeats some; the repetition counts once."""
        if not line or line == self._last or line.endswith(_ENDING) or _HARMLESS.search(line):
            return
        self._last = line
        line = line.replace(b": Warning: ", b": ", 1)
        if match := _CHANGED.match(line):
            self._notes.changed += 1
        elif match := _VANISHED.match(line):
            self._notes.vanished += 1
        elif match := _UNREADABLE.match(line):
            self._notes.unreadable += 1
        if match is None or unquoted(match["name"]) in {b".", b"./"}:
            self.failures.append(line.decode("utf-8", "backslashreplace"))
            return
        self._notes.note(readable(match["name"]), match["what"].decode())


def unquoted(name: bytes) -> bytes:
    """The bytes of a name that tar quoted in its escape style."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8) & 0xFF]) if len(code) == 3 else _LETTERS.get(code, code)

    return _ESCAPE.sub(plain, name)


def readable(name: bytes) -> str:
    """A quoted name for a report: its letters as letters, one line, only printable characters."""
    text = unquoted(name).decode("utf-8", "backslashreplace")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
