"""Instants as documents write them: ISO 8601 text and epoch seconds.

Text without a zone is a wall time of the node that runs the job: users have typed local times for
ten years, and only the node knows its zone. It stays a naive datetime until `in_zone` settles it.
"""

import re
from datetime import UTC, datetime, tzinfo

NO_INSTANT = -1
"""What documents hold in place of an epoch number that is not known yet."""

INSTANT_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})?$"
"""`YYYY-MM-DDThh:mm:ss`, optionally with a fraction and a zone."""

_INSTANT = re.compile(INSTANT_PATTERN, re.ASCII)

FIRST_YEAR, LAST_YEAR = 1900, 9998
"""Beyond them a change of zone leaves the calendar of the language."""


def parse_instant(text: str) -> datetime:
    """The instant that the text names: aware if it has a zone, else naive.

    Raises ValueError for other forms, dates that do not exist and years that nobody means.
    """
    if not _INSTANT.fullmatch(text) or text.endswith("\n"):
        raise ValueError(f"{text!r} is not a date of the form YYYY-MM-DDThh:mm:ss")
    instant = datetime.fromisoformat(text)
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise ValueError(f"{text!r} is not between the years {FIRST_YEAR} and {LAST_YEAR}")
    return instant


def in_zone(instant: datetime, zone: tzinfo | None = None) -> datetime:
    """The instant as an aware datetime; a naive one is a wall time of `zone` (None: the host's).

    A wall time that daylight saving repeats is the first of the two; one that it skips counts by
    the offset before the change, and so is as much later.
    """
    if instant.tzinfo is not None:
        return instant
    if zone is None:
        return instant.astimezone()
    return instant.replace(tzinfo=zone)


def to_epoch(instant: datetime) -> int:
    """Whole seconds since 1970 of an aware datetime, rounded down."""
    return int(instant.timestamp() // 1)


def from_epoch(seconds: float) -> datetime:
    """The aware UTC datetime of an epoch number."""
    return datetime.fromtimestamp(seconds, UTC)
