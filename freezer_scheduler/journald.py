"""Standard error that systemd's journal reads: each line begins with its priority (sd-daemon(3)).

So journalctl -p shows errors only, without a library for the journal's own protocol.
"""

import logging
import os
from collections.abc import Mapping
from typing import TextIO

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG = 7


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether the stream is the one that systemd connected to its journal, not one put in place."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class WithPriorities(logging.Formatter):
    """Another formatter's lines, each with its priority in front."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        found = (number for level, number in _PRIORITIES if record.levelno >= level)
        prefix = f"<{next(found, _DEBUG)}>"
        return "\n".join(f"{prefix}{line}" for line in self._inner.format(record).splitlines())
