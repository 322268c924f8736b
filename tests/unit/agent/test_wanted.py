"""Which backup a restore means: that of a date, or that of a run of a session."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from freezer_agent.catalog.backup import Backup, BackupId, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.wanted import wanted_chain
from freezer_agent.errors import ChainBroken, NoBackupBefore, NoBackupOfRun
from freezer_agent.requests import SessionRun
from freezer_agent.storages.memory import Memory

NAME = BackupName(host="host", name="name")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def backup(day: int, level: int = 0) -> Backup:
    zero = T0 + timedelta(days=day - level)
    taken = T0 + timedelta(days=day)
    return Backup(name=NAME, id=BackupId(level_zero_at=zero, taken_at=taken, level=level))


def catalog(*taken: tuple[Backup, dict[str, Any]]) -> Catalog:
    made = Catalog(Memory(), "tar")
    for one, metadata in taken:
        made.publish(one, metadata)
    return made


def of(tag: int, session_id: str = "s") -> dict[str, Any]:
    return {"session_id": session_id, "session_tag": tag}


def wanted(of_catalog: Catalog, tag: int) -> list[Backup]:
    run = SessionRun(session_id="s", tag=tag)
    return wanted_chain(of_catalog, [NAME], at=None, session=run)


def test_the_chain_up_to_the_backup_of_the_run() -> None:
    full, first, second = backup(1), backup(2, 1), backup(3, 2)
    later = backup(9)
    found = catalog((full, of(4)), (first, of(5)), (second, {}), (later, of(7)))
    assert wanted(found, 4) == [full]
    assert wanted(found, 5) == [full, first]
    assert wanted(found, 7) == [later]


def test_of_several_backups_of_one_run_it_is_the_last() -> None:
    first, again = backup(1), backup(2)
    assert wanted(catalog((first, of(4)), (again, of(4))), 4) == [again]


def test_a_run_without_backup_is_told_with_those_that_have_one() -> None:
    found = catalog((backup(1), of(4)), (backup(2), of(6)), (backup(3), of(5, "other")))
    with pytest.raises(NoBackupOfRun, match=r"of run 5 of session 's'.*of the runs 4, 6;"):
        wanted(found, 5)
    with pytest.raises(NoBackupOfRun, match="none of its backups carries that session"):
        wanted(catalog((backup(1), {})), 5)
    many = catalog(*((backup(number), of(number)) for number in range(1, 41)))
    with pytest.raises(NoBackupOfRun, match=r"runs \.\.\., 21, 22, .*, 40;"):
        wanted(many, 50)


def test_a_run_whose_backup_misses_a_level_is_not_restored_by_halves() -> None:
    with pytest.raises(ChainBroken, match="misses level 1"):
        wanted(catalog((backup(1), of(4)), (backup(3, 2), of(6))), 6)


def test_damage_elsewhere_does_not_hide_the_backup_of_the_run() -> None:
    storage = Memory()
    made = Catalog(storage, "tar")
    made.publish(backup(1), of(4))
    made.publish(backup(2), of(5))
    (newer,) = (
        one.key for one in storage.list("metadata") if f"{_stamp(2)}/0_{_stamp(2)}" in one.key
    )
    storage.write(newer, [b"{"])
    assert wanted(made, 4) == [backup(1)]
    with pytest.raises(NoBackupOfRun, match="of the runs 4;"):
        wanted(made, 5)


def _stamp(day: int) -> int:
    return int((T0 + timedelta(days=day)).timestamp())


def test_without_a_session_the_date_decides() -> None:
    found = catalog((backup(1), of(4)), (backup(2), {}))
    assert wanted_chain(found, [NAME], at=None, session=None) == [backup(2)]
    at = T0 + timedelta(days=1)
    assert wanted_chain(found, [NAME], at=at, session=None) == [backup(1)]
    with pytest.raises(NoBackupBefore):
        wanted_chain(found, [NAME], at=T0, session=None)
