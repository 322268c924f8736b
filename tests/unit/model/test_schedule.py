"""Schedules: every key of job_schedule that says when to run."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_model.cron import CRON_FIELDS
from freezer_model.errors import InvalidDocument
from freezer_model.schedule import CRON_KEYS, SCHEDULE_KEYS, CatchUp, Schedule, ScheduleKind


def read(**document: Any) -> Schedule:
    return Schedule.from_document(document)


def refused(**document: Any) -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        read(**document)
    return caught.value


def test_nothing_means_at_once() -> None:
    assert read().kind is ScheduleKind.AT_ONCE


@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize("key", SCHEDULE_KEYS)
def test_null_and_empty_text_count_as_absent(key: str, absent: Any) -> None:
    schedule = read(**{key: absent})
    assert schedule.kind is ScheduleKind.AT_ONCE
    assert schedule.to_document() == {key: absent}


def test_a_date_counts_more_than_an_interval_and_that_more_than_cron_fields() -> None:
    everything = {
        "schedule_date": "2026-01-02T03:04:05Z",
        "schedule_interval": "1 days",
        "schedule_hour": "3",
    }
    assert read(**everything).kind is ScheduleKind.DATE
    del everything["schedule_date"]
    assert read(**everything).kind is ScheduleKind.INTERVAL
    del everything["schedule_interval"]
    assert read(**everything).kind is ScheduleKind.CRON


def test_a_date_is_an_instant() -> None:
    assert read(schedule_date="2026-01-02T03:04:05Z").at == datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("1 seconds", timedelta(seconds=1)),
        ("90 minutes", timedelta(minutes=90)),
        ("4 hours", timedelta(hours=4)),
        ("1 days", timedelta(days=1)),
        ("2 weeks", timedelta(weeks=2)),
    ],
)
def test_an_interval_is_a_length_of_time(text: str, length: Any) -> None:
    assert read(schedule_interval=text).interval == length


def test_continuous_is_a_kind_of_its_own() -> None:
    schedule = read(schedule_interval="continuous")
    assert (schedule.kind, schedule.interval) == (ScheduleKind.CONTINUOUS, None)


@pytest.mark.parametrize(
    "text",
    [
        "1 day",
        "4hours",
        "4  hours",
        "hours",
        "-1 hours",
        "0 hours",
        "4 Hours",
        "1.5 hours",
        "4 hours\n",
        " 4 hours",
        "9" * 5000 + " seconds",
        "999999 weeks",
        "٤ hours",
        "always",
    ],
)
def test_other_intervals_are_refused(text: str) -> None:
    assert refused(schedule_interval=text).field == "job_schedule.schedule_interval"


def test_start_and_end_bound_the_schedule() -> None:
    schedule = read(
        schedule_interval="1 hours",
        schedule_start_date="2026-01-01T00:00:00",
        schedule_end_date="2026-02-01T00:00:00",
    )
    assert (schedule.start_at, schedule.end_at) == (
        datetime.fromisoformat("2026-01-01"),
        datetime.fromisoformat("2026-02-01"),
    )


def test_an_end_before_the_start_is_refused() -> None:
    error = refused(
        schedule_start_date="2026-02-01T00:00:00Z", schedule_end_date="2026-01-01T00:00:00Z"
    )
    assert error.field == "job_schedule.schedule_end_date"


def test_bounds_of_which_only_one_has_a_zone_cannot_be_compared_here() -> None:
    read(schedule_start_date="2026-02-01T00:00:00Z", schedule_end_date="2026-01-01T00:00:00")


@pytest.mark.parametrize("key", ["schedule_date", "schedule_start_date", "schedule_end_date"])
def test_a_date_that_does_not_exist_is_refused_by_its_key(key: str) -> None:
    assert refused(**{key: "2015-02-31T00:00:00"}).field == f"job_schedule.{key}"


@pytest.mark.parametrize("name", CRON_FIELDS)
def test_every_cron_field_is_read(name: str) -> None:
    text = "2026" if name == "year" else "1"
    assert read(**{f"schedule_{name}": text}).cron == {name: text}


@pytest.mark.parametrize("key", CRON_KEYS)
def test_a_bad_cron_field_is_refused_by_its_key(key: str) -> None:
    assert refused(**{key: "rubbish"}).field == f"job_schedule.{key}"


@pytest.mark.parametrize("text", ["mon, wed, fri", "MON", "mon-fri", "sat,sun-sun"])
def test_days_of_the_week_may_stand_as_days(text: str) -> None:
    schedule = read(schedule_day=text, schedule_hour="03")
    assert schedule.cron == {"day_of_week": text, "hour": "03"}
    assert schedule.to_document() == {"schedule_day": text, "schedule_hour": "03"}


@pytest.mark.parametrize("text", ["mon, 5", "mon,", "jan", "mon-", "mon fri"])
def test_what_is_no_list_of_them_may_not(text: str) -> None:
    assert refused(schedule_day=text).field == "job_schedule.schedule_day"


def test_days_of_the_week_stand_at_one_place_only() -> None:
    error = refused(schedule_day="mon", schedule_day_of_week="tue")
    assert error.field == "job_schedule.schedule_day"


@pytest.mark.parametrize(
    ("key", "text"),
    [("schedule_date", "2015-06-02T16:20:00"), ("schedule_interval", "5 minutes")],
)
def test_cron_fields_beside_what_counts_may_be_anything(key: str, text: str) -> None:
    beside = {"schedule_day": "mon, wed, fri", "schedule_month": "nonsense"}
    schedule = read(**{key: text}, **beside)
    assert schedule.cron == {}
    assert schedule.to_document() == {key: text} | beside


@pytest.mark.parametrize("value", [5, 0, True, False, 1.5, [], {}, ["1"]])
@pytest.mark.parametrize("key", SCHEDULE_KEYS)
def test_what_is_no_text_is_refused(key: str, value: Any) -> None:
    error = refused(**{key: value})
    assert (error.field, "must be text" in error.reason) == (f"job_schedule.{key}", True)


def test_the_path_of_an_error_begins_where_the_schedule_stands() -> None:
    with pytest.raises(InvalidDocument, match=r"^schedule\.schedule_hour: "):
        Schedule.from_document({"schedule_hour": "99"}, "schedule")


@given(
    st.dictionaries(
        st.sampled_from(SCHEDULE_KEYS) | st.text(max_size=5),
        st.none()
        | st.sampled_from(["", "1", "*", "1 hours", "continuous", "2026-01-02T03:04:05"])
        | st.integers()
        | st.lists(st.none())
        | st.text(max_size=5),
    )
)
def test_any_mapping_is_read_or_refused_and_what_is_read_goes_back_to_the_letter(
    document: Any,
) -> None:
    try:
        schedule = Schedule.from_document(document)
    except InvalidDocument:
        return
    assert schedule.to_document() == {k: v for k, v in document.items() if k in SCHEDULE_KEYS}


def test_zone_jitter_and_catch_up() -> None:
    schedule = read(
        schedule_interval="1 days",
        schedule_timezone="Europe/Berlin",
        schedule_jitter="10 minutes",
        schedule_catch_up="all",
    )
    assert str(schedule.zone) == "Europe/Berlin"
    assert schedule.jitter == timedelta(minutes=10)
    assert schedule.catch_up is CatchUp.ALL


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule_timezone", "Mars/Olympus"),
        ("schedule_timezone", "../../etc/passwd"),
        ("schedule_timezone", "/etc/localtime"),
        ("schedule_timezone", "Europe"),
        ("schedule_timezone", "a" * 5000),
        ("schedule_jitter", "continuous"),
        ("schedule_jitter", "10"),
        ("schedule_catch_up", "twice"),
    ],
)
def test_a_wrong_manner_is_refused_with_its_path(key: str, value: str) -> None:
    assert refused(**{key: value}).field == f"job_schedule.{key}"
