"""When a job runs: once, every so often, or by cron fields, between a start and an end."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from freezer_model.cron import CRON_FIELDS, are_days_of_week, check_cron_field
from freezer_model.errors import InvalidDocument
from freezer_model.instants import parse_instant

INTERVAL_PATTERN = r"^(continuous|[0-9]+ (weeks|days|hours|minutes|seconds))$"
"""`continuous`, or a number, one blank and a unit in the plural."""

DATE_KEYS = ("schedule_date", "schedule_start_date", "schedule_end_date")
CRON_KEYS = tuple(f"schedule_{name}" for name in CRON_FIELDS)
MANNER_KEYS = ("schedule_timezone", "schedule_jitter", "schedule_catch_up")
SCHEDULE_KEYS = (*DATE_KEYS, "schedule_interval", *CRON_KEYS, *MANNER_KEYS)
"""Every key of a job_schedule that says when to run; the others tell how it went."""

_MOST_SECONDS = 100 * 366 * 86400


class ScheduleKind(StrEnum):
    """How a schedule gives its instants, in the order in which the keys count."""

    DATE = "date"
    """Once, at `at`."""
    CONTINUOUS = "continuous"
    """Again as soon as the run before has ended."""
    INTERVAL = "interval"
    """Every `interval`, counted from `start_at` if there is one."""
    CRON = "cron"
    """Whenever the wall clock fits the cron fields."""
    AT_ONCE = "at_once"
    """Once, as soon as the job is seen."""


class CatchUp(StrEnum):
    """What becomes of instants at which the job should have run and did not."""

    ONCE = "once"
    """They become one run, as soon as that is possible."""
    SKIP = "skip"
    """They are left out; the job runs when it is due next."""
    ALL = "all"
    """Each becomes a run, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A checked schedule. Naive datetimes are wall times of `zone`, without it of the job's node.

    Each start is put off by a part of `jitter` that differs from job to job and from time to time.

    `cron` maps the field names of `freezer_model.cron` to their texts; it is empty where a date or
    an interval counts. `source` holds the keys as the document had them, so that a document
    survives the round trip to the letter.
    """

    kind: ScheduleKind
    at: datetime | None = None
    interval: timedelta | None = None
    cron: Mapping[str, str]
    start_at: datetime | None = None
    end_at: datetime | None = None
    zone: ZoneInfo | None = None
    jitter: timedelta = timedelta(0)
    catch_up: CatchUp = CatchUp.ONCE
    source: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Mapping[str, Any], path: str = "job_schedule") -> Self:
        """Read the schedule_* keys of a job_schedule (or session schedule); others are ignored.

        A key that is null or "" counts as absent. Raises InvalidDocument with the key's path.
        """
        source = {key: document[key] for key in SCHEDULE_KEYS if key in document}
        given = {key: value for key, value in source.items() if value not in (None, "")}
        for key, value in given.items():
            if not isinstance(value, str):
                raise InvalidDocument(f"{path}.{key}", f"must be text, not {value!r}")
        dates = {key: _date(path, key, given) for key in DATE_KEYS}
        _check_bounds(path, dates["schedule_start_date"], dates["schedule_end_date"])
        continuous = given.get("schedule_interval") == "continuous"
        interval = None if continuous else _length(path, "schedule_interval", given)
        cron = _cron(path, given)
        return cls(
            kind=_kind(given, cron),
            at=dates["schedule_date"],
            interval=interval,
            cron=cron,
            start_at=dates["schedule_start_date"],
            end_at=dates["schedule_end_date"],
            zone=_zone(path, given),
            jitter=_length(path, "schedule_jitter", given) or timedelta(0),
            catch_up=_catch_up(path, given),
            source=source,
        )

    def to_document(self) -> dict[str, Any]:
        """The schedule_* keys as they were read."""
        return dict(self.source)


def _kind(given: Mapping[str, str], cron: Mapping[str, str]) -> ScheduleKind:
    if "schedule_date" in given:
        return ScheduleKind.DATE
    if given.get("schedule_interval") == "continuous":
        return ScheduleKind.CONTINUOUS
    if "schedule_interval" in given:
        return ScheduleKind.INTERVAL
    return ScheduleKind.CRON if cron else ScheduleKind.AT_ONCE


def _date(path: str, key: str, given: Mapping[str, str]) -> datetime | None:
    if key not in given:
        return None
    try:
        return parse_instant(given[key])
    except ValueError as error:
        raise InvalidDocument(f"{path}.{key}", str(error)) from error


def _check_bounds(path: str, start: datetime | None, end: datetime | None) -> None:
    if start is None or end is None or (start.tzinfo is None) != (end.tzinfo is None):
        return
    if end <= start:
        raise InvalidDocument(f"{path}.schedule_end_date", "lies before schedule_start_date")


def read_length(text: str) -> timedelta:
    """The length of time that a text like '4 hours' names; the unit is always in the plural.

    Raises ValueError.
    """
    if text == "continuous" or not re.fullmatch(INTERVAL_PATTERN, text) or text.endswith("\n"):
        raise ValueError(
            f"{text!r} is no number and weeks, days, hours, minutes or seconds, as in '4 hours' or "
            "'1 days'"
        )
    count, unit = text.split(" ")
    # Digits are counted first: int() refuses thousands of them with an error of its own.
    if len(count) > 12 or not int(count) >= 1:
        raise ValueError(f"{text[:40]!r} is not a usable length of time")
    seconds = int(count) * int(timedelta(**{unit: 1}).total_seconds())
    if seconds > _MOST_SECONDS:
        raise ValueError(f"{text!r} is longer than a century")
    return timedelta(seconds=seconds)


def _length(path: str, key: str, given: Mapping[str, str]) -> timedelta | None:
    if key not in given:
        return None
    try:
        return read_length(given[key])
    except ValueError as error:
        raise InvalidDocument(f"{path}.{key}", str(error)) from None


def _zone(path: str, given: Mapping[str, str]) -> ZoneInfo | None:
    name = given.get("schedule_timezone")
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise InvalidDocument(
            f"{path}.schedule_timezone",
            f"{name[:80]!r} is no time zone that is known here, as in 'Europe/Berlin'",
        ) from error


def _catch_up(path: str, given: Mapping[str, str]) -> CatchUp:
    word = given.get("schedule_catch_up", CatchUp.ONCE)
    try:
        return CatchUp(word)
    except ValueError:
        words = ", ".join(repr(str(member)) for member in CatchUp)
        raise InvalidDocument(f"{path}.schedule_catch_up", f"must be one of {words}") from None


def _cron(path: str, given: Mapping[str, str]) -> dict[str, str]:
    if "schedule_date" in given or "schedule_interval" in given:
        # Those count, and the documents of the first manuals have nonsense beside them.
        return {}
    cron = {}
    for name, text in _cron_texts(given).items():
        try:
            check_cron_field(name, text)
        except ValueError as error:
            raise InvalidDocument(f"{path}.schedule_{name}", str(error)) from error
        cron[name] = text
    return cron


def _cron_texts(given: Mapping[str, str]) -> dict[str, str]:
    """The text of each field. Those manuals also have days of the week as days of the month."""
    keys = {name: f"schedule_{name}" for name in CRON_FIELDS}
    texts = {name: given[key] for name, key in keys.items() if key in given}
    if "day_of_week" not in texts and are_days_of_week(texts.get("day", "")):
        texts["day_of_week"] = texts.pop("day")
    return texts
