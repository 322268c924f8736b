"""Options of the API's address and of who we are for Keystone; each is an OS_* variable as well."""

from typing import Any

from oslo_config import cfg

SECTION = "service_auth"
TITLE = "API and Keystone (each also as a variable: OS_AUTH_URL, OS_USERNAME, ...)"
PREFIX = "os_"

_ENDPOINT_TYPES = ("public", "internal", "admin", "publicURL", "internalURL", "adminURL")


def _text(name: str, metavar: str, text: str, **more: Any) -> cfg.Opt:
    return cfg.StrOpt(f"os-{name}", default="", metavar=metavar, help=text, **more)


def _former(name: str) -> list[cfg.DeprecatedOpt]:
    return [cfg.DeprecatedOpt(f"os-{name}")]


OPTIONS = (
    _text("auth-url", "URL", "The address of Keystone."),
    _text(
        "auth-type",
        "TYPE",
        "How to log in: password, token, v3applicationcredential, or none for an API without "
        "Keystone. Default is the one that the other options fit.",
    ),
    _text(
        "backup-url",
        "URL",
        "The address of the Freezer API. Default is the one that Keystone names.",
        deprecated_opts=_former("freezer-url"),
    ),
    _text("username", "NAME", "The user."),
    _text("user-id", "ID", "The user, by id."),
    _text(
        "password",
        "PASSWORD",
        "The password. Other users of the host can read command lines: use the file or the "
        "variable.",
        secret=True,
    ),
    _text("user-domain-name", "NAME", "The domain of the user."),
    _text("user-domain-id", "ID", "The domain of the user, by id."),
    _text("project-name", "NAME", "The project.", deprecated_opts=_former("tenant-name")),
    _text("project-id", "ID", "The project, by id.", deprecated_opts=_former("tenant-id")),
    _text("project-domain-name", "NAME", "The domain of the project."),
    _text("project-domain-id", "ID", "The domain of the project, by id."),
    _text(
        "token",
        "TOKEN",
        "A token, in place of user and password.",
        secret=True,
        deprecated_opts=_former("auth-token"),
    ),
    _text("trust-id", "ID", "A trust, in place of the project."),
    _text("application-credential-id", "ID", "An application credential, by id."),
    _text("application-credential-name", "NAME", "An application credential of the user."),
    _text(
        "application-credential-secret",
        "SECRET",
        "The secret of the application credential.",
        secret=True,
    ),
    _text("region-name", "NAME", "The region whose API is meant."),
    _text(
        "endpoint-type",
        "TYPE",
        "Which of the API's addresses to take from Keystone: public, internal or admin.",
        choices=("", *_ENDPOINT_TYPES),
        ignore_case=True,
        deprecated_opts=_former("interface"),
    ),
    _text("cacert", "FILE", "The certificates of the authorities to trust."),
    _text("cert", "FILE", "The client certificate for TLS."),
    _text("key", "FILE", "The key of the client certificate, if it is in another file."),
)
