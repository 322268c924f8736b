"""Databases on the real SQL servers: one server for a test session, one database for a test."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool


def memory_folder() -> str | None:
    """Where a server's data cost no wait for a disk; None: where temporary files lie."""
    memory = Path("/dev/shm")
    return str(memory) if os.access(memory, os.W_OK) else None


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """The name of an empty database on the server, which is dropped afterwards."""
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = create_engine(server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield name
    finally:
        force = " WITH (FORCE)" if engine.dialect.name == "postgresql" else ""
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")
