"""From a schedule to its instants. Pure: the present and the zone are handed in.

Intervals are counted in elapsed time, so a daily job keeps its 24 hours when the clocks change;
cron fields are matched with the wall clock of the zone. Only the cron search is APScheduler's, and
it is imported where it is used: a client command that schedules nothing does not wait for it.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol

from freezer_model.errors import InvalidDocument
from freezer_model.instants import in_zone
from freezer_model.schedule import CatchUp, Schedule, ScheduleKind

LOG = logging.getLogger(__name__)

MISFIRE_GRACE = timedelta(hours=1)
"""How late a last firing may still happen."""

SKIP_TOLERANCE = timedelta(minutes=1)
"""How late a firing may happen of which missed ones are to be skipped."""

SOON = timedelta(seconds=2)
"""The pause before a job that should run at once, in which its owner can think again."""

BACK_TO_BACK = timedelta(seconds=1)
"""The shortest distance of two starts of a continuous job."""

_RECORD_GRAIN = timedelta(seconds=1)
"""Documents hold the time of a run in whole seconds, rounded down."""

_SECOND = timedelta(seconds=1)

_CRON_HORIZON = timedelta(days=100 * 366)
"""The library searches up to the year 9999, which takes seconds; nobody waits for a century."""


class Trigger(Protocol):
    """The instants of one schedule, with the signature of APScheduler's triggers."""

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """The first instant if `previous_fire_time` is None, else the next one after both.

        Instants between the two are skipped: missed firings collapse into one. None: no more.
        """
        ...


def trigger_for(
    schedule: Schedule,
    *,
    now: datetime,
    last_run_at: datetime | None = None,
    zone: tzinfo | None = None,
) -> Trigger:
    """The trigger of the schedule for a job that is armed at `now`.

    `last_run_at` is the instant for which the job ran last, by this process or an earlier one: what
    was due since then is caught up with as the schedule says, and the phase goes on. Naive
    datetimes of the schedule and cron fields are wall times of the schedule's zone, or else of
    `zone` (None: the host's). Raises InvalidDocument for cron fields that the library refuses.
    """
    last = None if last_run_at is None else min(last_run_at, now).astimezone(UTC)
    zone = schedule.zone or zone
    repeated = schedule.kind in {ScheduleKind.INTERVAL, ScheduleKind.CRON}
    if repeated and last is not None and schedule.catch_up is CatchUp.SKIP:
        last = _as_if_done(schedule, now.astimezone(UTC), last)
    if repeated and schedule.catch_up is CatchUp.ALL:
        return _All(_trigger(schedule, last or now, last, zone), last)
    return _trigger(schedule, now, last, zone)


def _trigger(
    schedule: Schedule, now: datetime, last: datetime | None, zone: tzinfo | None
) -> Trigger:
    start = _utc(schedule.start_at, zone)
    end = _utc(schedule.end_at, zone)
    match schedule.kind:
        case ScheduleKind.DATE:
            skips = schedule.catch_up is CatchUp.SKIP
            due = _utc(schedule.at, zone)
            return _once_at(due, now, last, SKIP_TOLERANCE if skips else MISFIRE_GRACE)
        case ScheduleKind.AT_ONCE:
            return _Once(now.astimezone(UTC) + SOON)
        case ScheduleKind.CRON:
            search = _CronSearch.make(schedule, start, _earlier(end, now + _CRON_HORIZON), zone)
            return _Cron(search=search, last=last, end=end)
        case ScheduleKind.CONTINUOUS | ScheduleKind.INTERVAL:
            return _every(schedule.interval or BACK_TO_BACK, start, end, now.astimezone(UTC), last)


@dataclass(frozen=True, slots=True)
class _Once:
    at: datetime | None

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        del now
        return self.at if previous_fire_time is None else None


