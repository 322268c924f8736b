"""Objects of an S3 bucket, at Amazon or at any service that speaks its protocol.

What fits into one part is one request; what is larger is a multipart upload, of which one part is
in memory and which is visible only when it is complete. One that fails is aborted; one whose
process was killed is invisible but kept by the service, and `remove_leftovers` takes it away.

The library does what would be ours to write otherwise: signatures (also of temporary
credentials), the quirks of regions and endpoints, and the XML of every answer.
"""

import base64
import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from freezer_agent.errors import (
    AccessRefused,
    Damaged,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    StorageUnavailable,
)
from freezer_agent.storages.base import ContainerUsage, StoredObject
from freezer_agent.storages.claims import ANYBODY, HIDDEN, Claim, Claimant, create_alone, is_hidden
from freezer_agent.storages.cutting import Pace, Pieces, segments
from freezer_agent.storages.keys import folder_parts, key_parts
from freezer_agent.storages.names import Escapes
from freezer_agent.storages.resuming import resumed
from freezer_agent.storages.retrying import Attempts, attempt
from freezer_agent.storages.s3_client import S3Client
from freezer_model.clock import Clock, utc_now

# The class has a method of that name.
_Names = list[str]

_CHUNK_BYTES = 1 << 18
_NOTHING = Pieces()
_LEAST_PART_BYTES = 5 * 1024 * 1024
# A service takes 10,000 parts: the size doubles three times on the way there.
_PARTS_OF_ONE_SIZE = 2500
_LEFT_AFTER = timedelta(days=1)
# Names of objects are UTF-8.
_ESCAPES = Escapes(only_high=True)


