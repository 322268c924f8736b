"""Which backups are meant, and which of them are read in a run."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_agent.actions.info import InfoAction
from freezer_agent.actions.listing import chosen
from freezer_agent.actions.verify import choose_share
from freezer_agent.catalog.backup import Backup, BackupId, BackupName
from freezer_agent.catalog.catalog import Catalog, Stored
from freezer_agent.catalog.checks import Check, Checks
from freezer_agent.requests import InfoRequest, SetFilter
from freezer_agent.storage_choices import SwiftStorage, V1Account
from freezer_agent.storages.base import ContainerUsage
from freezer_agent.storages.memory import Memory

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def stored(name: BackupName, day: int, size_bytes: int = 1) -> Stored:
    at = T0 + timedelta(days=day)
    identity = BackupId(level_zero_at=at, taken_at=at, level=0)
    backup = Backup(name=name, id=identity)
    return Stored(engine="tar", backup=backup, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (SetFilter(), ("my", "host_data")),
        (SetFilter(host="my_host"), ("my_host", "data")),
        (SetFilter(name="data"), ("my_host", "data")),
        (SetFilter(name="host_data"), ("my", "host_data")),
        (SetFilter(host="my", name="host_data"), ("my", "host_data")),
        (SetFilter(host="my_host_data"), None),
        (SetFilter(host="other"), None),
        (SetFilter(name="ata"), None),
        (SetFilter(name="my_host_data"), None),
        (SetFilter(host="my", name="data"), None),
        (SetFilter(since=T0), ("my", "host_data")),
        (SetFilter(since=T0 + timedelta(seconds=1)), None),
        (SetFilter(until=T0), ("my", "host_data")),
        (SetFilter(until=T0 - timedelta(seconds=1)), None),
    ],
)
def test_host_and_name_are_parted_as_asked(
    wanted: SetFilter, expected: tuple[str, str] | None
) -> None:
    found = chosen([stored(BackupName(host="my", name="host_data"), 0)], wanted)
    names = [(one.backup.name.host, one.backup.name.name) for one in found]
    assert names == ([expected] if expected else [])


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20), st.floats(0.01, 1))
def test_shares_come_round_to_everything(sizes: list[int], share: float) -> None:
    name = BackupName(host="h", name="n")
    found = [stored(name, day, size) for day, size in enumerate(sizes)]
    checks: dict[str, Check] = {}
    runs = 0
    while len(checks) < len(found):
        now = T0 + timedelta(days=1000 + runs)
        picked = choose_share(found, checks, share)
        assert sum(one.size_bytes for one in picked) >= share * sum(sizes) - 1e-6
        for one in picked:
            checks[one.backup.label] = Check(checked_at=now, good=True, data_at=now)
        runs += 1
        # Backups of no bytes take no share, and may each need a run of their own.
        assert runs <= 1 / share + 1 + sizes.count(0)


def test_checks_are_remembered_and_those_of_removed_backups_forgotten() -> None:
    name = BackupName(host="h", name="n")
    checks = Checks(Memory())
    first, second = (stored(name, day).backup for day in (1, 2))
    good = Check(checked_at=T0, good=True, data_at=T0)
    bad = Check(checked_at=T0, good=False)
    assert checks.of(name) == {}
    checks.remember(name, {first.label: good}, [first])
    checks.remember(name, {second.label: bad}, [first, second])
    assert checks.of(name) == {first.label: good, second.label: bad}
    checks.remember(name, {}, [second])
    assert checks.of(name) == {second.label: bad}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"backups": {"x": {}}}',
        b'{"backups": {"x": {"checked_at": "2026-01-01T00:00:00", "good": true}}}',
        b"\xff",
    ],
)
def test_checks_that_make_no_sense_count_as_none(content: bytes) -> None:
    storage, name = Memory(), BackupName(host="h", name="n")
    storage.write("checks/h_n/checks", [content])
    assert Checks(storage).of(name) == {}


class _Cluster(Memory):
    """A storage with more containers than the one that is written to."""

    def usage(self) -> list[ContainerUsage]:
        return [ContainerUsage(container=name, size_bytes=1, objects=1) for name in ("a", "ab")]


@pytest.mark.parametrize(
    ("container", "wanted", "shown"),
    [
        ("a", "all", ["a", "ab"]),
        ("a", "named", ["a"]),
        ("a/with/prefix", "named", ["a"]),
        ("missing", "named", []),
    ],
)
def test_info_shows_the_named_container_or_all(
    container: str, wanted: str, shown: list[str]
) -> None:
    account = V1Account(auth_url="http://x", username="u", key="k")
    choice = SwiftStorage(container=container, account=account, segment_bytes=1)
    request = InfoRequest(storage=choice, list_backups=False, only_named=wanted == "named")
    cluster = _Cluster()
    report = InfoAction(request=request, storage=cluster, catalog=Catalog(cluster, "tar")).run()
    assert [one["container"] for one in report.document["containers"]] == shown
