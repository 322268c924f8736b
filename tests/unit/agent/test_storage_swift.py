"""Bad days of the swift storage, large objects, and trees of former releases, on a real Swift."""

import io
import os
import tarfile
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import requests
import swiftclient.client
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from freezer_agent.errors import (
    AccessRefused,
    Damaged,
    ObjectExists,
    ObjectNotFound,
    StorageFull,
    StorageUnavailable,
)
from freezer_agent.storages.claims import Claim, create_alone
from freezer_agent.storages.cutting import Pieces, segments
from freezer_agent.storages.resuming import resumed
from freezer_agent.storages.retrying import Attempts
from freezer_agent.storages.swift import Swift
from freezer_agent.storages.swift_account import (
    Access,
    GivenLogin,
    KeystoneLogin,
    SwiftAccount,
    V1Login,
)
from tests.services.cutting_proxy import CuttingProxy, cutting_proxy
from tests.services.keystone import KeystoneServer
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

KIB = 1024
MIB = 1024 * KIB
Make = Callable[..., Swift]


def attempts(most: int = 1) -> Attempts:
    return Attempts(most, lambda _: None, lambda: 0.0)


def login(port: int, user: str, key: str = TEMPAUTH_PASSWORD) -> V1Login:
    return V1Login(auth_url=f"http://127.0.0.1:{port}/auth/v1.0", username=user, key=key)


def keys_of(storage: Swift) -> list[str]:
    return [stored.key for stored in storage.list("")]


def content(storage: Swift, key: str) -> bytes:
    return b"".join(storage.read(key))


def names_in(storage: Swift) -> list[str]:
    """Everything the container holds, segments too."""
    return [entry["name"] for entry in storage._objects.listed("")]


@pytest.fixture(params=["slo", "dlo"])
def server(request: pytest.FixtureRequest) -> SwiftServer:
    name = "swift_server" if request.param == "slo" else "swift_without_slo"
    server: SwiftServer = request.getfixturevalue(name)
    return server


@pytest.fixture
def proxy(server: SwiftServer) -> Iterator[CuttingProxy]:
    with cutting_proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def make(proxy: CuttingProxy, swift_user: str) -> Iterator[Make]:
    """Makes storages in one container, all through the proxy; keywords replace arguments."""
    made: list[Swift] = []

    def make_with(most: int = 1, **changed: Any) -> Swift:
        right = {
            "account": SwiftAccount(login(proxy.port, swift_user)),
            "container": "backups",
            "segment_bytes": 100 * KIB,
            "attempts": attempts(most),
        }
        made.append(Swift(**(right | changed)))
        return made[-1]

    yield make_with
    for storage in made:
        storage._account.close()


