"""Databases of every released schema become today's, on each kind of database."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from freezer_api.errors import StoreUnavailable
from freezer_api.store import sql_upgrade
from freezer_api.store.base import EVERYWHERE, Collection, Order, Page, Query, SortKey
from freezer_api.store.entries import entry_of
from freezer_api.store.leaves import digest
from freezer_api.store.sql import SqlStore
from freezer_api.store.sql_schema import SCHEMA_VERSION, metadata
from tests.contracts.document_store import ALL, JOBS, OURS, POLL, ids, in_threads, job
from tests.services.databases import new_database


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("mariadb", marks=pytest.mark.service),
        pytest.param("postgresql", marks=pytest.mark.service),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/documents.sqlite"
        return
    server = request.getfixturevalue(f"{request.param}_server")
    with new_database(server.url()) as name:
        yield server.url(name)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def make_founding_database(
    engine: Engine, documents: dict[str, dict[str, Any]], version: int = 1
) -> None:
    """A database as the founding release made and filled it, brought to the version since."""
    with engine.begin() as connection:
        _run_step(connection, 0)
        connection.execute(
            text("INSERT INTO freezer_schema (id, version) VALUES (1, :version)"),
            {"version": version},
        )
        for name, document in documents.items():
            entry = entry_of(document)
            connection.execute(
                text(
                    "INSERT INTO freezer_documents (id_digest, collection, version,"
                    " time_stamp, document_id, document)"
                    " VALUES (:key, 'jobs', 3, NULL, :name, :text)"
                ),
                {"key": digest(JOBS, name), "name": name, "text": entry.text},
            )
            seq = connection.scalar(text("SELECT max(seq) FROM freezer_documents"))
            connection.execute(
                text("INSERT INTO freezer_terms (term, seq) VALUES (:term, :seq)"),
                [{"term": digest(JOBS, term), "seq": seq} for term in entry.terms],
            )
        for number in range(1, version):
            _run_step(connection, number)


def _run_step(connection: Any, number: int) -> None:
    with Operations.context(MigrationContext.configure(connection)):
        sql_upgrade.revisions()[number].module.upgrade()


def test_there_is_a_step_to_every_version() -> None:
    numbers = [int(step.revision) for step in sql_upgrade.revisions()]
    assert numbers == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_earlier_database_keeps_its_documents(url: str, engine: Engine, version: int) -> None:
    documents = {"b": job(x=1), "a": job(x=2), "c": {"project_id": "theirs", "x": 1}}
    make_founding_database(engine, documents, version)
    with closing(SqlStore(url)) as store:
        assert not store.ready()
        with pytest.raises(StoreUnavailable, match="freezer-manage db sync"):
            store.get(JOBS, OURS, "a")
        store.prepare()
        assert store.ready()
        assert ids(store.search(JOBS, EVERYWHERE, Query(), ALL)) == ["b", "a", "c"]
        assert ids(store.search(JOBS, OURS, Query(match=(("x", 1),)), ALL)) == ["b"]
        assert {one.version for one in store.search(JOBS, EVERYWHERE, Query(), ALL)} == {3}
        store.replace(JOBS, "a", job(x=5), 3)
        store.delete(JOBS, OURS, "b")
        store.insert(JOBS, "b", job(x=6))
        assert ids(store.search(JOBS, EVERYWHERE, Query(), ALL)) == ["a", "c", "b"]
        assert sum(row.documents for row in store.describe()) == 3


def test_an_upgraded_database_knows_numbers_times_and_polls(url: str, engine: Engine) -> None:
    documents = {
        "a": job(client_id="node", job_schedule={"time_started": 5}),
        "b": job(client_id="node", job_schedule={"time_started": 9}),
        "c": {"project_id": "theirs", "job_schedule": {"time_started": -1}},
    }
    make_founding_database(engine, documents)
    with closing(SqlStore(url)) as store:
        store.prepare()
        latest_first = Page(limit=1, order=Order(key=SortKey.TIME, descending=True))
        found = store.find(JOBS, OURS, Query(), latest_first)
        assert (ids(found.documents), found.total) == (["b"], 2)
        before = store.fingerprint(JOBS, OURS, POLL)
        assert before
        store.delete(JOBS, OURS, "a")
        assert store.fingerprint(JOBS, OURS, POLL) != before
        assert store.find(JOBS, OURS, Query(), Page(limit=1)).total == 1


def test_upgraded_and_new_tables_are_the_same(url: str, engine: Engine) -> None:
    make_founding_database(engine, {})
    with closing(SqlStore(url)) as store:
        store.prepare()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        upgraded = _indexes(connection)
    with closing(SqlStore(url)) as store:
        store.remove()
        assert not inspect(engine).get_table_names()
        store.prepare()
    with engine.connect() as connection:
        assert _indexes(connection) == upgraded


def _indexes(connection: Any) -> list[Any]:
    inspector = inspect(connection)
    return [
        (table, sorted(tuple(index["column_names"]) for index in inspector.get_indexes(table)))
        for table in sorted(inspector.get_table_names())
    ]


def test_steps_bear_to_be_run_again(url: str, engine: Engine) -> None:
    """Where definitions cannot be undone, a killed step has done some of its work."""
    make_founding_database(engine, {"a": job(x=1)})
    with engine.begin() as connection:
        for number in range(SCHEMA_VERSION):
            _run_step(connection, number)
    with closing(SqlStore(url)) as store:
        store.prepare()
        assert ids(store.search(JOBS, OURS, Query(match=(("x", 1),)), ALL)) == ["a"]


def test_many_may_sync_at_once(url: str, engine: Engine) -> None:
    make_founding_database(engine, {str(number): job(x=number) for number in range(30)})
    stores = [SqlStore(url) for _ in range(4)]
    in_threads(4, lambda number: stores[number].prepare())
    assert all(store.ready() for store in stores)
    for store in stores:
        store.close()


def test_a_writer_of_the_former_release_is_waited_for(tmp_path: Path) -> None:
    """Files of the founding release have no write-ahead log, to which they are changed first."""
    path = tmp_path / "documents.sqlite"
    engine = create_engine(f"sqlite:///{path}")
    make_founding_database(engine, {"a": job()})
    engine.dispose()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        end = threading.Timer(0.3, lambda: writer.execute("ROLLBACK"))
        end.start()
        with closing(SqlStore(f"sqlite:///{path}")) as store:
            store.prepare()
            assert store.ready()
        end.join()


def test_many_may_make_it_at_once(url: str) -> None:
    stores = [SqlStore(url) for _ in range(4)]
    in_threads(4, lambda number: stores[number].prepare())
    assert [store.describe()[0].documents for store in stores] == [0] * 4
    assert stores[0].insert(Collection.JOBS, "a", job()).version == 1
    for store in stores:
        store.close()
