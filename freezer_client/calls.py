"""One call of the API: tries again what may pass, turns an error status into an error."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from freezer_client.errors import ApiRefused, ApiUnavailable, refusal
from freezer_client.session import ApiSession, Reply
from freezer_model.clock import Clock

log = logging.getLogger(__name__)

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
"""Pauses double from the first; a Retry-After of the server counts instead, and one
that is longer than the longest ends the call."""

PATIENCE_SECONDS = 60.0
"""After this nothing is tried again: an API that hangs takes a minute for each request."""

_MAY_PASS = frozenset({429, 502, 503, 504})


class Calls:
    """Sends requests through an ApiSession. Safe to use from several threads if the session is."""

    def __init__(
        self,
        session: ApiSession,
        *,
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
        now: Clock,
        attempts: int = ATTEMPTS,
    ) -> None:
        """`jitter` returns numbers from 0 to 1: pauses are cut by up to a half with them."""
        self._session = session
        self._sleep = sleep
        self._jitter = jitter
        self._now = now
        self._attempts = attempts

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Any:
        """The document of the answer, None if it is empty.

        `repeatable` says that doing it twice is as good as once. Such a call is tried again when
        the connection fails and on 429, 502, 503 and 504; any other call only on 429, where the
        server promises that it did nothing. Raises ApiUnavailable and ApiRefused.
        """
        return self._tried(method, path, body, query, {}, repeatable=repeatable).document()

    def fetch(
        self, path: str, *, body: Any, query: Mapping[str, str], known_tag: str | None
    ) -> Reply:
        """The whole answer of a GET, in which status 304 says that `known_tag` still holds.

        Without a known tag that cannot be. Tries again and raises as `send`.
        """
        headers = {"If-None-Match": known_tag} if known_tag else {}
        return self._tried("GET", path, body, query, headers, repeatable=True)

    def _tried(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        *,
        repeatable: bool,
    ) -> Reply:
        started_at = self._now()
        answer_lost = False
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._once(method, path, body, query, headers)
            except ApiRefused as error:
                error.after_lost_answer = answer_lost
                raise
            except ApiUnavailable as error:
                nothing_done = error.status == 429
                if attempt >= self._attempts or not error.may_pass:
                    raise
                if (self._now() - started_at).total_seconds() > PATIENCE_SECONDS:
                    raise
                if not repeatable and not nothing_done:
                    raise
                if (error.retry_after_seconds or 0.0) > LONGEST_PAUSE_SECONDS:
                    raise  # Not before the server wants it, and nobody waits here for so long.
                answer_lost = answer_lost or not nothing_done
                pause = self._pause(attempt, error.retry_after_seconds)
                log.info("%s; trying again in %.1f s", error, pause)
                self._sleep(pause)

    def _once(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> Reply:
        doing = f"{method} {path}"
        reply = self._session.send(method, path, body=body, query=query, headers=headers)
        if reply.status == 304 and headers:
            return reply
        if reply.status in _MAY_PASS:
            raise ApiUnavailable(
                doing,
                _said(reply)[1] or f"HTTP {reply.status}",
                status=reply.status,
                retry_after_seconds=_retry_after(reply, self._now()),
            )
        # A 404 in HTML is somebody else's: it must not look like a document that is gone.
        if reply.status >= 400 and (reply.status != 404 or _is_readable(reply)):
            raise refusal(doing, reply.status, *_said(reply))
        if reply.status < 300 and _is_readable(reply):
            return reply
        raise ApiUnavailable(
            doing,
            f"what answers there (HTTP {reply.status}) is no Freezer API; check its URL",
            may_pass=False,
            status=reply.status,
        )

    def _pause(self, attempt: int, asked: float | None) -> float:
        if asked is not None:
            return asked
        longest = min(FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
        return longest * (1 - self._jitter() / 2)


def _is_readable(reply: Reply) -> bool:
    try:
        reply.document()
    except ValueError:
        return False
    return True


def _said(reply: Reply) -> tuple[str, str]:
    """Title and description of an error answer, whatever its form."""
    try:
        document = reply.document()
    except ValueError:
        # Proxies answer in HTML, which helps nobody.
        return "", ""
    if not isinstance(document, Mapping):
        return "", ""
    inner = document.get("error")
    if isinstance(inner, Mapping):
        return str(inner.get("title") or ""), str(inner.get("message") or "")
    return str(document.get("title") or ""), str(document.get("description") or "")


def _retry_after(reply: Reply, now: datetime) -> float | None:
    """The seconds of a Retry-After header: a number or a date; None if absent or unreadable."""
    text = reply.header("Retry-After").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(float(seconds), 0.0)
