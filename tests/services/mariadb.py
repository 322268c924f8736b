"""A real MariaDB server, empty, on the loopback and in a folder of its own."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.databases import memory_folder
from tests.services.launching import Server, accepts, find_program, free_ports, install_program

_PROGRAM, _PACKAGE = "mariadbd", "mariadb-server"

# What is lost when the machine dies does not matter here, so nothing waits for a disk.
_CONFIG = """\
[mysqld]
datadir={folder}/data
socket={folder}/socket
pid-file={folder}/pid
bind-address=127.0.0.1
port={port}
init-file={folder}/users.sql
innodb_buffer_pool_size=64M
innodb_log_file_size=32M
innodb_flush_log_at_trx_commit=0
# What the planner knows of a table is counted and not sampled, so that it is the same every time.
innodb_stats_persistent_sample_pages=100000
max_connections=300
skip-log-bin
skip-name-resolve
performance_schema=OFF
"""

_USERS = "GRANT ALL ON *.* TO 'freezer'@'127.0.0.1' IDENTIFIED BY 'freezer' WITH GRANT OPTION;\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class MariaDb:
    """A running server; its user may make databases."""

    port: int
    server: Server

    def url(self, database: str = "") -> str:
        """The SQLAlchemy URL of a database."""
        host = f"freezer:freezer@127.0.0.1:{self.port}"
        return f"mysql+pymysql://{host}/{database}?charset=utf8mb4"


def find() -> str:
    """The server program. Raises ServiceMissing."""
    return find_program(_PROGRAM, _PACKAGE)


def install() -> str:
    """Install the server unless it is there; its system service is never started."""
    return install_program(_PROGRAM, _PACKAGE)


@contextmanager
def running() -> Iterator[MariaDb]:
    """A server that is gone afterwards, with its data."""
    program = find()
    with tempfile.TemporaryDirectory(dir=memory_folder(), prefix="mariadb") as name:
        folder = Path(name)
        [port] = free_ports(1)
        config = folder / "my.cnf"
        config.write_text(_CONFIG.format(folder=folder, port=port))
        (folder / "users.sql").write_text(_USERS)
        user = [f"--user={_user()}"]
        subprocess.run(
            [
                find_program("mariadb-install-db", _PACKAGE),
                f"--defaults-file={config}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                *user,
            ],
            check=True,
            capture_output=True,
        )
        server = Server([program, f"--defaults-file={config}", *user], folder / "log")
        server.wait_until(lambda: accepts(port))
        try:
            yield MariaDb(port=port, server=server)
        finally:
            server.stop()


def _user() -> str:
    # The server refuses to run as root unless it is told to; the folder is root's alone.
    return "root" if os.geteuid() == 0 else ""
