"""The SQL store on real MariaDB and PostgreSQL servers keeps the promises of a document store."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from freezer_api.errors import StoreUnavailable
from freezer_api.store.sql import SqlStore
from tests.contracts.document_store import (
    DOCUMENTS,
    JOBS,
    OURS,
    PAGES,
    QUERIES,
    SCOPES,
    DocumentStoreContract,
    add_one,
    assert_answers_like_memory,
    job,
)
from tests.services.databases import new_database
from tests.services.mariadb import MariaDb
from tests.services.postgresql import PostgreSql

pytestmark = pytest.mark.service

SPAWN = get_context("spawn")


@pytest.fixture(scope="module")
def mariadb_url(mariadb_server: MariaDb) -> Iterator[str]:
    with new_database(mariadb_server.url()) as name:
        yield mariadb_server.url(name)


@pytest.fixture(scope="module")
def postgresql_url(postgresql_server: PostgreSql) -> Iterator[str]:
    with new_database(postgresql_server.url()) as name:
        yield postgresql_server.url(name)


@contextmanager
def made_in(url: str) -> Iterator[SqlStore]:
    """An empty store: the databases are made once, the tables anew for every test."""
    with closing(SqlStore(url)) as store:
        store.remove()
        store.prepare()
        yield store


class TestSqlStoreOnMariaDb(DocumentStoreContract):
    @pytest.fixture
    def store(self, mariadb_url: str) -> Iterator[SqlStore]:
        with made_in(mariadb_url) as store:
            yield store


class TestSqlStoreOnPostgreSql(DocumentStoreContract):
    @pytest.fixture
    def store(self, postgresql_url: str) -> Iterator[SqlStore]:
        with made_in(postgresql_url) as store:
            yield store


@pytest.fixture(params=["mariadb", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=DOCUMENTS,
    questions=st.lists(st.tuples(SCOPES, QUERIES, PAGES), min_size=5, max_size=9),
)
def test_answers_like_memory(url: str, documents: list[Any], questions: list[Any]) -> None:
    with made_in(url) as store:
        assert_answers_like_memory(store, documents, questions)


def adding(url: str, rounds: int) -> None:
    with closing(SqlStore(url)) as store:
        for _round in range(rounds):
            add_one(store, "a", "counter")


def test_processes_lose_no_update(url: str) -> None:
    with made_in(url) as store:
        store.insert(JOBS, "a", job(counter=0))
        with SPAWN.Pool(3) as pool:
            pool.starmap(adding, [(url, 8)] * 3)
        found = store.get(JOBS, OURS, "a")
    assert (found.document["counter"], found.version) == (24, 25)


def test_a_server_that_ends_makes_the_store_unavailable_until_it_is_back(
    postgresql_server: PostgreSql,
) -> None:
    """Connections that the server has ended are replaced: the next call works."""
    with (
        new_database(postgresql_server.url()) as name,
        made_in(postgresql_server.url(name)) as store,
    ):
        store.insert(JOBS, "a", job())
        admin = create_engine(postgresql_server.url(), isolation_level="AUTOCOMMIT")
        with closing(admin.raw_connection()) as connection:
            connection.cursor().execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
        admin.dispose()
        assert store.get(JOBS, OURS, "a").version == 1


def test_a_database_that_is_not_there(mariadb_server: MariaDb) -> None:
    with closing(SqlStore(mariadb_server.url("nosuch"))) as store:
        assert not store.ready()
        with pytest.raises(StoreUnavailable, match="Unknown database 'nosuch'") as refusal:
            store.prepare()
    assert ":freezer@" not in str(refusal.value)