class S3:
    """Objects of `bucket`, which may have a prefix behind a slash.

    The bucket is made when the first object is written. Every upload is checked by the service
    against its MD5 sum. Parts are at least 5 MiB, which the protocol demands, and grow to eight
    times `segment_bytes` in objects of more than 2,500 of them, since 10,000 is the most. For
    `create` see `claims`; services with conditional writes are asked for them too.
    """

    kind = "s3"

    def __init__(
        self,
        *,
        client: S3Client,
        bucket: str,
        segment_bytes: int,
        attempts: Attempts,
        claimant: Claimant = ANYBODY,
        pace: Pace | None = None,
        segments_in_file: bool = False,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._bucket, _, prefix = bucket.strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._part_bytes = max(segment_bytes, _LEAST_PART_BYTES)
        self._attempts = attempts
        self._claimant = claimant
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._segments_in_file = segments_in_file

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks`, or nothing; replaces an object of that key."""
        name = self._name(key)
        pieces = segments(chunks, self._size_of_part, in_file=self._segments_in_file)
        piece = next(pieces, _NOTHING)
        if piece.size_bytes < self._part_bytes:
            self._put(name, piece)
            return piece.size_bytes
        upload = self._begin(name)
        try:
            while piece.size_bytes:
                upload.put(piece)
                piece = _NOTHING  # one part in memory is enough
                piece = next(pieces, _NOTHING)
            upload.complete()
        except BaseException:
            with contextlib.suppress(StorageError):
                upload.abort()
            raise
        return upload.size_bytes

    def create(self, key: str, content: bytes) -> None:
        """Store `content` unless there is an object already."""
        name = self._name(key)
        create_alone(
            self,
            key,
            name,
            lambda: self._put_new(key, name, content),
            self._sleep,
            claimant=self._claimant,
        )

    def put_claim(self, name: str) -> None:
        """For `create`."""
        self._put(name, Pieces([b"claim"]))

    def claims(self, prefix: str) -> Iterator[Claim]:
        """For `create`."""
        for entry in self._entries(prefix):
            yield Claim(name=entry["Key"], made_at=entry["LastModified"])

    def remove_claim(self, name: str) -> None:
        """For `create`."""
        self._ask("delete_object", f"delete {name!r}", Key=name)

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes; a connection that breaks is made anew where it broke."""
        return self._reading(key, self._name(key))

    def usage(self) -> list[ContainerUsage]:
        """The bucket, and what its objects below the prefix sum up to: S3 keeps no figures."""
        size_bytes = objects = 0
        for entry in self._entries(self._prefix):
            size_bytes += entry["Size"]
            objects += 1
        container = f"{self._bucket}/{self._prefix}".rstrip("/")
        return [ContainerUsage(container=container, size_bytes=size_bytes, objects=objects)]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The objects below a folder, ordered by key."""
        start = self._prefix + "".join(f"{_ESCAPES.escape(part)}/" for part in folder_parts(prefix))
        return iter(sorted(self._listed(start), key=lambda stored: stored.key))

    def delete(self, key: str) -> None:
        """Remove the object."""
        name = self._name(key)
        with contextlib.suppress(ObjectNotFound):  # there may be no bucket
            self._ask("delete_object", f"delete {key!r}", Key=name)

    def remove_leftovers(self) -> _Names:
        """Abort multipart uploads that were begun more than a day ago and never completed."""
        oldest = self._clock() - _LEFT_AFTER
        removed = []
        for upload in list(self._uploads()):
            if upload["Initiated"] < oldest:
                _Upload(self._ask, upload["Key"], upload["UploadId"]).abort()
                removed.append(upload["Key"])
        return removed

    def remove_pieces(self, folder: str) -> _Names:
        """Abort the multipart uploads below a folder that nobody writes to."""
        start = self._prefix + "".join(f"{_ESCAPES.escape(part)}/" for part in folder_parts(folder))
        removed = []
        for upload in list(self._uploads(start)):
            _Upload(self._ask, upload["Key"], upload["UploadId"]).abort()
            removed.append(upload["Key"])
        return removed

    def __enter__(self) -> Self:
        self._client.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def _name(self, key: str) -> str:
        name = self._prefix + "/".join(map(_ESCAPES.escape, key_parts(key)))
        if HIDDEN in name:
            raise AccessRefused(f"{key!r} is no key of this storage: such names are hidden in it")
        return name

    def _size_of_part(self, number: int) -> int:
        return self._part_bytes << min(3, number // _PARTS_OF_ONE_SIZE)

    def _put(self, name: str, content: Pieces, **given: Any) -> None:
        """Store an object; makes the bucket if that is what is missing."""
        self._with_bucket(
            "put_object",
            f"write {name!r}",
            Key=name,
            Body=content,
            ContentMD5=_md5(content),
            ContentType="application/octet-stream",
            **given,
        )

    def _put_new(self, key: str, name: str, content: bytes) -> None:
        if self._exists(name):
            raise ObjectExists(key)
        try:
            self._put(name, Pieces([content]), IfNoneMatch="*")
        except AccessRefused as error:
            if self._client.code_of(error) == "PreconditionFailed":
                raise ObjectExists(key) from error
            if self._client.code_of(error) != "NotImplemented":
                raise
            self._put(name, Pieces([content]))

    def _exists(self, name: str) -> bool:
        try:
            self._ask("head_object", f"look for {name!r}", Key=name)
        except ObjectNotFound:
            return False
        return True

    def _begin(self, name: str) -> "_Upload":
        begun = self._with_bucket(
            "create_multipart_upload",
            f"write {name!r}",
            Key=name,
            ContentType="application/octet-stream",
        )
        return _Upload(self._ask, name, begun["UploadId"])

    def _reading(self, key: str, name: str) -> Iterator[bytes]:
        digest = hashlib.md5(usedforsecurity=False)
        seen: dict[str, Any] = {}
        for chunk in resumed(lambda at: self._read_from(key, name, at, seen), self._attempts):
            digest.update(chunk)
            yield chunk
        etag = seen["ETag"].strip('"')
        # Of a multipart object, or one that the service encrypts, it is something else.
        is_md5 = len(etag) == 32 and not seen.get("ServerSideEncryption")
        if is_md5 and etag != digest.hexdigest():
            raise Damaged(f"{key!r} in {self} is not what was stored")

    def _read_from(self, key: str, name: str, offset: int, seen: dict[str, Any]) -> Iterator[bytes]:
        doing = f"cannot read {key!r} from {self}"
        given = {"Range": f"bytes={offset}-", "IfMatch": seen["ETag"]} if offset else {}
        try:
            answer = self._client.call("get_object", doing, Bucket=self._bucket, Key=name, **given)
        except ObjectNotFound:
            raise ObjectNotFound(key) from None
        if not seen:
            seen.update(answer)
        missing = int(seen["ContentLength"]) - offset
        with contextlib.closing(answer["Body"]) as body:
            while True:
                with self._client.errors(doing):
                    chunk = body.read(_CHUNK_BYTES)
                if not chunk:
                    break
                missing -= len(chunk)
                yield chunk
        if missing:
            raise StorageUnavailable(f"{doing}: {missing} bytes are missing at its end")

    def _listed(self, start: str) -> Iterator[StoredObject]:
        for entry in self._entries(start):
            # Some tools make an empty object for a folder.
            if not is_hidden(entry["Key"]) and not entry["Key"].endswith("/"):
                parts = entry["Key"].removeprefix(self._prefix).split("/")
                key = "/".join(map(_ESCAPES.unescape, parts))
                yield StoredObject(key=key, size_bytes=entry["Size"])

    def _entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        given: dict[str, Any] = {}
        while True:
            try:
                page = self._ask(
                    "list_objects_v2", "list the objects", Prefix=prefix or self._prefix, **given
                )
            except ObjectNotFound:
                return  # there is no bucket yet
            yield from page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            given = {"ContinuationToken": page["NextContinuationToken"]}

    def _uploads(self, prefix: str | None = None) -> Iterator[dict[str, Any]]:
        given: dict[str, Any] = {}
        while True:
            try:
                page = self._ask(
                    "list_multipart_uploads",
                    "list the uploads",
                    Prefix=prefix or self._prefix,
                    **given,
                )
            except ObjectNotFound:
                return
            yield from page.get("Uploads", [])
            if not page.get("IsTruncated"):
                return
            given = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def _with_bucket(self, operation: str, what: str, **given: Any) -> dict[str, Any]:
        try:
            return self._ask(operation, what, **given)
        except ObjectNotFound:
            self._client.make_bucket(self._bucket)
            return self._ask(operation, what, **given)

    def _ask(self, operation: str, what: str, **given: Any) -> dict[str, Any]:
        """One call about the bucket, as often as the attempts allow: all of them can be repeated."""

        def ask_once() -> dict[str, Any]:
            sent = dict(given)
            if isinstance(body := sent.get("Body"), Pieces):
                sent["Body"] = body.reader(self._pace)
            return self._client.call(
                operation, f"cannot {what} in {self}", Bucket=self._bucket, **sent
            )

        return attempt(ask_once, self._attempts)

    def __str__(self) -> str:
        return f"{self._client}/{self._bucket}"


class _Upload:
    """A multipart upload that has begun."""

    def __init__(self, ask: Callable[..., dict[str, Any]], name: str, upload_id: str) -> None:
        self._ask = ask
        self._name = name
        self._given = {"Key": name, "UploadId": upload_id}
        self._parts: list[dict[str, Any]] = []
        self.size_bytes = 0

    def put(self, content: Pieces) -> None:
        """Send the next part."""
        number = len(self._parts) + 1
        answer = self._ask(
            "upload_part",
            f"write part {number} of {self._name!r}",
            PartNumber=number,
            Body=content,
            ContentMD5=_md5(content),
            **self._given,
        )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.size_bytes += content.size_bytes

    def complete(self) -> None:
        """Make the parts one object. This is what makes it visible."""
        parts = {"Parts": self._parts}
        doing = f"join the parts of {self._name!r}"
        self._ask("complete_multipart_upload", doing, MultipartUpload=parts, **self._given)

    def abort(self) -> None:
        """Have the service throw the parts away."""
        with contextlib.suppress(ObjectNotFound):
            self._ask("abort_multipart_upload", f"abort {self._name!r}", **self._given)


def _md5(content: Pieces) -> str:
    return base64.b64encode(content.md5()).decode()
