"""One machine: the real scheduler over a simulated clock, line and agent."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from freezer_client.api import Freezer
from freezer_model.job import Job
from freezer_scheduler.agent_process import Outcome
from freezer_scheduler.job_boards.api import ApiBoard
from freezer_scheduler.job_boards.copies import SavedCopies
from freezer_scheduler.journal import Journal
from freezer_scheduler.notices import Unwatched
from freezer_scheduler.ownership import Alone
from freezer_scheduler.poller import Poller, Rules
from freezer_scheduler.reports import Reports
from freezer_scheduler.run_records import RunRecords, lease_seconds
from freezer_scheduler.runner import Run, Runner
from freezer_scheduler.service import Scheduler
from freezer_scheduler.timetable import Timetable
from tests.simulation.loop import Bell, Killed, Life, Loop, OneAtATime, SimulatedThreads
from tests.simulation.network import Api, Line, Weather
from tests.simulation.oracle import Oracle, RealRun


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all machines of a fleet have in common."""

    loop: Loop
    api: Api
    oracle: Oracle
    weather: Weather
    new_id: Callable[[], str]
    poll_seconds: float


class Node:
    """A machine that is booted, cut off, and loses its power; its disk survives."""

    def __init__(
        self, around: Surroundings, name: str, chance: random.Random, folder: Path, skew: timedelta
    ) -> None:
        self.name = name
        self.skew = skew
        self.jobs: list[str] = []
        self.up = False
        self.partitioned = False
        self._around = around
        self._chance = chance
        self._folder = folder
        self._life = Life()
        self._line: Line | None = None
        self._journal: _WatchedJournal | None = None

    def clock(self) -> datetime:
        """What the machine believes to be the time."""
        return self._around.loop.now + self.skew

    def boot(self) -> None:
        """Power comes."""
        if self.up:
            return
        self.up = True
        loop = self._around.loop
        self._life = Life()
        self._line = Line(
            api=self._around.api, loop=loop, chance=self._chance, weather=self._around.weather
        )
        self._line.partitioned = self.partitioned
        self._line.polled = self._first_poll
        self._journal = _WatchedJournal(self._folder / f"{self.name}.journal", self)
        scheduler = self._scheduler(self._line, self._journal, self._life)
        signals = _Signals(loop)
        loop.start_thread(self._life, lambda: scheduler.run(signals))

    def partition(self, *, cut: bool) -> None:
        """The line to the API is cut, or mended."""
        self.partitioned = cut
        if self._line is not None:
            self._line.partitioned = cut

    def crash_at_write(self, count: int) -> None:
        """Power goes right after that transaction of the journal."""
        if self._journal is not None:
            self._journal.countdown = count

    def crash(self) -> None:
        """Power goes: nothing that this life still does reaches anybody."""
        if not self.up:
            return
        self.up = False
        assert self._line is not None
        assert self._journal is not None
        self._line.dead = True
        self._journal.countdown = 0
        self._journal.close()
        self._around.oracle.died(self.name, self.jobs, self._around.loop.now)
        self._around.loop.kill(self._life)

    def crashed_in_write(self) -> None:
        """Power goes in the midst of a thread."""
        self.crash()
        self._around.loop.after(self._chance.uniform(60, 7200), self.boot)
        raise Killed

    def began(self, job_id: str, run_id: str, due_at: datetime) -> None:
        """A run is in the journal."""
        self._around.oracle.begun(
            RealRun(run_id=run_id, job_id=job_id, due_at=due_at, begun_at=self._around.loop.now)
        )

    def ended(self, told: Mapping[str, Any]) -> None:
        """The end of a run is in the journal."""
        self._around.oracle.ended(told["run_id"], told, self._around.loop.now)

    def _first_poll(self) -> None:
        assert self._line is not None
        self._line.polled = lambda: None
        self._around.oracle.armed(self.name, self._around.loop.now)

    def _scheduler(self, line: Line, journal: Journal, life: Life) -> Scheduler:
        around, loop = self._around, self._around.loop
        freezer = Freezer(
            line,
            sleep=loop.sleep,
            jitter=self._chance.random,
            now=self.clock,
            new_id=around.new_id,
        )
        board = ApiBoard(
            freezer=freezer,
            client_id=self.name,
            hostname=self.name,
            registration={},
            copies=_NoCopies(self._folder),
        )
        reports = Reports(board, journal, sending=OneAtATime(loop))
        poller = Poller(
            board=board,
            reports=reports,
            journal=journal,
            runner=Runner(
                board=board,
                reports=reports,
                new_agent=lambda job: SimulatedAgent(around, self, job, self._chance),
                slots=1000,
                clock=self.clock,
                pause=self._pause,
            ),
            records=RunRecords(
                board=board,
                new_id=around.new_id,
                scheduler=self.name,
                seconds=lease_seconds(around.poll_seconds),
            ),
            ownership=Alone(),
            watch=Unwatched(),
            clock=self.clock,
            rules=Rules(),
            timetable_of=lambda run: Timetable(
                run, clock=self.clock, threads=SimulatedThreads(loop, life)
            ),
        )
        return Scheduler(
            poller=poller,
            journal=journal,
            reports=reports,
            interval_seconds=around.poll_seconds,
            close=freezer.close,
            monotonic=loop.monotonic,
        )

    def _pause(self, run: Run, seconds: float) -> None:
        until = self._around.loop.monotonic() + seconds
        while not run.aborted and self._around.loop.monotonic() < until:
            self._around.loop.sleep(min(15.0, until - self._around.loop.monotonic()))


