"""Bad days of the ssh storage on a real OpenSSH server, and of its protocol on an invented one."""

import os
import shutil
import socket
import stat
import struct
import subprocess
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paramiko
import pytest

from freezer_agent.errors import (
    AccessRefused,
    StorageFull,
    StorageUnavailable,
)
from freezer_agent.storages.retrying import Attempts, Retrying
from freezer_agent.storages.sftp import Sftp
from freezer_agent.storages.sftp_packets import SftpFailed, SftpLost
from freezer_agent.storages.ssh import Ssh
from freezer_agent.storages.ssh_connection import SshConnection
from tests.services import sshd
from tests.services.cutting_proxy import CuttingProxy, cutting_proxy
from tests.services.sshd import Sshd

MIB = 1024 * 1024
Connect = Callable[..., SshConnection]


def attempts(most: int = 1) -> Attempts:
    return Attempts(most, lambda _: None, lambda: 0.0)


def storage_at(connection: SshConnection, root: Path, most: int = 1) -> Ssh:
    return Ssh(connection=connection, root=str(root), attempts=attempts(most))


def keys_of(storage: Ssh | Retrying) -> list[str]:
    return [stored.key for stored in storage.list("")]


def files_below(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


@pytest.fixture
def connect(sshd_server: Sshd) -> Iterator[Connect]:
    """Makes connections to the real server; keywords replace what would be right."""
    made: list[SshConnection] = []

    def connect_with(**changed: object) -> SshConnection:
        right = {
            "host": "127.0.0.1",
            "port": sshd_server.port,
            "username": sshd_server.username,
            "key_file": sshd_server.key_file,
            "known_hosts_file": sshd_server.known_hosts_file,
            "timeout_seconds": 120.0,
        }
        made.append(SshConnection(**(right | changed)))  # type: ignore[arg-type] # mixed values
        return made[-1]

    yield connect_with
    for connection in made:
        connection.close()


@pytest.fixture
def proxy(sshd_server: Sshd) -> Iterator[CuttingProxy]:
    with cutting_proxy(sshd_server.port) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(connect: Connect, proxy: CuttingProxy, tmp_path: Path) -> SshConnection:
    known = tmp_path / "known_hosts"
    return connect(port=proxy.port, known_hosts_file=known, accept_new_host_key=True)


@pytest.mark.service
class TestAccess:
    def test_an_unknown_host_is_refused(self, connect: Connect, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        with (
            pytest.raises(AccessRefused, match=r"unknown: it is ssh-ed25519 SHA256:.*ssh-keygen"),
            storage_at(connect(known_hosts_file=known), tmp_path),
        ):
            pass
        assert not known.exists()

    def test_an_unknown_host_is_added_when_asked(self, connect: Connect, tmp_path: Path) -> None:
        known = tmp_path / "new folder/known_hosts"
        for accept in (True, False):
            connection = connect(known_hosts_file=known, accept_new_host_key=accept)
            with storage_at(connection, tmp_path):
                pass
        assert len(known.read_text().splitlines()) == 1
        assert stat.S_IMODE(known.stat().st_mode) == 0o600

    @pytest.mark.parametrize("accept", [True, False])
    def test_a_changed_host_key_is_always_refused(
        self, connect: Connect, sshd_server: Sshd, tmp_path: Path, *, accept: bool
    ) -> None:
        sshd.make_key(tmp_path / "other")
        known = tmp_path / "known_hosts"
        key = (tmp_path / "other.pub").read_text()
        known.write_text(f"[127.0.0.1]:{sshd_server.port} {key}")
        connection = connect(known_hosts_file=known, accept_new_host_key=accept)
        with (
            pytest.raises(AccessRefused, match=r"is not the one in .*ssh-keygen -lf"),
            storage_at(connection, tmp_path),
        ):
            pass

    def test_a_wrong_key_is_refused(self, connect: Connect, tmp_path: Path) -> None:
        sshd.make_key(tmp_path / "wrong")
        connection = connect(key_file=tmp_path / "wrong")
        with (
            pytest.raises(AccessRefused, match=r"refused the key .*wrong.*authorized_keys"),
            storage_at(connection, tmp_path),
        ):
            pass

    def test_a_missing_key_is_named(self, connect: Connect, tmp_path: Path) -> None:
        connection = connect(key_file=tmp_path / "missing")
        with (
            pytest.raises(AccessRefused, match=r"there is no key .*missing"),
            storage_at(connection, tmp_path),
        ):
            pass

    def test_a_key_with_a_pass_phrase_is_for_the_agent(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        sshd.make_key(tmp_path / "locked", "secret phrase")
        connection = connect(key_file=tmp_path / "locked")
        with pytest.raises(AccessRefused, match="ssh-add"), storage_at(connection, tmp_path):
            pass

    def test_nobody_listens(self, connect: Connect, tmp_path: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
        with (
            pytest.raises(StorageUnavailable, match=f"127.0.0.1:{port}"),
            storage_at(connect(port=port), tmp_path),
        ):
            pass

    def test_a_read_only_folder_is_refused(self, tmp_path: Path) -> None:
        folder = tmp_path / "server"
        folder.mkdir()
        server = sshd.start(folder, sftp_options="-R")
        try:
            connection = SshConnection(
                host="127.0.0.1",
                port=server.port,
                username=server.username,
                key_file=server.key_file,
                known_hosts_file=server.known_hosts_file,
            )
            with (
                storage_at(connection, tmp_path / "root") as storage,
                pytest.raises(AccessRefused, match="check the permissions"),
            ):
                storage.write("a", [b"x"])
        finally:
            server.server.stop()


@pytest.mark.service
class TestBadDays:
    def test_files_are_for_their_owner(self, connect: Connect, tmp_path: Path) -> None:
        with storage_at(connect(), tmp_path / "root") as storage:
            storage.write("folder/object", [b"x"])
        for path, mode in (("", 0o700), ("folder", 0o700), ("folder/object", 0o600)):
            assert stat.S_IMODE((tmp_path / "root" / path).stat().st_mode) == mode

    def test_a_connection_lost_in_a_write_leaves_nothing(
        self, through_proxy: SshConnection, proxy: CuttingProxy, tmp_path: Path
    ) -> None:
        root = tmp_path / "root"
        with storage_at(through_proxy, root) as storage:
            storage.write("kept", [b"former"])
            proxy.cut_after(up=2 * MIB)
            with pytest.raises(StorageUnavailable):
                storage.write("kept", (b"x" * MIB for _ in range(64)))
            assert b"".join(storage.read("kept")) == b"former"
            assert keys_of(storage) == ["kept"]
        assert files_below(root) == ["kept"]

    def test_a_killed_server_leaves_nothing_visible(self, tmp_path: Path) -> None:
        folder, root = tmp_path / "server", tmp_path / "root"
        folder.mkdir()
        server = sshd.start(folder)
        connection = SshConnection(
            host="127.0.0.1",
            port=server.port,
            username=server.username,
            key_file=server.key_file,
            known_hosts_file=server.known_hosts_file,
        )

        def chunks() -> Iterator[bytes]:
            yield b"x" * 4 * MIB
            server.server.kill()
            yield b"x" * 4 * MIB

        with storage_at(connection, root) as storage:
            storage.write("kept", [b"x"])
            with pytest.raises(StorageUnavailable):
                storage.write("a/new", chunks())
        again = sshd.start(folder, server.port)
        try:
            with storage_at(connection, root) as storage:
                assert keys_of(storage) == ["kept"]
                assert storage.remove_leftovers() == []
                tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
                later = Ssh(
                    connection=connection,
                    root=str(root),
                    attempts=attempts(),
                    clock=lambda: tomorrow,
                )
                assert len(later.remove_leftovers()) == 1
        finally:
            again.server.stop()
        assert files_below(root) == ["kept"]
        assert not (root / "a").exists()

    def test_a_connection_lost_while_idle_is_made_again(
        self, through_proxy: SshConnection, proxy: CuttingProxy, tmp_path: Path
    ) -> None:
        with storage_at(through_proxy, tmp_path / "root", most=2) as storage:
            storage.write("a", [b"1"])
            proxy.cut()
            storage.write("b", [b"2"])
            assert keys_of(storage) == ["a", "b"]
        assert proxy.connections == 2

    def test_a_read_that_is_cut_is_an_error(
        self, through_proxy: SshConnection, proxy: CuttingProxy, tmp_path: Path
    ) -> None:
        content = os.urandom(8 * MIB)
        with storage_at(through_proxy, tmp_path / "root") as storage:
            storage.write("a", [content])
            proxy.cut_after(down=3 * MIB)
            with pytest.raises(StorageUnavailable):
                b"".join(storage.read("a"))
            proxy.cut_after(down=3 * MIB)
            assert b"".join(Retrying(storage, attempts(2)).read("a")) == content

    def test_an_object_that_shrinks_is_an_error(self, connect: Connect, tmp_path: Path) -> None:
        with storage_at(connect(), tmp_path) as storage:
            storage.write("a", [b"x" * 8 * MIB])
            chunks = storage.read("a")
            next(chunks)
            os.truncate(tmp_path / "a", 5 * MIB)
            with pytest.raises(StorageUnavailable, match="bytes are missing"):
                b"".join(chunks)

    def test_a_full_disk_is_said(self, connect: Connect, tmp_path: Path) -> None:
        small = tmp_path / "small"
        small.mkdir()
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("only root can mount a small file system")
        size = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)]
        if subprocess.run(size, check=False, capture_output=True).returncode:
            pytest.skip("a tmpfs cannot be mounted here")
        try:
            with storage_at(connect(), small) as storage:
                storage.write("kept", [b"x"])
                with pytest.raises(StorageFull, match="no room left"):
                    storage.write("new", (b"x" * MIB for _ in range(32)))
                assert keys_of(storage) == ["kept"]
        finally:
            subprocess.run(["umount", "--lazy", str(small)], check=True)

    def test_a_folder_of_many_objects_is_listed_whole(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        (tmp_path / "many").mkdir()
        for number in range(12_000):
            (tmp_path / f"many/{number:05}").touch()
        with storage_at(connect(), tmp_path) as storage:
            assert keys_of(storage) == [f"many/{number:05}" for number in range(12_000)]

    def test_memory_is_bounded(self, connect: Connect, tmp_path: Path) -> None:
        with storage_at(connect(), tmp_path) as storage:
            tracemalloc.start()
            try:
                storage.write("a", (bytes(MIB) for _ in range(48)))
                assert sum(map(len, storage.read("a"))) == 48 * MIB
                _, peak_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak_bytes < 16 * MIB

    def test_an_open_read_does_not_disturb_others(self, connect: Connect, tmp_path: Path) -> None:
        first, second = os.urandom(5 * MIB), os.urandom(5 * MIB)
        with storage_at(connect(), tmp_path) as storage:
            storage.write("a", [first])
            storage.write("b", [second])
            one, other = storage.read("a"), storage.read("b")
            mixed = [next(one), next(other), next(other), next(one)]
            storage.delete("b")
            assert b"".join([mixed[0], mixed[3], *one]) == first
            assert b"".join([mixed[1], mixed[2], *other]) == second


class PasswordServer(paramiko.ServerInterface):
    """Lets in who knows the password, and answers every SFTP request with "unsupported"."""

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == ("u", "right")
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return paramiko.OPEN_SUCCEEDED


@pytest.fixture
def password_port() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    transports = []
    key = paramiko.ECDSAKey.generate()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transports.append(transport)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer)
            # With an event it does not wait, and does not raise here when the client is gone first.
            transport.start_server(threading.Event(), PasswordServer())

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for transport in transports:
        transport.close()


class TestPassword:
    def connection(self, port: int, password: str, tmp_path: Path) -> SshConnection:
        return SshConnection(
            host="127.0.0.1",
            port=port,
            username="u",
            password=password,
            known_hosts_file=tmp_path / "known_hosts",
            accept_new_host_key=True,
            timeout_seconds=120,
        )

    def test_the_right_one_opens(self, password_port: int, tmp_path: Path) -> None:
        with storage_at(self.connection(password_port, "right", tmp_path), tmp_path):
            pass

    def test_a_wrong_one_is_refused_and_not_shown(
        self, password_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(0)
        connection = self.connection(password_port, "wrong-secret", tmp_path)
        storage = storage_at(connection, tmp_path)
        with pytest.raises(AccessRefused, match="password") as raised, storage:
            pass
        for text in (str(raised.value), repr(storage), repr(connection), str(connection)):
            assert "wrong-secret" not in text
        assert "wrong-secret" not in caplog.text


class Script:
    """A channel whose other side answers request by request with prepared packets."""

    def __init__(self, *packets: bytes) -> None:
        self._coming = b"".join(struct.pack(">I", len(packet)) + packet for packet in packets)

    def sendall(self, data: bytes, /) -> None:
        pass

    def recv(self, size: int, /) -> bytes:
        part, self._coming = self._coming[:size], self._coming[size:]
        return part


VERSION = b"\x02" + struct.pack(">I", 3)


def data(request: int, content: bytes) -> bytes:
    return b"\x67" + struct.pack(">II", request, len(content)) + content


def status(request: int, code: int) -> bytes:
    return b"\x65" + struct.pack(">II", request, code) + struct.pack(">I", 4) + b"text" + bytes(4)


def started(*packets: bytes) -> Sftp:
    sftp = Sftp(Script(VERSION, *packets))
    sftp.start()
    return sftp


class TestProtocol:
    def test_answers_come_in_any_order(self) -> None:
        second = data(2, b"b" * 5)
        first = data(1, b"a" * 32768)
        assert b"".join(started(second, first).read(b"h", 0, 32773)) == b"a" * 32768 + b"b" * 5

    def test_a_short_answer_is_completed(self) -> None:
        sftp = started(data(1, b"abc"), data(2, b"de"))
        assert b"".join(sftp.read(b"h", 0, 5)) == b"abcde"

    def test_the_end_of_the_file_ends_the_read(self) -> None:
        assert b"".join(started(data(1, b"abc"), status(2, 1)).read(b"h", 0, 5)) == b"abc"

    def test_a_status_is_raised(self) -> None:
        with pytest.raises(SftpFailed, match="text") as raised:
            started(status(1, 3)).stat(b"x")
        assert raised.value.code == 3

    @pytest.mark.parametrize(
        "packets",
        [
            (),
            (b"",),
            (b"\x69" + struct.pack(">I", 1),),
            (b"\x69" + struct.pack(">II", 1, 0xFFFFFFFF) + b"x",),
            (b"\x67" + struct.pack(">I", 1),),
        ],
    )
    def test_what_is_no_sftp_is_an_error(self, packets: tuple[bytes, ...]) -> None:
        with pytest.raises(SftpLost):
            started(*packets).stat(b"x")

    def test_a_packet_of_any_size_is_not_believed(self) -> None:
        script = Script()
        script._coming = b"\xff\xff\xff\xffSSH"
        with pytest.raises(SftpLost, match="not SFTP"):
            Sftp(script).start()

    def test_an_old_version_is_refused(self) -> None:
        with pytest.raises(SftpLost, match="version 3"):
            Sftp(Script(b"\x02" + struct.pack(">I", 2))).start()


def test_making_a_storage_does_nothing(tmp_path: Path) -> None:
    connection = SshConnection(
        host="nowhere.invalid", username="u", password="x", known_hosts_file=tmp_path / "none"
    )
    storage = storage_at(connection, tmp_path)
    assert storage.kind == "ssh"
    with pytest.raises(AccessRefused, match="temporary file"):
        storage.read("a/.freezer-incomplete-1")
    with pytest.raises(StorageUnavailable, match=r"nowhere\.invalid"):
        storage.write("a", [b""])
