"""When which job is due, and a thread for each run.

The library's own scheduler loses a firing that falls into a run of the same job, drops one that
the machine slept through, and sleeps by a clock that stands still while the machine is suspended.
This one needs a dictionary and a thread: it looks at the wall clock at least every half minute.
"""

import hashlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from freezer_model.clock import Clock, utc_now
from freezer_model.schedule import CatchUp, Schedule
from freezer_scheduler.triggers import MISFIRE_GRACE, SKIP_TOLERANCE, Trigger, trigger_for

LOG = logging.getLogger(__name__)

_CLOSE_TIMEOUT_SECONDS = 5.0
_MOST_THREADS = 200


@dataclass(frozen=True, slots=True)
class _Armed:
    """A job's next instant by its schedule, and when it really starts."""

    trigger: Trigger
    due_at: datetime
    fires_at: datetime
    schedule: Schedule

    @property
    def waits_for_run(self) -> bool:
        """Whether an instant that falls into a run is to wait for its end."""
        return self.schedule.catch_up is CatchUp.ALL


class Threads:
    """What a scheduler runs on: threads of the system. A simulation has others."""

    longest_sleep_seconds = 30.0
    """After so long the timer looks at the clock again: it may have been set, or the machine slept."""

    def pool(self) -> Executor:
        """Where the runs run."""
        return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="freezer-job")

    def timer(self, watch: Callable[[], None]) -> threading.Thread:
        """The thread that looks at the clock; not started."""
        return threading.Thread(target=watch, name="freezer-timetable", daemon=True)

    def condition(self, lock: "threading.RLock | None" = None) -> threading.Condition:
        """What threads wait on that hold this lock, or one of its own."""
        return threading.Condition(lock)


