"""A real FTP server (pyftpdlib) for one user, plain or with TLS on both channels."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.launching import (
    Server,
    accepts,
    find_virtualenv,
    free_ports,
    install_virtualenv,
)

NAME = "pyftpdlib-2.2"
REQUIREMENTS = ("pyftpdlib>=2.2,<2.3", "pyOpenSSL>=24")
USERNAME, PASSWORD = "ftpuser", "ftp-secret"

# Runs in the server's own virtualenv; settings come as JSON.
_PROGRAM = """\
import json, sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

given = json.loads(sys.argv[1])
authorizer = DummyAuthorizer()
authorizer.add_user(given["username"], given["password"], given["root"], perm=given["permissions"])
handler = TLS_FTPHandler if given["certificate"] else FTPHandler
if given["certificate"]:
    handler.certfile, handler.keyfile = given["certificate"], given["key"]
    handler.tls_control_required = handler.tls_data_required = True
    if given["client_ca"]:
        from OpenSSL import SSL
        context = handler.get_ssl_context()
        context.set_session_id(b"freezer")  # sessions of verified clients are not resumed else
        context.load_verify_locations(given["client_ca"])
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *a: a[-1])
handler.authorizer = authorizer
handler.proto_cmds = {
    name: about for name, about in handler.proto_cmds.items() if name not in given["without"]
}
FTPServer(("127.0.0.1", given["port"]), handler).serve_forever()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FtpServer:
    """A running server and what a client needs."""

    folder: Path
    root: Path
    port: int
    server: Server

    @property
    def ca_file(self) -> Path:
        """What signed the certificates of a server with TLS."""
        return self.folder / "certificate.pem"


def find() -> Path:
    """The server's virtualenv. Raises ServiceMissing."""
    return find_virtualenv(NAME)


def install() -> Path:
    """Make the server's virtualenv unless it is there. Raises ServiceMissing."""
    return install_virtualenv(NAME, REQUIREMENTS)


def start(
    folder: Path,
    *,
    tls: bool = False,
    client_ca: Path | None = None,
    permissions: str = "elradfmwMT",
    without: tuple[str, ...] = (),
    port: int | None = None,
    root: Path | None = None,
) -> FtpServer:
    """A server for the folder's "root"; `without` takes commands away from it."""
    root = root or folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    if tls:
        make_certificate(folder)
    port = port or free_ports(1)[0]
    given = {
        "username": USERNAME,
        "password": PASSWORD,
        "root": str(root),
        "permissions": permissions,
        "certificate": str(folder / "certificate.pem") if tls else "",
        "key": str(folder / "key.pem"),
        "client_ca": str(client_ca or ""),
        "without": without,
        "port": port,
    }
    python = find() / "bin/python"
    server = Server([str(python), "-c", _PROGRAM, json.dumps(given)], folder / "log")
    server.wait_until(lambda: accepts(port))
    return FtpServer(folder=folder, root=root, port=port, server=server)


@contextmanager
def running(folder: Path, *, tls: bool = False) -> Iterator[FtpServer]:
    """A server that is gone afterwards."""
    ftp = start(folder, tls=tls)
    try:
        yield ftp
    finally:
        ftp.server.stop()


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for 127.0.0.1 with its key, unless it is there."""
    if (folder / "certificate.pem").exists():
        return
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *names, *files],
        check=True,
        capture_output=True,
    )
