"""Bad days of the ftp and ftps storages on a real server, and the names they write."""

import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_agent.errors import AccessRefused, ObjectNotFound, StorageFull, StorageUnavailable
from freezer_agent.storages.ftp import _ESCAPES, Ftp
from freezer_agent.storages.ftp_connection import FtpConnections
from freezer_agent.storages.names import Escapes
from freezer_agent.storages.retrying import Attempts, Retrying
from tests.services import ftp as ftp_service
from tests.services.cutting_proxy import CuttingProxy
from tests.services.ftp import PASSWORD, USERNAME, FtpServer

MIB = 1024 * 1024
Make = Callable[..., Ftp]


def attempts(most: int = 1) -> Attempts:
    return Attempts(most, lambda _: None, lambda: 0.0)


def keys_of(storage: Ftp) -> list[str]:
    return [stored.key for stored in storage.list("")]


def content(storage: Ftp | Retrying, key: str) -> bytes:
    return b"".join(storage.read(key))


def files_below(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def connections_to(server: FtpServer, **changed: Any) -> FtpConnections:
    right = {
        "host": "127.0.0.1",
        "port": server.port,
        "username": USERNAME,
        "password": PASSWORD,
        "timeout_seconds": 120.0,
    }
    return FtpConnections(**(right | changed))


def storage_at(server: FtpServer, root: str = "root", most: int = 1, **changed: Any) -> Ftp:
    connections = connections_to(server, **changed)
    return Ftp(connections=connections, root=root, attempts=attempts(most))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FtpServer]]:
    """Starts servers of a test's own."""
    ftp_service.find()
    started: list[FtpServer] = []

    def start_with(**given: Any) -> FtpServer:
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir(exist_ok=True)
        started.append(ftp_service.start(folder, **given))
        return started[-1]

    yield start_with
    for server in started:
        server.server.stop()