class Timetable:
    """Calls `run(job_id)` on a worker thread whenever the job is due, never twice at once for one.

    Firings that fall into a run, and those that are late because the machine slept, become one run
    by the catch-up rule `once`; only the last one of a schedule is dropped when it is more than an
    hour late. By `skip` they are left out, by `all` each becomes a run of its own after the other.
    An exception of `run` is logged and ends that run only. All methods may be called from any
    thread.
    """

    def __init__(
        self,
        run: Callable[[str], None],
        *,
        clock: Clock = utc_now,
        threads: Threads | None = None,
    ) -> None:
        self._run = run
        self._clock = clock
        threads = threads or Threads()
        self._longest_sleep_seconds = threads.longest_sleep_seconds
        self._pool = threads.pool()
        self._timer = threads.timer(self._watch)
        self._changed = threads.condition()
        self._armed: dict[str, _Armed] = {}
        self._exhausted: dict[str, Schedule] = {}
        self._running: dict[str, datetime] = {}
        self._again: dict[str, _Armed] = {}
        self._wake_at: datetime | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to fire. Once in the life of a timetable, and after any fork."""
        self._timer.start()

    def arm(
        self, job_id: str, schedule: Schedule, last_run_at: datetime | None = None
    ) -> datetime | None:
        """Let the job run by this schedule from now on, in place of an earlier one.

        Returns the next instant, None when there will be none; a run that goes on goes on. A
        schedule that was found to be exhausted is not searched again until the job is disarmed.
        Raises InvalidDocument for a schedule that the library refuses; the job is then not armed.
        """
        if self._exhausted.get(job_id) == schedule:
            return None
        self._forget(job_id)
        now = self._clock()
        trigger = trigger_for(schedule, now=now, last_run_at=last_run_at)
        due_at = trigger.get_next_fire_time(None, now)
        with self._changed:
            if due_at is None:
                self._exhausted[job_id] = schedule
                return None
            self._put(job_id, _armed(job_id, trigger, due_at, schedule))
        return due_at

    def disarm(self, job_id: str) -> None:
        """Let the job not start again. A run that goes on goes on; unknown jobs are fine."""
        self._forget(job_id)
        with self._changed:
            self._again.pop(job_id, None)

    def serve(self, job_id: str, *, until: datetime) -> None:
        """The run that goes on counts for the instants until then that fell into it.

        So a job that waited for others does not run a second time for the instant they met at.
        """
        with self._changed:
            again = self._again.get(job_id)
            if again is not None and again.due_at <= until:
                del self._again[job_id]

    def next_run_at(self, job_id: str) -> datetime | None:
        """When the job is due next: None if it is exhausted or not armed.

        An instant that fell into the run that goes on still counts, for its run is to come.
        """
        with self._changed:
            if job_id in self._again:
                return self._again[job_id].due_at
            armed = self._armed.get(job_id)
        return None if armed is None else armed.due_at

    def due_of_run(self, job_id: str) -> datetime | None:
        """The instant for which the run that goes on was due."""
        with self._changed:
            return self._running.get(job_id)

    def close(self) -> None:
        """Fire no more. Does not wait for runs that go on."""
        with self._changed:
            self._closed = True
            self._again.clear()
            self._changed.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._timer.is_alive() and threading.current_thread() is not self._timer:
            self._timer.join(_CLOSE_TIMEOUT_SECONDS)

    def _forget(self, job_id: str) -> None:
        with self._changed:
            self._armed.pop(job_id, None)
            self._exhausted.pop(job_id, None)

    def _put(self, job_id: str, armed: _Armed) -> None:
        self._armed[job_id] = armed
        if self._wake_at is None or armed.fires_at < self._wake_at:
            self._changed.notify_all()

    def _watch(self) -> None:
        while (due := self._wait_for_due()) is not None:
            for job_id, armed in due.items():
                self._advance(job_id, armed)

    def _wait_for_due(self) -> dict[str, _Armed] | None:
        """The jobs that are due, as soon as there are some; None when the timetable is closed."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                waiting = {
                    job: armed
                    for job, armed in self._armed.items()
                    if not (armed.waits_for_run and job in self._running)
                }
                due = {job: armed for job, armed in waiting.items() if armed.fires_at <= now}
                if due:
                    return due
                self._wake_at = min((armed.fires_at for armed in waiting.values()), default=None)
                seconds = self._longest_sleep_seconds
                if self._wake_at is not None:
                    seconds = min(seconds, (self._wake_at - now).total_seconds())
                self._changed.wait(seconds)
            return None

    def _advance(self, job_id: str, armed: _Armed) -> None:
        """Fire a job that is due and find its next instant, which may take a while: no lock."""
        now = self._clock()
        try:
            next_at = armed.trigger.get_next_fire_time(armed.due_at, now)
        except Exception:
            LOG.exception("The next time of job %s cannot be found; this is its last run", job_id)
            next_at = None
        with self._changed:
            if self._armed.get(job_id) is not armed:
                return  # Disarmed or armed anew in the meantime.
            if next_at is None:
                del self._armed[job_id]
            else:
                self._armed[job_id] = _armed(job_id, armed.trigger, next_at, armed.schedule)
            if _is_too_late(armed, now, is_last=next_at is None):
                LOG.warning("Job %s was due at %s: too late for it now", job_id, armed.due_at)
                return
            self._fire(job_id, armed)

    def _fire(self, job_id: str, armed: _Armed) -> None:
        """Start a run, or note that one is wanted after the present one. Needs the lock."""
        if self._closed:
            return
        if job_id in self._running:
            if armed.schedule.catch_up is not CatchUp.SKIP:
                self._again[job_id] = armed
            return
        self._running[job_id] = armed.due_at
        try:
            self._pool.submit(self._work, job_id)
        except RuntimeError:
            del self._running[job_id]
            LOG.exception("No thread could be started for job %s; this run is left out", job_id)

    def _work(self, job_id: str) -> None:
        try:
            self._run(job_id)
        except Exception:
            LOG.exception("The run of job %s failed unexpectedly", job_id)
        finally:
            with self._changed:
                del self._running[job_id]
                again = self._again.pop(job_id, None)
                if again is not None:
                    self._fire(job_id, again)
                # One that waited for the end of this run may be due.
                self._changed.notify_all()


def _armed(job_id: str, trigger: Trigger, due_at: datetime, schedule: Schedule) -> _Armed:
    """The start is put off by chance, but by the same chance after a restart."""
    fires_at = due_at
    if schedule.jitter:
        seed = hashlib.sha256(f"{job_id} {due_at.timestamp()}".encode()).digest()
        fires_at += schedule.jitter * (int.from_bytes(seed[:8], "big") / 2**64)
    return _Armed(trigger, due_at, fires_at, schedule)


def _is_too_late(armed: _Armed, now: datetime, *, is_last: bool) -> bool:
    late = now - armed.fires_at
    if armed.schedule.catch_up is CatchUp.SKIP:
        return late > SKIP_TOLERANCE
    return is_last and not armed.waits_for_run and late > MISFIRE_GRACE
