"""What a run says on standard error: sentences and a progress line, or events for programs.

With --json every line is one JSON object, an event. Each has `event` and `time` (ISO 8601, UTC):

    started    action, version
    progress   bytes, expected_bytes (null if nobody knows), files (null likewise), seconds,
               bytes_per_second, seconds_left (null likewise); about one a second
    warning    text
    error      text
    finished   exit_code, seconds

More keys and more events may come; readers pass over what they do not know. The report is no
event: it goes to standard output, or where --metadata-out says.
"""

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any, TextIO

from freezer_agent.progress import ProgressLine
from freezer_agent.rate import Rate
from freezer_model.clock import Clock

_SECONDS_BETWEEN = 1.0


class Voice:
    """Sentences for people; `quiet` keeps all to itself. `progress` is whom to tell of bytes."""

    def __init__(
        self, stream: TextIO | None, monotonic: Callable[[], float], *, quiet: bool = False
    ) -> None:
        self._stream = None if quiet else stream
        self.progress: ProgressLine | None = None
        if self._stream is not None and self._stream.isatty():
            self.progress = ProgressLine(self._stream, monotonic)

    def start(self, action: str, version: str) -> None:
        """The run begins."""

    def warn(self, text: str) -> None:
        """Something that an operator should know."""
        self._say(f"warning: {text}")

    def fail(self, text: str) -> None:
        """Why the run, or a part of it, failed."""
        self._say(f"Critical Error: {text}")

    def finish(self, exit_code: int) -> None:
        """The run is over."""

    def rest(self) -> None:
        """No bytes pass any more."""
        if self.progress is not None:
            self.progress.erase()

    def _say(self, text: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.write(f"{text}\n")


class EventVoice:
    """Events for programs, one JSON object a line."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float], clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._monotonic = monotonic
        self._began = monotonic()
        self._lock = threading.Lock()
        self.progress = EventProgress(self._tell, monotonic)

    def start(self, action: str, version: str) -> None:
        """The run begins."""
        self._tell("started", action=action, version=version)

    def warn(self, text: str) -> None:
        """Something that an operator should know."""
        self._tell("warning", text=text)

    def fail(self, text: str) -> None:
        """Why the run, or a part of it, failed."""
        self._tell("error", text=text)

    def finish(self, exit_code: int) -> None:
        """The run is over."""
        seconds = round(self._monotonic() - self._began, 3)
        self._tell("finished", exit_code=exit_code, seconds=seconds)

    def rest(self) -> None:
        """No bytes pass any more."""
        self.progress.end()

    def _tell(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "time": self._clock().isoformat(), **facts})
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(line + "\n")
            self._stream.flush()


class EventProgress:
    """Tells of bytes about once a second, and once more in the end."""

    def __init__(self, tell: Callable[..., None], monotonic: Callable[[], float]) -> None:
        self._tell = tell
        self._rate = Rate(monotonic)
        self._told_seconds = 0.0
        self._count_files: Callable[[], int] | None = None
        self._stored: dict[str, int] = {}

    def follow(self, count_files: Callable[[], int]) -> None:
        """Tell the number of files too."""
        self._count_files = count_files

    def add(self, size_bytes: int) -> None:
        """So many bytes more have passed."""
        self._rate.add(size_bytes)
        if self._rate.seconds - self._told_seconds >= _SECONDS_BETWEEN:
            self._told_seconds = self._rate.seconds
            self._report()

    def stored(self, storage: str, size_bytes: int) -> None:
        """One of several storages has taken so many bytes more: told with the next progress."""
        self._stored[storage] = self._stored.get(storage, 0) + size_bytes

    def expect(self, size_bytes: int | None) -> None:
        """So many bytes will pass in all."""
        self._rate.expected_bytes = size_bytes

    def end(self) -> None:
        """The last word, if anything was said or could have been."""
        if self._rate.total_bytes:
            self._report()

    def _report(self) -> None:
        rate = self._rate
        self._tell(
            "progress",
            bytes=rate.total_bytes,
            expected_bytes=rate.expected_bytes,
            files=self._count_files() if self._count_files else None,
            seconds=round(rate.seconds, 3),
            bytes_per_second=round(rate.bytes_per_second),
            seconds_left=rate.seconds_left,
            **({"storages": dict(self._stored)} if self._stored else {}),
        )
