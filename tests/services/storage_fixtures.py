"""Storage servers as fixtures: started once, when the first test asks; gone with the session.

A service that is not there skips its tests with the reason, and fails them under
FREEZER_REQUIRE_SERVICES=1.
"""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import ftp, keystone, sshd, swift
from tests.services.fixtures import require
from tests.services.ftp import FtpServer
from tests.services.keystone import KeystoneServer
from tests.services.sshd import Sshd
from tests.services.swift import KeystoneBehind, SwiftServer


@pytest.fixture(scope="session")
def service_folder() -> Iterator[Path]:
    """A folder for the servers, with a short name: sockets and FTP replies dislike long ones."""
    with tempfile.TemporaryDirectory(prefix="freezer-services-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def sshd_server(service_folder: Path) -> Iterator[Sshd]:
    """A real OpenSSH server."""
    require(sshd.find, sshd.install)
    folder = service_folder / "sshd"
    folder.mkdir()
    with sshd.running(folder) as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(service_folder: Path) -> Iterator[FtpServer]:
    """A real FTP server without TLS."""
    require(ftp.find, ftp.install)
    folder = service_folder / "ftp"
    folder.mkdir()
    with ftp.running(folder) as server:
        yield server


@pytest.fixture(scope="session")
def ftps_server(service_folder: Path) -> Iterator[FtpServer]:
    """A real FTP server that demands TLS on both channels."""
    require(ftp.find, ftp.install)
    folder = service_folder / "ftps"
    folder.mkdir()
    with ftp.running(folder, tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def swift_server(service_folder: Path) -> Iterator[SwiftServer]:
    """A real Swift with its S3 side, and tempauth."""
    require(swift.find, swift.install)
    folder = service_folder / "swift"
    folder.mkdir()
    with swift.running(folder) as server:
        yield server


@pytest.fixture(scope="session")
def swift_without_slo(service_folder: Path) -> Iterator[SwiftServer]:
    """A real Swift that offers only dynamic large objects."""
    require(swift.find, swift.install)
    folder = service_folder / "swift-dlo"
    folder.mkdir()
    with swift.running(folder, with_slo=False) as server:
        yield server


@pytest.fixture(scope="session")
def keystone_server(service_folder: Path) -> Iterator[KeystoneServer]:
    """A real Keystone."""
    require(keystone.find, keystone.install)
    folder = service_folder / "keystone"
    folder.mkdir()
    with keystone.running(folder) as server:
        yield server


@pytest.fixture(scope="session")
def swift_behind_keystone(
    service_folder: Path, keystone_server: KeystoneServer
) -> Iterator[SwiftServer]:
    """A real Swift whose users are Keystone's, found through its catalogue."""
    require(swift.find, swift.install)
    folder = service_folder / "swift-keystone"
    folder.mkdir()
    project = keystone_server.add_project("service")
    keystone_server.add_user("swift", "swift-secret", project, "admin")
    behind = KeystoneBehind(
        url=keystone_server.url, service_user="swift", service_password="swift-secret"
    )
    server = swift.start(folder, keystone=behind)
    try:
        keystone_server.add_endpoint("object-store", f"{server.url}/v1/AUTH_%(tenant_id)s")
        yield server
    finally:
        swift.stop(server)


_numbers = itertools.count()


@pytest.fixture
def swift_user() -> str:
    """A user with an account that no other test uses; also an S3 access key."""
    return swift.user(next(_numbers))
