"""One machine: the real scheduler over a simulated clock, line and agent."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from freezer_client.api import Freezer
from freezer_scheduler.job_boards.api import ApiBoard
from freezer_scheduler.job_boards.copies import SavedCopies
from freezer_scheduler.journal import Journal
from freezer_scheduler.notices import Unwatched
from freezer_scheduler.ownership import Alone, Ownership
from freezer_scheduler.poller import Poller, Rules
from freezer_scheduler.reports import Reports
from freezer_scheduler.run_records import RunRecords, lease_seconds
from freezer_scheduler.runner import Run, Runner
from freezer_scheduler.service import Scheduler
from freezer_scheduler.timetable import Timetable
from tests.simulation.agents import Processes, SimulatedAgent
from tests.simulation.loop import Bell, Killed, Life, Loop, OneAtATime, Places, SimulatedThreads
from tests.simulation.network import Api, Line, Weather
from tests.simulation.oracle import Oracle, RealRun
from tests.simulation.sharing import FakeCoordination, Member
from tests.simulation.watched_journal import WatchedJournal


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all machines of a fleet have in common."""

    loop: Loop
    api: Api
    oracle: Oracle
    weather: Weather
    new_id: Callable[[], str]
    poll_seconds: float


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who a node works for at the API: its own client, or one that it shares by `coordination`."""

    name: str
    jobs: list[str] = field(default_factory=list)
    coordination: FakeCoordination | None = None


class Node:
    """A machine that is booted, cut off, and loses its power; its disk survives."""

    def __init__(
        self,
        around: Surroundings,
        name: str,
        client: Client,
        chance: random.Random,
        folder: Path,
        skew: timedelta,
        slots: int,
    ) -> None:
        self.name = name
        self.client = client
        self.skew = skew
        self.up = False
        self.partitioned = False
        self._around = around
        self._chance = chance
        self._folder = folder
        self._slots = slots
        self._life = Life()
        self._line: Line | None = None
        self._journal: WatchedJournal | None = None
        self._member: Member | None = None
        self._signals = _Signals(around.loop)
        self._spares_agents = False
        self._processes = Processes(around.loop, around.oracle, name, chance)
        around.oracle.places[name] = slots

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
        self._journal = WatchedJournal(self._folder / f"{self.name}.journal", self)
        self._signals = signals = _Signals(loop)
        self._processes.power(on=True)
        scheduler = self._scheduler(self._line, self._journal, self._life)

        def live() -> None:
            scheduler.run(signals)
            self._stopped()

        loop.start_thread(self._life, live)

    def stop(self) -> None:
        """The scheduler is asked to stop: it ends its agents, and writes down how all runs ended."""
        self._signals.stop()

    def _stopped(self) -> None:
        self.up = False
        self._around.oracle.stopped(self.name, self.client.jobs, self._around.loop.now)
        self._around.loop.after(self._chance.uniform(1, 3600), self.boot)

    def partition(self, *, cut: bool) -> None:
        """The line to the API is cut, or mended."""
        self.partitioned = cut
        if self._line is not None:
            self._line.partitioned = cut

    def crash_at_write(self, count: int, *, agents_live: bool = False) -> None:
        """Power goes, or the scheduler alone dies, right after that transaction of the journal."""
        if self._journal is not None:
            self._journal.countdown = count
            self._spares_agents = agents_live

    def crash(self) -> None:
        """Power goes: nothing that this life still does reaches anybody."""
        self._processes.power(on=False)
        self.kill()

    def kill(self) -> None:
        """The scheduler dies at once; its agents go on, unless it shares its jobs.

        Nobody on another machine can end an agent: a unit of systemd that ends them with their
        scheduler is needed there.
        """
        if self.client.coordination is not None:
            self._processes.power(on=False)
        if not self.up:
            return
        self.up = False
        assert self._line is not None
        assert self._journal is not None
        self._line.dead = True
        self._journal.countdown = 0
        self._journal.close()
        if self._member is not None:
            self._member.silent_since = self._around.loop.now
        self._around.oracle.died(self.name, self.client.jobs, self._around.loop.now)
        self._around.loop.kill(self._life)

    def struck(self) -> None:
        """It happens in the midst of a thread."""
        if self._spares_agents:
            self.kill()
        else:
            self.crash()
        self._around.loop.after(self._chance.uniform(60, 7200), self.boot)
        raise Killed

    def began(self, job_id: str, run_id: str, due_at: datetime) -> None:
        """A run is in the journal."""
        self._around.oracle.begun(
            RealRun(
                run_id=run_id,
                job_id=job_id,
                node=self.name,
                due_at=due_at,
                begun_at=self._around.loop.now,
            )
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
            client_id=self.client.name,
            hostname=self.name,
            registration={},
            copies=_NoCopies(self._folder),
        )
        reports = Reports(board, journal, sending=OneAtATime(loop))
        threads = SimulatedThreads(loop, life)
        poller = Poller(
            board=board,
            reports=reports,
            journal=journal,
            runner=Runner(
                board=board,
                reports=reports,
                new_agent=lambda job: SimulatedAgent(self._processes, job),
                slots=Places(loop, self._slots),
                clock=self.clock,
                pause=self._pause,
            ),
            records=RunRecords(
                board=board,
                new_id=around.new_id,
                scheduler=self.name,
                seconds=lease_seconds(around.poll_seconds),
                alone_by_lock=self.client.coordination is not None,
            ),
            ownership=self._ownership(),
            watch=Unwatched(),
            clock=self.clock,
            rules=Rules(),
            timetable_of=lambda run: Timetable(run, clock=self.clock, threads=threads),
            threads=threads,
            processes=self._processes,
        )
        return Scheduler(
            poller=poller,
            journal=journal,
            reports=reports,
            interval_seconds=around.poll_seconds,
            close=freezer.close,
            monotonic=loop.monotonic,
        )

    def _ownership(self) -> Ownership:
        if self.client.coordination is None:
            return Alone()
        self._member = Member(self.client.coordination, self.name)
        return self._member

    def _pause(self, run: Run, seconds: float) -> None:
        until = self._around.loop.monotonic() + seconds
        while not run.aborted and self._around.loop.monotonic() < until:
            self._around.loop.sleep(min(15.0, until - self._around.loop.monotonic()))


class _Signals:
    """Tells the scheduler to stop; the reports wake it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._bell = Bell()
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True
        self.wake()

    def is_stopping(self) -> bool:
        return self._stopping

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
