"""Work that is begun now, in a thread, and waited for where its result is needed."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def begun(work: Callable[[], Result]) -> Callable[[], Result]:
    """Start `work`; what is returned waits for its result, or raises its error, unchanged.

    Work that nobody waits for is still done before the process ends.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # not every run needs it

    pool = ThreadPoolExecutor(1, "ahead")
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future.result


def side_by_side(
    work: Callable[[Argument], Result], arguments: Iterable[Argument], at_once: int
) -> Iterator[Result]:
    """The results in the order of the arguments, a few worked on at a time.

    The first error is raised in its turn, when what had begun has ended; the rest is not begun.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # not every run needs it

    with ThreadPoolExecutor(at_once, "ahead") as pool:
        try:
            yield from pool.map(work, arguments)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
