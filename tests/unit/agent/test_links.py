import pytest

from freezer_agent.catalog.backup import Backup, BackupId, BackupName
from freezer_agent.catalog.links import Link, check_links
from freezer_agent.errors import Damaged
from freezer_model.instants import from_epoch


def backup(level: int, moment: int) -> Backup:
    identity = BackupId(level_zero_at=from_epoch(1), taken_at=from_epoch(moment), level=level)
    return Backup(name=BackupName(host="host", name="name"), id=identity)


ZERO = Link(backup=backup(0, 1), sha256="a")
ONE = Link(backup=backup(1, 5), sha256="b", base="host_name/1/0_1", base_sha256="a")
TWO = Link(backup=backup(2, 9), sha256="c", base="host_name/1/1_5", base_sha256="b")


def test_a_chain_as_it_was_made_passes() -> None:
    check_links([ZERO, ONE, TWO])
    check_links([ZERO])


def test_a_sibling_in_the_place_of_the_base_is_refused() -> None:
    sibling = Link(backup=backup(1, 4), sha256="d", base="host_name/1/0_1", base_sha256="a")
    with pytest.raises(Damaged, match="builds on host_name/1/1_5, which is not in the storage"):
        check_links([ZERO, sibling, TWO])


def test_another_backup_of_the_same_name_and_time_is_refused() -> None:
    with pytest.raises(Damaged, match="was built on another host_name/1/0_1"):
        check_links([Link(backup=backup(0, 1), sha256="x"), ONE])


def test_backups_of_former_releases_tell_nothing_and_pass() -> None:
    former = [Link.of(backup(0, 1), {}), Link.of(backup(1, 5), {"base": 5, "sha256": None})]
    check_links(former)
    check_links([former[0], ONE])


def test_a_link_is_what_the_metadata_tells() -> None:
    words = {"sha256": "b", "base": "host_name/1/0_1", "base_sha256": "a", "size": 5}
    assert Link.of(backup(1, 5), words) == ONE


def test_a_chain_that_was_renamed_is_whole() -> None:
    renamed = [
        Link(
            backup=backup(level, 100 + level),
            sha256=link.sha256,
            base=link.base,
            base_sha256=link.base_sha256,
        )
        for level, link in enumerate((ZERO, ONE, TWO))
    ]
    check_links(renamed)
