"""The SQL store on real MariaDB and PostgreSQL servers keeps the promises of a document store."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import EVERYWHERE, Order, Page, Query, SortKey, Stored
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


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
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


@pytest.fixture
def filled(url: str) -> Iterator[SqlStore]:
    """Enough documents that reading a table would be worth avoiding, and known to the planner."""
    long = "documents are of about this size " * 40
    with made_in(url) as store:
        for first in range(0, 4000, 1000):
            batch = [
                Stored(
                    document_id=str(number),
                    document=job(x=number % 2, y=number, timestamp=number, note=long),
                    version=1,
                )
                for number in range(first, first + 1000)
            ]
            store.adopt(JOBS, batch)
        with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            tables = "freezer_terms, freezer_documents, freezer_tallies"
            word = "ANALYZE TABLE" if connection.dialect.name == "mysql" else "VACUUM ANALYZE"
            connection.exec_driver_sql(f"{word} {tables}").close()
        yield store


def test_no_call_reads_a_table(filled: SqlStore) -> None:
    """The servers seek every row of every call by an index."""
    plans = watch_plans(filled)
    some = tuple(("y", number) for number in range(5))
    queries = (
        Query(),
        Query(match=(("x", 1), ("project_id", "ours")), match_not=some, match_or=(some,)),
        Query(match=(("x", 1), ("y", 77))),
        Query(match=(("x", 1),), time_after=1),
        Query(time_after=3990),
    )
    for scope in (OURS, EVERYWHERE):
        for query in queries:
            filled.find(JOBS, scope, query, Page())
    # A long list in order of time is left out: sorting 4,000 documents is cheaper than the index.
    by_time = Page(order=Order(key=SortKey.TIME, descending=True))
    filled.find(JOBS, OURS, Query(match=(("x", 1), ("y", 77))), by_time)
    filled.replace(JOBS, "77", job(x=5), 1)
    filled.delete(JOBS, OURS, "78")
    assert len(plans) > 30
    # Of the tallies there is one row, and reading a table of one page is right.
    scans = {plan.strip() for plan in plans if "Seq Scan" in plan and "tallies" not in plan}
    assert scans == set()


def watch_plans(store: SqlStore) -> list[str]:
    """Fills with the servers' plans of the statements that the store runs from now on."""
    plans: list[str] = []

    @event.listens_for(store._engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, values: Any, *rest: Any) -> None:
        is_many = rest[-1]
        # A table of one row is read as a whole, and should be.
        if is_many or "freezer_schema" in statement or statement.startswith("INSERT"):
            return
        cursor.execute(f"EXPLAIN {statement}", values)
        for row in cursor.fetchall():
            if connection.dialect.name == "postgresql":
                plans.append(row[0])
            elif row[2] and not row[2].startswith("<"):
                # A step of type ALL reads a table, unless it is a derived one, of few rows. A
                # range that is read for each document of another step reads whole lists.
                reads_all = row[3] == "ALL" or (row[1], row[3]) == ("DEPENDENT SUBQUERY", "range")
                plans.append(f"Seq Scan on {row[2]}" if reads_all else str(row))

    return plans
