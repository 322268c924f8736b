"""Calls of an S3 service through botocore, with errors in our words."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from freezer_agent.errors import (
    AccessRefused,
    AgentError,
    ObjectNotFound,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from freezer_agent.storages.s3_models import LeanFiles

_NOT_FOUND = {"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "404", "NotFound"}
_FULL = {"QuotaExceeded", "EntityTooLarge", "InsufficientCapacity", "XMinioStorageFull", "507"}
_MAY_PASS = {"RequestTimeout", "SlowDown", "BadDigest", "OperationAborted", "Throttling", "429"}
_OWN_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


class Addressing(StrEnum):
    """Where the bucket's name stands in URLs."""

    PATH = "path"
    VIRTUAL = "virtual"
    AUTO = "auto"


class S3Client:
    """An endpoint and who asks there. Without an endpoint it is Amazon's of the region."""

    def __init__(
        self,
        *,
        access_key: str,
        secret_key: str,
        endpoint: str | None = None,
        region: str = "us-east-1",
        addressing: Addressing = Addressing.PATH,
        ca_file: Path | None = None,
        insecure: bool = False,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._endpoint = endpoint
        self._region = region
        self._addressing = addressing
        self._verify: bool | str | None = str(ca_file) if ca_file else None
        if insecure:
            self._verify = False
        self._timeout_seconds = timeout_seconds
        self._client: Any = None

    def __str__(self) -> str:
        return self._endpoint or f"S3 in {self._region}"

    def open(self) -> None:
        """Make the client; the library is loaded only now, it is large. No call is made."""
        from botocore.config import Config  # noqa: PLC0415 - see above
        from botocore.loaders import Loader  # noqa: PLC0415 - the same
        from botocore.session import Session  # noqa: PLC0415 - the same

        if self._client is not None:
            return
        config = Config(
            region_name=self._region,
            s3={
                "addressing_style": str(self._addressing),
                # The MD5 sum of every body is signed; another digest would read it once more.
                "payload_signing_enabled": False,
            },
            connect_timeout=self._timeout_seconds,
            read_timeout=self._timeout_seconds,
            # Repeating is done by one loop for all storages.
            retries={"total_max_attempts": 1},
            # Checksums that younger services alone know; MD5 sums are sent in any case.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self.errors("cannot use the S3 options"):
            session = Session()
            session.register_component("data_loader", Loader(file_loader=LeanFiles()))
            self._client = session.create_client(
                "s3",
                endpoint_url=self._endpoint,
                aws_access_key_id=self._access_key,
                aws_secret_access_key=self._secret_key,
                verify=self._verify,
                config=config,
            )

    def close(self) -> None:
        """End the connections. The next call makes new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def call(self, operation: str, doing: str, **given: Any) -> dict[str, Any]:
        """The answer to one operation of the library's client."""
        self.open()
        with self.errors(doing):
            answer: dict[str, Any] = getattr(self._client, operation)(**given)
        return answer

    def make_bucket(self, bucket: str) -> None:
        """Make the bucket; one that is ours already is fine."""
        # Amazon's first region must not be named.
        given = (
            {}
            if self._region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        )
        doing = f"cannot make the bucket {bucket!r} at {self}"
        try:
            self.call("create_bucket", doing, Bucket=bucket, **given)
        except StorageError as error:
            if self.code_of(error) not in _OWN_ALREADY:
                raise

    def code_of(self, error: AgentError) -> str:
        """The service's own word for an error of `call`."""
        answer = getattr(error.__cause__, "response", None) or {}
        return str(answer.get("Error", {}).get("Code", ""))

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Translate the errors of the library and of what it is made of."""
        from botocore import exceptions  # noqa: PLC0415 - it is large, see `open`
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the same

        try:
            yield
        except exceptions.ClientError as error:
            raise _answered(error.response, doing) from error
        except exceptions.SSLError as error:
            raise AccessRefused(f"{doing}: the certificate is not accepted: {error}") from error
        except (
            exceptions.ParamValidationError,
            exceptions.NoCredentialsError,
            ValueError,
        ) as error:
            raise AccessRefused(f"{doing}: {error}") from error
        except (exceptions.BotoCoreError, HTTPError, OSError) as error:
            raise StorageUnavailable(f"{doing}: {error}") from error


def _answered(answer: Any, doing: str) -> StorageError:
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{doing}: the service answers {code} ({answer['Error'].get('Message', status)})"
    if code in _NOT_FOUND:
        return ObjectNotFound(doing)
    if code in _FULL or status in {413, 507}:
        return StorageFull(f"{message}; a quota is used up or the disks are full")
    if code in _MAY_PASS or (status >= 500 and status != 501):
        return StorageUnavailable(message)
    if status in {401, 403}:
        return AccessRefused(f"{message}; check the access key, the secret key and the rights")
    return AccessRefused(message)
