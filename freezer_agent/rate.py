"""How fast bytes pass, and how long the rest may take."""

from collections.abc import Callable


class Rate:
    """Counts bytes against a clock that only goes forward."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = monotonic()
        self.seconds = 0.0
        self.total_bytes = 0
        self.expected_bytes: int | None = None

    def add(self, size_bytes: int) -> None:
        """So many bytes more have passed."""
        self.total_bytes += size_bytes
        self.seconds = self._monotonic() - self._began

    @property
    def bytes_per_second(self) -> float:
        """Over the whole time so far."""
        return self.total_bytes / max(self.seconds, 0.001)

    @property
    def seconds_left(self) -> int | None:
        """At the same rate; None if nobody knows how much comes, or nothing came yet."""
        if self.expected_bytes is None or not self.total_bytes:
            return None
        return round(max(self.expected_bytes - self.total_bytes, 0) / self.bytes_per_second)
