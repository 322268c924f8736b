"""The rules about which backup to build on and to restore."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freezer_agent.catalog.backup import Backup, BackupId, BackupName, Chain
from freezer_agent.catalog.chains import (
    choose_base,
    choose_id,
    choose_restore_chain,
    group_into_chains,
)
from freezer_agent.errors import ChainBroken, NoBackupBefore
from freezer_agent.requests import LevelRules

NAME = BackupName(host="host", name="name")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def day(number: float) -> datetime:
    return T0 + timedelta(days=number)


def backups(*rows: tuple[float, float, int]) -> list[Backup]:
    """Backups of rows (day of level 0, day taken, level)."""
    return [
        Backup(name=NAME, id=BackupId(level_zero_at=day(zero), taken_at=day(taken), level=level))
        for zero, taken, level in rows
    ]


def chains(*rows: tuple[float, float, int]) -> list[Chain]:
    return group_into_chains(backups(*rows))


Rows = list[tuple[float, float, int]]

FULL: Rows = [(0, 0, 0)]
UP_TO_TWO: Rows = [(0, 0, 0), (0, 1, 1), (0, 2, 2)]
TWO_TWICE: Rows = [*UP_TO_TWO, (0, 3, 2)]
GAP: Rows = [(0, 0, 0), (0, 2, 2)]


@pytest.mark.parametrize(
    ("rows", "rules", "expected"),
    [
        ([], {"incremental": True}, None),
        (FULL, {}, None),
        (FULL, {"max_level": 3}, None),
        (FULL, {"incremental": True}, (0, 0)),
        (UP_TO_TWO, {"incremental": True}, (2, 2)),
        (UP_TO_TWO, {"incremental": True, "max_level": 3}, (2, 2)),
        (UP_TO_TWO, {"incremental": True, "max_level": 2}, None),
        (UP_TO_TWO, {"incremental": True, "max_level": 1}, None),
        (UP_TO_TWO, {"incremental": True, "always_level": 3}, (2, 2)),
        (UP_TO_TWO, {"incremental": True, "always_level": 2}, (1, 1)),
        (UP_TO_TWO, {"incremental": True, "always_level": 1}, None),
        (TWO_TWICE, {"incremental": True, "always_level": 2}, (1, 1)),
        (TWO_TWICE, {"incremental": True, "always_level": 3}, (3, 2)),
        (TWO_TWICE, {"incremental": True, "always_level": 5, "max_level": 1}, (3, 2)),
        (UP_TO_TWO, {"incremental": True, "restart_after": 11 * DAY}, (2, 2)),
        (UP_TO_TWO, {"incremental": True, "restart_after": 9 * DAY}, None),
        (TWO_TWICE, {"incremental": True, "always_level": 2, "restart_after": 9 * DAY}, None),
        (GAP, {"incremental": True}, None),
        ([(0, 1, 1)], {"incremental": True}, None),
        ([*UP_TO_TWO, (5, 5, 0)], {"incremental": True}, (5, 0)),
    ],
)
def test_the_base_of_the_next_backup(
    rows: Rows, rules: dict[str, Any], expected: tuple[float, int] | None
) -> None:
    base = choose_base(chains(*rows), LevelRules(**rules), day(10))
    assert (base and (base.taken_at, base.level)) == (expected and (day(expected[0]), expected[1]))


@pytest.mark.parametrize(
    ("rows", "at", "expected"),
    [
        (UP_TO_TWO, None, [0, 1, 2]),
        (UP_TO_TWO, 0, [0]),
        (UP_TO_TWO, 1.5, [0, 1]),
        (UP_TO_TWO, 2, [0, 1, 2]),
        (TWO_TWICE, 2.5, [0, 1, 2]),
        (TWO_TWICE, 3, [0, 1, 3]),
        (TWO_TWICE, None, [0, 1, 3]),
        ([*TWO_TWICE, (0, 4, 3)], None, [0, 1, 3, 4]),
        ([*UP_TO_TWO, (5, 5, 0)], None, [5]),
        ([*UP_TO_TWO, (5, 5, 0)], 4.9, [0, 1, 2]),
        (GAP, 1, [0]),
        # 19.0.0 may give two levels the same second.
        ([(0, 0, 0), (0, 0, 1)], None, [0, 0]),
    ],
)
def test_what_is_restored_for_a_date(rows: Rows, at: float | None, expected: list[float]) -> None:
    chosen = choose_restore_chain(chains(*rows), NAME, None if at is None else day(at))
    assert [backup.taken_at for backup in chosen] == [day(number) for number in expected]
    assert [backup.level for backup in chosen] == list(range(len(chosen)))


def test_a_missing_level_is_named_with_the_last_good_one() -> None:
    with pytest.raises(ChainBroken) as caught:
        choose_restore_chain(chains(*GAP), NAME, None)
    assert (caught.value.missing_level, caught.value.last_good_level) == (1, 0)


def test_a_chain_without_level_zero_cannot_be_restored() -> None:
    with pytest.raises(ChainBroken) as caught:
        choose_restore_chain(chains((0, 1, 1)), NAME, None)
    assert (caught.value.missing_level, caught.value.last_good_level) == (0, None)


@pytest.mark.parametrize("rows", [[], UP_TO_TWO])
def test_no_backup_at_the_date(rows: Rows) -> None:
    with pytest.raises(NoBackupBefore, match="host_name"):
        choose_restore_chain(chains(*rows), NAME, day(-1))


@pytest.mark.parametrize("now", [2, 2.0000001, 1, -50])
def test_moments_strictly_rise(now: float) -> None:
    found = chains(*UP_TO_TWO)
    assert choose_id(found, None, day(now)).taken_at == day(2) + timedelta(seconds=1)


def test_an_increment_stays_in_the_chain_of_its_base() -> None:
    found = chains(*UP_TO_TWO)
    identity = choose_id(found, found[0].newest, day(4))
    assert identity == BackupId(level_zero_at=day(0), taken_at=day(4), level=3)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["full", "incremental", "max", "always"]),
            st.integers(1, 3),
            st.integers(0, 3),
        ),
        max_size=25,
    ),
    st.integers(0, 60),
)
def test_a_run_of_backups_against_a_model(runs: list[tuple[str, int, int]], when: int) -> None:
    """Every backup ever made can be restored by its date, along what it was built on."""
    made: list[Backup] = []
    parents: dict[Backup, Backup | None] = {}
    now = T0
    for kind, number, pause in runs:
        now += timedelta(seconds=pause)
        rules = {
            "full": LevelRules(),
            "incremental": LevelRules(incremental=True),
            "max": LevelRules(incremental=True, max_level=number),
            "always": LevelRules(incremental=True, always_level=number),
        }[kind]
        found = group_into_chains(made)
        base = choose_base(found, rules, now)
        backup = Backup(name=NAME, id=choose_id(found, base, now))
        assert backup not in parents
        made.append(backup)
        parents[backup] = base
    at = T0 + timedelta(seconds=when)
    within = [backup for backup in made if backup.taken_at <= at]
    if not within:
        with pytest.raises(NoBackupBefore):
            choose_restore_chain(group_into_chains(made), NAME, at)
        return
    expected = [within[-1]]
    while (parent := parents[expected[0]]) is not None:
        expected.insert(0, parent)
    assert choose_restore_chain(group_into_chains(made), NAME, at) == expected
