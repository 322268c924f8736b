"""Make chunks ahead in a thread, while the consumer is busy with earlier ones."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator


class ConsumerLeft(Exception):
    """Ends, in the producer's thread, what nobody wants any more."""


def prefetched(
    chunks: Iterable[bytes], depth: int, left: threading.Event | None = None
) -> Iterator[bytes]:
    """The same chunks, made up to `depth` ahead by a thread.

    An error of `chunks` is raised here, unchanged, after the chunks before it. Leaving early
    closes `chunks` in its own thread and waits for that, so nothing is left running; it waits at
    most until the chunk that is being made is there. `left` is set then: see `until_left`.
    """
    if depth < 1:
        raise ValueError(f"a hand-over of depth {depth} cannot carry a chunk")
    return _handed_over(_Producer(iter(chunks), depth, left or threading.Event()))


def until_left(chunks: Iterator[bytes], left: threading.Event) -> Iterator[bytes]:
    """The chunks that are not empty; ConsumerLeft once `left` is set.

    For the source of a pipeline that is prefetched. A source that gives empty chunks while it has
    nothing to give does not hold up who leaves, although a stage makes no chunk of an empty one.
    """
    with contextlib.ExitStack() as stack:
        if hasattr(chunks, "close"):
            stack.callback(chunks.close)
        for chunk in chunks:
            if left.is_set():
                raise ConsumerLeft
            if chunk:
                yield chunk


def _handed_over(producer: "_Producer") -> Iterator[bytes]:
    producer.start()
    try:
        while (chunk := producer.take()) is not None:
            yield chunk
    finally:
        producer.stop()
    producer.raise_error()


class _Producer:
    """A thread that fills a bounded queue from an iterator; None marks its end."""

    def __init__(self, chunks: Iterator[bytes], depth: int, left: threading.Event) -> None:
        self._chunks = chunks
        self._queue: queue.Queue[bytes | None] = queue.Queue(depth)
        self._stopping = left
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self) -> bytes | None:
        return self._queue.get()

    def stop(self) -> None:
        """Tell the thread to end and wait until it has."""
        self._stopping.set()
        while self._thread.is_alive():
            # A thread that waits for room sees the flag as soon as it gets some.
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=0.05)
        self._thread.join()

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _fill(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                if hasattr(self._chunks, "close"):
                    stack.callback(self._chunks.close)
                for chunk in self._chunks:
                    self._queue.put(chunk)
                    if self._stopping.is_set():
                        return
        except BaseException as error:  # noqa: BLE001 - it is raised again where it belongs
            self._error = error
        finally:
            self._put_end()

    def _put_end(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=0.05)
                return
