"""The tables of the SQL store, and how a database is opened, made and removed.

Types and indexes are those that SQLite, MariaDB and PostgreSQL share. No text is indexed or
compared by the database, only digests and numbers, so collations do not matter.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError
from sqlalchemy.schema import DropTable

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import Collection, Contents
from freezer_api.store.leaves import collection_term
from freezer_api.store.sql_keys import key_of

SCHEMA_VERSION = 3
"""Of the tables, of the terms in them (`leaves.terms_of`) and of the keys of these (`sql_keys`): a
change of any is a new one."""

BUSY_SECONDS = 30
"""How long a call waits for the one writer that SQLite has at a time."""

_Digest = LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
_LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_Sequence = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

schema = Table(
    "freezer_schema",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

documents = Table(
    "freezer_documents",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    Column("id_digest", _Digest, nullable=False, unique=True),
    Column("collection", String(16), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("time_stamp", BigInteger),
    Column("document_id", Text, nullable=False),
    Column("document", _LongText, nullable=False),
    Index("freezer_documents_in_time", "collection", "time_stamp", "seq"),
    # A number is never given twice: the order of creation, and no term finds a later document.
    sqlite_autoincrement=True,
    mysql_charset="utf8mb4",
)

terms = Table(
    "freezer_terms",
    metadata,
    Column("term", _Digest, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

tallies = Table(
    "freezer_tallies",
    metadata,
    Column("term", _Digest, primary_key=True),
    Column("documents", BigInteger, nullable=False),
    Column("stamp", String(64), nullable=False),
    sqlite_with_rowid=False,
)

# A new backup is put on a hundred lists, so that many pages are read and written. Those of the
# last writes stay in memory (8 MiB a connection), and come to the database's own file after 32 MiB
# of log and not after 4, by when most of them have changed again.
_SQLITE_MEMORY = {"cache_size": -8192, "wal_autocheckpoint": 8192}

_WAL_PAUSE_SECONDS = 0.05

_VERSION = "SELECT version FROM freezer_schema WHERE id = 1"


def open_database(connection: str, busy_seconds: float) -> Engine:
    """An engine for the URL; nothing is connected yet. Raises StoreUnavailable for a bad URL."""
    try:
        url = make_url(connection)
        on_sqlite = url.get_backend_name() == "sqlite"
        if on_sqlite and url.database in {None, "", ":memory:"}:
            raise StoreUnavailable(
                "[sql] connection names no file: an SQLite database in memory would be another "
                "one in every thread"
            )
        options: dict[str, Any] = (
            # The connection that was used last knows most pages.
            {"connect_args": {"timeout": busy_seconds}, "pool_use_lifo": True}
            if on_sqlite
            else {"pool_pre_ping": True}
        )
        engine = create_engine(url, **options)
    except (ArgumentError, ImportError) as error:
        raise StoreUnavailable(
            "The database URL ([sql] connection) cannot be used (unknown kind of database, "
            "driver not installed, or no URL at all)"
        ) from error
    if on_sqlite:
        _tune_sqlite(engine)
    return engine


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Database errors inside become StoreUnavailable."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        where = engine.url.render_as_string(hide_password=True)
        reason = str(getattr(error, "orig", error)).strip()
        raise StoreUnavailable(
            f"The document store {where} cannot be used now: {reason}{_advice(reason)}"
        ) from error


def make_file(engine: Engine) -> None:
    """The database file of SQLite (mode 0600) with its folder; nothing for a server."""
    if engine.dialect.name != "sqlite":
        return
    _make_private_file(Path(str(engine.url.database)))
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        except OperationalError as error:
            # SQLite waits for no writer in this change, whatever its busy timeout.
            if time.monotonic() > deadline or "locked" not in str(error.orig):
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return


def refusal(found: int) -> str:
    """Why this program does not work with tables of the version, and what to do."""
    if found > SCHEMA_VERSION:
        return (
            f"The database has schema version {found}, made by a later release; this program "
            f"knows version {SCHEMA_VERSION}. Install that release here too"
        )
    return (
        f"The database has schema version {found}; this program needs version {SCHEMA_VERSION}. "
        "Stop every freezer-api, make a copy of the database, then run `freezer-manage db sync`"
    )


def require_version(connection: Connection) -> None:
    """Raise StoreUnavailable if the tables are of another version than this program's.

    Asked with every transaction that writes, so that a worker which was forgotten during an
    upgrade cannot write as the earlier release did, and before the first that reads.
    """
    found = connection.exec_driver_sql(_VERSION).scalar()
    if found != SCHEMA_VERSION:
        raise StoreUnavailable(refusal(int(found or 0)))


def schema_version(engine: Engine) -> int | None:
    """The version that the tables were made with, or None if there are none."""
    with translated(engine):
        if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
            return None  # looking must not make an empty file
        with engine.connect() as connection:
            if not engine.dialect.has_table(connection, schema.name):
                return None
            return connection.scalar(select(schema.c.version))


def describe(engine: Engine) -> list[Contents]:
    """One row for each collection; none without tables."""
    version = schema_version(engine)
    if version is None:
        return []
    with translated(engine), engine.connect() as connection:
        return [
            Contents(name=str(name), version=version, documents=_count(connection, name))
            for name in Collection
        ]


def remove(engine: Engine) -> None:
    """Drop the tables, and give the space of an SQLite file back."""
    if schema_version(engine) is None:
        return
    with translated(engine):
        with engine.execution_options(writes=True).begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(DropTable(table, if_exists=True))
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _count(connection: Connection, collection: Collection) -> int:
    all_of_it = key_of(collection, collection_term())
    statement = select(func.count()).select_from(terms).where(terms.c.term == all_of_it)
    return connection.scalar(statement) or 0


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours, below
        # The log is synced at every commit: what was acknowledged survives kill -9 of the
        # process and the loss of power. NORMAL would give up the latter.
        connection.execute("PRAGMA synchronous = FULL")
        for pragma, value in _SQLITE_MEMORY.items():
            connection.execute(f"PRAGMA {pragma} = {value}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A writer takes its place at once: a read transaction that becomes a writing one later
        # is refused without waiting when another process wrote in between.
        if connection.get_execution_options().get("writes"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _make_private_file(path: Path) -> None:
    """The database and, since SQLite copies the mode, its log are for our eyes only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _advice(reason: str) -> str:
    missing = ("no such table", "doesn't exist", "does not exist")
    if any(words in reason for words in missing):
        return ". `freezer-manage db sync` makes it"
    if "unable to open" in reason:
        return ". Does the folder exist, and may this user write to it?"
    return ""
