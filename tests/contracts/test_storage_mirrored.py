"""Several storages written as one keep the promises of a storage."""

from pathlib import Path

import pytest

from freezer_agent.storages.base import Storage
from freezer_agent.storages.lanes import LaneLimits
from freezer_agent.storages.local import Local
from freezer_agent.storages.member import Member
from freezer_agent.storages.memory import Memory
from freezer_agent.storages.mirrored import Mirrored
from freezer_agent.storages.throttled import Bucket, Throttled
from tests.contracts.storage import StorageContract


class TestMirrored(StorageContract):
    @pytest.fixture
    def empty(self, tmp_path: Path) -> Storage:
        members = [Member("memory", Memory()), Member("local", Local(tmp_path / "local"))]
        return Mirrored(members, LaneLimits(queue_size=2, stalled_seconds=120, grace_seconds=120))

    def test_usage_counts_everything(self, empty: Storage) -> None:
        """Once for each of them."""
        empty.write("a", [b"12345"])
        assert [container.size_bytes for container in empty.usage()] == [5, 5]


class TestThrottled(StorageContract):
    @pytest.fixture
    def empty(self) -> Storage:
        bucket = Bucket(1 << 40, lambda: 0.0, lambda _: None)
        return Throttled(Memory(), upload=bucket, download=bucket)
