"""One stream to several storages at once: a thread and a bounded queue for each of them.

The second place of the agent that has threads, beside the prefetch of the pipeline: without them
the time of all storages would add up. Errors cross them unchanged.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from freezer_agent.errors import StorageError, StorageUnavailable
from freezer_agent.pipeline.streams import rechunk
from freezer_agent.storages.cutting import PIECE_BYTES

# How long to wait for storages that clean up after the stream itself has failed.
_CLEANING_SECONDS = 60.0

Write = Callable[[Iterator[bytes]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """How many pieces may wait for a storage, and after which silence it is given up."""

    queue_size: int
    stalled_seconds: float


def fan_out(chunks: Iterable[bytes], lanes: Sequence["Lane"]) -> None:
    """Give every chunk to every lane and wait until all have written or failed.

    The stream runs at the pace of the slowest lane, ahead of it by its queue. A lane that fails
    or stalls takes no more and holds up nobody. An error of `chunks` ends all lanes before it is
    raised: what they wrote is not published.
    """
    for lane in lanes:
        lane.start()
    try:
        for piece in rechunk(chunks, PIECE_BYTES):
            taken = [lane.put(piece) for lane in lanes]
            if not any(taken):
                break
    except BaseException:
        for lane in lanes:
            lane.abandon()
        for lane in lanes:
            lane.wait(_CLEANING_SECONDS)
        raise
    for lane in lanes:
        lane.finish()
    for lane in lanes:
        lane.join()


class Lane:
    """One storage's share: `write` runs in a thread of its own and draws from a queue.

    After `fan_out` either `size_bytes` or `error` is there.
    """

    def __init__(self, name: str, write: Write, limits: LaneLimits) -> None:
        self.size_bytes: int | None = None
        self.error: BaseException | None = None
        self._write = write
        self._limits = limits
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._taken = 0
        self._has_end = self._is_abandoned = self._is_done = False
        self._thread = threading.Thread(target=self._run, name=f"to-{name}", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, piece: bytes) -> bool:
        """Queue a piece; waits for room. False if this lane takes no more."""
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._is_closed or len(self._waiting) < self._limits.queue_size,
                self._limits.stalled_seconds,
            )
            if not room:
                self._give_up()
            if self._is_closed:
                return False
            self._waiting.append(piece)
            self._changed.notify_all()
        return True

    def finish(self) -> None:
        """There are no more pieces."""
        with self._changed:
            self._has_end = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """The stream has failed: what was written must not become visible."""
        with self._changed:
            self._is_abandoned = True
            self._waiting.clear()
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Give the thread time to clean up."""
        self._thread.join(seconds)

    def join(self) -> None:
        """Wait for the end of writing, as long as it gets on at all."""
        with self._changed:
            while not self._is_closed:
                before = self._taken
                self._changed.wait_for(
                    partial(self._has_moved, before), self._limits.stalled_seconds
                )
                if not self._has_moved(before):
                    self._give_up()

    def _has_moved(self, taken_before: int) -> bool:
        return self._is_closed or self._taken != taken_before

    @property
    def _is_closed(self) -> bool:
        return self._is_done or self._is_abandoned

    def _give_up(self) -> None:
        minutes = self._limits.stalled_seconds / 60
        self.error = StorageUnavailable(f"it took nothing for {minutes:.0f} minutes")
        self._is_abandoned = True
        self._waiting.clear()
        self._changed.notify_all()

    def _run(self) -> None:
        size_bytes, error = None, None
        try:
            size_bytes = self._write(self._pieces())
        except BaseException as caught:  # noqa: BLE001 - it is looked at where it belongs
            error = caught
        with self._changed:
            if not self._is_abandoned:
                self.size_bytes, self.error = size_bytes, error
            self._is_done = True
            self._waiting.clear()
            self._changed.notify_all()

    def _pieces(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._has_end or self._is_abandoned)
                if self._is_abandoned:
                    raise StreamAbandoned("the stream was given up before its end")
                if not self._waiting:
                    return
                piece = self._waiting.popleft()
                self._taken += 1
                self._changed.notify_all()
            yield piece


class StreamAbandoned(StorageError):
    """Tells a storage that the chunks which it is writing will not be complete."""
