"""When which job is due, and a thread for each run.

The library's own scheduler loses a firing that falls into a run of the same job, drops one that
the machine slept through, and sleeps by a clock that stands still while the machine is suspended.
This one needs a dictionary and a thread: it looks at the wall clock at least every half minute.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from freezer_model.clock import Clock, utc_now
from freezer_model.schedule import Schedule
from freezer_scheduler.triggers import MISFIRE_GRACE, Trigger, trigger_for

LOG = logging.getLogger(__name__)

_LONGEST_SLEEP_SECONDS = 30.0
_CLOSE_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Armed:
    trigger: Trigger
    due_at: datetime


class Timetable:
    """Calls `run(job_id)` on a worker thread whenever the job is due, never twice at once for one.

    Firings that fall into a run become one run after it. One that is late (the machine slept) is
    made up for once; only the last one of a schedule is dropped when it is more than an hour late.
    An exception of `run` is logged and ends that run only. All methods may be called from any
    thread.
    """

    def __init__(
        self, run: Callable[[str], None], *, clock: Clock = utc_now, most_threads: int = 200
    ) -> None:
        self._run = run
        self._clock = clock
        self._pool = ThreadPoolExecutor(most_threads, thread_name_prefix="freezer-job")
        self._timer = threading.Thread(target=self._watch, name="freezer-timetable", daemon=True)
        self._changed = threading.Condition()
        self._armed: dict[str, _Armed] = {}
        self._exhausted: dict[str, Schedule] = {}
        self._running: set[str] = set()
        self._again: dict[str, datetime] = {}
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
            self._put(job_id, _Armed(trigger, due_at))
        return due_at

    def disarm(self, job_id: str) -> None:
        """Let the job not start again. A run that goes on goes on; unknown jobs are fine."""
        self._forget(job_id)
        with self._changed:
            self._again.pop(job_id, None)

    def next_run_at(self, job_id: str) -> datetime | None:
        """When the job is due next: None if it is exhausted or not armed.

        An instant that fell into the run that goes on still counts, for its run is to come.
        """
        with self._changed:
            if job_id in self._again:
                return self._again[job_id]
            armed = self._armed.get(job_id)
        return None if armed is None else armed.due_at

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
        if self._wake_at is None or armed.due_at < self._wake_at:
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
                due = {job: armed for job, armed in self._armed.items() if armed.due_at <= now}
                if due:
                    return due
                self._wake_at = min((armed.due_at for armed in self._armed.values()), default=None)
                seconds = _LONGEST_SLEEP_SECONDS
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
                self._armed[job_id] = _Armed(armed.trigger, next_at)
            if next_at is None and now - armed.due_at > MISFIRE_GRACE:
                LOG.warning("Job %s was due at %s: too late for it now", job_id, armed.due_at)
                return
            self._fire(job_id, armed.due_at)

    def _fire(self, job_id: str, due_at: datetime) -> None:
        """Start a run, or note that one is wanted after the present one. Needs the lock."""
        if self._closed:
            return
        if job_id in self._running:
            self._again.setdefault(job_id, due_at)
            return
        self._running.add(job_id)
        try:
            self._pool.submit(self._work, job_id)
        except RuntimeError:
            self._running.discard(job_id)
            LOG.exception("No thread could be started for job %s; this run is left out", job_id)

    def _work(self, job_id: str) -> None:
        try:
            self._run(job_id)
        except Exception:
            LOG.exception("The run of job %s failed unexpectedly", job_id)
        finally:
            with self._changed:
                self._running.discard(job_id)
                due_at = self._again.pop(job_id, None)
                if due_at is not None:
                    self._fire(job_id, due_at)
