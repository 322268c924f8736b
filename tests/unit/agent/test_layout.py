"""Keys of the storage layout, and back."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_agent.catalog import layout
from freezer_agent.catalog.backup import Backup, BackupId, BackupName

seconds = st.integers(0, 10**11)
names = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1
).filter(lambda text: text not in {".", ".."})
ids = st.builds(
    lambda zero, taken, level: BackupId(
        level_zero_at=datetime.fromtimestamp(zero, UTC),
        taken_at=datetime.fromtimestamp(taken, UTC),
        level=level,
    ),
    seconds,
    seconds,
    st.integers(0, 10**6),
)
sets = st.builds(lambda host, name: BackupName(host=host, name=name), names, names)


def test_the_layout_is_the_one_of_former_releases() -> None:
    backup = Backup(
        name=BackupName(host="host", name="name"),
        id=BackupId(
            level_zero_at=datetime.fromtimestamp(1000, UTC),
            taken_at=datetime.fromtimestamp(2000, UTC),
            level=3,
        ),
    )
    assert layout.data("tar", backup) == "data/tar/host_name/1000/3_2000/data"
    assert layout.state("tar", backup) == "data/tar/host_name/1000/3_2000/engine_metadata"
    assert layout.metadata("tar", backup) == "metadata/tar/host_name/1000/3_2000/metadata"
    assert backup.label == "host_name/1000/3_2000"


@given(sets, ids)
def test_parsing_inverts_every_key(name: BackupName, identity: BackupId) -> None:
    backup = Backup(name=name, id=identity)
    key = layout.metadata("tar", backup)
    assert layout.parse_metadata("tar", name, key) == identity
    listed = layout.parse_listed(key)
    assert listed is not None
    assert (listed.engine, listed.set_name, listed.id) == ("tar", str(name), identity)
    for key in (layout.data("tar", backup), layout.state("tar", backup)):
        assert layout.parse_data("tar", name, key) == identity


@pytest.mark.parametrize(
    "key",
    [
        "metadata/tar/host_name/1000/3_2000/other",
        "metadata/tar/host_name/1000/3_2000",
        "metadata/tar/host_name/1000/x_2000/metadata",
        "metadata/tar/host_name/1000/3_2000/more/metadata",
        "metadata/tar/host_name/stray/metadata",
        "metadata/tar/host_name2/1000/3_2000/metadata",
        "metadata/rsync/host_name/1000/3_2000/metadata",
        "metadata/tar/host_name/٣/3_2000/metadata",
        "data/tar/host_name/1000/3_2000/metadata",
        "metadata",
        "",
    ],
)
def test_strangers_are_no_backups(key: str) -> None:
    assert layout.parse_metadata("tar", BackupName(host="host", name="name"), key) is None


@pytest.mark.parametrize("key", ["", "metadata/tar/1/2_3/metadata", "metadata/x", "data/a/b/c/d/e"])
def test_strangers_are_not_listed(key: str) -> None:
    assert layout.parse_listed(key) is None


@pytest.mark.parametrize("name", ["..", "a//b", "a/../b", "a/."])
def test_names_that_leave_their_folder_are_impossible(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        BackupName(host="host", name=f"/{name}")


@pytest.mark.parametrize(
    ("taken_at", "level"),
    [
        (datetime(2026, 1, 1), 0),  # noqa: DTZ001 - the missing zone is what is refused
        (datetime(2026, 1, 1, microsecond=1, tzinfo=UTC), 0),
        (datetime(2026, 1, 1, tzinfo=UTC), -1),
    ],
)
def test_an_id_is_a_level_and_an_aware_whole_second(taken_at: datetime, level: int) -> None:
    with pytest.raises(ValueError, match=r"cannot be negative|aware whole second"):
        BackupId(level_zero_at=taken_at, taken_at=taken_at, level=level)
