"""What runs that died left half made or half removed is found by the next one, and only that."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from freezer_agent.catalog.backup import Backup, BackupId, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.claimant import ProcessClaimant
from freezer_agent.catalog.lock import Owner, SetLock
from freezer_agent.catalog.unfinished import Unfinished
from freezer_agent.errors import BackupLocked, StorageFull
from freezer_agent.storages.memory import Memory

NAME = BackupName(host="host", name="name")


def backup(second: int, level: int = 0) -> Backup:
    zero = datetime.fromtimestamp(1_795_000_000, UTC)
    taken_at = datetime.fromtimestamp(1_795_000_000 + second, UTC)
    return Backup(name=NAME, id=BackupId(level_zero_at=zero, taken_at=taken_at, level=level))


class Full(Memory):
    """A storage that takes nothing any more once `is_full`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        if self.is_full:
            raise StorageFull("no room")
        return super().write(key, chunks)

    def create(self, key: str, content: bytes) -> None:
        if self.is_full:
            raise StorageFull("no room")
        super().create(key, content)


class Here:
    """Marks, a catalog, and a note of the folders whose pieces were removed."""

    def __init__(self) -> None:
        self.storage = Full()
        self.catalog = Catalog(self.storage, "tar")
        self.folders: list[str] = []
        self.unfinished = Unfinished(
            storage=self.storage, engine="tar", remove_pieces=self._remove_pieces
        )

    def _remove_pieces(self, folder: str) -> list[str]:
        self.folders.append(folder)
        return ["piece"] if folder.startswith("data/") else []

    def make(self, one: Backup) -> None:
        self.catalog.write_data(one, [b"12345"])
        self.catalog.publish(one, {})

    def stored(self) -> list[str]:
        return [found.key for found in self.storage.list("")]


@pytest.fixture
def here() -> Here:
    return Here()


def test_a_backup_that_was_begun_is_removed_and_told(here: Here) -> None:
    here.unfinished.begin(backup(0))
    here.catalog.write_data(backup(0), [b"12345"])
    (freed,) = here.unfinished.clean([NAME])
    assert (freed.objects, freed.size_bytes, freed.pieces) == (1, 5, 1)
    assert "1 objects of 5 bytes and 1 incomplete uploads were removed" in str(freed)
    assert here.stored() == []
    assert here.unfinished.clean([NAME]) == []


def test_a_backup_that_was_published_stays(here: Here) -> None:
    """The run died before it could take the mark away."""
    here.unfinished.begin(backup(0))
    here.make(backup(0))
    before = [key for key in here.stored() if not key.startswith("unfinished/")]
    assert here.unfinished.clean([NAME]) == []
    assert here.stored() == before
    assert here.folders == []


def test_what_nobody_marked_stays(here: Here) -> None:
    """A former release may be writing it: it takes no lock."""
    here.catalog.write_data(backup(0), [b"12345"])
    here.storage.write("unfinished/host_name/tar/stranger", [b""])
    before = here.stored()
    assert here.unfinished.clean([NAME]) == []
    assert here.stored() == before


def test_a_removal_that_died_is_finished(here: Here) -> None:
    here.make(backup(0))
    here.make(backup(1, level=1))
    for one in (backup(0), backup(1, level=1)):
        here.unfinished.begin(one)
    here.storage.delete("metadata/tar/host_name/1795000000/1_1795000001/metadata")
    (freed,) = here.unfinished.clean([NAME])
    assert freed.label == backup(1, level=1).label
    (chain,) = here.catalog.chains([NAME])
    assert chain.backups == (backup(0),)
    assert b"".join(here.catalog.read_data(backup(0))) == b"12345"


def test_pieces_of_metadata_are_looked_for_beside_it(here: Here) -> None:
    here.make(backup(0))
    before = here.stored()
    here.unfinished.clean_metadata(backup(0))
    assert here.folders == ["metadata/tar/host_name/1795000000/0_1795000000"]
    assert here.stored() == before


def test_a_full_storage_can_be_pruned(here: Here) -> None:
    here.make(backup(0))
    here.storage.is_full = True
    here.unfinished.remove([backup(0)])
    assert here.stored() == []


def lock(storage: Memory, folder: Path, owner: Owner) -> SetLock:
    return SetLock(
        storage=storage,
        name=NAME,
        place=str(folder),
        folder=folder,
        owner=owner,
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_full_storage_is_locked_on_this_host_only(here: Here, tmp_path: Path) -> None:
    here.storage.is_full = True
    owner = Owner.this_process("host")
    with (
        lock(here.storage, tmp_path, owner).held(),
        pytest.raises(BackupLocked),
        lock(here.storage, tmp_path, owner).held(),
    ):
        pass


def test_the_lock_of_another_host_counts_on_a_full_storage(here: Here, tmp_path: Path) -> None:
    other = Owner(host="other", pid=1, life="a/b/c")
    with lock(here.storage, tmp_path / "other", other).held():
        here.storage.is_full = True
        with (
            pytest.raises(BackupLocked, match="of host other"),
            lock(here.storage, tmp_path, Owner.this_process("host")).held(),
        ):
            pass


class TestClaimant:
    def test_this_process_lives(self) -> None:
        one = ProcessClaimant(Owner.this_process("host"))
        assert not one.is_gone(one.token)

    def test_a_process_of_this_host_that_ended_is_gone(self) -> None:
        pid = os.posix_spawn("/bin/true", ["true"], {})
        os.waitpid(pid, 0)
        one = ProcessClaimant(Owner.this_process("host"))
        place, _, start = one.token.split("-")
        assert one.is_gone(f"{place}-{pid}-{start}")

    @pytest.mark.parametrize("token", ["any", "", "0-1-2", "x-y-z", "0123-1"])
    def test_of_others_nothing_is_known(self, token: str) -> None:
        assert not ProcessClaimant(Owner.this_process("host")).is_gone(token)
