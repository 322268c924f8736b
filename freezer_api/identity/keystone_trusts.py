"""Delegations as Keystone trusts: trustor is the caller, trustee the service's own user.

The only module of the API that knows keystoneauth. The trustee is the user of a section of the
configuration (by default the one that tokens are validated with), and the central scheduler logs
in as the same user. Trusts impersonate nobody, cannot be passed on and never expire: they end
with the last job that needs them.

What is asked of Keystone is its Identity API v3 with the OS-TRUST extension.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from keystoneauth1 import exceptions, loading, plugin
from keystoneauth1.identity.base import BaseIdentityPlugin
from oslo_config import cfg

from freezer_api.errors import KeystoneUnavailable, MissingCredential
from freezer_api.identity.context import Context
from freezer_api.identity.trusts import Delegation

if TYPE_CHECKING:
    from keystoneauth1.session import Session

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 30.0
_KEYSTONE = {
    "interface": plugin.AUTH_INTERFACE,
    "min_version": (3, 0),
    "max_version": (3, "latest"),
}
"""Where we log in is where we ask: that address is known to be reachable from here."""

_SCOPES = (
    "project_id",
    "project_name",
    "project_domain_id",
    "project_domain_name",
    "domain_id",
    "domain_name",
    "system_scope",
)
"""What a login with a trust must not name: the trust is the scope."""

_ASK_OPERATOR = "Ask the operator to look into the log of the service"


class KeystoneTrusts:
    """Trusts of callers to the user of `section`.

    `roles` are those that are delegated; none means all of the caller's token. Nothing is read or
    asked before the first call. Safe for use by several threads.
    """

    def __init__(self, conf: cfg.ConfigOpts, *, section: str, roles: Sequence[str]) -> None:
        self._service = _ServiceUser(conf, section)
        self._roles = tuple(roles)

    def delegate(self, context: Context, known: Sequence[Delegation]) -> Delegation:
        """See Trusts."""
        roles = self._roles or context.roles
        _require_held(context, roles)
        trustee_id = self._service.user_id()
        wanted = {
            "trustor_user_id": context.user_id,
            "trustee_user_id": trustee_id,
            "project_id": context.project_id,
            "impersonation": False,
            "expires_at": None,
        }
        for delegation in known:
            if self._works(delegation, wanted, roles):
                return delegation
        return self._created(context, wanted, roles)

    def withdraw(self, context: Context, delegation: Delegation) -> None:
        """See Trusts. The trustor may end his trust himself, everybody else needs the service."""
        path = f"/OS-TRUST/trusts/{delegation.trust_id}"
        said = "nobody could be asked"
        askers: list[Callable[[], Any]] = [lambda: self._service.send("DELETE", path)]
        if context.token and context.user_id == delegation.trustor_user_id:
            askers.insert(0, lambda: self._service.send("DELETE", path, token=context.token))
        for ask in askers:
            try:
                answer = ask()
            except (KeystoneUnavailable, MissingCredential) as error:
                said = str(error)
                continue
            if answer.status_code in {204, 404}:
                log.info("Trust %s is withdrawn", delegation.trust_id)
                return
            said = _reason(answer)
        log.warning(
            "Trust %s is needed no more and could not be withdrawn (%s). An administrator can: "
            "openstack trust delete %s",
            delegation.trust_id,
            said,
            delegation.trust_id,
        )

    def _works(self, delegation: Delegation, wanted: dict[str, Any], roles: Sequence[str]) -> bool:
        """Whether the trust is such a one, and Keystone lets the trustee in with it."""
        answer = self._service.send("GET", f"/OS-TRUST/trusts/{delegation.trust_id}")
        if answer.status_code >= 500:
            raise KeystoneUnavailable(f"Keystone answers {answer.status_code}: {_reason(answer)}")
        if answer.status_code != 200:
            return False
        trust = answer.json()["trust"]
        given = {role["name"].lower() for role in trust.get("roles", [])}
        return (
            all(trust.get(key) == value for key, value in wanted.items())
            and trust.get("remaining_uses") is None
            and given == {role.lower() for role in roles}
            and self._service.can_use(delegation.trust_id)
        )

    def _created(
        self, context: Context, wanted: dict[str, Any], roles: Sequence[str]
    ) -> Delegation:
        body = {
            "trust": {
                **wanted,
                "allow_redelegation": False,
                "roles": [{"name": role} for role in roles],
            }
        }
        answer = self._service.send("POST", "/OS-TRUST/trusts", token=context.token, body=body)
        if answer.status_code == 201:
            trust_id = str(answer.json()["trust"]["id"])
            log.info("Trust %s of user %s is made", trust_id, context.user_id)
            return Delegation(trust_id=trust_id, trustor_user_id=context.user_id)
        raise _refusal(answer, context, roles)


LibraryFailure = exceptions.ClientException
"""What Keystone's library raises, whatever it could not do."""

_WHERE = cfg.StrOpt("www_authenticate_uri", deprecated_name="auth_uri")
_NO_LOGIN = (
    "it has no auth_type, so nobody can be asked whose a token is. Give auth_type, auth_url, "
    "username, password, project_name and the domains"
)


def objection_to(conf: cfg.ConfigOpts, section: str) -> str | None:
    """Why nobody can log in with the section as it is written; None if one may try.

    Nobody is asked. A section that only tells callers where Keystone is may stand: the service then
    refuses everybody who has no token, and fails for those who have one; the log says so.
    """
    return _ServiceUser(conf, section).objection()


