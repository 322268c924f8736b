"""freezer-manage db migrate, import-upstream and load, from arguments to exit codes."""

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from freezer_api.cli.manage import main
from freezer_api.services import invented
from freezer_api.store.base import EVERYWHERE, Collection, Page, Query, Scope
from freezer_api.store.sql import SqlStore
from freezer_api.store.transfer import summarize
from tests.services.databases import new_database
from tests.services.mariadb import MariaDb
from tests.services.postgresql import PostgreSql

UPSTREAM = Path(__file__).parents[1] / "fixtures/upstream_19/freezer-api-19.0.0.sqlite"
ALPHA, BETA = "a" * 32, "b" * 32
ALL = Page(limit=1000)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "freezer-api.conf"
    file.write_text(f"[storage]\nbackend = sql\n[sql]\nconnection = {url(tmp_path)}\n")
    return file


@pytest.fixture
def manage(config: Path) -> Callable[..., int]:
    return lambda *arguments: main(["--config-file", str(config), "db", *arguments])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """The store that the configuration names."""
    with closing(SqlStore(url(tmp_path))) as store:
        yield store


def url(folder: Path, name: str = "freezer") -> str:
    return f"sqlite:///{folder}/{name}.sqlite"


# Load


def test_loads_whole_documents_and_goes_on_where_it_was(
    manage: Callable[..., int], store: SqlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    some = ("load", "--projects", "2", "--clients", "3", "--jobs", "6")
    assert manage(*some, "--backups", "20") == 0
    assert "35 documents written" in capsys.readouterr().out
    assert manage(*some, "--backups", "30") == 0
    assert "10 documents written" in capsys.readouterr().out
    amounts = invented.Amounts(projects=2, clients=3, jobs=6, backups=30)
    scope = Scope(project_id=invented.project_id(0))
    polled = Query(
        match=(("client_id", invented.client_id(0, amounts)),),
        match_not=(("status", "completed"),),
    )
    [job] = store.search(Collection.JOBS, scope, polled, ALL)
    backups = store.search(
        Collection.BACKUPS, scope, Query(match=(("job_id", job.document_id),)), ALL
    )
    assert len(backups) == 5
    assert store.find(Collection.BACKUPS, scope, Query(), Page(limit=1)).total == 20


# Migrate


def test_copies_and_verifies(
    manage: Callable[..., int],
    store: SqlStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manage("load", "--backups", "50")
    backup = store.search(Collection.BACKUPS, EVERYWHERE, Query(), Page(limit=1))[0]
    store.replace(Collection.BACKUPS, backup.document_id, {**backup.document, "x": 1}, 1)
    capsys.readouterr()
    address = tmp_path / "address"
    address.write_text(f"{url(tmp_path, 'other')}\n")
    assert manage("migrate", "--from", "configured", "--to", f"@{address}") == 0
    told = capsys.readouterr()
    assert f"50 documents  digest {summarize(store, Collection.BACKUPS).digest}" in told.out
    assert "backups: 50 of 50 read" in told.err
    with closing(SqlStore(url(tmp_path, "other"))) as other:
        assert other.get(Collection.BACKUPS, EVERYWHERE, backup.document_id).version == 2
        for collection in Collection:
            assert list(other.walk(collection)) == list(store.walk(collection))


def test_a_store_in_use_is_no_target(
    manage: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage("load", "--backups", "5")
    with closing(SqlStore(url(tmp_path, "other"))) as other:
        other.prepare()
        other.insert(Collection.JOBS, "mine", {"project_id": "ours"})
        assert manage("migrate", "--from", "configured", "--to", url(tmp_path, "other")) == 4
        assert "'mine'" in capsys.readouterr().err
        assert sum(row.documents for row in other.describe()) == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("sqlite:////nosuch/file.sqlite", "copy from"),
        ("nonsense", "database URL"),
        ("@/nosuch/file", "/nosuch/file cannot be read"),
        ("http://u:tiger@127.0.0.1:1/x", "copy from"),
    ],
)
def test_says_what_is_wrong_with_an_address(
    manage: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    reason: str,
) -> None:
    assert manage("migrate", "--from", source, "--to", url(tmp_path, "other")) == 1
    told = capsys.readouterr().err
    assert reason in told
    assert "tiger" not in told
    assert not (tmp_path / "other.sqlite").exists()


def test_a_store_is_not_copied_to_itself(
    manage: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = url(tmp_path)
    assert manage("migrate", "--from", here, "--to", here) == 1
    assert "the same store" in capsys.readouterr().err


KILLED_AFTER_THE_JOBS = """
import os, signal, sys
from freezer_api.cli import manage
class Fatal:
    def write(self, text):
        if text.startswith("jobs"):
            os.kill(os.getpid(), signal.SIGKILL)
        return len(text)
    def flush(self):
        pass
sys.stderr = Fatal()
manage.main(sys.argv[1:])
"""
"""freezer-manage, which does not survive its first word about the jobs."""


def test_a_killed_copy_is_taken_up(
    manage: Callable[..., int], store: SqlStore, config: Path, tmp_path: Path
) -> None:
    manage("load", "--clients", "20", "--jobs", "500", "--backups", "5000")
    target = url(tmp_path, "other")
    command = [sys.executable, "-c", KILLED_AFTER_THE_JOBS, "--config-file", str(config)]
    command += ["db", "migrate", "--from", "configured", "--to", target]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    with closing(SqlStore(target)) as other:
        half = sum(row.documents for row in other.describe())
        assert manage("migrate", "--from", "configured", "--to", target) == 0
        assert half < sum(row.documents for row in other.describe()) == 6020
        assert list(other.walk(Collection.BACKUPS)) == list(store.walk(Collection.BACKUPS))


@pytest.mark.service
def test_copies_to_the_servers_and_back(
    manage: Callable[..., int],
    store: SqlStore,
    tmp_path: Path,
    mariadb_server: MariaDb,
    postgresql_server: PostgreSql,
) -> None:
    manage("load", "--clients", "5", "--jobs", "20", "--backups", "300")
    with (
        new_database(mariadb_server.url()) as mariadb,
        new_database(postgresql_server.url()) as postgresql,
    ):
        stations = [
            "configured",
            mariadb_server.url(mariadb),
            postgresql_server.url(postgresql),
            url(tmp_path, "back"),
        ]
        for source, target in itertools.pairwise(stations):
            assert manage("migrate", "--from", source, "--to", target) == 0
    with closing(SqlStore(url(tmp_path, "back"))) as back:
        for collection in Collection:
            assert summarize(back, collection) == summarize(store, collection)


@pytest.mark.service
def test_copies_to_a_cluster_by_its_url_and_back(
    manage: Callable[..., int],
    store: SqlStore,
    tmp_path: Path,
    elasticsearch_url: str,
    index_prefix: str,
) -> None:
    manage("load", "--clients", "5", "--jobs", "20", "--backups", "100")
    there = f"{elasticsearch_url}/{index_prefix}"
    assert manage("migrate", "--from", "configured", "--to", there) == 0
    assert manage("migrate", "--from", there, "--to", url(tmp_path, "back")) == 0
    with closing(SqlStore(url(tmp_path, "back"))) as back:
        for collection in Collection:
            assert summarize(back, collection) == summarize(store, collection)


# Import of a database that freezer-api 19.0.0 has written


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return Path(shutil.copy(UPSTREAM, tmp_path / "upstream.sqlite"))


def test_takes_what_is_alive(
    manage: Callable[..., int],
    store: SqlStore,
    upstream: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = upstream.read_bytes()
    assert manage("import-upstream", "--from", f"sqlite:///{upstream}", "--json") == 5
    result = json.loads(capsys.readouterr().out)
    assert result["read"] == {
        "clients": 8, "actions": 8, "jobs": 7, "sessions": 5, "backups": 6,
    }  # fmt: skip
    assert result["deleted"] == {
        "clients": 1, "actions": 2, "jobs": 1, "sessions": 1, "backups": 1,
    }  # fmt: skip
    assert [(row["table"], row["id"]) for row in result["skipped"]] == [
        ("jobs", "broken-job"),
        ("sessions", "no-project"),
        ("backups", "broken-backup"),
    ]
    assert "schedule" in result["skipped"][0]["reason"]
    counts = {row.name: row.documents for row in store.describe()}
    assert {name: counts[name] for name in result["read"]} == result["written"]
    assert upstream.read_bytes() == before


def test_documents_are_those_that_it_showed(
    manage: Callable[..., int], store: SqlStore, upstream: Path
) -> None:
    manage("import-upstream", "--from", f"sqlite:///{upstream}")
    ours = Scope(project_id=ALPHA)
    job = store.get(Collection.JOBS, ours, "shares-1").document
    assert job["job_schedule"] == {
        "schedule_interval": "2 hours",
        "status": "completed",
        "result": "fail",
        "event": "",
        "time_created": 1600000000,
        "time_started": 1600000100,
        "time_ended": 1600000200,
    }
    shared, inline = job["job_actions"]
    assert shared == {
        "action_id": "shared-action",
        "max_retries": 2,
        "max_retries_interval": 60,
        "mandatory": False,
        "freezer_action": {
            "action": "backup", "mode": "fs", "path_to_backup": "/etc", "backup_name": "etc",
            "container": "backups", "max_level": 6, "storage": "swift", "hostname": False,
            "no_incremental": None,
        },
    }  # fmt: skip
    assert inline["freezer_action"]["path_to_backup"] == "/srv"
    assert store.get(Collection.ACTIONS, ours, "shared-action").document == {
        **shared,
        "user_id": "anna" * 8,
        "project_id": ALPHA,
    }
    assert len(store.get(Collection.JOBS, ours, "lost-an-action").document["job_actions"]) == 1
    central = store.get(Collection.JOBS, Scope(project_id=BETA), "central-job").document
    assert central["user_credentials"] == {
        "trust_id": "t" * 32,
        "trustor_user_id": "bert" * 8,
    }
    [running] = store.search(Collection.SESSIONS, ours, Query(match=(("status", "running"),)), ALL)
    assert running.document["jobs"]["shares-0"]["status"] == "running"
    assert store.get(Collection.JOBS, ours, "shares-0").document["session_id"] == (
        running.document_id
    )
    assert store.get(Collection.SESSIONS, ours, "replaced").document["jobs"] == {}
    backups = store.search(Collection.BACKUPS, ours, Query(), ALL)
    assert [one.document["status"] for one in backups] == [
        "available", "creating", "error", "available",
    ]  # fmt: skip
    assert backups[0].document["backup_metadata"]["max_level"] == ""


def test_an_import_can_be_repeated_and_keeps_what_happened_since(
    manage: Callable[..., int], store: SqlStore, upstream: Path, capsys: Any
) -> None:
    address = f"sqlite:///{upstream}"
    manage("import-upstream", "--from", address)
    job = store.get(Collection.JOBS, EVERYWHERE, "shares-0")
    store.replace(Collection.JOBS, "shares-0", {**job.document, "description": "new"}, 1)
    capsys.readouterr()
    assert manage("import-upstream", "--from", address, "--json") == 5
    result = json.loads(capsys.readouterr().out)
    assert set(result["written"].values()) == {0}
    assert result["present"]["jobs"] == 5
    again = store.get(Collection.JOBS, EVERYWHERE, "shares-0")
    assert (again.document["description"], again.version) == ("new", 2)


def test_a_dry_run_writes_nothing(
    manage: Callable[..., int], tmp_path: Path, upstream: Path, capsys: Any
) -> None:
    assert manage("import-upstream", "--from", f"sqlite:///{upstream}", "--dry-run") == 5
    told = capsys.readouterr().out
    assert "would be written" in told
    assert "SKIPPED: backups broken-backup: backup_metadata: is no JSON" in told
    assert not (tmp_path / "freezer.sqlite").exists()


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        ("DROP TABLE jobs", "no database of freezer-api"),
        ("ALTER TABLE backups DROP COLUMN status", "before 19.0.0.*backups.status"),
    ],
)
def test_another_database_is_refused(
    manage: Callable[..., int], upstream: Path, capsys: Any, break_it: str, reason: str
) -> None:
    address = f"sqlite:///{upstream}"
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text(break_it))
    engine.dispose()
    assert manage("import-upstream", "--from", address) == 1
    assert re.search(reason, capsys.readouterr().err)