@pytest.mark.service
class TestAccess:
    def test_a_wrong_password_is_refused_and_not_shown(
        self, ftp_server: FtpServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(0)
        storage = storage_at(ftp_server, password="wrong-secret")
        with pytest.raises(AccessRefused, match="cannot log in") as raised, storage:
            pass
        assert "wrong-secret" not in f"{raised.value!r} {storage!r} {caplog.text}"

    def test_a_password_cannot_smuggle_a_command(self, ftp_server: FtpServer) -> None:
        storage = storage_at(ftp_server, password=f"{PASSWORD}\r\nDELE a")
        with pytest.raises(AccessRefused, match="line break"), storage:
            pass

    def test_an_unknown_certificate_is_refused(self, ftps_server: FtpServer) -> None:
        with (
            pytest.raises(AccessRefused, match="certificate is not accepted"),
            storage_at(ftps_server, tls=True),
        ):
            pass

    def test_a_certificate_for_another_name_is_refused(self, ftps_server: FtpServer) -> None:
        changed = {"tls": True, "ca_file": ftps_server.ca_file, "host": "127.0.0.2"}
        with pytest.raises((AccessRefused, StorageUnavailable)), storage_at(ftps_server, **changed):
            pass

    def test_a_server_without_tls_is_refused_for_ftps(self, ftp_server: FtpServer) -> None:
        with pytest.raises(AccessRefused), storage_at(ftp_server, tls=True):
            pass

    def test_a_server_that_demands_tls_refuses_ftp(self, ftps_server: FtpServer) -> None:
        with pytest.raises(AccessRefused), storage_at(ftps_server):
            pass

    def test_a_client_certificate_is_shown(
        self, start: Callable[..., FtpServer], tmp_path: Path
    ) -> None:
        mine = tmp_path / "client"
        mine.mkdir()
        ftp_service.make_certificate(mine)
        server = start(tls=True, client_ca=mine / "certificate.pem")
        trusting = {"tls": True, "ca_file": server.ca_file}
        with pytest.raises((AccessRefused, StorageUnavailable)), storage_at(server, **trusting):
            pass
        certificates = {
            "client_certificate_file": mine / "certificate.pem",
            "client_key_file": mine / "key.pem",
        }
        with storage_at(server, **trusting, **certificates) as storage:
            storage.write("a", [b"x"])
            assert content(storage, "a") == b"x"

    def test_a_missing_certificate_file_is_named(self, ftps_server: FtpServer) -> None:
        storage = storage_at(ftps_server, tls=True, ca_file=Path("/missing/ca.pem"))
        with pytest.raises(AccessRefused, match="cannot use the certificates"), storage:
            pass

    def test_a_read_only_user_is_refused(self, start: Callable[..., FtpServer]) -> None:
        server = start(permissions="elr")
        with (
            storage_at(server) as storage,
            pytest.raises(AccessRefused, match="cannot write"),
        ):
            storage.write("a", [b"x"])


@pytest.mark.service
class TestBadDays:
    def test_a_killed_server_leaves_nothing_visible(self, start: Callable[..., FtpServer]) -> None:
        server = start()

        def chunks() -> Iterator[bytes]:
            yield b"x" * 4 * MIB
            server.server.kill()
            yield b"x" * 16 * MIB

        with storage_at(server) as storage:
            storage.write("kept", [b"x"])
            with pytest.raises(StorageUnavailable):
                storage.write("a/new", chunks())
        again = start(port=server.port, root=server.root)
        with storage_at(again) as storage:
            assert keys_of(storage) == ["kept"]
            assert storage.remove_leftovers() == []
            tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
            later = Ftp(
                connections=connections_to(again),
                root="root",
                attempts=attempts(),
                clock=lambda: tomorrow,
            )
            with later:
                assert len(later.remove_leftovers()) == 1
        assert files_below(server.root) == ["kept"]
        assert not (server.root / "root/a").exists()

    def test_a_control_connection_lost_while_idle_is_made_again(
        self, ftp_server: FtpServer
    ) -> None:
        proxy = CuttingProxy(ftp_server.port)
        try:
            with storage_at(ftp_server, root="idle", port=proxy.port) as storage:
                storage.write("a", [b"x"])
                proxy.cut()
                assert content(storage, "a") == b"x"
                proxy.cut()
                storage.write("a", [b"y"])
                storage.delete("a")
        finally:
            proxy.close()

    def test_an_object_that_shrinks_is_an_error(self, ftp_server: FtpServer) -> None:
        with storage_at(ftp_server, root="shrinks") as storage:
            storage.write("a", [b"x" * 30 * MIB])
            chunks = storage.read("a")
            next(chunks)
            os.truncate(ftp_server.root / "shrinks/a", 20 * MIB)
            with pytest.raises(StorageUnavailable, match="bytes are missing"):
                b"".join(chunks)
            storage.delete("a")

    def test_a_full_disk_is_said(self, start: Callable[..., FtpServer], tmp_path: Path) -> None:
        small = tmp_path / "small"
        small.mkdir()
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("only root can mount a small file system")
        size = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)]
        if subprocess.run(size, check=False, capture_output=True).returncode:
            pytest.skip("a tmpfs cannot be mounted here")
        try:
            with storage_at(start(root=small)) as storage:
                storage.write("kept", [b"x"])
                with pytest.raises((StorageFull, StorageUnavailable)):
                    storage.write("new", (b"x" * MIB for _ in range(32)))
                assert keys_of(storage) == ["kept"]
        finally:
            subprocess.run(["umount", "--lazy", str(small)], check=True)

    def test_a_server_without_mlsd(self, start: Callable[..., FtpServer]) -> None:
        with storage_at(start(without=("MLSD", "MLST"))) as storage:
            wanted = ["a b/c  d", "dots.../x", "um\u00e4/ lead", "x"]
            for key in wanted:
                storage.write(key, [key.encode()])
            assert [(s.key, s.size_bytes) for s in storage.list("")] == [
                (key, len(key.encode())) for key in sorted(wanted)
            ]
            assert content(storage, "a b/c  d") == b"a b/c  d"
            for key in wanted:
                storage.delete(key)
            assert keys_of(storage) == []

    def test_many_objects_are_listed_whole(self, ftp_server: FtpServer) -> None:
        folder = ftp_server.root / "many/folder"
        folder.mkdir(parents=True)
        wanted = [f"folder/{number:04}" for number in range(1_100)]
        for key in wanted:
            (ftp_server.root / "many" / key).touch()
        with storage_at(ftp_server, root="many") as storage:
            assert keys_of(storage) == wanted

    def test_a_line_break_in_a_name_is_no_command(self, ftp_server: FtpServer) -> None:
        with storage_at(ftp_server, root="breaks") as storage:
            storage.write("kept", [b"x"])
            key = "a\r\nDELE kept"
            storage.write(key, [b"y"])
            assert keys_of(storage) == [key, "kept"]
            assert (ftp_server.root / "breaks/a%0D%0ADELE kept").read_bytes() == b"y"

    def test_names_with_percent_signs_stay_as_they_are(self, ftp_server: FtpServer) -> None:
        with storage_at(ftp_server, root="percent") as storage:
            for key in ("100%", "50% off", "a%zz", "%41"):
                storage.write(key, [b"x"])
            assert sorted(keys_of(storage)) == ["%41", "100%", "50% off", "a%zz"]
        assert files_below(ftp_server.root / "percent") == ["%2541", "100%", "50% off", "a%zz"]

    def test_a_crashed_creation_is_cleaned_by_delete(self, ftp_server: FtpServer) -> None:
        with storage_at(ftp_server, root="crashed") as storage:
            storage._take_claim("lock", storage._path("lock"))
            assert keys_of(storage) == []
            with pytest.raises(ObjectNotFound):
                content(storage, "lock")
            storage.delete("lock")
            storage.create("lock", b"x")
            assert content(storage, "lock") == b"x"

    def test_a_temporary_name_is_no_key(self, ftp_server: FtpServer) -> None:
        with (
            storage_at(ftp_server) as storage,
            pytest.raises(AccessRefused, match="temporary"),
        ):
            storage.write("a/.freezer-incomplete-1", [b"x"])

    def test_memory_is_bounded(self, ftp_server: FtpServer) -> None:
        with storage_at(ftp_server, root="memory") as storage:
            tracemalloc.start()
            try:
                storage.write("a", (bytes(MIB) for _ in range(24)))
                assert sum(map(len, storage.read("a"))) == 24 * MIB
                _, peak_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak_bytes < 4 * MIB


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=[]), min_size=1).map(
    lambda text: text.encode(errors="surrogatepass").decode(errors="surrogateescape")
)


