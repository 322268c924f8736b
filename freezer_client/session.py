"""One authenticated line to the API: Keystone or none, and where in the catalogue the API is.

The only module here that knows keystoneauth, which it imports when a line is opened: a program
that does not ask the API does not load it. Retries, statuses and documents are left to others.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from freezer_client.credentials import Credentials
from freezer_client.errors import ApiRefused, ApiUnavailable, CredentialsMissing, refusal

if TYPE_CHECKING:
    from keystoneauth1.plugin import BaseAuthPlugin
    from keystoneauth1.session import Session

__all__ = [
    "ApiSession",
    "Credentials",
    "KeystoneSession",
    "Reply",
    "keystone_session",
    "open_session",
]

SERVICE_TYPE = "backup"
CONNECT_TIMEOUT_SECONDS = 10.0
REQUEST_TIMEOUT_SECONDS = 60.0
"""How long one request may wait for the connection, and for each piece of the answer."""

_NO_ENDPOINT = f"register one of type {SERVICE_TYPE!r}, or set OS_BACKUP_URL"
_USER_AGENT = "freezer-client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """The header of this name in any spelling; empty if there is none."""
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), "")

    def document(self) -> Any:
        """The body as JSON, None if it is empty. Raises ValueError if it is something else."""
        if not self.body.strip():
            return None
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class ApiSession(Protocol):
    """Sends one request below `/v2/<project>` of the API."""

    def project_id(self) -> str:
        """The id of that project. May log in, and raises what `send` raises."""
        ...

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return the answer, whatever its status. `path` has no leading slash.

        Raises ApiUnavailable if no answer came, Unauthorized if the identity service refused,
        CredentialsMissing if it cannot even be asked. Bounded in time; never tries twice, except
        that a token that has expired is renewed once.
        """
        ...

    def close(self) -> None:
        """Give up the connections that are kept for further requests."""
        ...


class KeystoneSession:
    """An ApiSession by keystoneauth. `project_id` and `backup_url` may be left to Keystone.

    With a `project_id` of its own it asks about that project, whatever its token is for.
    """

    def __init__(self, session: "Session", credentials: Credentials, project_id: str = "") -> None:
        self._session = session
        self._credentials = credentials
        self._project_id = project_id
        self._base = ""

    def project_id(self) -> str:
        """See ApiSession."""
        if self._project_id:
            return self._project_id
        if self._credentials.auth_type == "none":
            return self._credentials.project_id
        doing = "logging in"
        with _translated(doing):
            project_id = self._session.get_project_id()
        if not project_id:
            raise CredentialsMissing(
                ["OS_PROJECT_NAME or OS_PROJECT_ID"], "the token names no project"
            )
        return project_id

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """See ApiSession."""
        doing = f"{method} {path}"
        with _translated(doing):
            url = f"{self._base_url(doing)}/{path}"
            answer = self._session.request(
                url,
                method,
                json=body,
                params=dict(query or {}),
                headers={**(headers or {}), **self._headers()},
                timeout=(CONNECT_TIMEOUT_SECONDS, self._session.timeout),
                raise_exc=False,
                # Documents may hold secrets; keystoneauth would write them into a debug log.
                log=False,
            )
            return Reply(status=answer.status_code, headers=answer.headers, body=answer.content)

    def close(self) -> None:
        """See ApiSession."""
        self._session.session.close()

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._credentials.auth_type == "none":
            # Nobody else tells a server without Keystone who is asking.
            headers["X-Project-Id"] = self._credentials.project_id
            user = self._credentials.user_id or self._credentials.username
            if user:
                headers["X-User-Id"] = user
        return headers

    def _base_url(self, doing: str) -> str:
        if not self._base:
            self._base = api_base_url(self._endpoint(doing), self.project_id())
        return self._base

    def _endpoint(self, doing: str) -> str:
        chosen = self._credentials
        if chosen.backup_url:
            return chosen.backup_url
        endpoint = self._session.get_endpoint(
            service_type=SERVICE_TYPE,
            interface=chosen.endpoint_type,
            region_name=chosen.region_name or None,
            skip_discovery=True,
        )
        if not endpoint:
            raise ApiUnavailable(
                doing, f"Keystone names no endpoint; {_NO_ENDPOINT}", may_pass=False
            )
        return endpoint


def open_session(
    credentials: Credentials,
    *,
    project_id: str = "",
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
) -> KeystoneSession:
    """A line to the API. Nothing is sent yet: the first request logs in.

    It asks about the project of the credentials, or about `project_id` with the same rights.
    """
    session = keystone_session(credentials, timeout_seconds=timeout_seconds)
    return KeystoneSession(session, credentials, project_id)