@dataclass(frozen=True, slots=True)
class _All:
    """Gives every instant since `last`, also those that have passed."""

    trigger: Trigger
    last: datetime | None

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        if previous_fire_time is None and self.last is None:
            return self.trigger.get_next_fire_time(None, now)
        previous = self.last if previous_fire_time is None else previous_fire_time
        return self.trigger.get_next_fire_time(previous, previous or now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Every:
    """First at `first`, afterwards whenever a whole number of intervals has passed since `phase`."""

    first: datetime
    phase: datetime
    interval: timedelta
    end: datetime | None

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        due = self.first
        if previous_fire_time is not None:
            passed = max(previous_fire_time, now) - self.phase
            due = (self.phase + (passed // self.interval + 1) * self.interval).astimezone(UTC)
            due = max(due, self.first)
        return due if self.end is None or due <= self.end else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _CronSearch:
    """The library's cron trigger, asked for one instant at a time.

    The library adds elapsed time to wall times, and so loses a midnight after a night in which the
    clocks are put forward. Here it sees the wall clock as if that never changed; when it does, the
    search goes on from there by the new time.
    """

    library: Any
    zone: tzinfo
    fixed_hour: bool
    start: datetime | None
    end: datetime

    @classmethod
    def make(
        cls,
        schedule: Schedule,
        start: datetime | None,
        end: datetime,
        zone: tzinfo | None,
    ) -> "_CronSearch":
        from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - slow to import

        # Only so that it ends: no clock is farther from UTC than that.
        horizon = end + timedelta(days=2)
        try:
            library = CronTrigger(**schedule.cron, end_date=horizon, timezone=UTC)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise InvalidDocument(
                "job_schedule", f"the cron fields are refused: {error}"
            ) from error
        return cls(
            library=library,
            zone=zone or _host_zone(),
            fixed_hour=_hour_is_fixed(schedule.cron),
            start=start,
            end=end,
        )

    def after(self, instant: datetime) -> datetime | None:
        """The first match that is later than `instant`."""
        start = instant.astimezone(UTC).replace(microsecond=0) + _SECOND
        if self.start is not None and self.start > start:
            start = self.start.replace(microsecond=0)
            start += _SECOND if start < self.start else timedelta(0)
        while (found := self._first_from(start)) is not None and found <= self.end:
            local = found.astimezone(self.zone)
            if not (self.fixed_hour and local.fold):
                return local
            start = found + _SECOND
        return None

    def _first_from(self, start: datetime) -> datetime | None:
        """The first match from the whole second `start` on.

        A wall time that the spring night skips comes as much later as the clocks are put forward.
        """
        skipped: list[datetime] = []
        while True:
            offset = self._offset(start)
            wall: datetime | None = self.library.get_next_fire_time(None, start + offset)
            if wall is None:
                return min(skipped, default=None)
            found = wall - offset
            change = self._change(start, found)
            if change is None:
                return min([found, *skipped])
            if found < change + self._offset(change) - offset:
                skipped.append(found)
            start = change

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """When the clocks change first after `start`, `end` included."""
        offset, later = self._offset(start), start
        while self._offset(later) == offset:
            if later == end:
                return None
            start, later = later, min(later + timedelta(days=1), end)
        while later - start > _SECOND:
            middle = start + (later - start) // (2 * _SECOND) * _SECOND
            start, later = (middle, later) if self._offset(middle) == offset else (start, middle)
        return later

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self.zone).utcoffset() or timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cron:
    search: _CronSearch
    last: datetime | None
    end: datetime | None

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        if previous_fire_time is not None:
            return self.search.after(max(previous_fire_time, now))
        if self.last is None:
            # The present second itself still counts: a job armed at six for six o'clock runs.
            return self.search.after(now - timedelta(microseconds=1))
        due = self.search.after(self.last)
        if due is None or due >= now:
            return due
        return now if self.end is None or now <= self.end else None


def _once_at(due: datetime | None, now: datetime, last: datetime | None, grace: timedelta) -> _Once:
    if due is None or due < now - grace:
        return _Once(None)
    done = last is not None and last + _RECORD_GRAIN > due
    return _Once(None if done else due)


def _as_if_done(schedule: Schedule, now: datetime, last: datetime) -> datetime:
    """The instant for which the job would have run last if it had missed none."""
    if schedule.interval is None or schedule.start_at is not None:
        # The present instant itself still counts.
        return max(last, now - timedelta(microseconds=1))
    return last + (now - last) // schedule.interval * schedule.interval


def _every(
    interval: timedelta,
    start: datetime | None,
    end: datetime | None,
    now: datetime,
    last: datetime | None,
) -> _Every:
    if start is None:
        first = now + interval if last is None else max(last + interval, now)
        return _Every(first=first, phase=first, interval=interval, end=end)
    if start > now:
        first = start
    elif last is None:
        first = now + SOON
    else:
        due = start + (now - start) // interval * interval
        overdue = last + _RECORD_GRAIN <= due
        first = now if overdue or due == now else due + interval
    return _Every(first=first, phase=start, interval=interval, end=end)


def _hour_is_fixed(cron: Mapping[str, str]) -> bool:
    """Whether the fields name hours ("at two"), rather than every one or every other ("*/2").

    Named hours come once a day, also in the night in which the clocks are put back. An hour left
    out beside a minute or second means every hour, else midnight.
    """
    left_out = "*" if "minute" in cron or "second" in cron else "0"
    return not cron.get("hour", left_out).strip().startswith("*")


def _earlier(end: datetime | None, horizon: datetime) -> datetime:
    return horizon if end is None else min(end, horizon)


def _utc(instant: datetime | None, zone: tzinfo | None) -> datetime | None:
    return None if instant is None else in_zone(instant, zone).astimezone(UTC)


def _host_zone() -> tzinfo:
    from tzlocal import get_localzone  # noqa: PLC0415 - slow to import

    try:
        return get_localzone()
    except (LookupError, ValueError, OSError) as error:
        fixed = datetime.now(UTC).astimezone().tzinfo or UTC
        LOG.warning("The time zone of this host cannot be told (%s); %s is used", error, fixed)
        return fixed
