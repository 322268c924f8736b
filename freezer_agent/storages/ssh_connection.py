"""An SSH connection with one SFTP session: host keys checked, made anew when it was lost."""

import base64
import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from freezer_agent.errors import AccessRefused, StorageUnavailable
from freezer_agent.storages.sftp import Sftp
from freezer_agent.storages.sftp_packets import SftpLost
from freezer_agent.storages.ssh_library import paramiko

_KEEPALIVE_SECONDS = 30


class SshConnection:
    """Where to connect and as whom.

    A password is preferred to keys. Without one the key file is tried (if it is there), then the
    keys of the SSH agent. The host key must be in the known hosts file; with
    `accept_new_host_key` that of a host without any entry is added to it.
    """

    def __init__(
        self,
        *,
        host: str,
        username: str,
        port: int = 22,
        password: str | None = None,
        key_file: Path | None = None,
        known_hosts_file: Path,
        accept_new_host_key: bool = False,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._host = host
        self._port = port
        self._username = username
        self._password = password
        self._key_file = key_file
        self._known_hosts_file = known_hosts_file
        self._accept_new_host_key = accept_new_host_key
        self._timeout_seconds = timeout_seconds
        self._client: paramiko.SSHClient | None = None
        self._sftp: Sftp | None = None
        self._opening = threading.Lock()

    def __str__(self) -> str:
        return f"ssh://{self._username}@{self._host}:{self._port}"

    def sftp(self) -> Sftp:
        """The session; connects if there is none or if it was lost."""
        with self._opening:
            if self._sftp is None or not self._is_alive():
                self._close()
                with self.errors(f"cannot connect to {self}"):
                    self._sftp = self._open()
            return self._sftp

    def close(self) -> None:
        """End the session. The next use connects again."""
        with self._opening:
            self._close()

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Translate what may go wrong with a connection; a lost one is given up."""
        try:
            yield
        except paramiko.BadHostKeyException as error:
            raise AccessRefused(self._changed_key(error)) from error
        except paramiko.PasswordRequiredException as error:
            raise AccessRefused(
                f"{doing}: the key {self._key_file} is protected by a pass phrase; "
                "load it into the SSH agent (ssh-add) or use a key without one"
            ) from error
        except paramiko.AuthenticationException as error:
            raise AccessRefused(f"{doing}: {self._refused()}") from error
        except (paramiko.SSHException, SftpLost, EOFError) as error:
            self._give_up()
            raise StorageUnavailable(f"{doing}: {error or 'the connection was lost'}") from error
        except OSError as error:
            if isinstance(error, PermissionError):
                raise AccessRefused(f"{doing}: {error}") from error
            self._give_up()
            reason = error.strerror or str(error) or "no answer in time"
            raise StorageUnavailable(f"{doing}: {reason}") from error

    def _open(self) -> Sftp:
        client = paramiko.SSHClient()
        try:
            self._authenticate(client)
            transport = _transport_of(client)
            transport.set_keepalive(_KEEPALIVE_SECONDS)
            channel = transport.open_session(timeout=self._timeout_seconds)
            channel.settimeout(self._timeout_seconds)
            channel.invoke_subsystem("sftp")
            sftp = Sftp(channel)
            sftp.start()
        except BaseException:
            client.close()
            raise
        self._client = client
        return sftp

    def _authenticate(self, client: paramiko.SSHClient) -> None:
        if self._known_hosts_file.exists():
            client.load_system_host_keys(str(self._known_hosts_file))
        client.set_missing_host_key_policy(
            _UnknownHost(self._known_hosts_file, accept=self._accept_new_host_key)
        )
        has_key = self._key_file is not None and self._key_file.exists()
        if not (self._password or has_key or _agent_has_keys()):
            raise paramiko.AuthenticationException
        client.connect(
            self._host,
            port=self._port,
            username=self._username,
            password=self._password or None,
            key_filename=str(self._key_file) if has_key and not self._password else None,
            allow_agent=not self._password,
            look_for_keys=False,
            timeout=self._timeout_seconds,
            banner_timeout=self._timeout_seconds,
            auth_timeout=self._timeout_seconds,
        )

    def _is_alive(self) -> bool:
        transport = self._client.get_transport() if self._client else None
        return transport is not None and transport.is_active()

    def _give_up(self) -> None:
        # Also called while `sftp` holds the lock; the session of before is dead in any case.
        self._close()

    def _close(self) -> None:
        client, self._client, self._sftp = self._client, None, None
        if client is not None:
            client.close()

    def _refused(self) -> str:
        if self._password:
            return "the server refused the user name or the password"
        if self._key_file is None:
            return "the server refused the keys of the SSH agent; give a key file or a password"
        if not self._key_file.exists():
            return f"there is no key {self._key_file}, and the SSH agent has none that fits"
        return (
            f"the server refused the key {self._key_file}; its public half must be in "
            "the user's authorized_keys there"
        )

    def _changed_key(self, error: paramiko.BadHostKeyException) -> str:
        return (
            f"the host key of {self._host} is not the one in {self._known_hosts_file}: it is "
            f"{_fingerprint(error.key)}, expected was {_fingerprint(error.expected_key)}. Somebody "
            "may be between; compare it on the host with 'ssh-keygen -lf' of its public host key, "
            "and only if it is right remove the old line with 'ssh-keygen -R'"
        )


class _UnknownHost(paramiko.MissingHostKeyPolicy):  # type: ignore[misc] # paramiko has no types
    """Refuses a host without entry in the known hosts file, or adds it."""

    def __init__(self, known_hosts_file: Path, *, accept: bool) -> None:
        self._known_hosts_file = known_hosts_file
        self._accept = accept

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        del client
        if not self._accept:
            raise AccessRefused(
                f"the host key of {hostname} is unknown: it is {_fingerprint(key)}. Compare it on "
                "the host with 'ssh-keygen -lf' of its public host key, then add it to "
                f"{self._known_hosts_file}, or accept it with --ssh-accept-new-host-key"
            )
        self._known_hosts_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = f"{hostname} {key.get_name()} {key.get_base64()}\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with open(os.open(self._known_hosts_file, flags, 0o600), "a") as file:  # noqa: PTH123 - opened with a mode
            file.write(line)


def _agent_has_keys() -> bool:
    agent = paramiko.Agent()
    try:
        return bool(agent.get_keys())
    finally:
        agent.close()


def _transport_of(client: paramiko.SSHClient) -> paramiko.Transport:
    transport = client.get_transport()
    if transport is None:
        raise SftpLost("the server closed the connection")
    return transport


def _fingerprint(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"
