"""The s3 storage keeps the promises of a storage on the S3 side of a real Swift."""

from collections.abc import Iterator

import pytest

from freezer_agent.storages.base import Storage
from freezer_agent.storages.retrying import Attempts
from freezer_agent.storages.s3 import S3
from freezer_agent.storages.s3_client import S3Client
from tests.contracts.storage import StorageContract
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

pytestmark = pytest.mark.service


class TestS3(StorageContract):
    @pytest.fixture
    def empty(self, swift_server: SwiftServer, swift_user: str) -> Iterator[Storage]:
        client = S3Client(
            access_key=swift_user, secret_key=TEMPAUTH_PASSWORD, endpoint=swift_server.url
        )
        attempts = Attempts(3, lambda _: None, lambda: 0.0)
        with S3(
            client=client, bucket="backups/here", segment_bytes=1, attempts=attempts
        ) as storage:
            yield storage
