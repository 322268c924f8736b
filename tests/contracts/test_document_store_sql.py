"""The SQL store on SQLite keeps the promises of a document store, also on bad days."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import COUNTED, EVERYWHERE, Order, Page, Query, SortKey, Stored
from freezer_api.store.sql import SqlStore
from tests.contracts.document_store import (
    ALL,
    DOCUMENTS,
    JOBS,
    OURS,
    PAGES,
    QUERIES,
    SCOPES,
    DocumentStoreContract,
    add_one,
    assert_answers_like_memory,
    ids,
    job,
)

SPAWN = get_context("spawn")


@contextmanager
def made_in(folder: Path, **options: Any) -> Iterator[SqlStore]:
    with closing(SqlStore(url_in(folder), **options)) as store:
        store.prepare()
        yield store


def url_in(folder: Path) -> str:
    return f"sqlite:///{file_in(folder)}"


def file_in(folder: Path) -> Path:
    return folder / "documents.sqlite"


def adding(folder: Path, rounds: int) -> None:
    with made_in(folder) as store:
        for _round in range(rounds):
            add_one(store, "a", "counter")


def inserting(folder: Path, name: str, count: int) -> None:
    with made_in(folder) as store:
        for number in range(count):
            store.insert(JOBS, f"{name}-{number}", job(number=number))


class TestSqlStore(DocumentStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlStore]:
        with made_in(tmp_path) as store:
            yield store


@settings(max_examples=60)
@given(
    documents=DOCUMENTS,
    questions=st.lists(st.tuples(SCOPES, QUERIES, PAGES), min_size=5, max_size=9),
)
def test_answers_like_memory(documents: list[Any], questions: list[Any]) -> None:
    with TemporaryDirectory() as folder, made_in(Path(folder)) as store:
        assert_answers_like_memory(store, documents, questions)


def test_keeps_everything_between_two_lives(tmp_path: Path) -> None:
    with made_in(tmp_path) as store:
        store.insert(JOBS, "a", job(x=1))
    with made_in(tmp_path) as store:
        assert ids(store.search(JOBS, OURS, Query(match=(("x", 1),)), ALL)) == ["a"]


# Several processes


def test_processes_lose_no_update(tmp_path: Path) -> None:
    with made_in(tmp_path) as store:
        store.insert(JOBS, "a", job(counter=0))
        with SPAWN.Pool(4) as pool:
            pool.starmap(adding, [(tmp_path, 8)] * 4)
        found = store.get(JOBS, OURS, "a")
        assert (found.document["counter"], found.version) == (32, 33)


def test_many_processes_may_make_the_database_and_write(tmp_path: Path) -> None:
    with SPAWN.Pool(8) as pool:
        pool.starmap(inserting, [(tmp_path, f"w{number}", 25) for number in range(8)])
    with made_in(tmp_path) as store:
        assert store.describe()[0].documents == 200
        found = ids(store.search(JOBS, OURS, Query(), ALL))
    for number in range(8):
        mine = [name for name in found if name.startswith(f"w{number}-")]
        assert mine == [f"w{number}-{each}" for each in range(25)]


WRITER = """
import sys
from freezer_api.store.base import Collection
from freezer_api.store.sql import SqlStore
store = SqlStore(sys.argv[1])
for number in range(100_000):
    name = f"{sys.argv[2]}-{number}"
    store.insert(Collection.JOBS, name, {"project_id": "ours", "x": 0, "name": name})
    store.replace(Collection.JOBS, name, {"project_id": "ours", "x": 1, "name": name}, 1)
    print(name, flush=True)
