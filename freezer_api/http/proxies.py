"""What a proxy in front of us tells about the address that the caller used."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}\Z")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+\Z")


class ProxyHeaders:
    """WSGI wrapper: scheme, host and prefix are those that the first proxy saw.

    `Forwarded` (RFC 7239) counts before the older X-Forwarded-*. Values that no proxy would send
    are ignored.
    """

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        scheme, host = _seen_by_proxy(environ)
        if scheme in {"http", "https"}:
            environ["wsgi.url_scheme"] = scheme
        if _HOST.match(host):
            environ["HTTP_HOST"] = host
        prefix = environ.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/")
        if _PREFIX.match(prefix):
            environ["SCRIPT_NAME"] = prefix + environ.get("SCRIPT_NAME", "")
        return self._application(environ, start_response)


def _seen_by_proxy(environ: "WSGIEnvironment") -> tuple[str, str]:
    forwarded = environ.get("HTTP_FORWARDED")
    if forwarded:
        first, _, _ = forwarded.partition(",")
        pairs = (pair.partition("=") for pair in first.split(";"))
        named = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        return named.get("proto", "").lower(), named.get("host", "")
    return (
        _first(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower(),
        _first(environ.get("HTTP_X_FORWARDED_HOST", "")),
    )


def _first(values: str) -> str:
    first, _, _ = values.partition(",")
    return first.strip()
