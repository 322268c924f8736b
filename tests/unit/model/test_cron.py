"""Cron fields: what we accept, the trigger of the scheduling library reads as it is written."""

import re

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given, settings
from hypothesis import strategies as st

from freezer_model.cron import CRON_FIELDS, DAYS_OF_WEEK, MONTHS, check_cron_field

NUMBERS = st.integers(0, 70).map(str) | st.sampled_from(["1970", "2026", "9999", "10000", "007"])
NAMES = st.sampled_from([*MONTHS, *DAYS_OF_WEEK, "last", "Mon", "JAN", "xx", "1st", "6th"])
ATOMS = NUMBERS | NAMES
RANGES = st.builds(lambda first, last: f"{first}-{last}", ATOMS, ATOMS)
POSITIONS = st.builds(
    lambda position, gap, day: f"{position}{gap}{day}",
    st.sampled_from(["1st", "2nd", "5th", "last", "6th", "1ST"]),
    st.sampled_from([" ", "  ", "\t", ""]),
    st.sampled_from([*DAYS_OF_WEEK, "foo", "Fri"]),
)
PLAIN = ATOMS | RANGES | POSITIONS | st.just("*")
STEPPED = st.builds(lambda base, step: f"{base}/{step}", PLAIN, NUMBERS)
NOISE = st.text(alphabet="0123456789*/-, lastmonfri\n\t٣²", min_size=1, max_size=8)
EXPRESSIONS = st.builds(
    lambda parts, separator, edge: edge + separator.join(parts) + edge,
    st.lists(PLAIN | STEPPED | NOISE, min_size=1, max_size=3),
    st.sampled_from([",", ", ", " ,", ",,"]),
    st.sampled_from(["", " ", "\n"]),
)


def accepted_by_us(name: str, text: str) -> bool:
    try:
        check_cron_field(name, text)
    except ValueError:
        return False
    return True


def accepted_by_trigger(name: str, text: str) -> bool:
    try:
        CronTrigger(**{name: text})
    except ValueError:
        return False
    return True


@settings(max_examples=600)
@given(st.sampled_from(list(CRON_FIELDS)), EXPRESSIONS)
def test_what_we_accept_the_trigger_accepts(name: str, text: str) -> None:
    if accepted_by_us(name, text):
        assert accepted_by_trigger(name, text), text


@settings(max_examples=600)
@given(
    st.sampled_from(list(CRON_FIELDS)),
    st.lists(
        st.one_of(
            NUMBERS,
            st.just("*"),
            st.builds("{}-{}".format, NUMBERS, NUMBERS),
            st.builds("{}/{}".format, NUMBERS | st.just("*"), NUMBERS),
            st.builds("{}-{}/{}".format, NUMBERS, NUMBERS, NUMBERS),
            st.sampled_from([*MONTHS, *DAYS_OF_WEEK]),
            st.builds("{}-{}".format, st.sampled_from(MONTHS), st.sampled_from(MONTHS)),
        ),
        min_size=1,
        max_size=3,
    ).map(",".join),
)
def test_of_the_documented_forms_we_refuse_only_what_the_trigger_refuses(
    name: str, text: str
) -> None:
    # The trigger takes a range of 0-0 for one without an end, and lets a step pass.
    if accepted_by_trigger(name, text) and not re.search(r"\b0+-0+/", text):
        assert accepted_by_us(name, text), text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("month", "1-6,9-12"),
        ("day_of_week", "mon, wed"),
        ("day_of_week", "MON-FRI"),
        ("day", "last"),
        ("day", "2nd  fri"),
        ("minute", "*/15"),
        ("minute", "5/15"),
        ("hour", "8-18/2"),
        ("year", "2026"),
        ("second", "0"),
        ("month", " jan-mar "),
    ],
)
def test_examples_of_the_manual_pass(name: str, text: str) -> None:
    check_cron_field(name, text)
    CronTrigger(**{name: text})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("day", "mon, wed", "no number or name"),
        ("hour", "24", "outside 0-23"),
        ("minute", "30-10", "ends before"),
        ("minute", "*/0", "step of 0"),
        ("minute", "*/70", "step of 70"),
        ("day_of_week", "7", "outside 0-6"),
        ("hour", "", "no cron expression"),
        ("hour", "1,,2", "no cron expression"),
        ("hour", "3;4", "no cron expression"),
        ("year", "1969", "outside 1970-9999"),
    ],
)
def test_a_refusal_says_what_is_wrong(name: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_cron_field(name, text)


@pytest.mark.parametrize(
    ("name", "text"), [("day_of_week", "mon-fri/2"), ("month", "jan-3"), ("month", "dec/12")]
)
def test_what_the_trigger_reads_differently_than_written_is_refused(name: str, text: str) -> None:
    assert accepted_by_trigger(name, text)
    assert not accepted_by_us(name, text)


def test_thousands_of_digits_are_refused_like_any_other_number() -> None:
    with pytest.raises(ValueError, match=r"outside|digits"):
        check_cron_field("hour", "9" * 5000)