"""


def test_a_killed_process_takes_nothing_acknowledged_with_it(tmp_path: Path) -> None:
    with made_in(tmp_path):
        pass
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url_in(tmp_path), f"w{number}"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for number in range(2)
    ]
    acknowledged = set()
    for writer in writers:
        assert writer.stdout
        acknowledged |= {writer.stdout.readline().strip() for _line in range(20)}
    for writer in writers:
        assert writer.stdout
        writer.send_signal(signal.SIGKILL)
        # On with the same reader, which may have begun the next line already.
        acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
        writer.stdout.close()
        writer.wait()
    with made_in(tmp_path) as store:
        done = set(ids(store.search(JOBS, OURS, Query(match=(("x", 1),)), Page(limit=10**6))))
        assert acknowledged <= done
        assert len(acknowledged) >= 40
        store.insert(JOBS, "next", job())
    with closing(sqlite3.connect(file_in(tmp_path))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_waits_for_another_writer(tmp_path: Path) -> None:
    with made_in(tmp_path) as store, closing(_connected(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, other.commit)
        timer.start()
        assert store.insert(JOBS, "a", job()).version == 1
        timer.join()


def test_reads_go_on_beside_a_writer(tmp_path: Path) -> None:
    with made_in(tmp_path, busy_seconds=0) as store, closing(_connected(tmp_path)) as other:
        store.insert(JOBS, "a", job())
        other.execute("BEGIN IMMEDIATE")
        assert ids(store.search(JOBS, OURS, Query(match=(("project_id", "ours"),)), ALL)) == ["a"]
        assert store.get(JOBS, OURS, "a").version == 1
        other.rollback()


def test_a_writer_that_never_ends_makes_the_store_unavailable(tmp_path: Path) -> None:
    with (
        made_in(tmp_path, busy_seconds=0.05) as store,
        closing(_connected(tmp_path)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.insert(JOBS, "a", job())
        other.rollback()
        assert store.insert(JOBS, "a", job()).version == 1


def _connected(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(file_in(folder), check_same_thread=False)


# Bad days


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    with made_in(tmp_path) as store:
        store.insert(JOBS, "a", job(text="first"))
    pages = [20]
    store = SqlStore(url_in(tmp_path))

    @event.listens_for(store._engine, "checkout")
    def limit(connection: sqlite3.Connection, *_rest: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")

    with closing(store):
        with pytest.raises(StoreUnavailable, match="full"):
            store.insert(JOBS, "b", job(text="x" * 10**6))
        with pytest.raises(StoreUnavailable, match="full"):
            store.replace(JOBS, "a", job(text="x" * 10**6), 1)
        assert ids(store.search(JOBS, OURS, Query(), ALL)) == ["a"]
        assert ids(store.search(JOBS, OURS, Query(words=("first",)), ALL)) == ["a"]
        pages[0] = 10**6
        assert store.insert(JOBS, "b", job(text="x" * 10**6)).version == 1


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file_in(tmp_path).write_bytes(b"something else" * 1000)
    with closing(SqlStore(url_in(tmp_path))) as store:
        assert not store.ready()
        for call in (store.prepare, store.describe, store.remove):
            with pytest.raises(StoreUnavailable, match="not a database"):
                call()
    assert file_in(tmp_path).read_bytes() == b"something else" * 1000


def test_a_damaged_database_is_an_error_of_ours(tmp_path: Path) -> None:
    with made_in(tmp_path) as store:
        for number in range(200):
            store.insert(JOBS, str(number), job(text=f"number {number}"))
    content = bytearray(file_in(tmp_path).read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file_in(tmp_path).write_bytes(content)
    with closing(SqlStore(url_in(tmp_path))) as store:
        assert not store.ready()
        with pytest.raises(StoreUnavailable, match="malformed"):
            store.search(JOBS, OURS, Query(), ALL)


def test_a_folder_in_the_file_s_place(tmp_path: Path) -> None:
    file_in(tmp_path).mkdir()
    with (
        closing(SqlStore(url_in(tmp_path))) as store,
        pytest.raises(StoreUnavailable, match=re.escape(str(file_in(tmp_path)))),
    ):
        store.prepare()


def test_without_tables_nothing_works_and_nothing_is_made(tmp_path: Path) -> None:
    with closing(SqlStore(url_in(tmp_path))) as store:
        assert not store.ready()
        assert store.describe() == []
        store.remove()
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(StoreUnavailable, match="freezer-manage db sync"):
            store.insert(JOBS, "a", job())
        with pytest.raises(StoreUnavailable, match="freezer-manage db sync"):
            store.get(JOBS, OURS, "a")


@pytest.mark.parametrize(
    ("version", "advice"), [(99, "Install that release"), (0, "freezer-manage db sync")]
)
def test_another_schema_version_is_refused(tmp_path: Path, version: int, advice: str) -> None:
    """By new workers, and for writes by those that worked before the version changed."""
    with made_in(tmp_path) as working, closing(SqlStore(url_in(tmp_path))) as fresh:
        working.insert(JOBS, "a", job())
        with closing(_connected(tmp_path)) as other:
            other.execute("UPDATE freezer_schema SET version = ?", [version])
            other.commit()
        assert not fresh.ready()
        with pytest.raises(StoreUnavailable, match=f"schema version {version}.*{advice}"):
            fresh.get(JOBS, OURS, "a")
        for write in (
            lambda: working.insert(JOBS, "b", job()),
            lambda: working.replace(JOBS, "a", job(), 1),
            lambda: working.delete(JOBS, OURS, "a"),
        ):
            with pytest.raises(StoreUnavailable, match=f"schema version {version}.*{advice}"):
                write()
        assert {contents.version for contents in working.describe()} == {version}


def test_a_later_release_s_tables_are_left_alone(tmp_path: Path) -> None:
    with made_in(tmp_path) as store:
        store.insert(JOBS, "a", job())
        with closing(_connected(tmp_path)) as other:
            other.execute("UPDATE freezer_schema SET version = 99")
            other.commit()
        with pytest.raises(StoreUnavailable, match="schema version 99"):
            store.prepare()
        assert {contents.version for contents in store.describe()} == {99}


@pytest.mark.parametrize(
    "connection",
    ["", "no url", "sqlite://", "sqlite:///:memory:", "nosuch://host/db", "oracle://h/db"],
)
def test_a_useless_url_is_refused(connection: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"\[sql\] connection"):
        SqlStore(connection)


def test_no_password_in_messages() -> None:
    url = "postgresql+psycopg://freezer:s3cret@127.0.0.1:1/freezer?connect_timeout=1"
    with closing(SqlStore(url)) as store, pytest.raises(StoreUnavailable) as refusal:
        store.prepare()
    assert "127.0.0.1" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_files_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = tmp_path / "made" / "too"
        with made_in(folder) as store:
            store.insert(JOBS, "a", job())
            modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    finally:
        os.umask(before)
    name = file_in(folder).name
    assert modes == {name: 0o600, f"{name}-wal": 0o600, f"{name}-shm": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_removal_gives_the_space_back(tmp_path: Path) -> None:
    with made_in(tmp_path) as store:
        store.insert(JOBS, "a", job(text="x" * 10**6))
        store.remove()
        assert store.describe() == []
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100_000


# Speed: what a search reads


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """Memory where there is some: thousands of commits are thousands of waits for a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_pages_beyond_ten_thousand(quick_folder: Path) -> None:
    with made_in(quick_folder) as store:
        for number in range(10_050):
            store.insert(JOBS, str(number), job(even=number % 2 == 0))
        everything = [str(number) for number in range(10_050)]
        assert ids(store.search(JOBS, OURS, Query(), Page(limit=20_000))) == everything
        page = Page(limit=10, offset=10_045)
        assert ids(store.search(JOBS, EVERYWHERE, Query(), page)) == everything[10_045:]
        odd = Query(match_not=(("even", True),))
        page = Page(limit=10, offset=5_020)
        assert ids(store.search(JOBS, OURS, odd, page)) == everything[10_041::2]