@pytest.mark.service
class TestLargeObjects:
    def test_segments_lie_beside_the_object_and_are_not_listed(self, make: Make) -> None:
        storage = make()
        body = os.urandom(450 * KIB)
        assert storage.write("data/tar/h_n/1/0_1/data", [body]) == len(body)
        assert content(storage, "data/tar/h_n/1/0_1/data") == body
        assert [(s.key, s.size_bytes) for s in storage.list("data")] == [
            ("data/tar/h_n/1/0_1/data", len(body))
        ]
        hidden = [name for name in names_in(storage) if "/segments/" in name]
        assert hidden == [f"data/tar/h_n/1/0_1/segments/{n:08}" for n in range(5)]

    @pytest.mark.parametrize("kind", ["static", "dynamic"])
    def test_large_objects_of_one_folder_share_no_segment(self, make: Make, kind: str) -> None:
        storage = make()
        if kind == "dynamic":
            storage._account.features = dict  # type: ignore[method-assign]
        bodies = {f"a/{name}": os.urandom(350 * KIB) for name in ("data", "engine_metadata", "x")}
        for key, body in bodies.items():
            storage.write(key, [body])
        assert {key: content(storage, key) for key in bodies} == bodies
        storage.delete("a/data")
        bodies.pop("a/data")
        assert {key: content(storage, key) for key in bodies} == bodies
        storage.write("a/data", [os.urandom(250 * KIB)])
        assert {key: content(storage, key) for key in bodies} == bodies

    @pytest.mark.parametrize("second", [b"small", os.urandom(300 * KIB)])
    def test_replacing_removes_the_former_segments(self, make: Make, second: bytes) -> None:
        storage = make()
        storage.write("a/data", [os.urandom(250 * KIB)])
        before = set(names_in(storage))
        storage.write("a/data", [second])
        assert content(storage, "a/data") == second
        assert before & set(names_in(storage)) == {"a/data"}

    def test_the_former_object_is_whole_while_it_is_replaced(self, make: Make) -> None:
        storage = make()
        former, new = os.urandom(250 * KIB), os.urandom(330 * KIB)
        storage.write("a/data", [former])
        seen = []

        def chunks() -> Iterator[bytes]:
            for start, end in pairwise(range(0, len(new) + KIB, 110 * KIB)):
                yield new[start:end]
                seen.append(content(storage, "a/data") == former)

        storage.write("a/data", chunks())
        assert seen == [True] * 3
        assert content(storage, "a/data") == new

    def test_deleting_removes_the_segments(self, make: Make) -> None:
        storage = make()
        storage.write("a/data", [os.urandom(250 * KIB)])
        storage.write("a/engine_metadata", [os.urandom(250 * KIB)])
        storage.delete("a/data")
        assert keys_of(storage) == ["a/engine_metadata"]
        storage.delete("a/engine_metadata")
        assert names_in(storage) == []

    def test_without_bulk_delete_all_the_same(self, make: Make) -> None:
        storage = make()
        features = dict(storage._account.features())
        del features["bulk_delete"]
        storage._account._features = features
        storage.write("a/data", [os.urandom(250 * KIB)])
        storage.delete("a/data")
        assert names_in(storage) == []

    def test_more_segments_than_a_manifest_takes(self, make: Make) -> None:
        storage = make(segment_bytes=1000)
        features = dict(storage._account.features())
        if "slo" in features:
            storage._account._features = features | {"slo": {"max_manifest_segments": 4}}
        body = os.urandom(21_500)
        storage.write("a/data", [body])
        assert content(storage, "a/data") == body
        assert [(s.key, s.size_bytes) for s in storage.list("a")] == [("a/data", 21_500)]
        storage.delete("a/data")
        assert names_in(storage) == []

    @pytest.mark.slow
    def test_more_segments_than_a_page_lists(self, make: Make) -> None:
        storage = make(segment_bytes=100)
        body = os.urandom(103_050)
        storage.write("a/data", [body])
        assert content(storage, "a/data") == body
        assert [s.size_bytes for s in storage.list("")] == [103_050]

    def test_a_tree_of_release_19_is_read_and_removed(self, make: Make) -> None:
        storage = make()
        folder = "data/tar/host_my backup/1700000000/0_1700000000"
        storage.write("metadata/x", [b"{}"])
        url, token = storage._account.access().url, storage._account.access().token
        for number in range(3):
            swiftclient.client.put_object(
                url, token, f"backups/{folder}/segments", f"{number:08}", contents=b"x" * 1000
            )
        headers = {"x-object-manifest": f"backups/{folder}/segments"}
        swiftclient.client.put_object(url, token, f"backups/{folder}", "data", headers=headers)
        assert content(storage, f"{folder}/data") == b"x" * 3000
        assert [(s.key, s.size_bytes) for s in storage.list("data")] == [(f"{folder}/data", 3000)]
        tomorrow = make(clock=lambda: datetime.now(UTC) + timedelta(days=2))
        assert tomorrow.remove_leftovers() == []
        storage.delete(f"{folder}/data")
        assert names_in(storage) == ["metadata/x"]

    def test_a_manifest_cannot_make_us_delete_elsewhere(self, make: Make) -> None:
        storage = make()
        storage.write("precious/data", [b"x"])
        storage.write("precious/segments/deep/data", [b"x"])
        url, token = storage._account.access().url, storage._account.access().token
        for number, target in enumerate(("backups/precious", "other/x", "backups/a/segmentsother")):
            swiftclient.client.put_object(
                url, token, "backups", f"a/{number}", headers={"x-object-manifest": target}
            )
            storage.delete(f"a/{number}")
        assert names_in(storage) == ["precious/data", "precious/segments/deep/data"]


