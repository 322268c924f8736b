"""Which names of a backup are meant: the patterns of --include.

A pattern is relative to the top of the backup. One with a slash inside starts there, and its `*`
and `?` stop at slashes, while `**` does not; one without a slash fits a name at any depth. What is
in a directory that fits is meant too.
"""

import os
import re
from collections.abc import Sequence


class Selection:
    """Several patterns: what fits one of them is meant. Without patterns everything is."""

    def __init__(self, patterns: Sequence[str]) -> None:
        fits = b"|".join(_expression(os.fsencode(one)) for one in patterns)
        self._fits = re.compile(b"(?:" + fits + b")(?:/.*)?", re.DOTALL) if patterns else None

    def __contains__(self, name: bytes) -> bool:
        return self._fits is None or self._fits.fullmatch(name) is not None


def _expression(pattern: bytes) -> bytes:
    plain = pattern.removeprefix(b"./").strip(b"/")
    anchored = b"/" in plain or pattern.startswith((b"/", b"./"))
    expression = b"" if anchored else b"(?:.*/)?"
    at = 0
    while at < len(plain):
        match = _TOKEN.match(plain, at)
        token = match[0] if match else plain[at : at + 1]
        expression += _TOKENS.get(token) or _class_or_text(token)
        at += len(token)
    return expression


_TOKEN = re.compile(rb"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|\\.", re.DOTALL)
_TOKENS = {b"**/": b"(?:.*/)?", b"**": b".*", b"*": b"[^/]*", b"?": b"[^/]"}


def _class_or_text(token: bytes) -> bytes:
    if token.startswith(b"\\") and len(token) == 2:
        return re.escape(token[1:])
    if not (token.startswith(b"[") and token.endswith(b"]") and len(token) > 2):
        return re.escape(token)
    inside = token[1:-1]
    negated = inside[:1] in {b"!", b"^"}
    escaped = re.sub(rb"([\\\[\]&~|^])", rb"\\\1", inside[1:] if negated else inside)
    try:
        re.compile(b"[" + escaped + b"]")
    except re.error:
        return re.escape(token)
    return b"(?!/)[^" + escaped + b"]" if negated else b"[" + escaped + b"]"