def test_long_lists_in_order_of_time_and_in_number(quick_folder: Path) -> None:
    """Beyond COUNTED documents the order comes from an index, and numbers are known by heart."""
    size = COUNTED + 100
    with made_in(quick_folder) as store:
        for number in range(size):
            stamp = None if number % 10 == 0 else number * 7 % 13
            store.insert(JOBS, str(number), job(timestamp=stamp, even=number % 2 == 0))
        timed = [number for number in range(size) if number % 10]
        late = [str(number) for number in range(size) if number % 10 == 0]
        for down in (False, True):
            sign = -1 if down else 1
            timed.sort(key=lambda number: (sign * (number * 7 % 13), number))
            expected = [str(number) for number in timed] + late
            order = Order(key=SortKey.TIME, descending=down)
            for offset in (0, 500, len(timed) - 3, len(timed), size - 2, size):
                page = Page(limit=7, offset=offset, order=order)
                found = store.find(JOBS, OURS, Query(), page)
                assert ids(found.documents) == expected[offset : offset + 7]
                assert found.total == size
        odd = Query(match_not=(("even", True),))
        assert store.find(JOBS, OURS, odd, Page()).total == size // 2
        assert store.find(JOBS, OURS, Query(match_not=(("x", 1),)), Page()).total is None
        assert store.count(JOBS, OURS, Query(match_not=(("x", 1),))) == size


