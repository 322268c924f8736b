"""One line on the terminal that tells how far a run is, and one for each of several storages."""

import threading
from collections.abc import Callable
from typing import TextIO

from freezer_agent.actions.info import readable_size
from freezer_agent.rate import Rate

_SECONDS_BETWEEN = 0.2
_CLEAR_BELOW = "\x1b[J"


class ProgressLine:
    """Bytes, rate, elapsed time and what is left, written over itself a few times a second.

    Below it stands a line for each storage that told what it has taken. `erase` leaves a clean
    line. Only for a terminal: its carriage returns spoil a log file.
    """

    def __init__(self, terminal: TextIO, monotonic: Callable[[], float]) -> None:
        self._terminal = terminal
        self._rate = Rate(monotonic)
        self._drawn_seconds = 0.0
        self._width = 0
        self._stored: dict[str, int] = {}
        self._count_files: Callable[[], int] | None = None
        self._drawing = threading.Lock()

    def follow(self, count_files: Callable[[], int]) -> None:
        """Show the number of files beside the bytes."""
        self._count_files = count_files

    def add(self, size_bytes: int) -> None:
        """So many bytes more have passed."""
        with self._drawing:
            self._rate.add(size_bytes)
            self._draw_if_due()

    def stored(self, storage: str, size_bytes: int) -> None:
        """One of several storages has taken so many bytes more."""
        with self._drawing:
            self._rate.add(0)  # time has passed
            self._stored[storage] = self._stored.get(storage, 0) + size_bytes
            self._draw_if_due()

    def expect(self, size_bytes: int | None) -> None:
        """Show the part that has passed, and the time that the rest may take."""
        self._rate.expected_bytes = size_bytes

    def erase(self) -> None:
        """Leave no trace of the line."""
        if self._width and self._stored:
            self._terminal.write(f"\r{_CLEAR_BELOW}")
        elif self._width:
            self._terminal.write("\r" + " " * self._width + "\r")
        self._terminal.flush()
        self._width = 0

    def _draw_if_due(self) -> None:
        if self._rate.seconds - self._drawn_seconds >= _SECONDS_BETWEEN:
            self._drawn_seconds = self._rate.seconds
            self._draw()

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
        if self._stored:
            # The cursor goes back up to the first line, where the next drawing begins.
            lines = [line, *map(self._of_storage, self._stored)]
            below = f"\x1b[{len(lines) - 1}A\r"
            self._terminal.write(f"\r{_CLEAR_BELOW}" + "\n".join(lines) + below)
        else:
            self._terminal.write("\r" + line.ljust(self._width))
        self._terminal.flush()
        self._width = len(line)

    def _of_storage(self, name: str) -> str:
        taken, seconds = self._stored[name], max(self._rate.seconds, 0.001)
        return f"  {name}  {readable_size(taken)}  {readable_size(taken / seconds)}/s"


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
