from pathlib import Path

import pytest

from freezer_agent.storages.base import Storage
from freezer_agent.storages.local import Local
from freezer_agent.storages.retrying import Attempts, Retrying
from tests.contracts.storage import StorageContract


class TestLocal(StorageContract):
    @pytest.fixture
    def empty(self, tmp_path: Path) -> Storage:
        return Local(tmp_path / "not there yet")


class TestRetryingLocal(StorageContract):
    @pytest.fixture
    def empty(self, tmp_path: Path) -> Storage:
        return Retrying(Local(tmp_path), Attempts(3, lambda _: None, lambda: 0.0))