def test_a_short_time_of_a_long_list(tmp_path: Path) -> None:
    """Bounds are kept whichever way is walked: times run against the order of creation here."""
    size = 1500
    with made_in(tmp_path) as store:
        documents = [job(timestamp=size - number, even=number % 2 == 0) for number in range(size)]
        batch = [
            Stored(document_id=str(number), document=document, version=1)
            for number, document in enumerate(documents)
        ]
        store.adopt(JOBS, batch)
        for after, before in ((size - 40, None), (None, 30), (700, 720), (1, size), (-9, 0)):
            inside = [
                str(number)
                for number in range(size)
                if (after or 0) <= size - number <= (size if before is None else before)
            ]
            query = Query(time_after=after, time_before=before)
            for down in (False, True):
                by_creation = Page(limit=7, offset=3, order=Order(descending=down))
                by_time = Page(limit=7, offset=3, order=Order(key=SortKey.TIME, descending=down))
                onward, backward = inside[3:10], inside[::-1][3:10]
                found = store.find(JOBS, OURS, query, by_creation)
                assert ids(found.documents) == (backward if down else onward)
                assert found.total == (len(inside) if len(inside) < 1000 else None)
                found = store.find(JOBS, OURS, query, by_time)
                assert ids(found.documents) == (onward if down else backward)
            assert store.count(JOBS, OURS, query) == len(inside)
            even = replace(query, match=(("even", True),))
            assert store.count(JOBS, OURS, even) == sum(int(one) % 2 == 0 for one in inside)
            assert (
                ids(store.search(JOBS, OURS, even, Page(limit=5)))
                == [one for one in inside if int(one) % 2 == 0][:5]
            )


def test_a_search_reads_no_collection(tmp_path: Path) -> None:
    """No step of any search scans a table; every list is sought by its index."""
    with made_in(tmp_path) as store:
        store.insert(JOBS, "a", job(x=1))
        steps: list[str] = []

        @event.listens_for(store._engine, "before_cursor_execute")
        def explain(_connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
            if statement.startswith("SELECT"):
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                steps.extend(row[-1] for row in cursor.fetchall())

        every_kind = Query(
            match=(("x", 1), ("project_id", "ours")),
            match_not=(("x", 2),),
            match_or=((("x", 1), ("x", 3)), (("x", 1), ("x", 2))),
            words=("ours",),
        )
        for scope in (OURS, EVERYWHERE):
            for query in (Query(), every_kind, Query(time_after=1, match=(("x", 1),))):
                store.search(JOBS, scope, query, ALL)
                for order in (Order(key=SortKey.TIME), Order(descending=True)):
                    store.find(JOBS, scope, query, Page(limit=1, order=order))
                store.count(JOBS, scope, query)
    scans = [step for step in steps if "SCAN" in step]
    assert steps
    assert all(re.fullmatch(r"SCAN (CONSTANT ROW|anon_\d+|\(subquery-\d+\))", s) for s in scans)
