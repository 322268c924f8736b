"""One stream to several storages at once: a thread and a bounded queue for each of them.

Beside `prefetch` and `ahead` of the pipeline, the place of the agent that has threads: without them
the time of all storages would add up. Errors cross them unchanged.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from freezer_agent.errors import StorageError, StorageUnavailable
from freezer_agent.pipeline.streams import rechunk
from freezer_agent.storages.cutting import PIECE_BYTES
from freezer_agent.storages.overflow import Overflow

_TICK_SECONDS = 1.0

Write = Callable[[Iterator[bytes]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """How many pieces may wait for a storage in memory and how many bytes in a file behind it.

    One that takes nothing for `stalled_seconds` is given up. The first to have the whole stream
    waits for the others for `grace_seconds`. `cleaning_seconds` is for storages that remove what
    they have of a stream that failed.
    """

    queue_size: int
    stalled_seconds: float
    spool_bytes: int = 0
    grace_seconds: float = 5.0
    cleaning_seconds: float = 60.0


def fan_out(chunks: Iterable[bytes], lanes: Sequence["Lane"]) -> None:
    """Give every chunk to every lane; `ends` waits until they have written it.

    The stream runs ahead of the slowest lane by its queue and by its file. A lane that fails or
    stalls takes no more and holds up nobody. An error of `chunks` ends all lanes before it is
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
        stop(lanes)
        raise
    for lane in lanes:
        lane.finish()


def ends(lanes: Sequence["Lane"], ended: threading.Condition) -> Iterator[float]:
    """Wait until all lanes have written or failed, and come back for a moment once a second.

    Yields how many seconds that was at most. A lane that does not get on is given up.
    """
    while waiting := [lane for lane in lanes if not lane.is_closed]:
        tick_seconds = min([_TICK_SECONDS, *(lane.limits.stalled_seconds for lane in waiting)])
        with ended:
            ended.wait_for(lambda: any(lane.is_closed for lane in waiting), tick_seconds)
        for lane in waiting:
            lane.give_up_if_stalled(tick_seconds)
        yield tick_seconds


def stop(lanes: Sequence["Lane"]) -> None:
    """The rest of the stream will not come: what was written must not become visible."""
    for lane in lanes:
        lane.abandon()
    for lane in lanes:
        lane.wait()


class Lane:
    """One storage's share: `write` runs in a thread of its own and draws from a queue.

    At its end either `size_bytes` or `error` is there, and `ended` is notified.
    """

    def __init__(
        self, name: str, write: Write, limits: LaneLimits, ended: threading.Condition
    ) -> None:
        self.size_bytes: int | None = None
        self.error: BaseException | None = None
        self.limits = limits
        self._write = write
        self._waiting: deque[bytes] = deque()
        self._overflow = Overflow(limits.spool_bytes)
        self._changed = threading.Condition()
        self._ended = ended
        self._taken = self._taken_before = 0
        self._silent_seconds = 0.0
        self._has_end = self._is_abandoned = self._is_done = False
        self._thread = threading.Thread(target=self._run, name=f"to-{name}", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, piece: bytes) -> bool:
        """Queue a piece; waits for room. False if this lane takes no more."""
        with self._changed:
            room = self._changed.wait_for(
                lambda: self.is_closed or self._queue(piece), self.limits.stalled_seconds
            )
            if not room:
                self._give_up()
            return not self.is_closed

    def finish(self) -> None:
        """There are no more pieces."""
        with self._changed:
            self._has_end = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """The stream has failed: what was written must not become visible."""
        with self._changed:
            self._is_abandoned = True
            self._clear()

    def wait(self) -> None:
        """Give the thread time to clean up."""
        self._thread.join(self.limits.cleaning_seconds)

    def give_up_if_stalled(self, seconds: float) -> None:
        """So many seconds have passed since the last call; too many without any movement end it."""
        with self._changed:
            has_moved = self._taken != self._taken_before
            self._silent_seconds = 0.0 if has_moved else self._silent_seconds + seconds
            self._taken_before = self._taken
            if not self.is_closed and self._silent_seconds >= self.limits.stalled_seconds:
                self._give_up()

    @property
    def is_done(self) -> bool:
        """Whether its thread has nothing more to do with the storage."""
        return self._is_done

    @property
    def is_closed(self) -> bool:
        """Whether it is over, for good or bad."""
        return self._is_done or self._is_abandoned

    def _queue(self, piece: bytes) -> bool:
        # What is in the file is younger than what is in memory, and older than the piece.
        if not self._overflow and len(self._waiting) < self.limits.queue_size:
            self._waiting.append(piece)
        elif not self._overflow.put(piece):
            return False
        self._changed.notify_all()
        return True

    def _give_up(self) -> None:
        seconds = self.limits.stalled_seconds
        told = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
        self.error = StorageUnavailable(f"it took nothing for {told}")
        self._is_abandoned = True
        self._clear()

    def _clear(self) -> None:
        self._waiting.clear()
        self._overflow.close()
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
            self._clear()
        with self._ended:
            self._ended.notify_all()

    def _pieces(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._overflow or self._has_end or self._is_abandoned
                )
                if self._is_abandoned:
                    raise StreamAbandoned("the stream was given up before its end")
                if not (self._waiting or self._overflow):
                    return
                piece = self._waiting.popleft() if self._waiting else self._overflow.take()
                self._taken += 1
                self._changed.notify_all()
            yield piece


class StreamAbandoned(StorageError):
    """Tells a storage that the chunks which it is writing will not be complete."""
