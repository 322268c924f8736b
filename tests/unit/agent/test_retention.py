"""Which backups are kept and why: a table, and a second, naive implementation as the model."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freezer_agent.actions.prune import prune
from freezer_agent.catalog.backup import Backup, BackupId, BackupName, Chain, find_levels
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.chains import group_into_chains
from freezer_agent.catalog.retention import ChainVerdict, choose_kept
from freezer_agent.catalog.unfinished import Unfinished
from freezer_agent.conf.kinds import LengthOfTime
from freezer_agent.requests import KeepRules, RemovalRule, Span
from freezer_agent.storages.memory import Memory

NAME = BackupName(host="host", name="name")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Rows = Sequence[tuple[float, float, int]]


def day(number: float) -> datetime:
    return T0 + timedelta(days=number)


def made(zero: float, taken: float, level: int) -> Backup:
    identity = BackupId(level_zero_at=day(zero), taken_at=day(taken), level=level)
    return Backup(name=NAME, id=identity)


def chains(*rows: tuple[float, float, int]) -> list[Chain]:
    return group_into_chains(made(*row) for row in rows)


def decided(rows: Rows, rule: RemovalRule, now: float = 100) -> list[ChainVerdict]:
    return choose_kept(chains(*rows), rule, day(now), zone=UTC)


def removed(rows: Rows, rule: RemovalRule, now: float = 100) -> list[bool]:
    return [verdict.remove for verdict in decided(rows, rule, now)]


FULL_DAILY = [(n, n, 0) for n in range(10)]
WEEKLY_CHAINS = [(n - n % 7, n, n % 7) for n in range(28)]


@pytest.mark.parametrize(
    ("rows", "before", "force", "expected"),
    [
        ([(0, 0, 0), (5, 5, 0)], 1, False, [True, False]),
        ([(0, 0, 0), (5, 5, 0)], 0, False, [True, False]),
        ([(0, 0, 0), (0, 6, 1), (5, 5, 0), (7, 7, 0)], 5, False, [False, True, False]),
        ([(0, 0, 0), (5, 5, 0)], 9, False, [True, False]),
        ([(0, 0, 0), (5, 5, 0)], 9, True, [True, True]),
        # Of the newest chain level 1 is lost: its level 0 is the newest that can be restored.
        ([(0, 0, 0), (5, 5, 0), (5, 7, 2)], 9, False, [True, False]),
        ([(0, 0, 0), (5, 6, 1), (5, 7, 2)], 9, False, [False, True]),
        ([(5, 6, 1), (5, 7, 2)], 9, False, [True]),
        ([], 9, True, []),
    ],
)
def test_what_is_too_old_goes(
    rows: Rows, before: float, *, force: bool, expected: list[bool]
) -> None:
    assert removed(rows, RemovalRule(before=day(before), force=force)) == expected


@pytest.mark.parametrize(
    ("rows", "keep", "expected_kept"),
    [
        (FULL_DAILY, KeepRules(last=1), [9]),
        (FULL_DAILY, KeepRules(last=3), [7, 8, 9]),
        (FULL_DAILY, KeepRules(last=99), list(range(10))),
        # 2026-01-01 is a Thursday: days 0 to 3 are a week, 4 to 10 the next.
        (FULL_DAILY, KeepRules(weekly=2), [3, 9]),
        (FULL_DAILY, KeepRules(last=1, weekly=2), [3, 9]),
        (FULL_DAILY, KeepRules(daily=2, weekly=2), [3, 8, 9]),
        ([(0, 0, 0), (30, 30, 0), (31, 31, 0), (360, 360, 0)], KeepRules(monthly=2), [31, 360]),
        ([(0, 0, 0), (30, 30, 0), (370, 370, 0)], KeepRules(yearly=5), [30, 370]),
        ([(0, 0, 0), (0.02, 0.02, 0), (0.05, 0.05, 0)], KeepRules(hourly=2), [0.02, 0.05]),
        # Empty periods do not count.
        ([(0, 0, 0), (90, 90, 0)], KeepRules(daily=2), [0, 90]),
        (FULL_DAILY, KeepRules(within=Span(rest=2 * DAY)), [7, 8, 9]),
        ([(0, 0, 0), (0.5, 0.5, 0), (31, 31, 0)], KeepRules(within=Span(months=1)), [0, 0.5, 31]),
        # One kept backup keeps its whole chain.
        (WEEKLY_CHAINS, KeepRules(last=1), [21]),
        (WEEKLY_CHAINS, KeepRules(last=8), [14, 21]),
        (WEEKLY_CHAINS, KeepRules(monthly=1, last=1), [21]),
        (WEEKLY_CHAINS, KeepRules(daily=15), [7, 14, 21]),
    ],
)
def test_what_the_keep_rules_count_stays(
    rows: Rows, keep: KeepRules, expected_kept: list[float]
) -> None:
    verdicts = decided(rows, RemovalRule(keep=keep))
    kept = [one.chain.level_zero_at for one in verdicts if not one.remove]
    assert kept == [day(number) for number in expected_kept]


def test_what_cannot_be_restored_counts_for_no_rule() -> None:
    rows = [(0, 0, 0), (5, 5, 0), (7, 8, 1)]
    verdicts = decided(rows, RemovalRule(keep=KeepRules(last=1)))
    assert [one.remove for one in verdicts] == [True, False, True]
    assert "level 0 is missing" in verdicts[2].reason


def test_age_and_counts_together_keep_what_either_keeps() -> None:
    rule = RemovalRule(older_than=2 * DAY, keep=KeepRules(weekly=2))
    kept = [one.chain.level_zero_at for one in decided(FULL_DAILY, rule, 9.5) if not one.remove]
    assert kept == [day(3), day(8), day(9)]


def test_every_backup_has_its_reason() -> None:
    verdicts = decided([(0, 0, 0), (1, 1, 0), (1, 2, 1)], RemovalRule(keep=KeepRules(last=1)))
    reasons = [one.reason for verdict in verdicts for one in verdict.verdicts]
    assert reasons == ["no more of the last 1 backups", "its chain stays", "backups 1 of 1"]
    assert verdicts[1].reason == "backups 1 of 1"
    assert not any(one.remove for one in verdicts[1].verdicts)


def test_the_last_one_says_how_to_remove_it_too() -> None:
    (verdict,) = decided([(0, 0, 0)], RemovalRule(before=day(9)))
    assert "--force" in verdict.reason


def test_what_a_run_has_just_made_is_never_removed() -> None:
    found = chains((0, 0, 0), (0, 1, 1), (0, 2, 2))
    rule = RemovalRule(before=day(9), force=True)
    (verdict,) = choose_kept(found, rule, day(9), just_made=found[0].newest)
    assert not verdict.remove


def test_a_backup_of_a_dry_run_counts_although_it_is_not_stored() -> None:
    storage = Memory()
    catalog = Catalog(storage, "tar")
    for number in (0, 1):
        backup = made(number, number, 0)
        catalog.write_data(backup, [b"x"])
        catalog.publish(backup, {})
    pruned = prune(
        catalog,
        Unfinished(storage=storage, engine="tar", remove_pieces=lambda _: []),
        [NAME],
        RemovalRule(keep=KeepRules(last=2)),
        lambda: day(2),
        dry_run=True,
        just_made=made(2, 2, 0),
    )
    assert pruned.removed == [made(0, 0, 0).label]
    assert len(catalog.chains([NAME])) == 2


def test_days_and_hours_are_those_of_the_zone() -> None:
    zone = ZoneInfo("Europe/Berlin")
    # 22:30 and 23:30 UTC: the second is the next day there.
    rows = chains((22.5 / 24, 22.5 / 24, 0), (23.5 / 24, 23.5 / 24, 0))
    rule = RemovalRule(keep=KeepRules(daily=2))
    assert [one.remove for one in choose_kept(rows, rule, day(9), zone=zone)] == [False, False]
    assert [one.remove for one in choose_kept(rows, rule, day(9), zone=UTC)] == [True, False]


def test_the_doubled_hour_of_the_end_of_summer_time_is_two_hours() -> None:
    zone = ZoneInfo("Europe/Berlin")
    night = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    moments = [night, night + timedelta(hours=1)]
    assert {moment.astimezone(zone).hour for moment in moments} == {2}
    found = group_into_chains(
        Backup(name=NAME, id=BackupId(level_zero_at=one, taken_at=one, level=0)) for one in moments
    )
    verdicts = choose_kept(found, RemovalRule(keep=KeepRules(hourly=2)), night, zone=zone)
    assert [one.remove for one in verdicts] == [False, False]


def test_the_cutoff_is_a_date_or_an_age() -> None:
    assert RemovalRule(older_than=3 * DAY).cutoff(day(10)) == day(7)
    assert RemovalRule(before=day(1)).cutoff(day(10)) == day(1)
    assert RemovalRule(keep=KeepRules(last=1)).cutoff(day(10)) is None


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("14d", Span(rest=14 * DAY)),
        ("14", Span(rest=14 * DAY)),
        ("2w", Span(rest=14 * DAY)),
        ("1y6m", Span(months=18)),
        ("36h", Span(rest=timedelta(hours=36))),
        ("1y2m3w4d5h", Span(months=14, rest=timedelta(days=25, hours=5))),
    ],
)
def test_lengths_of_time(text: str, span: Span) -> None:
    assert LengthOfTime()(text) == span
    assert LengthOfTime()(str(span)) == span


@pytest.mark.parametrize("text", ["", "0", "0d", "d", "-1", "1.5d", "1d1y", "soon", "99999y"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        LengthOfTime()(text)


def test_a_month_before_the_31st() -> None:
    assert Span(months=1).before(datetime(2026, 3, 31, tzinfo=UTC)) == datetime(
        2026, 2, 28, tzinfo=UTC
    )
    assert Span(months=12 * 9000).before(T0) == datetime.min.replace(tzinfo=UTC)


def kept_by_model(backups: list[Backup], rule: RemovalRule, now: datetime) -> set[Backup]:
    """The same rules once more, by the letter and without thought for speed."""
    everything = chains_of(backups)
    whole = [
        one
        for chain in everything
        for one in chain.backups
        if find_levels(chain.backups, one).missing is None
    ]
    whole.sort(key=lambda one: (one.taken_at, one.level))
    wanted = set()
    cutoff = rule.cutoff(now)
    if cutoff is not None:
        wanted |= {one for one in backups if one.taken_at > cutoff}
    if rule.keep.last:
        wanted |= set(whole[-rule.keep.last :])
    for count, form in (
        (rule.keep.hourly, "%Y%m%d%H"),
        (rule.keep.daily, "%Y%m%d"),
        (rule.keep.weekly, "%G%V"),
        (rule.keep.monthly, "%Y%m"),
        (rule.keep.yearly, "%Y"),
    ):
        newest = {one.taken_at.strftime(form): one for one in whole}
        wanted |= set([newest[key] for key in sorted(newest)][-count:] if count else [])
    kept = {one for chain in everything for one in chain.backups if wanted & set(chain.backups)}
    if whole and whole[-1] not in kept and not rule.force:
        kept |= {one for chain in everything if whole[-1] in chain.backups for one in chain.backups}
    return kept


def chains_of(backups: list[Backup]) -> list[Chain]:
    return group_into_chains(backups)


COUNTS = st.none() | st.integers(1, 6)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 24 * 30), st.integers(0, 3)),
        max_size=25,
        unique_by=lambda row: row[0] * 24 + row[1],
    ),
    st.builds(KeepRules, last=COUNTS, hourly=COUNTS, daily=COUNTS, weekly=COUNTS, monthly=COUNTS),
    st.none() | st.integers(0, 60),
    st.booleans(),
)
def test_decisions_are_those_of_the_model(
    rows: list[tuple[int, int, int]],
    keep: KeepRules,
    older_than: int | None,
    force: bool,  # noqa: FBT001  # drawn by hypothesis
) -> None:
    backups = [
        made(zero, zero + (hours if level else 0) / 24, level) for zero, hours, level in rows
    ]
    backups = list(dict.fromkeys(backups))
    rule = RemovalRule(
        older_than=None if older_than is None else older_than * DAY, keep=keep, force=force
    )
    verdicts = choose_kept(chains_of(backups), rule, day(70), zone=UTC)
    kept = {one for verdict in verdicts if not verdict.remove for one in verdict.chain.backups}
    assert kept == kept_by_model(backups, rule, day(70))
    assert all(one.reason for verdict in verdicts for one in verdict.verdicts)
