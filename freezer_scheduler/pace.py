"""How long to wait before the API is asked again: an interval that gives way to a slow API."""

from collections.abc import Callable
from dataclasses import dataclass

_FIRST_PART = 0.25
_SPREAD = 0.1
_SHARE = 0.1
_MOST_STRETCH = 2.5
MOST_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`jitter` returns numbers from 0 to 1; without one the interval is kept to the letter."""

    jitter: Callable[[], float] | None = None

    def first(self, interval_seconds: float) -> float:
        """The wait before the first look: up to a quarter of the interval.

        So nodes that start together, after a power cut, do not ask together.
        """
        return 0.0 if self.jitter is None else interval_seconds * _FIRST_PART * self.jitter()

    def next(
        self, interval_seconds: float, *, took_seconds: float, retry_after_seconds: float | None
    ) -> float:
        """The wait after a look that took so long.

        The interval, a tenth more or less at random; longer if the look took more than a tenth of
        it, so that a node spends no more time than that on asking, but at most two and a
        half intervals: a run that is not heard of for longer would count as lost. What the server asks for by
        Retry-After is kept up to an hour, and never shortened.
        """
        if self.jitter is None:
            return interval_seconds
        wanted = min(max(interval_seconds, took_seconds / _SHARE), interval_seconds * _MOST_STRETCH)
        spread = wanted * (1 - _SPREAD + 2 * _SPREAD * self.jitter())
        asked = min(retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS)
        # All nodes were told the same number: they come back one after the other.
        return max(spread, asked * (1 + _SPREAD * self.jitter()))
