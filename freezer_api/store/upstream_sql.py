"""Reads the SQL database of freezer-api 19.0.0: its rows as they are, oldest first.

Its own API is not needed for that; the layout is the one that its migrations end with. Nothing is
ever written.
"""

from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, inspect, text

from freezer_api.errors import StoreUnavailable
from freezer_api.store import sql_schema

Row = dict[str, Any]


class UpstreamTable(StrEnum):
    """The tables that hold something; `action_reports` never does."""

    CLIENTS = "clients"
    ACTIONS = "actions"
    JOBS = "jobs"
    JOB_ACTIONS = "job_actions"
    USER_CREDENTIALS = "user_credentials"
    SESSIONS = "sessions"
    BACKUPS = "backups"


_STATEMENTS = {
    table: text(f"SELECT * FROM {table} ORDER BY created_at, id")  # noqa: S608 - our own words
    for table in UpstreamTable
}
_NEW_IN_19 = {
    UpstreamTable.CLIENTS: "is_central",
    UpstreamTable.JOB_ACTIONS: "position",
    UpstreamTable.BACKUPS: "status",
}
_FETCHED = 1000


class UpstreamDatabase:
    """A database of freezer-api 19.0.0. A context manager: leaving closes its connections."""

    def __init__(self, connection: str) -> None:
        self._engine = sql_schema.open_database(connection, sql_schema.BUSY_SECONDS)

    def __enter__(self) -> Self:
        """Check that it is one. Raises StoreUnavailable."""
        try:
            with sql_schema.translated(self._engine):
                _require_layout(self._engine)
        except StoreUnavailable:
            self._engine.dispose()
            raise
        return self

    def __exit__(self, *_failure: object) -> None:
        self._engine.dispose()

    def rows(self, table: UpstreamTable) -> Iterator[Row]:
        """Every row, also those that are marked as deleted; a thousand in memory at a time."""
        with (
            sql_schema.translated(self._engine),
            self._engine.connect().execution_options(yield_per=_FETCHED) as connection,
            closing(connection.execute(_STATEMENTS[table])) as result,
        ):
            for row in result.mappings():
                yield dict(row)


def _require_layout(engine: Engine) -> None:
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and not Path(file).exists():  # looking must not make an empty file
        raise StoreUnavailable(f"There is no database {file}")
    inspector = inspect(engine)
    tables = set(inspector.get_table_names())
    if not {"clients", "jobs", "backups"} <= tables:
        raise StoreUnavailable(
            "This is no database of freezer-api: it lacks the tables clients, jobs or backups"
        )
    for table, column in _NEW_IN_19.items():
        names = {one["name"] for one in inspector.get_columns(table)} if table in tables else set()
        if column not in names:
            raise StoreUnavailable(
                f"The database is of a release before 19.0.0: it lacks {table}.{column}. Run "
                "`freezer-manage db sync` of freezer-api 19.0.0 on a copy of it, and import that"
            )
