"""One line on the terminal that tells how far a run is."""

from collections.abc import Callable
from typing import TextIO

from freezer_agent.actions.info import readable_size

_SECONDS_BETWEEN = 0.2


class ProgressLine:
    """Bytes, rate and elapsed time, written over itself a few times a second.

    `erase` leaves a clean line. Only for a terminal: its carriage returns spoil a log file.
    """

    def __init__(self, terminal: TextIO, monotonic: Callable[[], float]) -> None:
        self._terminal = terminal
        self._monotonic = monotonic
        self._began = monotonic()
        self._drawn_at = self._began
        self._total = 0
        self._expected: int | None = None
        self._width = 0
        self._count_files: Callable[[], int] | None = None

    def follow(self, count_files: Callable[[], int]) -> None:
        """Show the number of files beside the bytes."""
        self._count_files = count_files

    def add(self, size_bytes: int) -> None:
        """So many bytes more have passed."""
        self._total += size_bytes
        now = self._monotonic()
        if now - self._drawn_at >= _SECONDS_BETWEEN:
            self._drawn_at = now
            self._draw(now)

    def expect(self, size_bytes: int | None) -> None:
        """Show the part that has passed, and the time that the rest may take."""
        self._expected = size_bytes

    def erase(self) -> None:
        """Leave no trace of the line."""
        if self._width:
            self._terminal.write("\r" + " " * self._width + "\r")
            self._terminal.flush()
            self._width = 0

    def _draw(self, now: float) -> None:
        elapsed = max(now - self._began, 0.001)
        minutes, seconds = divmod(int(elapsed), 60)
        rate = readable_size(self._total / elapsed)
        files = f"  {self._count_files()} files" if self._count_files else ""
        line = f"{readable_size(self._total)}  {rate}/s{files}  {minutes}:{seconds:02d}"
        self._terminal.write("\r" + line.ljust(self._width))
        self._terminal.flush()
        self._width = len(line)
