"""A real OpenSSH server with SFTP for the user who runs the tests, by key only."""

import os
import pwd
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.launching import Server, find_program, free_ports, install_program

_PROGRAM, _PACKAGE = "sshd", "openssh-server"

# StrictModes: the keys lie in a temporary folder, which others may enter.
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp {sftp_options}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshd:
    """A running server and what a client needs."""

    folder: Path
    port: int
    username: str
    server: Server

    @property
    def key_file(self) -> Path:
        """A private key that the server accepts."""
        return self.folder / "id"

    @property
    def known_hosts_file(self) -> Path:
        """A file with the server's host key."""
        return self.folder / "known_hosts"


def find() -> str:
    """The server program. Raises ServiceMissing."""
    return find_program(_PROGRAM, _PACKAGE)


def install() -> str:
    """Install the server unless it is there. Raises ServiceMissing."""
    return install_program(_PROGRAM, _PACKAGE)


def start(folder: Path, port: int | None = None, sftp_options: str = "") -> Sshd:
    """A server that keeps its keys in the folder; keys that are there already stay."""
    program = find()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = port or free_ports(1)[0]
    for name in ("host", "id"):
        make_key(folder / name)
    (folder / "authorized_keys").write_text((folder / "id.pub").read_text())
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    config = folder / "sshd_config"
    config.write_text(_CONFIG.format(folder=folder, port=port, sftp_options=sftp_options))
    words = ["-f", str(config), *_lenient(program, config)]
    server = Server([program, "-D", "-e", *words], folder / "log")
    server.wait_until(lambda: _greets(port))
    username = pwd.getpwuid(os.geteuid()).pw_name
    return Sshd(folder=folder, port=port, username=username, server=server)


@contextmanager
def running(folder: Path) -> Iterator[Sshd]:
    """A server that is gone afterwards."""
    sshd = start(folder)
    try:
        yield sshd
    finally:
        sshd.server.stop()


def make_key(path: Path, passphrase: str = "") -> None:
    """A new key pair, unless there is one."""
    if not path.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True
        )


def _lenient(program: str, config: Path) -> list[str]:
    """OpenSSH from 9.8 on turns away a host that has failed to log in often. Tests do."""
    option = ["-o", "PerSourcePenalties=no"]
    check = subprocess.run(
        [program, "-t", "-f", str(config), *option], capture_output=True, check=False
    )
    return [] if check.returncode else option


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(8) == b"SSH-2.0-"
    except OSError:
        return False