class SimulatedAgent:
    """Works for a while, and sometimes fails; most are done in minutes, a few take a day."""

    def __init__(self, around: Surroundings, node: Node, job: Job, chance: random.Random) -> None:
        self._around = around
        self._node = node
        self._job = job
        self._chance = chance
        self._end = Bell()

    def run(
        self,
        freezer_action: Mapping[str, Any],
        *,
        max_run_seconds: int | None,
        on_start: Callable[[int], None],
    ) -> Outcome:
        del freezer_action, max_run_seconds
        oracle, job_id = self._around.oracle, self._job.job_id
        oracle.agent_began(job_id, self._node.name)
        # No process has such a number: the scheduler must not find a real one by it.
        on_start(2**30)
        ended = self._around.loop.wait(self._end, self._seconds())
        code = -15 if ended else int(self._chance.random() < 0.06)
        oracle.agent_ended(job_id, code)
        return Outcome(exit_code=code, report=None, error="the disk is full" if code > 0 else "")

    def end(self) -> None:
        self._end.ring()

    def _seconds(self) -> float:
        kind = self._chance.random()
        longest = 1200 if kind < 0.85 else 5 * 3600 if kind < 0.98 else 40 * 3600
        return 5 + longest * self._chance.random()


class _Signals:
    """Nobody stops this scheduler; the reports wake it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._bell = Bell()

    def is_stopping(self) -> bool:
        return False

    def take_reload(self) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        self._loop.wait(self._bell, seconds)

    def wake(self) -> None:
        self._bell.ring()


class _NoCopies(SavedCopies):
    """Thirty days of files nobody reads."""

    def keep(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Keep nothing."""


class _WatchedJournal(Journal):
    """The journal, with somebody who sees what is committed and may cut the power right then."""

    def __init__(self, path: Path, node: Node) -> None:
        super().__init__(path)
        self._node = node
        self._depth = 0
        self.countdown = 0

    def begin(self, job_id: str, run_id: str, at: datetime, due_at: datetime | None = None) -> None:
        with self._seen(lambda: self._node.began(job_id, run_id, due_at or at)):
            super().begin(job_id, run_id, at, due_at)

    def post_latest(  # type: ignore[override] # the same, in fewer words
        self, *words: Any, run_end: tuple[str, Mapping[str, Any]] | None = None
    ) -> int:
        def tell() -> None:
            if run_end is not None:
                self._node.ended(run_end[1])

        with self._seen(tell):
            return super().post_latest(*words, run_end=run_end)

    @contextmanager
    def _seen(self, tell: Callable[[], None]) -> Iterator[None]:
        """What was committed counts, also if the power goes at that very moment."""
        self._after_commit = tell
        try:
            yield
        finally:
            self._after_commit = None

    _after_commit: Callable[[], None] | None = None

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        self._depth += 1
        try:
            with super()._changing() as connection:
                yield connection
        finally:
            self._depth -= 1
        if self._depth:
            return
        if self._after_commit is not None:
            tell, self._after_commit = self._after_commit, None
            tell()
        if self.countdown:
            self.countdown -= 1
            if not self.countdown:
                self._node.crashed_in_write()
