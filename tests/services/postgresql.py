"""A real PostgreSQL server, empty, on the loopback and in a folder of its own."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.databases import memory_folder
from tests.services.launching import (
    Server,
    ServiceMissing,
    accepts,
    find_program,
    free_ports,
    install_program,
)

_PACKAGE = "postgresql"
_USER = "postgres"
_HOMES = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgreSql:
    """A running server; its user may make databases."""

    port: int
    server: Server

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://freezer@127.0.0.1:{self.port}/{database}"


def find() -> str:
    """The server program of the newest version. Raises ServiceMissing."""
    homes = [path for path in _HOMES.glob("*/bin/postgres") if re.search(r"/\d+/", str(path))]
    if not homes:
        raise ServiceMissing(f"postgres is not installed: apt-get install {_PACKAGE}")
    return str(max(homes, key=lambda path: int(path.parts[-3])))


def install() -> str:
    """Install the server unless it is there; its system service is never started."""
    try:
        return find()
    except ServiceMissing:
        install_program("pg_ctlcluster", _PACKAGE)
        return find()


@contextmanager
def running() -> Iterator[PostgreSql]:
    """A server that is gone afterwards, with its data."""
    program = find()
    with tempfile.TemporaryDirectory(dir=memory_folder(), prefix="postgresql") as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        if os.geteuid() == 0:
            for path in (folder, data):
                shutil.chown(path, _USER, _USER)
        make = [str(Path(program).with_name("initdb")), "-D", str(data), "-U", "freezer"]
        make = [*_as_user(), *make, "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder)
        [port] = free_ports(1)
        # SIGINT ends it without waiting for its clients.
        leash = [*_as_user(), *(["--pdeathsig", "INT"] if _as_user() else [])]
        options = [f"unix_socket_directories={folder}", "fsync=off", "max_connections=300"]
        settings = [word for option in options for word in ("-c", option)]
        argv = [*leash, program, "-D", str(data), "-h", "127.0.0.1", "-p", str(port), *settings]
        server = Server(argv, folder / "log")
        server.wait_until(lambda: accepts(port) and _is_ready(program, port))
        try:
            yield PostgreSql(port=port, server=server)
        finally:
            server.stop()


def _as_user() -> list[str]:
    """The server refuses to run as root in any case."""
    if os.geteuid() != 0:
        return []
    identity = ["--reuid", _USER, "--regid", _USER, "--clear-groups"]
    return [find_program("setpriv", "util-linux"), *identity]


def _is_ready(program: str, port: int) -> bool:
    asking = [str(Path(program).with_name("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(asking, check=False).returncode == 0
