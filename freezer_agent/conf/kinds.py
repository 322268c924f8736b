"""Kinds of option values that oslo.config does not have."""

import re
from datetime import timedelta
from typing import Any

from oslo_config import types

from freezer_agent.requests import Span

_RATE = re.compile(r"(\d+)\s*(?:([kmg])(?:i?b?|ilo|ega|iga|ebi|ibi)?)?", re.IGNORECASE | re.ASCII)
_SPAN = re.compile(
    r"(?=.)(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,5})w)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?", re.ASCII
)
_POWERS = {None: 0, "k": 1, "m": 2, "g": 3}


class FlagOrText(types.ConfigType):
    """A switch that may also carry a value: `--snapshot`, `--snapshot true`, `--snapshot=no`."""

    def __init__(self) -> None:
        super().__init__(type_name="flag value")

    def __call__(self, value: Any) -> bool:
        """True unless the text says no. Every other text counts as yes, as it always did."""
        return str(value).strip().lower() not in {"", "false", "no", "off", "0", "none"}

    def __repr__(self) -> str:
        return "FlagOrText"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlagOrText)

    __hash__ = None  # type: ignore[assignment]  # oslo's types are compared, not hashed

    def _formatter(self, value: Any) -> str:
        return str(value)


class Rate(types.ConfigType):
    """Bytes per second, also as 10K, 120M or 10G (powers of 1024); -1 is no limit."""

    def __init__(self) -> None:
        super().__init__(type_name="rate value")

    def __call__(self, value: Any) -> int:
        """The rate in bytes per second. ValueError for anything else."""
        text = str(value).strip()
        if text == "-1":
            return -1
        match = _RATE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no rate: give bytes per second, or 10K, 120M, 10G")
        suffix = match[2].lower() if match[2] else None
        return int(match[1]) * int(1024 ** _POWERS[suffix])

    def __repr__(self) -> str:
        return "Rate"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rate)

    __hash__ = None  # type: ignore[assignment]  # oslo's types are compared, not hashed

    def _formatter(self, value: Any) -> str:
        return str(value)


class Share(types.ConfigType):
    """A part of the whole: 10% or 10; without a value all of it."""

    def __init__(self) -> None:
        super().__init__(type_name="share value")

    def __call__(self, value: Any) -> float | None:
        """More than 0 and at most 1; None for "false". ValueError for anything else."""
        text = str(value).strip().lower()
        if text in {"true", "yes"}:
            return 1.0
        if text in {"false", "no"}:
            return None
        try:
            percent = float(text.removesuffix("%"))
        except ValueError:
            percent = 0.0
        if not 0 < percent <= 100:
            raise ValueError(f"{text!r} is no share: give more than 0% and at most 100%")
        return percent / 100

    def __repr__(self) -> str:
        return "Share"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Share)

    __hash__ = None  # type: ignore[assignment]  # oslo's types are compared, not hashed

    def _formatter(self, value: Any) -> str:
        return str(value)


class LengthOfTime(types.ConfigType):
    """A length of time: 14d, 2w, 6m, 1y6m, 36h; a number alone is days."""

    def __init__(self) -> None:
        super().__init__(type_name="length of time value")

    def __call__(self, value: Any) -> Span:
        """The span. ValueError for anything else, and for no time at all."""
        text = str(value).strip().lower()
        match = _SPAN.fullmatch(f"{text}d" if text[-1:].isdigit() else text)
        if match is None:
            raise ValueError(f"{text!r} is no length of time: give 14d, 2w, 6m, 1y6m or 36h")
        years, months, weeks, days, hours = (int(part or 0) for part in match.groups())
        span = Span(months=12 * years + months, rest=timedelta(weeks=weeks, days=days, hours=hours))
        if not span.months and not span.rest:
            raise ValueError(f"{text!r} is no time at all")
        return span

    def __repr__(self) -> str:
        return "LengthOfTime"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LengthOfTime)

    __hash__ = None  # type: ignore[assignment]  # oslo's types are compared, not hashed

    def _formatter(self, value: Any) -> str:
        return str(value)
