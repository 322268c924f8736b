"""Every kind of store can be copied to every other."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from freezer_api.store.elasticsearch import ElasticsearchStore
from freezer_api.store.memory import MemoryStore
from freezer_api.store.sql import SqlStore
from tests.contracts.portable_store import PortableStoreContract
from tests.contracts.test_document_store_elasticsearch import emptied, store_at
from tests.services.databases import new_database
from tests.services.mariadb import MariaDb
from tests.services.postgresql import PostgreSql


class TestMemory(PortableStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestSqlite(PortableStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlStore]:
        with closing(SqlStore(f"sqlite:///{tmp_path}/documents.sqlite")) as store:
            store.prepare()
            yield store


@pytest.mark.service
class TestMariaDb(PortableStoreContract):
    @pytest.fixture
    def store(self, mariadb_server: MariaDb) -> Iterator[SqlStore]:
        with (
            new_database(mariadb_server.url()) as name,
            closing(SqlStore(mariadb_server.url(name))) as store,
        ):
            store.prepare()
            yield store


@pytest.mark.service
class TestPostgreSql(PortableStoreContract):
    @pytest.fixture
    def store(self, postgresql_server: PostgreSql) -> Iterator[SqlStore]:
        with (
            new_database(postgresql_server.url()) as name,
            closing(SqlStore(postgresql_server.url(name))) as store,
        ):
            store.prepare()
            yield store


@pytest.fixture(scope="module")
def indices(elasticsearch_url: str) -> Iterator[ElasticsearchStore]:
    with closing(store_at(elasticsearch_url, f"t{uuid.uuid4().hex[:12]}")) as store:
        yield store
        store.remove()


@pytest.mark.service
class TestElasticsearch(PortableStoreContract):
    @pytest.fixture
    def store(self, indices: ElasticsearchStore) -> ElasticsearchStore:
        return emptied(indices)
