"""The ftp and ftps storages keep the promises of a storage on a real server."""

import uuid
from collections.abc import Iterator

import pytest

from freezer_agent.storages.base import Storage
from freezer_agent.storages.ftp import Ftp
from freezer_agent.storages.ftp_connection import FtpConnections
from freezer_agent.storages.retrying import Attempts
from tests.contracts.storage import StorageContract
from tests.services.ftp import PASSWORD, USERNAME, FtpServer

pytestmark = pytest.mark.service


def storage_on(server: FtpServer, *, tls: bool) -> Ftp:
    connections = FtpConnections(
        host="127.0.0.1",
        port=server.port,
        username=USERNAME,
        password=PASSWORD,
        tls=tls,
        ca_file=server.ca_file if tls else None,
    )
    root = f"{uuid.uuid4().hex}/not there yet"
    attempts = Attempts(3, lambda _: None, lambda: 0.0)
    return Ftp(connections=connections, root=root, attempts=attempts)


class TestFtp(StorageContract):
    @pytest.fixture
    def empty(self, ftp_server: FtpServer) -> Iterator[Storage]:
        with storage_on(ftp_server, tls=False) as storage:
            yield storage


class TestFtps(StorageContract):
    @pytest.fixture
    def empty(self, ftps_server: FtpServer) -> Iterator[Storage]:
        with storage_on(ftps_server, tls=True) as storage:
            yield storage
