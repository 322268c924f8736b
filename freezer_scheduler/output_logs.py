"""What agents say, kept in a private log file for each job: bounded, rotated, without secrets.

The end of it goes into the result of a run; an operator who needs the rest finds it here.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from freezer_model.clock import Clock

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""A file that has grown so far becomes the older one, `.1`, and the one before that goes."""
KEPT_DAYS = 90
"""Files that nothing was written into for so long go: their jobs have gone, too."""

_MOST_LINE_BYTES = 16 << 10
_SECRET_KEY = re.compile(r"(password|secret|secret[_-]key|access[_-]key|token)$", re.IGNORECASE)
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, as they are and as JSON spells them."""
    spellings = {spelling for text in secrets for spelling in (text, json.dumps(text)[1:-1])}
    for spelling in sorted(spellings, key=len, reverse=True):
        if spelling:
            text = text.replace(spelling, "***")
    return text


def secrets_of(freezer_action: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of an action that its log must not show."""
    return tuple(
        str(value)
        for key, value in freezer_action.items()
        if _SECRET_KEY.search(key) and value not in (None, "")
    )


class OutputLog:
    """The log of one job. A file that cannot be written costs a warning, never the run."""

    def __init__(self, path: Path | None, *, clock: Clock, secrets: Iterable[str] = ()) -> None:
        """No path: nothing is kept."""
        self._path = path
        self._clock = clock
        self._secrets = tuple(secrets)
        self._part = b""
        self._too_long = False

    def begin(self, freezer_action: Mapping[str, Any]) -> None:
        """Head what follows with the time and the action; hide its secrets from now on."""
        self._secrets += secrets_of(freezer_action)
        name = str(freezer_action.get("action") or "backup")
        self._append([f"--- {self._now()} {self.mask(name)} begins"])

    def take(self, chunk: bytes) -> None:
        """Write the lines of the chunk; the last may be unfinished and is kept for the next."""
        *whole, rest = chunk.split(b"\n")
        lines = []
        for piece in whole:
            lines.append(self._line(piece))
            self._part, self._too_long = b"", False
        if not self._too_long:
            self._part += rest
            self._too_long = len(self._part) > _MOST_LINE_BYTES
        self._append(lines)

    def _line(self, piece: bytes) -> str:
        line = self._part if self._too_long else self._part + piece
        # Cut, but not written in two parts: a secret that lies across them would be seen.
        cut = len(line) > _MOST_LINE_BYTES
        text = self.mask(line.decode("utf-8", "replace"))
        return f"{text[: _MOST_LINE_BYTES // 2]} [...]" if cut else text

    def end(self, exit_code: int | None) -> None:
        """Write what is unfinished, and how the agent ended."""
        if self._part:
            self.take(b"\n")
        self._append([f"--- {self._now()} ended with {exit_code}"])

    def mask(self, text: str) -> str:
        """The text as it may be shown."""
        return masked(text, self._secrets)

    def _append(self, lines: list[str]) -> None:
        if self._path is None or not lines:
            return
        try:
            _make_room(self._path)
            with os.fdopen(_opened(self._path), "a", encoding="utf-8", errors="replace") as file:
                file.writelines(f"{line.rstrip()}\n" for line in lines)
        except OSError as error:
            log.warning("The output of the agent is not kept in %s: %s", self._path, error.strerror)
            self._path = None

    def _now(self) -> str:
        return self._clock().astimezone().isoformat(" ", "seconds")


class OutputLogs:
    """The logs of all jobs, in a directory that only its owner may read."""

    def __init__(self, directory: Path, *, clock: Clock, secrets: Iterable[str] = ()) -> None:
        self._directory = directory
        self._clock = clock
        self._secrets = tuple(secrets)
        self._is_ready = False

    def of(self, job_id: str) -> OutputLog:
        """The log of this job."""
        path: Path | None = self._directory / f"{_file_name(job_id)}.log"
        try:
            if not self._is_ready:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._directory.chmod(0o700)
                self._remove_old()
                self._is_ready = True
        except OSError as error:
            log.warning("No output is kept in %s: %s", self._directory, error.strerror)
            path = None
        return OutputLog(path, clock=self._clock, secrets=self._secrets)

    def _remove_old(self) -> None:
        limit = self._clock().timestamp() - KEPT_DAYS * 86400
        for path in self._directory.iterdir():
            if path.suffix in (".log", ".1") and path.lstat().st_mtime < limit:
                path.unlink(missing_ok=True)


def _file_name(job_id: str) -> str:
    """A job's id comes from the API: it must not lead out of the directory."""
    if _SAFE_NAME.fullmatch(job_id):
        return job_id
    return "job-" + hashlib.sha256(job_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _opened(path: Path) -> int:
    # A link that somebody left there is not followed.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def _make_room(path: Path) -> None:
    try:
        size = path.lstat().st_size
    except FileNotFoundError:
        return
    if size >= MOST_BYTES:
        path.replace(path.with_suffix(".log.1"))