@pytest.mark.service
def test_imports_from_mariadb(
    manage: Callable[..., int],
    store: SqlStore,
    upstream: Path,
    mariadb_server: MariaDb,
    tmp_path: Path,
) -> None:
    """The same rows in the kind of database that most clouds run."""
    with new_database(mariadb_server.url()) as name:
        copy_rows(f"sqlite:///{upstream}", mariadb_server.url(name))
        assert manage("import-upstream", "--from", mariadb_server.url(name)) == 5
    with closing(SqlStore(url(tmp_path, "direct"))) as direct:
        other = tmp_path / "other.conf"
        other.write_text(f"[sql]\nconnection = {url(tmp_path, 'direct')}\n")
        main(
            [
                "--config-file",
                str(other),
                "db",
                "import-upstream",
                "--from",
                f"sqlite:///{upstream}",
            ]
        )
        for collection in Collection:
            assert summarize(direct, collection).digest == summarize(store, collection).digest


def copy_rows(source_url: str, target_url: str) -> None:
    """The tables and rows of 19.0.0's SQLite database with MariaDB's types."""
    from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, Text

    source, target = create_engine(source_url), create_engine(target_url)
    kinds = {"created_at": DateTime(), "updated_at": DateTime(), "deleted_at": DateTime()}
    integers = {"deleted", "is_central", "mandatory", "position", "session_tag", "hold_off",
                "timeout", "priority", "max_retries", "max_retries_interval", "time_start",
                "time_end", "time_started", "time_ended"}  # fmt: skip
    metadata = MetaData()
    with source.connect() as reading, target.begin() as writing:
        for name in inspect(source).get_table_names():
            columns = [one["name"] for one in inspect(source).get_columns(name)]
            table = Table(
                name,
                metadata,
                *(
                    Column(
                        column,
                        kinds.get(column)
                        or (
                            Integer()
                            if column in integers
                            else String(36)
                            if column == "id"
                            else Text()
                        ),
                    )
                    for column in columns
                ),
            )
            table.create(writing)
            rows = reading.execute(table.select()).mappings().all()
            if rows:
                plain = [
                    {
                        key: value.decode() if isinstance(value, bytes) else value
                        for key, value in row.items()
                    }
                    for row in rows
                ]
                writing.execute(table.insert(), plain)
    source.dispose()
    target.dispose()