@pytest.mark.service
class TestBadDays:
    def test_a_connection_lost_in_a_write_leaves_nothing(
        self, make: Make, proxy: CuttingProxy
    ) -> None:
        storage = make()
        storage.write("a/data", [b"former"])
        proxy.cut_after(up=350 * KIB)
        with pytest.raises(StorageUnavailable):
            storage.write("a/data", [os.urandom(MIB)])
        assert content(storage, "a/data") == b"former"
        assert names_in(storage) == ["a/data"]

    def test_a_connection_lost_in_a_write_is_made_again(
        self, make: Make, proxy: CuttingProxy
    ) -> None:
        storage = make(most=3)
        body = os.urandom(MIB)
        proxy.cut_after(up=350 * KIB)
        storage.write("a/data", [body])
        assert content(storage, "a/data") == body

    def test_a_crash_before_the_manifest_leaves_what_can_be_found(self, make: Make) -> None:
        storage = make()
        storage.write("a/data", [os.urandom(250 * KIB)])
        whole = names_in(storage)
        for number in range(3):
            storage._put(f"a/segments/a123456789abcdef/{number:08}", Pieces([b"left by a crash"]))
        assert keys_of(storage) == ["a/data"]
        assert storage.remove_leftovers() == []
        tomorrow = make(clock=lambda: datetime.now(UTC) + timedelta(days=1, minutes=5))
        assert len(tomorrow.remove_leftovers()) == 3
        assert names_in(storage) == whole

    def test_a_read_that_is_cut_goes_on_where_it_was(self, make: Make, proxy: CuttingProxy) -> None:
        body = os.urandom(3 * MIB)
        make(segment_bytes=MIB).write("a", [body])
        proxy.cut_after(down=2 * MIB)
        with pytest.raises(StorageUnavailable):
            content(make(), "a")
        proxy.cut_after(down=2 * MIB)
        assert content(make(most=2), "a") == body

    def test_a_lost_segment_is_an_error(self, make: Make) -> None:
        storage = make()
        storage.write("a/data", [os.urandom(450 * KIB)])
        lost = next(name for name in names_in(storage) if name.endswith("00000003"))
        storage._objects.remove_one(lost)
        with pytest.raises(StorageUnavailable):
            content(storage, "a/data")

    def test_a_flipped_byte_is_an_error(self, make: Make, server: SwiftServer) -> None:
        storage = make(segment_bytes=MIB)
        body = os.urandom(100 * KIB)
        storage.write("a", [body])
        files = (server.folder / "node").rglob("*.data")
        (stored,) = (path for path in files if path.read_bytes() == body)
        stored.write_bytes(body[:5000] + bytes([body[5000] ^ 1]) + body[5001:])
        with pytest.raises((Damaged, StorageUnavailable)):
            content(storage, "a")

    def test_a_quota_is_said(self, make: Make) -> None:
        storage = make()
        storage.write("a", [b"x"])
        access = storage._account.access()
        swiftclient.client.post_container(
            access.url, access.token, "backups", {"x-container-meta-quota-bytes": "50000"}
        )
        with pytest.raises(StorageFull, match="quota"):
            storage.write("b/data", [os.urandom(MIB)])
        assert keys_of(storage) == ["a"]

    def test_a_wrong_password_is_refused_and_not_shown(
        self, make: Make, server: SwiftServer, swift_user: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(0)
        storage = make(account=SwiftAccount(login(server.port, swift_user, "wrong-secret")))
        with pytest.raises(AccessRefused, match="refused user") as raised, storage:
            pass
        assert (
            "wrong-secret" not in f"{raised.value!r} {storage!r} {storage._account} {caplog.text}"
        )

    def test_tokens_are_not_logged(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        with make() as storage:
            storage.write("a", [b"x"])
            token = storage._account.access().token
            assert token not in repr(storage._account.access())
        assert caplog.records
        assert token[:20] not in caplog.text

    def test_a_token_that_is_refused_is_renewed(self, make: Make) -> None:
        good = make()._account.access()

        asked = []

        class Expiring:
            def access(self, *, renew: bool) -> Access:
                asked.append(renew)
                return good if renew else Access(url=good.url, token="expired")

        storage = make(account=SwiftAccount(Expiring()))
        storage.write("a", [b"x"])
        assert content(storage, "a") == b"x"
        assert asked == [False, True]

    def test_a_given_token_is_used_and_not_renewed(self, make: Make) -> None:
        good = make()._account.access()
        storage = make(account=SwiftAccount(GivenLogin(good)))
        storage.write("a", [b"x"])
        bad = Access(url=good.url, token="garbage")
        with pytest.raises(AccessRefused, match="does not accept the token"):
            make(account=SwiftAccount(GivenLogin(bad))).write("a", [b"y"])
        assert content(storage, "a") == b"x"

    def test_another_account_is_refused(self, make: Make, swift_user: str) -> None:
        foreign = make()._account.access()
        url = foreign.url.replace(swift_user.partition(":")[0], "account599")
        assert url != foreign.url
        storage = make(account=SwiftAccount(GivenLogin(foreign), storage_url=url))
        with pytest.raises(AccessRefused, match="roles"):
            keys_of(storage)

    def test_there_is_no_container_yet(self, make: Make) -> None:
        storage = make()
        assert keys_of(storage) == []
        assert storage.usage() == []
        storage.delete("a")
        with pytest.raises(ObjectNotFound):
            content(storage, "a")
        assert storage.remove_leftovers() == []

    def test_nobody_answers(self, make: Make, proxy: CuttingProxy) -> None:
        storage = make()
        storage.write("a", [b"x"])
        proxy.close()
        for action in (lambda: keys_of(storage), lambda: content(storage, "a")):
            with pytest.raises(StorageUnavailable):
                action()
        with pytest.raises(StorageUnavailable, match="cannot be reached"), make():
            pass

    def test_many_objects_are_listed_whole(self, make: Make) -> None:
        storage = make()
        wanted = [f"many/{number:04}" for number in range(1_100)]
        storage.write(wanted[0], [b"x"])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: storage._put(key, Pieces([b"x"])), wanted[1:]))
        assert keys_of(storage) == wanted

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    @pytest.mark.parametrize("server", ["slo"], indirect=True)
    def test_more_than_ten_thousand_objects_are_listed_and_removed(self, make: Make) -> None:
        """A cluster gives and deletes so many in several pages; they come in by one archive."""
        storage = make()
        storage.write("first", [b"makes the container"])
        wanted = [f"many/{number:05}" for number in range(10_100)]
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in wanted:
                tar.addfile(tarfile.TarInfo(name))
        access = storage._account.access()
        answer = requests.put(
            f"{access.url}/backups?extract-archive=tar",
            data=archive.getvalue(),
            headers={"X-Auth-Token": access.token, "Accept": "application/json"},
            timeout=1000,
        )
        assert answer.json()["Number Files Created"] == len(wanted), answer.text
        assert [one.key for one in storage.list("many")] == wanted
        storage._objects.remove([storage._name(key) for key in wanted])
        assert keys_of(storage) == ["first"]

    def test_names_of_segments_and_claims_are_no_keys(self, make: Make) -> None:
        for key in ("a/segments/00000001", "segments/00000000", "a/.freezer-incomplete-x"):
            with pytest.raises(AccessRefused, match="hidden"):
                make().write(key, [b"x"])

    def test_memory_is_bounded(self, make: Make) -> None:
        storage = make(segment_bytes=4 * MIB)
        storage.write("b", [b"makes the container"])
        tracemalloc.start()
        try:
            storage.write("a", (bytes(MIB) for _ in range(24)))
            assert sum(map(len, storage.read("a"))) == 24 * MIB
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 8 * MIB


