"""Simulated time: one real thread, in which everything that would wait steps aside.

Each simulated thread is a greenlet, so that the real code of the scheduler, which blocks, runs as it
is. What happens at one instant happens in the order in which it was asked for: a run of the same
seed is the same to the letter.
"""

import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import greenlet

from freezer_scheduler.timetable import Threads

_TICK = timedelta(microseconds=1)


class Killed(BaseException):
    """The machine that this thread ran on has lost its power."""


@dataclass(eq=False)
class Life:
    """The threads of one machine from one start to its end."""

    alive: bool = True
    threads: list[greenlet.greenlet] = field(default_factory=list)


@dataclass(eq=False)
class _Wake:
    """An instant at which something goes on, unless it was called off."""

    go_on: Callable[[], object] | None


class Loop:
    """The world's clock and its only real thread."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self._start = start
        self._order = itertools.count()
        self._due: list[tuple[datetime, int, _Wake]] = []
        self._hub = greenlet.getcurrent()
        self._life_of: dict[greenlet.greenlet, Life] = {}

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return (self.now - self._start).total_seconds()

    def run_until(self, end: datetime) -> None:
        """Let everything happen until then."""
        while self._due and self._due[0][0] <= end:
            at, _, wake = heapq.heappop(self._due)
            if wake.go_on is None:
                continue
            self.now = at
            wake.go_on()
        self.now = end

    def at(self, instant: datetime, act: Callable[[], object]) -> _Wake:
        """Call it then, outside of any thread."""
        wake = _Wake(act)
        heapq.heappush(self._due, (max(instant, self.now), next(self._order), wake))
        return wake

    def after(self, seconds: float, act: Callable[[], object]) -> _Wake:
        """Call it after so many seconds."""
        # Less than a microsecond would be none, and who waits for the rest of it waits for ever.
        length = timedelta(seconds=seconds)
        return self.at(self.now + (length if seconds <= 0 else max(length, _TICK)), act)

    def start_thread(self, life: Life, work: Callable[[], object]) -> None:
        """Let a thread of this machine begin at the present instant."""

        def body() -> None:
            try:
                work()
            except Killed:
                pass
            finally:
                self._life_of.pop(thread, None)
                if thread in life.threads:
                    life.threads.remove(thread)

        thread = greenlet.greenlet(body, self._hub)
        life.threads.append(thread)
        self._life_of[thread] = life
        self.after(0, lambda: self._resume(thread))

    def sleep(self, seconds: float) -> None:
        """Let others go on for so long."""
        self.wait(Bell(), seconds)

    def wait(self, bell: "Bell", seconds: float | None) -> bool:
        """Let others go on until the bell rings or the time is over; whether it rang."""
        thread = greenlet.getcurrent()
        self._end_if_dead(thread)
        if bell.take():
            return True
        wake = None if seconds is None else self.after(seconds, lambda: self._resume(thread))
        bell.waiting = lambda: self.after(0, lambda: self._resume(thread))
        self._hub.switch()
        bell.waiting = None
        if wake is not None:
            wake.go_on = None
        self._end_if_dead(thread)
        return bell.take()

    def kill(self, life: Life) -> None:
        """No thread of it does anything any more: what it has opened must be cut off before.

        The latest end first, since the first one, the scheduler's own, waits for the others.
        """
        life.alive = False
        present = greenlet.getcurrent()
        if present in life.threads[1:]:
            # It ends itself, before all others.
            self.after(0, lambda: self.kill(life))
            return
        for thread in reversed(list(life.threads)):
            if thread is present:
                continue  # The first one: it ends itself, after all others.
            if thread:
                thread.parent = present
                thread.throw(Killed)
            self._life_of.pop(thread, None)

    def _end_if_dead(self, thread: greenlet.greenlet) -> None:
        life = self._life_of.get(thread)
        if life is not None and not life.alive:
            raise Killed

    def _resume(self, thread: greenlet.greenlet) -> None:
        life = self._life_of.get(thread)
        if not thread.dead and life is not None and life.alive:
            thread.switch()


class Bell:
    """Ends a wait, or the next one."""

    def __init__(self) -> None:
        self.waiting: Callable[[], object] | None = None
        self._rung = False

    def ring(self) -> None:
        """Whoever waits goes on."""
        if not self._rung and self.waiting is not None:
            self.waiting()
        self._rung = True

    def take(self) -> bool:
        """Whether it rang since the last call."""
        rung, self._rung = self._rung, False
        return rung


class OneAtATime:
    """A lock whose holder may step aside; who waits for it steps aside as well."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._held = False

    def __enter__(self) -> None:
        while self._held:
            self._loop.sleep(1)
        self._held = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held = False


class Places:
    """So many may be inside at once; the others wait in a row."""

    def __init__(self, loop: Loop, count: int) -> None:
        self._loop = loop
        self._free = count
        self._waiting: list[Bell] = []

    def __enter__(self) -> None:
        if self._free:
            self._free -= 1
            return
        bell = Bell()
        self._waiting.append(bell)
        self._loop.wait(bell, None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._waiting:
            self._waiting.pop(0).ring()  # It has the place of the one that leaves.
        else:
            self._free += 1


class _Pool(Executor):
    def __init__(self, loop: Loop, life: Life) -> None:
        self._loop = loop
        self._life = life

    def submit(self, work: Callable[..., Any], /, *args: Any, **names: Any) -> Future[Any]:
        if self._life.alive:
            self._loop.start_thread(self._life, lambda: work(*args, **names))
        return Future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's
        """Nothing to release."""


class _Timer:
    def __init__(self, loop: Loop, life: Life, watch: Callable[[], None]) -> None:
        self._begin = lambda: loop.start_thread(life, watch)

    def start(self) -> None:
        self._begin()

    def is_alive(self) -> bool:
        """Nobody needs to wait for it."""
        return False


class _Condition:
    """There is one real thread: what is between two waits is undivided."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._bell = Bell()

    def __enter__(self) -> bool:
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held."""

    def wait(self, timeout: float | None = None) -> bool:
        return self._loop.wait(self._bell, timeout)

    def wait_for(self, holds: Callable[[], bool], timeout: float | None = None) -> bool:
        until = None if timeout is None else self._loop.monotonic() + timeout
        while not holds():
            rest = None if until is None else until - self._loop.monotonic()
            if rest is not None and rest <= 0:
                return False
            self.wait(rest)
        return True

    def notify_all(self) -> None:
        self._bell.ring()


class SimulatedThreads(Threads):
    """What a timetable of this life runs on."""

    longest_sleep_seconds = 6 * 3600.0

    def __init__(self, loop: Loop, life: Life) -> None:
        self._loop = loop
        self._life = life

    def pool(self) -> Executor:
        return _Pool(self._loop, self._life)

    def timer(self, watch: Callable[[], None]) -> Any:
        return _Timer(self._loop, self._life, watch)

    def condition(self, lock: object = None) -> Any:
        del lock
        return _Condition(self._loop)
