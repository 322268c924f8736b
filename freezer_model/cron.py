"""The text of one cron field, as APScheduler's cron trigger reads it.

A field is a comma separated list of `*`, `*/step`, `n`, `n/step`, `a-b`, `a-b/step`; months and
days of the week also by their English three-letter names, without a step; days also as `last`,
`2nd fri` or `last mon`. Days of the week count from 0 = Monday.
"""

import re

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS_OF_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

CRON_FIELDS: dict[str, tuple[int, int]] = {
    "year": (1970, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "week": (1, 53),
    "day_of_week": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
"""Each field with its smallest and largest number, most significant field first."""

_SEPARATOR = re.compile(" *, *")
_EVERY = re.compile(r"\*(?:/(\d+))?", re.ASCII)
_RANGE = re.compile(r"(\d+)(?:-(\d+))?(?:/(\d+))?", re.ASCII)
_NAMES = re.compile(r"([a-z]+)(?:-([a-z]+))?", re.ASCII)
_POSITION = re.compile(rf"(?:1st|2nd|3rd|4th|5th|last) +(?:{'|'.join(DAYS_OF_WEEK)})")


def check_cron_field(name: str, text: str) -> None:
    """Raise ValueError, saying what is wrong, unless `text` is a cron expression for `name`.

    Whatever passes is read by the trigger as it is written. It would read more, but not as
    written: of `mon-fri/2` or `jan-3` it silently drops the end.
    """
    low, high = CRON_FIELDS[name]
    for part in _SEPARATOR.split(text.strip().lower()):
        if name == "day" and (part == "last" or _POSITION.fullmatch(part)):
            continue
        if every := _EVERY.fullmatch(part):
            _check_step(every[1], high - low)
        elif numbers := _RANGE.fullmatch(part):
            first = int(numbers[1])
            last = first if numbers[2] is None else int(numbers[2])
            _check_range(part, first, last, low, high)
            # A single number with a step runs to the end of the field: 5/15 is 5, 20, 35, 50.
            _check_step(numbers[3], (high if numbers[2] is None else last) - first)
        elif names := _NAMES.fullmatch(part):
            first = _number(name, names[1])
            last = first if names[2] is None else _number(name, names[2])
            _check_range(part, first, last, low, high)
        else:
            raise ValueError(f"{part!r} is no cron expression for {name}")


def are_days_of_week(text: str) -> bool:
    """Whether the text is a list of names of days, as in `mon, wed, fri` or `mon-fri`."""
    parts = _SEPARATOR.split(text.strip().lower())
    named = [_NAMES.fullmatch(part) for part in parts]
    return all(
        found is not None and all(day is None or day in DAYS_OF_WEEK for day in found.groups())
        for found in named
    )


def _check_range(part: str, first: int, last: int, low: int, high: int) -> None:
    if not low <= first <= high or not low <= last <= high:
        raise ValueError(f"{part!r} is outside {low}-{high}")
    if first > last:
        raise ValueError(f"{part!r} ends before it begins")


def _check_step(step: str | None, width: int) -> None:
    if step is not None and not 1 <= int(step) <= width:
        raise ValueError(f"a step of {step} does not fit the range")


def _number(name: str, text: str) -> int:
    names = {"month": MONTHS, "day_of_week": DAYS_OF_WEEK}.get(name, ())
    if text not in names:
        raise ValueError(f"{text!r} is no number or name for {name}")
    return names.index(text) + CRON_FIELDS[name][0]
