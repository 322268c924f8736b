"""Schedules over nights in which clocks change, looked at late and early, against plain arithmetic."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from freezer_model.schedule import Schedule
from freezer_scheduler.triggers import trigger_for

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
"""Lord Howe's clocks change by half an hour, Kolkata's never."""

NIGHTS = (
    datetime(2026, 3, 28, 12, tzinfo=UTC),
    datetime(2026, 10, 24, 12, tzinfo=UTC),
    datetime(2026, 3, 7, 12, tzinfo=UTC),
    datetime(2026, 10, 31, 12, tzinfo=UTC),
    datetime(2026, 4, 4, 6, tzinfo=UTC),
    datetime(2026, 10, 3, 6, tzinfo=UTC),
)


def schedule(**keys: str) -> Schedule:
    return Schedule.from_document({f"schedule_{key}": value for key, value in keys.items()})


class Night(RuleBasedStateMachine):
    """A timetable that asks for the next instant whenever one has come, more or less late."""

    @initialize(
        zone=st.sampled_from(ZONES),
        now=st.sampled_from(NIGHTS),
        minutes=st.integers(0, 23 * 60 + 59),
        hours=st.sampled_from([1, 5, 6, 7, 24, 25]),
    )
    def armed(self, zone: str, now: datetime, minutes: int, hours: int) -> None:
        self.zone = ZoneInfo(zone)
        self.now = self.start = now
        self.wall = divmod(minutes, 60)
        self.hours = timedelta(hours=hours)
        self.daily = trigger_for(
            schedule(hour=str(self.wall[0]), minute=str(self.wall[1]), timezone=zone), now=now
        )
        # An interval is counted in elapsed time: it does not see that clocks change.
        self.phase = now + timedelta(minutes=7)
        self.every = trigger_for(
            schedule(start_date=self.phase.isoformat(), interval=f"{hours} hours", timezone=zone),
            now=now,
        )
        self.due = self.daily.get_next_fire_time(None, now)
        self.next = self.every.get_next_fire_time(None, now)
        self.days: list[tuple[int, int]] = []
        assert self.due is not None
        assert self.next == self.phase

    @rule(minutes=st.one_of(st.integers(1, 90), st.integers(100, 3000)))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.daily_job_fires()
        self.interval_job_fires()

    def daily_job_fires(self) -> None:
        assert self.due is not None
        while self.due <= self.now:
            self.check_daily(self.due)
            found = self.daily.get_next_fire_time(self.due, self.now)
            assert found is not None
            # All that was missed is one run: the next one is the first match after now.
            assert found > self.now
            assert self.matches(self.now, found) <= 1
            self.due = found

    def check_daily(self, due: datetime) -> None:
        local = due.astimezone(self.zone)
        day = (local.toordinal(), local.hour * 60 + local.minute)
        assert day not in self.days, "twice in a night in which the hour comes twice"
        self.days.append(day)
        wanted = self.wall[0] * 60 + self.wall[1]
        if self.exists(local):
            assert day[1] == wanted

    def exists(self, local: datetime) -> bool:
        """Whether this wall time is not skipped on that day."""
        wall = datetime(local.year, local.month, local.day, *self.wall, tzinfo=self.zone)
        return wall.astimezone(UTC).astimezone(self.zone).replace(fold=0) == wall

    def matches(self, after: datetime, until: datetime) -> int:
        """How often the wall time comes, its first coming on each day, after one until the other."""
        count = 0
        day = after.astimezone(self.zone).date()
        while day <= until.astimezone(self.zone).date():
            wall = datetime(day.year, day.month, day.day, *self.wall, tzinfo=self.zone)
            instant = wall.astimezone(UTC)
            exists = instant.astimezone(self.zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
            count += exists and after < instant <= until
            day += timedelta(days=1)
        return count

    def interval_job_fires(self) -> None:
        assert self.next is not None
        while self.next <= self.now:
            assert (self.next - self.phase) % self.hours == timedelta(0)
            found = self.every.get_next_fire_time(self.next, self.now)
            assert found is not None
            assert self.now < found <= max(self.now, self.next) + self.hours
            self.next = found


TestNight = Night.TestCase
TestNight.settings = settings(max_examples=120, stateful_step_count=12, deadline=None)
