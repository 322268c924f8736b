"""One account of a Swift cluster: logged in, its connections, and errors in our words."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import keystoneauth1.exceptions
import requests
import urllib3.exceptions

from freezer_agent.errors import (
    AccessRefused,
    ObjectNotFound,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from freezer_agent.storages.swift_library import ClientException, swift

Result = TypeVar("Result")

_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
# The client shows the first characters of tokens in its log messages unless told otherwise.
swift.logger_settings["reveal_sensitive_prefix"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where an account's storage is, and the token that opens it."""

    url: str
    token: str = field(repr=False)


class Login(Protocol):
    """Gives access to an account. `renew` after the cluster refused the last token."""

    def access(self, *, renew: bool) -> Access:
        """AccessRefused or StorageUnavailable where there is none."""
        ...


class KeystoneLogin:
    """By a keystoneauth session: password, application credential, token or trust."""

    def __init__(
        self, session: Any, *, interface: str = "public", region: str | None = None
    ) -> None:
        self._session = session
        self._interface = interface
        self._region = region

    def access(self, *, renew: bool) -> Access:
        """From the service catalogue; a renewal asks Keystone for another token."""
        try:
            if renew:
                self._session.invalidate()
            token = self._session.get_token()
            url = self._session.get_endpoint(
                service_type="object-store", interface=self._interface, region_name=self._region
            )
        except keystoneauth1.exceptions.ConnectFailure as error:
            # The rest is the library's view of its own inside.
            what, inner = str(error).partition(": HTTP")[0], error.__cause__ or error.__context__
            why = f": {_reason(inner)}" if inner else ""
            raise StorageUnavailable(f"Keystone cannot be reached: {what}{why}") from error
        except keystoneauth1.exceptions.HttpServerError as error:
            raise StorageUnavailable(f"Keystone failed: {error}") from error
        except keystoneauth1.exceptions.ClientException as error:
            raise AccessRefused(f"Keystone gives no access: {error}; check OS_*") from error
        if url is None:
            raise AccessRefused(
                f"Keystone's catalogue has no {self._interface} endpoint of an object-store in "
                f"region {self._region or 'any'}; check OS_REGION_NAME and OS_ENDPOINT_TYPE"
            )
        return Access(url=url, token=token)


class V1Login:
    """By Swift's own authentication, version 1 (tempauth and its like)."""

    def __init__(
        self, *, auth_url: str, username: str, key: str, timeout_seconds: float = 60.0, **tls: Any
    ) -> None:
        self._auth_url = auth_url
        self._username = username
        self._key = key
        self._options = {"timeout": timeout_seconds, **tls}

    def access(self, *, renew: bool) -> Access:
        """A token and the URL that belongs to the user."""
        del renew
        try:
            url, token = swift.get_auth_1_0(
                self._auth_url, self._username, self._key, **self._options
            )
        except ClientException as error:
            if error.http_status in {401, 403}:
                raise AccessRefused(
                    f"{self._auth_url} refused user {self._username!r} or the key"
                ) from None
            raise _answered(error, f"cannot log in at {self._auth_url}") from error
        except _BROKEN as error:
            raise StorageUnavailable(
                f"{self._auth_url} cannot be reached: {_reason(error)}"
            ) from error
        return Access(url=url, token=token)