class TestNames:
    @given(names)
    def test_ftp_names_read_back(self, part: str) -> None:
        written = _ESCAPES.escape(part)
        assert _ESCAPES.unescape(written) == part
        assert written.encode()
        assert not any(sign in written for sign in "\r\n")
        assert written.strip(" ") == written

    @given(names)
    def test_other_names_read_back(self, part: str) -> None:
        escapes = Escapes(only_high=True)
        written = escapes.escape(part)
        assert escapes.unescape(written) == part
        assert written.encode()

    @pytest.mark.parametrize("part", ["data", "50% off", "a b", "\u00e4", "%41", "100%"])
    def test_ordinary_names_are_not_changed(self, part: str) -> None:
        assert Escapes(only_high=True).escape(part) == part

    @pytest.mark.parametrize("part", ["%E9", "%%E9", "%\udce9", "%25E9"])
    def test_what_looks_like_an_escape_reads_back(self, part: str) -> None:
        escapes = Escapes(only_high=True)
        assert escapes.unescape(escapes.escape(part)) == part


def test_making_a_storage_does_nothing() -> None:
    connections = FtpConnections(host="nowhere.invalid", username="u", password="secret", tls=True)
    storage = Ftp(connections=connections, root="/x", attempts=attempts())
    assert storage.kind == "ftps"
    with pytest.raises(StorageUnavailable, match=r"nowhere\.invalid"):
        storage.write("a", [b""])
