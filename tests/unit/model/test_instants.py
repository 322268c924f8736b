"""Instants: text and epoch numbers, there and back."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_model.clock import utc_now
from freezer_model.instants import FIRST_YEAR, LAST_YEAR, from_epoch, in_zone, to_epoch
from freezer_model.instants import parse_instant as parse

FIRST = datetime.fromisoformat(f"{FIRST_YEAR}-01-02")
LAST = datetime.fromisoformat(f"{LAST_YEAR}-12-30")
BERLIN = ZoneInfo("Europe/Berlin")
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.datetimes(
        min_value=FIRST,
        max_value=LAST,
        timezones=st.none() | OFFSETS | st.just(UTC),
    )
)
def test_text_of_an_instant_is_read_as_that_instant(instant: datetime) -> None:
    read = parse(instant.isoformat())
    assert read == instant
    assert read.utcoffset() == instant.utcoffset()


@given(st.integers(-(10**9), 10**11))
def test_epoch_numbers_survive_the_round_trip(seconds: int) -> None:
    assert to_epoch(from_epoch(seconds)) == seconds


@given(st.datetimes(min_value=FIRST, max_value=LAST))
def test_every_wall_time_that_is_read_has_an_instant_in_utc(instant: datetime) -> None:
    aware = in_zone(parse(instant.isoformat()))
    assert aware.astimezone(UTC) == aware


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00"])
def test_zones_are_understood(text: str) -> None:
    assert to_epoch(parse(text)) == 1767323045


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05+0100", "2026-01-02T03:04:05.5-00:30"])
def test_zones_without_a_colon_and_fractions_are_understood(text: str) -> None:
    assert parse(text).tzinfo is not None


def test_text_without_a_zone_stays_a_wall_time() -> None:
    assert parse("2026-01-02T03:04:05").tzinfo is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-02",
        "2026-01-02 03:04:05",
        "2026-02-31T00:00:00",
        "2026-01-02T24:00:00",
        "2026-01-02T03:04:05\n",
        "2026-01-02T03:04",
        "٢٠٢٦-01-02T03:04:05",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59-12:00",
        "2026-01-02T03:04:05+99:00",
        "tomorrow",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def test_a_wall_time_belongs_to_the_zone_that_is_given() -> None:
    assert in_zone(parse("2026-07-01T12:00:00"), BERLIN).utcoffset() == timedelta(hours=2)


def test_a_zone_in_the_text_counts_more_than_the_one_that_is_given() -> None:
    assert in_zone(parse("2026-07-01T12:00:00Z"), BERLIN) == datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_a_repeated_wall_time_is_the_first_of_the_two() -> None:
    repeated = in_zone(parse("2026-10-25T02:30:00"), BERLIN)
    assert repeated.astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_skipped_wall_time_counts_by_the_offset_before_the_change() -> None:
    skipped = in_zone(parse("2026-03-29T02:30:00"), BERLIN)
    assert skipped.astimezone(UTC) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_the_only_real_clock_is_aware_and_in_utc() -> None:
    assert utc_now().tzinfo is UTC


def test_epoch_seconds_are_rounded_down_before_1970_too() -> None:
    assert to_epoch(datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)) == -1
