"""Makes the tables of the SQL store, and brings those of an earlier release up to date.

The number in `freezer_schema` is the only truth about what a database is; each step of
`migrations` leads from one number to the next. Alembic finds the steps and speaks the dialects.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, insert, select, text, update
from sqlalchemy.schema import CreateIndex, CreateTable

from freezer_api.errors import StoreUnavailable
from freezer_api.store import migrations, sql_schema
from freezer_api.store.sql_schema import SCHEMA_VERSION, metadata, schema

LOCK_SECONDS = 600
"""How long one `db sync` waits for another. A step over a million documents takes minutes."""

_LOCK_NUMBER = 0x66726565  # any number that everybody who upgrades agrees on
_LOCK_NAME = "freezer_schema"


def prepare(engine: Engine) -> None:
    """Make the tables where they are missing, or bring them to this program's version.

    Any number of processes may call it at the same time: one works, the others wait and find it
    done. Killed halfway it is resumed by the next call. Raises StoreUnavailable, also for the
    tables of a later release, which stay as they are.
    """
    with sql_schema.translated(engine):
        sql_schema.make_file(engine)
        with _alone(engine) as connection:
            found = _version(connection)
            if found is None:
                _make(connection)
            elif found > SCHEMA_VERSION:
                raise StoreUnavailable(sql_schema.refusal(found))
            else:
                _advance(connection, found)


def revisions() -> list[Script]:
    """Every step, the first one first."""
    folder = Path(migrations.__file__).parent
    scripts = ScriptDirectory(str(folder))
    return list(scripts.walk_revisions())[::-1]


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A writing connection that no second `prepare` has at the same time."""
    with engine.execution_options(writes=True).connect() as connection:
        if engine.dialect.name in {"mysql", "mariadb"}:
            # Definitions end a transaction there, so the lock is one of the connection.
            taken = connection.scalar(
                text("SELECT GET_LOCK(:name, :seconds)"),
                {"name": _LOCK_NAME, "seconds": LOCK_SECONDS},
            )
            if not taken:
                raise StoreUnavailable(
                    f"Another `freezer-manage db sync` has been at work for {LOCK_SECONDS} seconds"
                )
            try:
                yield connection
                connection.commit()
            finally:
                connection.rollback()
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": _LOCK_NAME})
            return
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER}
                )
            yield connection


def _version(connection: Connection) -> int | None:
    if not connection.dialect.has_table(connection, schema.name):
        return None
    return connection.scalar(select(schema.c.version))


def _make(connection: Connection) -> None:
    """A new database has no history: it gets today's tables at once, its number last."""
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    connection.execute(insert(schema).values(id=1, version=SCHEMA_VERSION))


def _advance(connection: Connection, found: int) -> None:
    steps = [step for step in revisions() if int(step.revision) > found]
    with Operations.context(MigrationContext.configure(connection)):
        for step in steps:
            step.module.upgrade()
            connection.execute(update(schema).values(version=int(step.revision)))
