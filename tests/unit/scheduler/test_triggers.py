"""Schedules become instants: a table with a fixed present, in a zone with daylight saving."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from freezer_model.errors import InvalidDocument
from freezer_model.schedule import Schedule
from freezer_scheduler.triggers import MISFIRE_GRACE, trigger_for

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=BERLIN)


def schedule(**keys: str) -> Schedule:
    return Schedule.from_document({f"schedule_{key}": value for key, value in keys.items()})


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def firings(
    count: int, keys: dict[str, str], *, now: datetime = NOW, last: datetime | None = None
) -> list[str]:
    """The first instants, each asked for at the moment of the one before, as wall times."""
    trigger = trigger_for(schedule(**keys), now=now, last_run_at=last, zone=BERLIN)
    found = []
    previous, present = None, now
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, present)
        if previous is None:
            break
        present = previous
        found.append(previous.astimezone(BERLIN).strftime("%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["23 12:00:02"]),
        ({"date": "2026-11-24T01:00:00"}, ["24 01:00:00"]),
        ({"date": "2026-11-24T01:00:00Z"}, ["24 02:00:00"]),
        ({"date": "2026-11-23T11:30:00"}, ["23 11:30:00"]),
        ({"date": "2026-11-23T10:59:59"}, []),
        ({"interval": "4 hours"}, ["23 16:00:00", "23 20:00:00", "24 00:00:00"]),
        ({"interval": "continuous"}, ["23 12:00:01", "23 12:00:02", "23 12:00:03"]),
        (
            {"interval": "2 days", "start_date": "2026-11-25T03:00:00"},
            ["25 03:00:00", "27 03:00:00", "29 03:00:00"],
        ),
        (
            # New, though it should have begun: soon, then as the start says.
            {"interval": "4 hours", "start_date": "2026-11-20T03:00:00"},
            ["23 12:00:02", "23 15:00:00", "23 19:00:00"],
        ),
        (
            {"interval": "4 hours", "end_date": "2026-11-23T20:00:00"},
            ["23 16:00:00", "23 20:00:00"],
        ),
        ({"interval": "4 hours", "end_date": "2026-11-23T15:59:59"}, []),
        (
            {"interval": "continuous", "end_date": "2026-11-23T12:00:02"},
            ["23 12:00:01", "23 12:00:02"],
        ),
        (
            {"interval": "continuous", "start_date": "2026-11-23T13:00:00"},
            ["23 13:00:00", "23 13:00:01", "23 13:00:02"],
        ),
        (
            {
                "interval": "1 hours",
                "start_date": "2026-11-01T00:00:00",
                "end_date": "2026-11-02T00:00:00",
            },
            [],
        ),
        ({"hour": "3"}, ["24 03:00:00", "25 03:00:00", "26 03:00:00"]),
        ({"hour": "12", "minute": "0"}, ["23 12:00:00", "24 12:00:00", "25 12:00:00"]),
        ({"day_of_week": "mon,wed"}, ["25 00:00:00", "30 00:00:00", "02 00:00:00"]),
        ({"day_of_week": "0", "hour": "6"}, ["30 06:00:00", "07 06:00:00", "14 06:00:00"]),
        ({"minute": "*/20"}, ["23 12:00:00", "23 12:20:00", "23 12:40:00"]),
        (
            {"hour": "*/6", "end_date": "2026-11-24T00:00:00"},
            ["23 12:00:00", "23 18:00:00", "24 00:00:00"],
        ),
        (
            {"hour": "*/6", "start_date": "2026-11-23T19:00:00"},
            ["24 00:00:00", "24 06:00:00", "24 12:00:00"],
        ),
        (
            {"hour": "6", "start_date": "2026-11-30T00:00:00Z"},
            ["30 06:00:00", "01 06:00:00", "02 06:00:00"],
        ),
        ({"year": "2020"}, []),
        ({"day": "30", "month": "2"}, []),
    ],
)
def test_a_job_that_never_ran(keys: dict[str, str], expected: list[str]) -> None:
    assert firings(3, keys) == expected


@pytest.mark.parametrize(
    ("keys", "last", "expected"),
    [
        # Intervals from the last run.
        ({"interval": "4 hours"}, "2026-11-23T10:30:00", ["23 14:30:00", "23 18:30:00"]),
        ({"interval": "4 hours"}, "2026-11-23T07:00:00", ["23 12:00:00", "23 16:00:00"]),
        # The start keeps the phase over restarts.
        (
            {"interval": "4 hours", "start_date": "2026-11-20T03:00:00"},
            "2026-11-23T11:00:04",
            ["23 15:00:00", "23 19:00:00"],
        ),
        # One missed instant or ten: one run at once, and then the phase.
        (
            {"interval": "4 hours", "start_date": "2026-11-20T03:00:00"},
            "2026-11-23T10:59:58",
            ["23 12:00:00", "23 15:00:00"],
        ),
        (
            {"interval": "4 hours", "start_date": "2026-11-20T03:00:00"},
            "2026-11-21T03:00:00",
            ["23 12:00:00", "23 15:00:00"],
        ),
        # Documents hold whole seconds: a run recorded in the second that it was due in is that run.
        (
            {"interval": "4 hours", "start_date": "2026-11-20T03:00:00.600"},
            "2026-11-23T11:00:00",
            ["23 15:00:00", "23 19:00:00"],
        ),
        # Due in this very moment.
        (
            {"interval": "4 hours", "start_date": "2026-11-20T08:00:00"},
            "2026-11-23T08:00:00",
            ["23 12:00:00", "23 16:00:00"],
        ),
        # Nothing is made up for after the end.
        ({"interval": "4 hours", "end_date": "2026-11-23T11:00:00"}, "2026-11-23T02:00:00", []),
        ({"hour": "6", "end_date": "2026-11-23T11:00:00"}, "2026-11-22T06:00:00", []),
        ({"hour": "6"}, "2026-11-23T06:00:00", ["24 06:00:00", "25 06:00:00"]),
        ({"hour": "6"}, "2026-11-22T06:00:00", ["23 12:00:00", "24 06:00:00"]),
        ({"hour": "6"}, "2026-08-01T06:00:00", ["23 12:00:00", "24 06:00:00"]),
        ({"hour": "12", "minute": "0"}, "2026-11-22T12:00:00", ["23 12:00:00", "24 12:00:00"]),
        # A date that had its run has no second one.
        ({"date": "2026-11-23T11:30:00"}, "2026-11-23T11:30:00", []),
        ({"date": "2026-11-23T11:30:00"}, "2026-11-22T11:30:00", ["23 11:30:00"]),
        ({}, "2026-11-22T11:30:00", ["23 12:00:02"]),
        # The clock was put back since: not silent until it has caught up.
        ({"interval": "4 hours"}, "2027-11-23T07:00:00", ["23 16:00:00", "23 20:00:00"]),
    ],
)
def test_a_job_that_ran_before(keys: dict[str, str], last: str, expected: list[str]) -> None:
    assert firings(2, keys, last=berlin(last)) == expected


@pytest.mark.parametrize(
    ("now", "keys", "expected"),
    [
        # Spring: 02:30 does not exist on the 29th.
        ("2026-03-28T12:00:00", {"hour": "2", "minute": "30"}, ["29 03:30:00", "30 02:30:00"]),
        ("2026-03-29T00:40:00", {"minute": "30"}, ["29 01:30:00", "29 03:30:00"]),
        # Nor is a midnight after that night lost, whether the next one or that of another month.
        ("2026-03-29T00:00:01", {"hour": "0"}, ["30 00:00:00", "31 00:00:00"]),
        ("2026-03-29T00:30:00", {"hour": "0", "minute": "15"}, ["30 00:15:00", "31 00:15:00"]),
        ("2026-03-15T12:00:00", {"day": "1", "hour": "0"}, ["01 00:00:00"]),
        # Autumn: 02:30 comes twice on the 25th, a daily job once, an hourly one in every hour.
        ("2026-10-24T12:00:00", {"hour": "2", "minute": "30"}, ["25 02:30:00", "26 02:30:00"]),
        ("2026-10-25T01:40:00", {"minute": "30"}, ["25 02:30:00", "25 02:30:00", "25 03:30:00"]),
        (
            "2026-10-25T01:40:00",
            {"hour": "*", "minute": "30"},
            ["25 02:30:00", "25 02:30:00", "25 03:30:00"],
        ),
        # Intervals are elapsed time.
        (
            "2026-10-24T12:00:00",
            {"interval": "1 days", "start_date": "2026-10-24T20:00:00"},
            ["24 20:00:00", "25 19:00:00", "26 19:00:00"],
        ),
    ],
)
def test_nights_in_which_the_clocks_change(
    now: str, keys: dict[str, str], expected: list[str]
) -> None:
    assert firings(len(expected), keys, now=berlin(now)) == expected


def test_a_monthly_job_misses_no_month_in_which_the_clocks_change() -> None:
    trigger = trigger_for(schedule(day="1", hour="0"), now=NOW, zone=BERLIN)
    due = trigger.get_next_fire_time(None, NOW)
    months = []
    while len(months) < 24:
        assert due is not None
        months.append((due.month, due.day, due.hour))
        due = trigger.get_next_fire_time(due, due)
    assert months == [(month, 1, 0) for month in [12, *range(1, 13), *range(1, 12)]]


def test_two_firings_of_the_long_night_are_an_hour_apart() -> None:
    now = berlin("2026-10-25T01:40:00")
    trigger = trigger_for(schedule(minute="30"), now=now, zone=BERLIN)
    first = trigger.get_next_fire_time(None, now)
    assert first is not None
    second = trigger.get_next_fire_time(first, first)
    assert second is not None
    assert second.astimezone(UTC) - first.astimezone(UTC) == timedelta(hours=1)


@pytest.mark.parametrize("keys", [{"interval": "1 seconds"}, {"second": "*"}])
def test_a_year_of_missed_firings_is_skipped_in_one_step(keys: dict[str, str]) -> None:
    trigger = trigger_for(schedule(**keys), now=NOW, zone=BERLIN)
    first = trigger.get_next_fire_time(None, NOW)
    assert first is not None
    later = first + timedelta(days=365)
    began = time.thread_time()
    following = trigger.get_next_fire_time(first, later)
    assert time.thread_time() - began < 1
    assert following is not None
    assert timedelta(0) < following - later <= timedelta(seconds=1)


def test_the_phase_survives_a_restart_at_any_moment() -> None:
    keys = {"interval": "5 hours", "start_date": "2026-11-20T03:00:00"}
    start = berlin("2026-11-20T03:00:00")
    for minutes in range(0, 1500, 77):
        now = NOW + timedelta(minutes=minutes)
        due = start + (now - start) // timedelta(hours=5) * timedelta(hours=5)
        trigger = trigger_for(schedule(**keys), now=now, last_run_at=due, zone=BERLIN)
        following = trigger.get_next_fire_time(None, now)
        assert following == (now if now == due else due + timedelta(hours=5))


@pytest.mark.parametrize(
    "keys",
    [
        {"week": "53", "day": "1", "month": "6", "hour": "1-5", "second": "*"},
        {"day": "31", "month": "2,4,6,9,11"},
        {"day": "last", "week": "2"},
        {"year": "9999"},
    ],
)
def test_to_find_that_nothing_fits_takes_less_than_a_second(keys: dict[str, str]) -> None:
    began = time.thread_time()
    assert firings(1, keys) == []
    assert time.thread_time() - began < 1


def test_the_present_may_be_in_any_zone() -> None:
    assert firings(1, {"hour": "3"}, now=NOW.astimezone(UTC)) == ["24 03:00:00"]


@pytest.fixture
def host_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def change(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()
        monkeypatch.setattr("tzlocal.unix._cache_tz", None)

    yield change
    monkeypatch.undo()
    time.tzset()


def test_without_a_zone_the_wall_times_are_the_hosts(host_zone: Callable[[str], None]) -> None:
    host_zone("America/New_York")
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    expected = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
    for one in (schedule(hour="9"), schedule(date="2026-11-23T09:00:00")):
        assert trigger_for(one, now=now).get_next_fire_time(None, now) == expected


def test_a_host_without_a_usable_zone_still_schedules(
    host_zone: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    host_zone("No/Such_Place")
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    trigger = trigger_for(schedule(minute="30"), now=now)
    assert trigger.get_next_fire_time(None, now) == now + timedelta(minutes=30)
    assert "time zone" in caplog.text


def test_cron_fields_that_the_library_refuses_are_an_invalid_document() -> None:
    broken = Schedule(kind=schedule(hour="3").kind, cron={"hour": "sometimes"}, source={})
    with pytest.raises(InvalidDocument, match="sometimes"):
        trigger_for(broken, now=NOW, zone=BERLIN)


def test_a_date_at_the_edge_of_the_grace_still_runs() -> None:
    text = (NOW - MISFIRE_GRACE).strftime("%Y-%m-%dT%H:%M:%S")
    assert firings(1, {"date": text}) == ["23 11:00:00"]


class TestCatchUp:
    """Armed at noon in Berlin, with the last run in the morning."""

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ({"catch_up": "once"}, ["23 12:00:00", "23 13:00:00"]),
            ({"catch_up": "skip"}, ["23 12:10:00", "23 13:10:00"]),
            ({"catch_up": "all"}, ["23 10:10:00", "23 11:10:00", "23 12:10:00", "23 13:10:00"]),
        ],
    )
    def test_an_interval(self, keys: dict[str, str], expected: list[str]) -> None:
        last = berlin("2026-11-23T09:10:00")
        found = firings(len(expected), {"interval": "1 hours", **keys}, last=last)
        if keys["catch_up"] == "once":
            assert found[0] == expected[0]
        else:
            assert found == expected

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("once", ["23 12:00:00", "23 13:30:00", "23 17:30:00"]),
            ("skip", ["23 13:30:00", "23 17:30:00"]),
            ("all", ["23 05:30:00", "23 09:30:00", "23 13:30:00"]),
        ],
    )
    def test_an_interval_with_a_start(self, rule: str, expected: list[str]) -> None:
        keys = {"interval": "4 hours", "start_date": "2026-11-20T01:30:00", "catch_up": rule}
        last = berlin("2026-11-23T01:30:00")
        assert firings(len(expected), keys, last=last) == expected

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("once", ["23 12:00:00", "23 12:30:00"]),
            ("skip", ["23 12:30:00", "23 13:30:00"]),
            ("all", ["23 10:30:00", "23 11:30:00", "23 12:30:00"]),
        ],
    )
    def test_cron_fields(self, rule: str, expected: list[str]) -> None:
        last = berlin("2026-11-23T09:30:00")
        assert firings(len(expected), {"minute": "30", "catch_up": rule}, last=last) == expected

    @pytest.mark.parametrize("rule", ["once", "skip", "all"])
    def test_a_new_job_missed_nothing(self, rule: str) -> None:
        assert firings(2, {"interval": "1 hours", "catch_up": rule}) == [
            "23 13:00:00",
            "23 14:00:00",
        ]

    def test_a_date_that_has_just_passed_is_skipped(self) -> None:
        passed = {"date": "2026-11-23T11:58:00"}
        assert firings(1, passed) == ["23 11:58:00"]
        assert firings(1, {**passed, "catch_up": "skip"}) == []


def test_the_schedule_s_zone_counts() -> None:
    keys = {"hour": "3", "timezone": "America/New_York"}
    assert firings(1, keys) == ["24 09:00:00"]
    keys = {"date": "2026-11-24T03:00:00", "timezone": "Asia/Tokyo"}
    assert firings(1, keys) == ["23 19:00:00"]
