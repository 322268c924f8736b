"""What gunicorn says, and a line for each request, as the rest of the service logs.

Neither form of a request's line has its query, which may hold names of files.
"""

import json
import os
from datetime import UTC, datetime
from typing import Any

from gunicorn.glogging import Logger

from freezer_api.http.middleware import REQUEST_ID_HEADER


class Log(Logger):  # type: ignore[misc] # the library has no type information
    """gunicorn's messages, through the handlers and in the form that the options ask for."""

    def setup(self, cfg: Any) -> None:
        """Leave out gunicorn's own handler of messages; that of requests stays."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """The parts of a line. The path is as it was sent: decoded, it may hold a line feed."""
        parts: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        path, _, _ = environ.get("RAW_URI", "").partition("?")
        return {**parts, "U": path}


class JsonLog(Log):
    """The same, with a JSON object for each request."""

    def access(self, resp: Any, _req: Any, environ: Any, request_time: Any) -> None:
        """Write the line of one request. Its query is left out: it may hold names of files."""
        if not self.access_log_enabled:
            return
        headers = {name.lower(): value for name, value in resp.headers}
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "remote": environ.get("REMOTE_ADDR", ""),
            "method": environ.get("REQUEST_METHOD", ""),
            "path": environ.get("PATH_INFO", ""),
            "status": resp.status_code,
            "bytes": resp.sent,
            "seconds": round(request_time.total_seconds(), 6),
            "agent": environ.get("HTTP_USER_AGENT", ""),
            "request_id": headers.get(REQUEST_ID_HEADER, ""),
            "pid": os.getpid(),
        }
        self.access_log.info("%s", json.dumps(line))
