"""Who we are for Keystone, and where the API is: the values of OS_* options, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from freezer_client.errors import CredentialsMissing

_OLD_NAMES = {
    "tenant_id": "project_id",
    "tenant_name": "project_name",
    "interface": "endpoint_type",
    "freezer_url": "backup_url",
    "auth_token": "token",
}
"""Names of older releases and of sister projects, with ours."""

_AUTH_TYPES = {
    "none": "none",
    "noauth": "none",
    "password": "password",
    "v3password": "password",
    "token": "token",
    "v3token": "token",
    "v3applicationcredential": "application_credential",
    "application_credential": "application_credential",
}
_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Enough to log in: an object that exists names a way to authenticate and where to.

    `auth_type` is none, password, token or application_credential; left empty it is the one whose
    values are there. `endpoint_type` is public, internal or admin. A trust replaces the project.
    Making one that lacks something raises CredentialsMissing with the names of all that is absent.
    """

    auth_type: str = ""
    auth_url: str = ""
    username: str = ""
    user_id: str = ""
    password: str = field(default="", repr=False)
    user_domain_id: str = ""
    user_domain_name: str = ""
    project_id: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    project_domain_name: str = ""
    token: str = field(default="", repr=False)
    trust_id: str = ""
    application_credential_id: str = ""
    application_credential_name: str = ""
    application_credential_secret: str = field(default="", repr=False)
    region_name: str = ""
    endpoint_type: str = "public"
    cacert: str = ""
    cert: str = ""
    key: str = ""
    insecure: bool = False
    backup_url: str = ""

    def __post_init__(self) -> None:
        """Settle the way to authenticate and find out what it lacks."""
        object.__setattr__(self, "auth_type", self._settled_auth_type())
        plain = self.endpoint_type.lower().removesuffix("url") or "public"
        object.__setattr__(self, "endpoint_type", plain)
        if missing := self._missing():
            raise CredentialsMissing(missing, f"authentication by {self.auth_type!r} needs more")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Read options or environment variables: OS_AUTH_URL, os_auth_url and auth_url are one.

        Absent, None and "" are the same. Names that do not concern us are ignored, those of old
        (OS_TENANT_NAME, OS_INTERFACE) are understood; where both are given today's name counts.
        """
        known = {item.name for item in fields(cls)}
        found: dict[str, Any] = {}
        for name, value in values.items():
            plain = name.lower().replace("-", "_").removeprefix("os_")
            modern = _OLD_NAMES.get(plain, plain)
            if modern not in known or value is None or value == "":
                continue
            if plain == modern or modern not in found:
                found[modern] = value
        insecure = str(found.pop("insecure", "")).strip().lower() in _TRUE
        return cls(insecure=insecure, **{name: str(value) for name, value in found.items()})

    def with_trust(self, trust_id: str) -> Self:
        """The same user with a trust in place of a project."""
        return replace(
            self,
            trust_id=trust_id,
            project_id="",
            project_name="",
            project_domain_id="",
            project_domain_name="",
        )

    def _settled_auth_type(self) -> str:
        if self.auth_type:
            settled = _AUTH_TYPES.get(self.auth_type.lower())
            if settled is None:
                allowed = ", ".join(_AUTH_TYPES)
                raise CredentialsMissing(
                    ["OS_AUTH_TYPE"], f"{self.auth_type!r} is not one of {allowed}"
                )
            return settled
        if self.application_credential_secret:
            return "application_credential"
        return "token" if self.token and not self.password else "password"

    def _missing(self) -> list[str]:
        has_user = self.username or self.user_id
        has_scope = self.project_id or self.project_name or self.trust_id
        needs: dict[str, dict[str, object]] = {
            "none": {"OS_BACKUP_URL": self.backup_url, "OS_PROJECT_ID": self.project_id},
            "password": {
                "OS_AUTH_URL": self.auth_url,
                "OS_USERNAME": has_user,
                "OS_PASSWORD": self.password,
                "OS_PROJECT_NAME or OS_PROJECT_ID": has_scope,
            },
            "token": {
                "OS_AUTH_URL": self.auth_url,
                "OS_TOKEN": self.token,
                "OS_PROJECT_NAME or OS_PROJECT_ID": has_scope,
            },
            "application_credential": {
                "OS_AUTH_URL": self.auth_url,
                "OS_APPLICATION_CREDENTIAL_SECRET": self.application_credential_secret,
                "OS_APPLICATION_CREDENTIAL_ID": self.application_credential_id
                or (self.application_credential_name and has_user),
            },
        }
        return [name for name, value in needs[self.auth_type].items() if not value]