class GivenLogin:
    """By a token and a URL that somebody else has got; they cannot be renewed."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def access(self, *, renew: bool) -> Access:
        """What was given, once."""
        if renew:
            raise AccessRefused(f"{self._access.url} does not accept the token (any more)")
        return self._access


class SwiftAccount:
    """Calls of the client library with a token, on connections that are used one at a time.

    A refused token is renewed once. Every failure is one of our errors.
    """

    def __init__(
        self,
        login: Login,
        *,
        storage_url: str | None = None,
        ca_file: str | None = None,
        insecure: bool = False,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._login = login
        self._storage_url = storage_url
        self._options = {"cacert": ca_file, "insecure": insecure, "timeout": timeout_seconds}
        self._known: Access | None = None
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._features: dict[str, Any] | None = None

    def __str__(self) -> str:
        url = self._known.url if self._known else self._storage_url
        return url or "the Swift account"

    def access(self) -> Access:
        """The valid token with the account's URL; logs in at the first use."""
        with self._lock:
            if self._known is None:
                self._known = self._logged_in(renew=False)
            return self._known

    def call(
        self, function: Callable[..., Result], doing: str, *names: str, **given: Any
    ) -> Result:
        """`function(url, token, *names, http_conn=..., **given)` of the client library."""
        with self.connection() as connection:
            return self.call_on(connection, function, doing, *names, **given)

    def call_on(
        self,
        connection: Any,
        function: Callable[..., Result],
        doing: str,
        *names: str,
        **given: Any,
    ) -> Result:
        """The same on a connection that was taken before."""
        access = self.access()
        with errors(doing):
            try:
                return function(access.url, access.token, *names, http_conn=connection, **given)
            except ClientException as error:
                if error.http_status != 401:
                    raise
            access = self._renewed(access)
            return function(access.url, access.token, *names, http_conn=connection, **given)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection for one user at a time; one on which something went wrong is closed."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._opened()
        try:
            yield connection
        except BaseException:
            connection[1].close()
            raise
        _forget_body(connection[1])
        with self._lock:
            self._idle.append(connection)

    def body(self, chunks: Iterator[bytes], doing: str) -> Iterator[bytes]:
        """The chunks of an answer, with our errors; reads on only when asked for more."""
        while True:
            with errors(doing):
                chunk = next(chunks, b"")
            if not chunk:
                return
            yield chunk

    def features(self) -> dict[str, Any]:
        """What the cluster says it offers; nothing where it does not say."""
        if self._features is None:
            parts = urlsplit(self.access().url)
            info = swift.http_connection(f"{parts.scheme}://{parts.netloc}/info", **self._options)
            try:
                with errors("cannot ask for the features of the cluster"):
                    self._features = dict(swift.get_capabilities(info))
            except (AccessRefused, ObjectNotFound):
                self._features = {}
            finally:
                info[1].close()
        return self._features

    def close(self) -> None:
        """End the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection[1].close()

    def _opened(self) -> Any:
        return swift.http_connection(self.access().url, **self._options)

    def _renewed(self, old: Access) -> Access:
        with self._lock:
            if self._known is old or self._known is None:
                self._known = self._logged_in(renew=True)
            return self._known

    def _logged_in(self, *, renew: bool) -> Access:
        access = self._login.access(renew=renew)
        url = (self._storage_url or access.url).rstrip("/")
        return Access(url=url, token=access.token)


def _forget_body(connection: Any) -> None:
    """An answer keeps its request, whose body is a whole segment."""
    if connection.resp is not None:
        connection.resp.request.body = None
        connection.resp = None


@contextlib.contextmanager
def errors(doing: str) -> Iterator[None]:
    """Translate the errors of the client library and of what it is made of."""
    try:
        yield
    except ClientException as error:
        raise _answered(error, doing) from error
    except requests.exceptions.SSLError as error:
        raise AccessRefused(f"{doing}: the certificate is not accepted: {error}") from error
    except _BROKEN as error:
        raise StorageUnavailable(f"{doing}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom of the errors that HTTP libraries wrap around each other."""
    inner: object = error
    while isinstance(inner, BaseException):
        deeper = getattr(inner, "reason", None) or (inner.args[-1] if inner.args else None)
        if not isinstance(deeper, BaseException):
            break
        inner = deeper
    return re.sub(r"^\w+Connection(Pool)?\(.*?\): ", "", str(inner)) or type(inner).__name__


def _answered(error: Any, doing: str) -> StorageError:
    status = error.http_status
    message = f"{doing}: the cluster answers {status} {error.http_reason}".rstrip()
    if status == 404:
        return ObjectNotFound(doing)
    if status in {413, 507}:
        return StorageFull(f"{message}; a quota is used up or the disks are full")
    if status in {408, 409, 422, 429, 498} or not status or status >= 500:
        return StorageUnavailable(message)
    if status in {401, 403}:
        return AccessRefused(f"{message}; check the credentials and the roles in the project")
    return AccessRefused(f"{message}: {error.http_response_content}")
