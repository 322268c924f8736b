"""The scheduler's main loop: a tick every interval, a reload when asked, a clean stop."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from freezer_model.errors import FreezerError
from freezer_scheduler.journal import Journal
from freezer_scheduler.pace import Pace
from freezer_scheduler.poller import Poller, Rules
from freezer_scheduler.reports import Reports
from freezer_scheduler.supervision import Supervision

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 5.0
"""How long running agents may still finish after a stop before they are ended."""


class LifeSignals(Protocol):
    """What the process is told from outside, as `daemon.Signals` collects it."""

    def is_stopping(self) -> bool:
        """Whether the end was asked for."""
        ...

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait so long, or until something was asked for or `wake` was called."""
        ...

    def wake(self) -> None:
        """End the present wait, or the next one at once. From any thread."""
        ...


class Scheduler:
    """One scheduler of one client on one node."""

    def __init__(
        self,
        *,
        poller: Poller,
        journal: Journal,
        reports: Reports,
        interval_seconds: float,
        close: Callable[[], None],
        pace: Pace = Pace(),  # noqa: B008  # a frozen value
        supervision: Supervision = Supervision(),  # noqa: B008  # a frozen value
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._poller = poller
        self._journal = journal
        self._reports = reports
        self._interval_seconds = interval_seconds
        self._close = close
        self._pace = pace
        self._supervision = supervision
        self._monotonic = monotonic

    def run(self, signals: LifeSignals) -> None:
        """Work until told to stop; then end the agents, report, and return."""
        try:
            self._journal.open()
            try:
                # Reports of running jobs are delivered by this thread: a slow API holds up no job.
                self._reports.leave_delivery(signals.wake)
                self._poller.start()
                self._supervision.ready()
                pause = self._pace.first(self._interval_seconds)
                while not signals.is_stopping():
                    self._deliver_meanwhile(signals, pause)
                    if not signals.is_stopping():
                        pause = self._tick()
                log.info("Stopping")
                self._supervision.stopping()
            finally:
                self._reports.leave_delivery(None)
                self._poller.close(grace_seconds=STOP_GRACE_SECONDS)
        finally:
            self._journal.close()
            self._close()

    def adopt(self, *, rules: Rules, interval_seconds: float) -> None:
        """Go on with other rules and another interval."""
        self._poller.rules = rules
        self._interval_seconds = interval_seconds

    def _deliver_meanwhile(self, signals: LifeSignals, seconds: float) -> None:
        next_tick = self._monotonic() + seconds
        more = False
        while not signals.is_stopping():
            self._supervision.alive()
            remaining = next_tick - self._monotonic()
            if remaining <= 0:
                return
            if not more:
                signals.wait(self._supervision.longest_silence(remaining))
            if signals.take_reload():
                log.info("Reading the jobs anew, as asked")
                return
            more = self._reports.deliver_some()

    def _tick(self) -> float:
        """Look at the jobs once; the seconds to wait after it."""
        began = time.monotonic()
        retry_after = None
        try:
            retry_after = self._poller.tick()
        except FreezerError as error:
            log.error("%s", error)  # noqa: TRY400  # a sentence for the operator, no trace
        except Exception:
            # A defect that one job brings to light must not end all others.
            log.exception("This look at the jobs failed")
        pause = self._pace.next(
            self._interval_seconds,
            took_seconds=time.monotonic() - began,
            retry_after_seconds=retry_after,
        )
        if pause > 2 * self._interval_seconds:
            log.info("The API is slow or asked for it: the next look is in %.0f s", pause)
        return pause