class _ServiceUser:
    """The user of the section, and its line to Keystone."""

    def __init__(self, conf: cfg.ConfigOpts, section: str) -> None:
        self._conf = conf
        self._section = section
        self._opened: Session | None = None

    def objection(self) -> str | None:
        """See objection_to."""
        options = self._options()
        try:
            login = loading.load_auth_from_conf_options(options, self._section)
        except exceptions.AuthPluginException as error:
            return str(error)
        if login is not None:
            return None
        options.register_opt(_WHERE, self._section)
        if not options[self._section].www_authenticate_uri:
            return _NO_LOGIN
        log.warning("Section [%s]: %s", self._section, _NO_LOGIN)
        return None

    def user_id(self) -> str:
        """Its id: that of the trustee. Raises MissingCredential, KeystoneUnavailable."""
        with self._translated():
            return str(self._session().get_user_id())

    def can_use(self, trust_id: str) -> bool:
        """Whether it can log in with the trust: its trustor is there and has the roles still."""
        options = self._options()
        scope = dict.fromkeys(_SCOPES)
        with self._translated():
            auth = loading.load_auth_from_conf_options(
                options, self._section, trust_id=trust_id, **scope
            )
            if not isinstance(auth, BaseIdentityPlugin):
                return False
            try:
                return bool(auth.get_access(self._session()).trust_id == trust_id)
            except (exceptions.Unauthorized, exceptions.Forbidden, exceptions.NotFound):
                return False

    def send(self, method: str, path: str, *, token: str = "", body: Any = None) -> Any:
        """Keystone's answer, whatever its status, to this user or to who has the token."""
        with self._translated():
            return self._session().request(
                path,
                method,
                json=body,
                headers={"X-Auth-Token": token} if token else None,
                authenticated=not token,
                endpoint_filter=_KEYSTONE,
                timeout=_TIMEOUT_SECONDS,
                raise_exc=False,
                # The library would write tokens' hashes and whole bodies into a debug log.
                log=False,
            )

    def _session(self) -> "Session":
        # Two threads may both make one at first; either is as good.
        if self._opened is None:
            options = self._options()
            auth = loading.load_auth_from_conf_options(options, self._section)
            if auth is None:
                raise MissingCredential(
                    f"[{self._section}] of the service's configuration names no auth_type, so "
                    f"nobody can be trusted. {_ASK_OPERATOR}"
                )
            self._opened = loading.load_session_from_conf_options(options, self._section, auth=auth)
        return self._opened

    def _options(self) -> cfg.ConfigOpts:
        """The same files again: keystonemiddleware has registered options of the same names."""
        options = cfg.ConfigOpts()
        options(
            [],
            project="freezer",
            default_config_files=list(self._conf.config_file or []),
            default_config_dirs=list(self._conf.config_dir or []),
        )
        loading.register_auth_conf_options(options, self._section)
        loading.register_session_conf_options(options, self._section)
        return options

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.ConnectFailure, exceptions.RetriableConnectionFailure) as error:
            raise KeystoneUnavailable(f"Keystone cannot be reached: {error}") from error
        except exceptions.HttpError as error:
            if error.http_status >= 500 or error.http_status == 429:
                raise KeystoneUnavailable(f"Keystone fails: {error}") from error
            raise self._unusable(error) from error
        except exceptions.DiscoveryFailure as error:
            raise KeystoneUnavailable(f"Keystone does not answer as one: {error}") from error
        except (exceptions.ClientException, cfg.Error) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> MissingCredential:
        # The details are the operator's: they name his users and addresses.
        log.error("The user of [%s] cannot be the trustee: %s", self._section, error)
        return MissingCredential(
            "The user whom the job would be entrusted to is not known to Keystone, or cannot log "
            f"in. {_ASK_OPERATOR}"
        )


def _require_held(context: Context, roles: Sequence[str]) -> None:
    """Refuse what Keystone would refuse, with the roles' names, and before anybody is asked."""
    if not roles:
        raise MissingCredential(
            "You have no role in this project, so there is nothing that the central scheduler "
            "could be trusted with"
        )
    if context.own_project_id != context.project_id:
        return  # The token's roles are those of another project: Keystone knows better.
    held = {role.lower() for role in context.roles}
    missing = [role for role in roles if role.lower() not in held]
    if missing:
        raise _roles_missing(context, missing)


def _roles_missing(context: Context, roles: Sequence[str]) -> MissingCredential:
    return MissingCredential(
        f"The job needs a trust with the role {', '.join(roles)}, which user {context.user_id} "
        f"has not in project {context.project_id}. Ask its administrator for the role"
    )


def _refusal(answer: Any, context: Context, roles: Sequence[str]) -> Exception:
    status, said = answer.status_code, _reason(answer)
    if status >= 500 or status == 429:
        return KeystoneUnavailable(f"Keystone answers {status}: {said}")
    if status == 404 and "role" in said.lower():
        return _roles_missing(context, roles)
    if status == 403:
        return MissingCredential(
            "Keystone lets this token make no trust: a restricted application credential, or a "
            f"trust itself, cannot be delegated. Log in with a password instead. It says: {said}"
        )
    return MissingCredential(f"Keystone makes no trust for you ({status}): {said}")


def _reason(answer: Any) -> str:
    """What Keystone says is wrong."""
    try:
        return str(answer.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
