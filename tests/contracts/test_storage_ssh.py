"""The ssh storage keeps the promises of a storage on a real OpenSSH server."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from freezer_agent.storages.base import Storage
from freezer_agent.storages.retrying import Attempts
from freezer_agent.storages.ssh import Ssh
from freezer_agent.storages.ssh_connection import SshConnection
from tests.contracts.storage import StorageContract
from tests.services.sshd import Sshd

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def connection(sshd_server: Sshd) -> Iterator[SshConnection]:
    connection = SshConnection(
        host="127.0.0.1",
        port=sshd_server.port,
        username=sshd_server.username,
        key_file=sshd_server.key_file,
        known_hosts_file=sshd_server.known_hosts_file,
    )
    yield connection
    connection.close()


class TestSsh(StorageContract):
    @pytest.fixture
    def empty(self, connection: SshConnection, tmp_path: Path) -> Storage:
        root = tmp_path / uuid.uuid4().hex / "not there yet"
        attempts = Attempts(3, lambda _: None, lambda: 0.0)
        return Ssh(connection=connection, root=str(root), attempts=attempts)
