"""One line on the terminal that tells how far a run is."""

from collections.abc import Callable
from typing import TextIO

from freezer_agent.actions.info import readable_size
from freezer_agent.rate import Rate

_SECONDS_BETWEEN = 0.2


class ProgressLine:
    """Bytes, rate, elapsed time and what is left, written over itself a few times a second.

    `erase` leaves a clean line. Only for a terminal: its carriage returns spoil a log file.
    """

    def __init__(self, terminal: TextIO, monotonic: Callable[[], float]) -> None:
        self._terminal = terminal
        self._rate = Rate(monotonic)
        self._drawn_seconds = 0.0
        self._width = 0
        self._count_files: Callable[[], int] | None = None

    def follow(self, count_files: Callable[[], int]) -> None:
        """Show the number of files beside the bytes."""
        self._count_files = count_files

    def add(self, size_bytes: int) -> None:
        """So many bytes more have passed."""
        self._rate.add(size_bytes)
        if self._rate.seconds - self._drawn_seconds >= _SECONDS_BETWEEN:
            self._drawn_seconds = self._rate.seconds
            self._draw()

    def expect(self, size_bytes: int | None) -> None:
        """Show the part that has passed, and the time that the rest may take."""
        self._rate.expected_bytes = size_bytes

    def erase(self) -> None:
        """Leave no trace of the line."""
        if self._width:
            self._terminal.write("\r" + " " * self._width + "\r")
            self._terminal.flush()
            self._width = 0

    def _draw(self) -> None:
        rate = self._rate
        parts = [readable_size(rate.total_bytes)]
        if rate.expected_bytes:
            share = min(rate.total_bytes / rate.expected_bytes, 1)
            parts[0] += f" of {readable_size(rate.expected_bytes)} ({share:.0%})"
        parts.append(f"{readable_size(rate.bytes_per_second)}/s")
        if self._count_files:
            parts.append(f"{self._count_files()} files")
        parts.append(_clock_face(rate.seconds))
        if rate.seconds_left is not None:
            parts.append(f"{_clock_face(rate.seconds_left)} left")
        line = "  ".join(parts)
        self._terminal.write("\r" + line.ljust(self._width))
        self._terminal.flush()
        self._width = len(line)


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