@pytest.mark.service
class TestKeystone:
    @pytest.fixture
    def storage(
        self, swift_behind_keystone: SwiftServer, keystone_server: KeystoneServer
    ) -> Iterator[Swift]:
        del swift_behind_keystone
        name = uuid.uuid4().hex
        project = keystone_server.add_project(name)
        keystone_server.add_user(name, "backup-secret", project, "member")
        session = keystone_server.session(name, "backup-secret", name)
        account = SwiftAccount(KeystoneLogin(session, region="RegionOne"))
        with Swift(
            account=account, container="backups", segment_bytes=MIB, attempts=attempts()
        ) as storage:
            yield storage

    def test_the_catalogue_leads_to_the_account(self, storage: Swift) -> None:
        body = os.urandom(3 * MIB)
        storage.write("a/data", [body])
        assert content(storage, "a/data") == body
        assert keys_of(storage) == ["a/data"]

    def test_a_token_that_was_revoked_is_renewed(
        self, storage: Swift, keystone_server: KeystoneServer
    ) -> None:
        storage.write("a", [b"x"])
        token = storage._account.access().token
        revoke = {"x-subject-token": token}
        keystone_server.admin().delete(f"{keystone_server.url}/auth/tokens", headers=revoke)
        assert content(storage, "a") == b"x"

    def test_a_wrong_password_is_refused(
        self, swift_behind_keystone: SwiftServer, keystone_server: KeystoneServer
    ) -> None:
        del swift_behind_keystone
        session = keystone_server.session("admin", "wrong-secret", "admin")
        account = SwiftAccount(KeystoneLogin(session))
        with pytest.raises(AccessRefused, match="Keystone gives no access") as raised:
            account.access()
        assert "wrong-secret" not in str(raised.value)

    def test_a_region_without_swift_is_refused(
        self, swift_behind_keystone: SwiftServer, keystone_server: KeystoneServer
    ) -> None:
        del swift_behind_keystone
        account = SwiftAccount(KeystoneLogin(keystone_server.admin(), region="Elsewhere"))
        with pytest.raises(AccessRefused, match=r"no access.*Elsewhere"):
            account.access()

    def test_nobody_answers(self) -> None:
        who = Password(auth_url="http://127.0.0.1:1/v3", username="u", password="p")
        account = SwiftAccount(KeystoneLogin(Session(auth=who)))
        with pytest.raises(StorageUnavailable, match=r"cannot be reached.*refused") as caught:
            account.access()
        assert "ConnectionPool" not in str(caught.value)


