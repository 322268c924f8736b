"""Bad days of the s3 storage on the S3 side of a real Swift."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from freezer_agent.errors import AccessRefused, ObjectNotFound, StorageFull, StorageUnavailable
from freezer_agent.storages.cutting import Pieces
from freezer_agent.storages.retrying import Attempts
from freezer_agent.storages.s3 import S3
from freezer_agent.storages.s3_client import Addressing, S3Client, _answered
from tests.services.cutting_proxy import CuttingProxy, cutting_proxy
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

MIB = 1024 * 1024
Make = Callable[..., S3]


def attempts(most: int = 1) -> Attempts:
    return Attempts(most, lambda _: None, lambda: 0.0)


def keys_of(storage: S3) -> list[str]:
    return [stored.key for stored in storage.list("")]


def content(storage: S3, key: str) -> bytes:
    return b"".join(storage.read(key))


@pytest.fixture
def proxy(swift_server: SwiftServer) -> Iterator[CuttingProxy]:
    with cutting_proxy(swift_server.port) as proxy:
        yield proxy


@pytest.fixture
def make(proxy: CuttingProxy, swift_user: str) -> Iterator[Make]:
    """Makes storages in one bucket, all through the proxy; keywords replace arguments."""
    made: list[S3] = []

    def make_with(
        most: int = 1, secret: str = TEMPAUTH_PASSWORD, user: str = swift_user, **changed: Any
    ) -> S3:
        client = S3Client(
            access_key=user, secret_key=secret, endpoint=f"http://127.0.0.1:{proxy.port}"
        )
        right = {
            "client": client,
            "bucket": "backups",
            "segment_bytes": 5 * MIB,
            "attempts": attempts(most),
        }
        made.append(S3(**(right | changed)))
        return made[-1]

    yield make_with
    for storage in made:
        storage._client.close()


@pytest.mark.service
class TestBadDays:
    def test_a_multipart_object_is_whole(self, make: Make) -> None:
        storage = make()
        body = os.urandom(11 * MIB)
        assert storage.write("a/data", (body[at : at + MIB] for at in range(0, 11 * MIB, MIB)))
        assert content(storage, "a/data") == body
        assert [(s.key, s.size_bytes) for s in storage.list("")] == [("a/data", len(body))]
        assert list(storage._uploads()) == []

    def test_an_object_of_exactly_one_part(self, make: Make) -> None:
        storage = make()
        storage.write("a", [bytes(5 * MIB)])
        assert content(storage, "a") == bytes(5 * MIB)

    def test_a_connection_lost_in_a_write_aborts_the_upload(
        self, make: Make, proxy: CuttingProxy
    ) -> None:
        storage = make()
        storage.write("a", [b"former"])
        proxy.cut_after(up=7 * MIB)
        with pytest.raises(StorageUnavailable):
            storage.write("a", [os.urandom(11 * MIB)])
        assert content(storage, "a") == b"former"
        assert keys_of(storage) == ["a"]
        assert list(storage._uploads()) == []

    def test_a_connection_lost_in_a_write_is_made_again(
        self, make: Make, proxy: CuttingProxy
    ) -> None:
        storage = make(most=3)
        body = os.urandom(11 * MIB)
        storage.write("b", [b"the bucket"])
        proxy.cut_after(up=7 * MIB)
        storage.write("a", [body])
        assert content(storage, "a") == body

    def test_what_a_crash_leaves_is_aborted_after_a_day(self, make: Make) -> None:
        storage = make()
        storage.write("a", [b"x"])
        storage._begin("left/data").put(Pieces([bytes(5 * MIB)]))
        assert keys_of(storage) == ["a"]
        assert storage.remove_leftovers() == []
        later = make(clock=lambda: datetime.now(UTC) + timedelta(days=1, minutes=5))
        assert later.remove_leftovers() == ["left/data"]
        assert list(storage._uploads()) == []

    def test_a_read_that_is_cut_goes_on_where_it_was(self, make: Make, proxy: CuttingProxy) -> None:
        body = os.urandom(4 * MIB)
        make().write("a", [body])
        proxy.cut_after(down=2 * MIB)
        with pytest.raises(StorageUnavailable):
            content(make(), "a")
        proxy.cut_after(down=2 * MIB)
        assert content(make(most=2), "a") == body

    @pytest.mark.parametrize("wrong", [{"secret": "wrong-secret"}, {"user": "nobody:here"}])
    def test_wrong_keys_are_refused_and_not_shown(
        self, make: Make, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(0)
        storage = make(**wrong)
        with pytest.raises(AccessRefused, match="check the access key") as raised:
            keys_of(storage)
        shown = f"{raised.value!r} {storage!r} {storage} {storage._client!r} {caplog.text}"
        assert "wrong-secret" not in shown
        assert TEMPAUTH_PASSWORD not in shown

    def test_there_is_no_bucket_yet(self, make: Make) -> None:
        storage = make()
        assert keys_of(storage) == []
        storage.delete("a")
        assert storage.remove_leftovers() == []
        with pytest.raises(ObjectNotFound):
            content(storage, "a")

    def test_nobody_answers(self, make: Make, proxy: CuttingProxy) -> None:
        proxy.close()
        with pytest.raises(StorageUnavailable, match="cannot list the objects"):
            keys_of(make())

    def test_many_objects_are_listed_whole(self, make: Make) -> None:
        storage = make()
        wanted = [f"many/{number:04}" for number in range(1_100)]
        storage.write(wanted[0], [b"x"])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: storage._put(key, Pieces([b"x"])), wanted[1:]))
        assert keys_of(storage) == wanted

    def test_a_name_that_begins_the_same_is_another_folder(self, make: Make) -> None:
        storage = make(bucket="backups/host")
        make(bucket="backups/host2").write("a", [b"x"])
        assert keys_of(storage) == []

    def test_memory_is_bounded(self, make: Make) -> None:
        storage = make()
        storage.write("b", [b"the library is large, but loaded once"])
        tracemalloc.start()
        try:
            storage.write("a", (bytes(MIB) for _ in range(24)))
            assert sum(map(len, storage.read("a"))) == 24 * MIB
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 12 * MIB


class TestAnswers:
    @pytest.mark.parametrize(
        ("code", "status", "error"),
        [
            ("NoSuchKey", 404, ObjectNotFound),
            ("NoSuchBucket", 404, ObjectNotFound),
            ("QuotaExceeded", 403, StorageFull),
            ("Whatever", 507, StorageFull),
            ("SlowDown", 503, StorageUnavailable),
            ("InternalError", 500, StorageUnavailable),
            ("BadDigest", 400, StorageUnavailable),
            ("SignatureDoesNotMatch", 403, AccessRefused),
            ("NotImplemented", 501, AccessRefused),
            ("InvalidBucketName", 400, AccessRefused),
        ],
    )
    def test_the_services_words_become_ours(
        self, code: str, status: int, error: type[Exception]
    ) -> None:
        answer = {
            "Error": {"Code": code, "Message": "why"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        assert type(_answered(answer, "cannot x")) is error


def client_of(**changed: Any) -> S3Client:
    return S3Client(access_key="a", secret_key="s", **changed)


def test_parts_grow_so_that_ten_thousand_are_enough() -> None:
    storage = S3(client=client_of(), bucket="b", segment_bytes=32 * MIB, attempts=attempts())
    sizes = [storage._size_of_part(number) for number in range(10_000)]
    assert sizes[0] == sizes[2_499] == 32 * MIB
    assert max(sizes) == 256 * MIB
    assert sum(sizes) > 1024 * 1024 * MIB


@pytest.mark.parametrize(
    ("addressing", "url"),
    [
        (Addressing.PATH, "https://s3.example/bucket/key"),
        (Addressing.VIRTUAL, "https://bucket.s3.example/key"),
    ],
)
def test_the_bucket_stands_where_it_is_told(addressing: Addressing, url: str) -> None:
    client = client_of(endpoint="https://s3.example", addressing=addressing)
    client.open()
    given = {"Bucket": "bucket", "Key": "key"}
    signed: str = client._client.generate_presigned_url("get_object", Params=given)
    client.close()
    assert signed.partition("?")[0] == url


def test_making_a_storage_does_nothing() -> None:
    client = client_of(endpoint="http://127.0.0.1:1")
    storage = S3(client=client, bucket="b", segment_bytes=1, attempts=attempts())
    assert storage.kind == "s3"
    assert client._client is None
    with pytest.raises(AccessRefused, match="hidden"):
        storage.read("a/.freezer-incomplete-1")
