"""GET /healthcheck: whether this process lives. GET /healthcheck/ready: whether it can serve."""

import threading
from collections.abc import Callable
from pathlib import Path

import falcon

from freezer_api.http.errors import Answer, write_error
from freezer_api.store.base import DocumentStore

LOOK_SECONDS = 1.0
"""How long one look at the store answers for: the route is open to everybody, and a crowd that
asks it must cost the store nothing."""

RETRY_AFTER_SECONDS = 5

_NOT_READY = Answer(503, "Service Unavailable")


class Liveness:
    """Lives as long as the process does, and until the operator puts a file in the way."""

    def __init__(self, disabled_by: Path) -> None:
        self._disabled_by = disabled_by

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 OK, or 503 while the file is there."""
        resp.content_type = falcon.MEDIA_TEXT
        if self._disabled_by.exists():
            resp.status = falcon.HTTP_503
            resp.text = "DISABLED BY FILE"
        else:
            resp.text = "OK"

    on_head = on_get


class Readiness:
    """Whether requests can be answered now: the store can be reached and has been made.

    `seconds` is a clock that only grows.
    """

    def __init__(
        self, store: DocumentStore, disabled_by: Path, seconds: Callable[[], float]
    ) -> None:
        self._store = store
        self._disabled_by = disabled_by
        self._seconds = seconds
        self._turn = threading.Lock()
        self._ready = False
        self._looked_at: float | None = None

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200, or 503 with the reason and with Retry-After."""
        reason = self._reason()
        if reason is None:
            resp.media = {"status": "ready"}
            return
        resp.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        write_error(resp, _NOT_READY, reason)

    on_head = on_get

    def _reason(self) -> str | None:
        if self._disabled_by.exists():
            return "The operator has taken this node out of service with a file"
        if not self._store_is_ready():
            # No names of hosts or files: strangers may read this. The log tells the operator.
            return "The document store cannot be reached now, or has not been made"
        return None

    def _store_is_ready(self) -> bool:
        """One thread looks, at most once per LOOK_SECONDS; the others get what it found."""
        with self._turn:
            now = self._seconds()
            if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
                self._ready = self._store.ready()
                # After the look, which may have taken until the time-out of the store.
                self._looked_at = self._seconds()
            return self._ready
