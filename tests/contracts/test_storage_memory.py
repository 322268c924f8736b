import pytest

from freezer_agent.storages.base import Storage
from freezer_agent.storages.memory import Memory
from tests.contracts.storage import StorageContract


class TestMemory(StorageContract):
    @pytest.fixture
    def empty(self) -> Storage:
        return Memory()
