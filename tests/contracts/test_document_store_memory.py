"""The memory store keeps the promises of a document store."""

import pytest

from freezer_api.store.memory import MemoryStore
from tests.contracts.document_store import DocumentStoreContract


class TestMemoryStore(DocumentStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