class Shelf:
    """Claims in a dictionary; a test says what happens between two calls."""

    def __init__(self) -> None:
        self.kept: dict[str, datetime] = {}
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.before_listing: Callable[[str], None] = lambda _: None

    def put_claim(self, name: str) -> None:
        self.kept[name] = self.now

    def claims(self, prefix: str) -> list[Claim]:
        self.before_listing(prefix)
        return [Claim(name=n, made_at=at) for n, at in self.kept.items() if n.startswith(prefix)]

    def remove_claim(self, name: str) -> None:
        self.kept.pop(name, None)


class TestClaims:
    def test_who_is_alone_creates(self) -> None:
        shelf, made = Shelf(), []
        create_alone(shelf, "k", "f/k", lambda: made.append(1), lambda _: None)
        assert (made, shelf.kept) == ([1], {})

    def test_who_comes_second_in_order_gives_up(self) -> None:
        shelf, made = Shelf(), []
        shelf.before_listing = lambda prefix: shelf.put_claim(f"{prefix}0")
        with pytest.raises(ObjectExists):
            create_alone(shelf, "k", "f/k", lambda: made.append(1), lambda _: None)
        assert made == []
        assert len(shelf.kept) == 1

    def test_who_comes_first_in_order_waits_for_the_others(self) -> None:
        shelf, made, waited = Shelf(), [], []
        prefixes = []

        def rival_comes(prefix: str) -> None:
            if not prefixes:
                shelf.put_claim(f"{prefix}z")
            prefixes.append(prefix)

        def rival_goes(seconds: float) -> None:
            waited.append(seconds)
            shelf.remove_claim(f"{prefixes[0]}z")

        shelf.before_listing = rival_comes
        create_alone(shelf, "k", "k", lambda: made.append(1), rival_goes)
        assert (made, len(waited), shelf.kept) == ([1], 1, {})

    def test_the_claim_of_a_dead_writer_is_taken_away(self) -> None:
        shelf, made = Shelf(), []

        def dead(prefix: str) -> None:
            shelf.kept[f"{prefix}0"] = shelf.now - timedelta(minutes=11)

        shelf.before_listing = dead
        create_alone(shelf, "k", "k", lambda: made.append(1), lambda _: None)
        assert (made, shelf.kept) == ([1], {})

    def test_a_rival_that_never_ends_is_an_error(self) -> None:
        shelf = Shelf()
        shelf.before_listing = lambda prefix: shelf.put_claim(f"{prefix}z")
        with pytest.raises(StorageUnavailable, match="too long"):
            create_alone(shelf, "k", "k", lambda: None, lambda _: None)

    def test_a_listing_that_lags_is_an_error(self) -> None:
        shelf = Shelf()
        shelf.before_listing = lambda _: shelf.kept.clear()
        with pytest.raises(StorageUnavailable, match="does not list"):
            create_alone(shelf, "k", "k", lambda: None, lambda _: None)


