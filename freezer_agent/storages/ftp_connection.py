"""Connections to an FTP server, plain or with TLS: opened, reused while idle, errors translated."""

import contextlib
import ftplib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from freezer_agent.errors import AccessRefused, StorageError, StorageFull, StorageUnavailable

_FULL_CODES = {"452", "552"}
_FULL_WORDS = ("no space", "quota", "disk full")


class FtpConnections:
    """Where to connect and as whom.

    With `tls` the control connection is secured before the login and every data connection too;
    the server's certificate must be good for `host`, by the system's authorities or `ca_file`.
    A certificate and key of the client are shown if given. A transfer occupies its connection,
    so there are as many as things happen at once.
    """

    def __init__(
        self,
        *,
        host: str,
        username: str,
        password: str,
        port: int = 21,
        tls: bool = False,
        ca_file: Path | None = None,
        client_certificate_file: Path | None = None,
        client_key_file: Path | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        self.has_tls = tls
        self._host = host
        self._port = port
        self._username = username
        self._password = password
        self._ca_file = ca_file
        self._client_certificate_file = client_certificate_file
        self._client_key_file = client_key_file
        self._timeout_seconds = timeout_seconds
        self._idle: list[ftplib.FTP] = []
        self._lock = threading.Lock()

    def __str__(self) -> str:
        kind = "ftps" if self.has_tls else "ftp"
        return f"{kind}://{self._username}@{self._host}:{self._port}"

    def take(self) -> ftplib.FTP:
        """A connection that is logged in and in binary mode, for one user at a time."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                ftp = self._idle.pop()
            try:
                ftp.voidcmd("TYPE I")  # listings have left it in text mode
            except (ftplib.Error, OSError, EOFError):
                ftp.close()  # the server ends connections that are idle for long
            else:
                return ftp
        with self.errors(f"cannot connect to {self}"):
            return self._open()

    def give_back(self, ftp: ftplib.FTP) -> None:
        """For others to use; only with nothing under way on it."""
        with self._lock:
            self._idle.append(ftp)

    @contextlib.contextmanager
    def taken(self) -> Iterator[ftplib.FTP]:
        """A connection for a few commands; one on which something went wrong is closed."""
        ftp = self.take()
        try:
            yield ftp
        except ftplib.error_perm:
            self.give_back(ftp)  # an answer like any other
            raise
        except BaseException:
            ftp.close()
            raise
        self.give_back(ftp)

    def close(self) -> None:
        """End the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for ftp in idle:
            with contextlib.suppress(ftplib.Error, OSError, EOFError):
                ftp.quit()
            ftp.close()

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Translate what a server or a connection can answer."""
        try:
            yield
        except ftplib.Error as error:
            raise _answered(error, doing) from error
        except ssl.SSLCertVerificationError as error:
            raise AccessRefused(
                f"{doing}: the certificate is not accepted: {error.verify_message}; give the file "
                "of the authority that signed it"
            ) from error
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "the connection was lost"
            raise StorageUnavailable(f"{doing}: {reason}") from error

    def _open(self) -> ftplib.FTP:
        ftp = self._client()
        try:
            # Bytes of names pass unchanged in both directions.
            ftp.encoding = "latin-1"
            ftp.connect(self._host, self._port, self._timeout_seconds)
            if ftp.sock is not None:
                # A data transfer can keep the control connection silent for hours.
                ftp.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            ftp.login(_as_sent(self._username), _as_sent(self._password))
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
            ftp.voidcmd("TYPE I")
        except ftplib.error_perm as error:
            ftp.close()
            raise AccessRefused(
                f"cannot log in to {self}: {_safe(error, self._password)}"
            ) from None
        except BaseException:
            ftp.close()
            raise
        return ftp

    def _client(self) -> ftplib.FTP:
        if not self.has_tls:
            return ftplib.FTP()  # noqa: S321 - the user chose it; ftps is beside it
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
            if self._client_certificate_file is not None:
                context.load_cert_chain(self._client_certificate_file, self._client_key_file)
        except (OSError, ssl.SSLError) as error:
            raise AccessRefused(f"cannot use the certificates for {self}: {error}") from error
        return _FtpTls(context=context)


class _FtpTls(ftplib.FTP_TLS):
    """Data connections continue the TLS session of the control connection.

    Many servers demand that, as a proof that both are from the same client.
    """

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - it gets TLS below
        try:
            session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
            secured = self.context.wrap_socket(data, server_hostname=self.host, session=session)
        except BaseException:
            data.close()
            raise
        return secured, size


def _answered(error: ftplib.Error, doing: str) -> StorageError:
    text = str(error).strip()
    message = f"{doing}: the server says {text!r}"
    if text[:3] in _FULL_CODES or any(word in text.lower() for word in _FULL_WORDS):
        return StorageFull(f"{message}; make room there or give another container")
    if isinstance(error, ftplib.error_perm):
        return AccessRefused(message)
    return StorageUnavailable(message)


def _safe(error: ftplib.Error, secret: str) -> str:
    """The server's words, should it repeat the secret, without it."""
    text = str(error).strip()
    return text.replace(secret, "***") if secret else text


def _as_sent(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise AccessRefused("a user name or password for FTP cannot contain a line break")
    return text.encode().decode("latin-1")
