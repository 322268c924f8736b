"""The swift storage keeps the promises of a storage on a real Swift, with SLO and with DLO."""

from collections.abc import Iterator

import pytest

from freezer_agent.storages.base import Storage
from freezer_agent.storages.retrying import Attempts
from freezer_agent.storages.swift import Swift
from freezer_agent.storages.swift_account import SwiftAccount, V1Login
from tests.contracts.storage import StorageContract
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

pytestmark = pytest.mark.service


def storage_on(server: SwiftServer, user: str, container: str, segment_bytes: int) -> Swift:
    login = V1Login(auth_url=server.auth_url, username=user, key=TEMPAUTH_PASSWORD)
    return Swift(
        account=SwiftAccount(login),
        container=container,
        segment_bytes=segment_bytes,
        attempts=Attempts(3, lambda _: None, lambda: 0.0),
    )


class TestSwift(StorageContract):
    @pytest.fixture
    def empty(self, swift_server: SwiftServer, swift_user: str) -> Iterator[Storage]:
        with storage_on(swift_server, swift_user, "backups", 1_000_000) as storage:
            yield storage


class TestSwiftDynamicWithPrefix(StorageContract):
    @pytest.fixture
    def empty(self, swift_without_slo: SwiftServer, swift_user: str) -> Iterator[Storage]:
        with storage_on(swift_without_slo, swift_user, "backups/of this host", 999_999) as storage:
            yield storage
