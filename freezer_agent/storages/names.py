"""Names that a storage cannot keep as they are: written with escapes, and read back.

A byte that must not appear is written as a percent sign and two upper-case hexadecimal digits. A
percent sign itself is escaped only where it would look like such an escape, so that ordinary
names with "%" stay as they are.
"""

import re
from collections.abc import Callable

_UNDECODABLE = "[\udc80-\udcff]"


class Escapes:
    """How the parts of keys are written in one kind of storage.

    `unsafe` is a regular expression of what must not appear; undecodable bytes (surrogates) never
    do. `unescape(escape(part)) == part` for every part.
    """

    def __init__(self, unsafe: str | None = None, *, only_high: bool = False) -> None:
        # Where only bytes from 0x80 on are ever escaped, and "%" itself, "%41" can be left alone.
        digits = "(?:[89A-F][0-9A-F]|25)" if only_high else "[0-9A-F]{2}"
        look_alike = f"%(?={digits})"
        self._unsafe = re.compile("|".join(filter(None, [_UNDECODABLE, look_alike, unsafe])))
        self._escaped = re.compile(f"(?:%{digits})+")

    def escape(self, part: str) -> str:
        """The part as the storage keeps it."""
        return self._unsafe.sub(lambda found: _percent(found[0]), part)

    def unescape(self, name: str) -> str:
        """The part that is kept under this name."""
        return self._escaped.sub(lambda found: _bytes(found[0]), name)


def each_part(change: Callable[[str], str], key: str) -> str:
    """The key with every part changed."""
    return "/".join(map(change, key.split("/")))


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogateescape"))


def _bytes(escapes: str) -> str:
    return bytes.fromhex(escapes.replace("%", "")).decode(errors="surrogateescape")