def keystone_session(
    credentials: Credentials, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
) -> "Session":
    """A session of keystoneauth, for libraries that ask other services. Nothing is sent yet."""
    # Loading keystoneauth takes longer than most commands: only here, when it is needed.
    from keystoneauth1.session import Session  # noqa: PLC0415

    cert = (credentials.cert, credentials.key) if credentials.key else credentials.cert
    return Session(
        auth=_plugin(credentials),
        verify=False if credentials.insecure else credentials.cacert or True,
        cert=cert or None,
        timeout=timeout_seconds,
        user_agent=_USER_AGENT,
    )


def api_base_url(endpoint: str, project_id: str) -> str:
    """The URL of the project, whether the endpoint has `/v2`, `/v2/<project>` or neither."""
    bare = re.sub(r"/v[12](/[\w-]+)?$", "", endpoint.rstrip("/"))
    return f"{bare}/v2/{project_id}"


def _plugin(credentials: Credentials) -> "BaseAuthPlugin":
    makers = {
        "none": _no_plugin,
        "password": _password_plugin,
        "token": _token_plugin,
        "application_credential": _application_credential_plugin,
    }
    return makers[credentials.auth_type](credentials)


def _no_plugin(credentials: Credentials) -> "BaseAuthPlugin":
    from keystoneauth1.noauth import NoAuth  # noqa: PLC0415 - see open_session

    return NoAuth(endpoint=credentials.backup_url)


def _password_plugin(credentials: Credentials) -> "BaseAuthPlugin":
    from keystoneauth1.identity.generic.password import Password  # noqa: PLC0415 - see open_session

    return Password(
        auth_url=credentials.auth_url,
        username=credentials.username or None,
        user_id=credentials.user_id or None,
        password=credentials.password,
        user_domain_id=credentials.user_domain_id or None,
        user_domain_name=credentials.user_domain_name or None,
        **_scope(credentials),
    )


def _token_plugin(credentials: Credentials) -> "BaseAuthPlugin":
    from keystoneauth1.identity.generic.token import Token  # noqa: PLC0415 - see open_session

    return Token(auth_url=credentials.auth_url, token=credentials.token, **_scope(credentials))


def _application_credential_plugin(credentials: Credentials) -> "BaseAuthPlugin":
    from keystoneauth1.identity.v3 import ApplicationCredential  # noqa: PLC0415 - see open_session

    base = re.sub(r"(/v[23](\.0)?)?/*$", "", credentials.auth_url)
    return ApplicationCredential(
        auth_url=f"{base}/v3",
        application_credential_id=credentials.application_credential_id or None,
        application_credential_name=credentials.application_credential_name or None,
        application_credential_secret=credentials.application_credential_secret,
        user_id=credentials.user_id or None,
        username=credentials.username or None,
        user_domain_id=credentials.user_domain_id or None,
        user_domain_name=credentials.user_domain_name or None,
    )


def _scope(credentials: Credentials) -> dict[str, Any]:
    # Environments of old name no domain at all; then the default one is meant.
    scope: dict[str, Any] = {"default_domain_id": "default"}
    if credentials.trust_id:
        return scope | {"trust_id": credentials.trust_id}
    named = ("project_id", "project_name", "project_domain_id", "project_domain_name")
    return scope | {name: getattr(credentials, name) or None for name in named}


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    from keystoneauth1 import exceptions  # noqa: PLC0415 - see open_session

    try:
        yield
    except exceptions.HttpError as error:
        raise _identity_error(doing, error.http_status, str(error.message)) from error
    except (exceptions.SSLError, exceptions.UnknownConnectionError) as error:
        raise ApiUnavailable(doing, _shown(error), may_pass=False) from error
    except exceptions.ConnectionError as error:
        raise ApiUnavailable(doing, _shown(error)) from error
    except exceptions.DiscoveryFailure as error:
        raise ApiUnavailable(doing, f"no answer from Keystone: {_shown(error)}") from error
    except exceptions.CatalogException as error:
        raise ApiUnavailable(doing, f"{_shown(error)}; {_NO_ENDPOINT}", may_pass=False) from error
    except exceptions.AuthPluginException as error:
        raise CredentialsMissing(["the OS_* options"], _shown(error)) from error
    except exceptions.ClientException as error:
        raise ApiUnavailable(doing, _shown(error), may_pass=False) from error


def _identity_error(doing: str, status: int, message: str) -> ApiUnavailable | ApiRefused:
    if status == 401:
        return refusal(doing, status, "Keystone refused to log in", message)
    # Never NotFound: what Keystone does not find is no document of the API.
    return ApiUnavailable(
        doing,
        f"Keystone answered {status}: {message}; check OS_AUTH_URL, the project and the trust",
        may_pass=status == 429 or status >= 500,
        status=status,
    )


def _shown(error: Exception) -> str:
    """The library's text, without a user and password that an URL may carry."""
    return re.sub(r"//[^/@\s]+@", "//***@", str(error))[:500]