class TestStreams:
    @pytest.mark.parametrize("chunk", [1, 3, 7, 100])
    @pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 35])
    def test_segments_are_exact(self, chunk: int, total: int) -> None:
        body = bytes(range(total))
        chunks = [body[at : at + chunk] for at in range(0, total, chunk)]
        pieces = list(segments(chunks, lambda number: 10 if number < 2 else 20))
        assert b"".join(piece.reader().read() for piece in pieces) == body
        assert [piece.size_bytes for piece in pieces[:-1]] == [10, 10, 20][
            : max(0, len(pieces) - 1)
        ]

    def test_a_read_goes_on_at_its_offset(self) -> None:
        asked = []

        def read_from(offset: int) -> Iterator[bytes]:
            asked.append(offset)
            yield b"abcdef"[offset : offset + 2]
            if offset < 4:
                raise StorageUnavailable("cut")

        assert b"".join(resumed(read_from, attempts(2))) == b"abcdef"
        assert asked == [0, 2, 4]

    def test_a_read_gives_up_after_its_attempts(self) -> None:
        asked = []

        def read_from(offset: int) -> Iterator[bytes]:
            asked.append(offset)
            raise StorageUnavailable("away")
            yield b""

        with pytest.raises(StorageUnavailable, match="away"):
            list(resumed(read_from, attempts(3)))
        assert asked == [0, 0, 0]


def test_making_a_storage_does_nothing() -> None:
    account = SwiftAccount(login(1, "u", "secret"))
    storage = Swift(account=account, container="c", segment_bytes=1, attempts=attempts())
    assert storage.kind == "swift"
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        keys_of(storage)
