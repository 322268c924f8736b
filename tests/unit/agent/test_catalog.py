"""The catalog over a storage in memory."""

from datetime import UTC, datetime

import pytest

from freezer_agent.catalog.backup import Backup, BackupId, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.errors import Damaged, ObjectNotFound, StorageUnavailable
from freezer_agent.storages.memory import Memory

NAME = BackupName(host="host", name="name")


def backup(
    seconds: int, level: int = 0, zero: int | None = None, name: BackupName = NAME
) -> Backup:
    identity = BackupId(
        level_zero_at=datetime.fromtimestamp(seconds if zero is None else zero, UTC),
        taken_at=datetime.fromtimestamp(seconds, UTC),
        level=level,
    )
    return Backup(name=name, id=identity)


def store(catalog: Catalog, one: Backup) -> Backup:
    catalog.write_data(one, [b"data"])
    catalog.write_state(one, [b"st", b"ate"])
    catalog.publish(one, {"engine_name": "tar"})
    return one


@pytest.fixture
def storage() -> Memory:
    return Memory()


@pytest.fixture
def catalog(storage: Memory) -> Catalog:
    return Catalog(storage, "tar")


def test_a_backup_exists_once_its_metadata_does(catalog: Catalog) -> None:
    catalog.write_data(backup(1), [b"data"])
    catalog.write_state(backup(1), [b"state"])
    assert catalog.chains([NAME]) == []
    catalog.publish(backup(1), {})
    assert [chain.backups for chain in catalog.chains([NAME])] == [(backup(1),)]


def test_names_that_begin_alike_are_apart(catalog: Catalog) -> None:
    store(catalog, backup(1))
    store(catalog, backup(2, name=BackupName(host="host", name="name2")))
    assert len(catalog.chains([NAME])) == 1


def test_objects_that_are_no_backups_are_left_alone(catalog: Catalog, storage: Memory) -> None:
    store(catalog, backup(1))
    storage.write("metadata/tar/host_name/lost+found/x", [b""])
    storage.write("metadata/tar/host_name/1/0_1/metadata~", [b""])
    storage.write("metadata/tar/stray", [b""])
    assert len(catalog.chains([NAME])) == 1
    assert len(catalog.everything()) == 1


def test_metadata_comes_back_and_is_one_line(catalog: Catalog, storage: Memory) -> None:
    catalog.publish(backup(1), {"a": "ü\n", "b": [1]})
    assert catalog.metadata(backup(1)) == {"a": "ü\n", "b": [1]}
    content = b"".join(storage.read("metadata/tar/host_name/1/0_1/metadata"))
    assert content.count(b"\n") == 1


@pytest.mark.parametrize(
    "content", [b"", b"no json", b"[]", b"\xff", b"[" * 99_999, b"{" + b" " * (65 << 20)]
)
def test_metadata_that_nobody_wrote_is_damage(
    catalog: Catalog, storage: Memory, content: bytes
) -> None:
    storage.write("metadata/tar/host_name/1/0_1/metadata", [content])
    with pytest.raises(Damaged, match="metadata"):
        catalog.metadata(backup(1))


def test_the_state_is_read_as_it_was_stored(catalog: Catalog) -> None:
    store(catalog, backup(1))
    assert b"".join(catalog.read_state(backup(1))) == b"state"


def test_a_state_that_was_not_kept_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(ObjectNotFound):
        list(catalog.read_state(backup(1)))


def test_the_size_of_the_data_is_known(catalog: Catalog) -> None:
    store(catalog, backup(1))
    assert catalog.data_size(backup(1)) == 4
    with pytest.raises(ObjectNotFound):
        catalog.data_size(backup(2))


def test_everything_lists_all_sets_with_their_sizes(catalog: Catalog, storage: Memory) -> None:
    store(catalog, backup(5, name=BackupName(host="web", name="a_b")))
    store(catalog, backup(1))
    store(catalog, backup(2, level=1, zero=1))
    storage.write("data/tar/host_name/1/0_1/segments/00000000", [b"12345"])
    listed = [(one.backup.label, one.size_bytes) for one in catalog.everything()]
    assert listed == [
        ("host_name/1/0_1", 14),
        ("host_name/1/1_2", 9),
        ("web_a_b/5/0_5", 9),
    ]


def test_removal_takes_metadata_first_and_the_newest_first(catalog: Catalog) -> None:
    chain = [store(catalog, backup(1)), store(catalog, backup(2, level=1, zero=1))]
    recorder = _Recorder()
    Catalog(recorder, "tar").remove(chain)
    assert [key for key in recorder.deleted if key.startswith("metadata")] == recorder.deleted[:2]
    assert recorder.deleted[0].endswith("1_2/metadata")
    catalog.remove(chain)
    assert catalog.chains([NAME]) == []


def test_a_removal_that_dies_leaves_no_backup_without_data(catalog: Catalog) -> None:
    chain = [store(catalog, backup(1)), store(catalog, backup(2, level=1, zero=1))]
    storage = _DiesAfterOneDelete(catalog)
    with pytest.raises(StorageUnavailable):
        storage.catalog.remove(chain)
    (left,) = storage.catalog.chains([NAME])
    assert left.backups == (chain[0],)
    assert storage.catalog.data_size(chain[0]) == 4


def test_orphans_are_old_streams_without_metadata(catalog: Catalog, storage: Memory) -> None:
    store(catalog, backup(1))
    catalog.write_data(backup(2), [b"dead"])
    catalog.write_state(backup(2), [b"dead too"])
    catalog.write_data(backup(9), [b"too young"])
    storage.write("data/tar/host_name/stray", [b"x"])
    (orphan,) = catalog.orphans([NAME], datetime.fromtimestamp(5, UTC))
    assert (orphan.label, orphan.size_bytes) == ("host_name/2/0_2", 12)
    catalog.remove_orphan(orphan)
    assert catalog.orphans([NAME], datetime.fromtimestamp(5, UTC)) == []
    assert catalog.data_size(backup(1)) == 4


class _Recorder(Memory):
    def __init__(self) -> None:
        super().__init__()
        self.deleted: list[str] = []

    def delete(self, key: str) -> None:
        self.deleted.append(key)


class _DiesAfterOneDelete(Memory):
    def __init__(self, full: Catalog) -> None:
        super().__init__()
        self.catalog = Catalog(self, "tar")
        self._left = 1
        for chain in full.chains([NAME]):
            for one in chain.backups:
                store(self.catalog, one)

    def delete(self, key: str) -> None:
        if not self._left:
            raise StorageUnavailable("the storage is gone")
        self._left -= 1
        super().delete(key)
