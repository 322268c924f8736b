"""The agents of one machine: processes that outlive a scheduler that is killed, but no power cut."""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from freezer_model.instants import to_epoch
from freezer_model.job import Job
from freezer_scheduler.agent_process import Outcome
from freezer_scheduler.process_tree import HostProcesses, Process
from tests.simulation.loop import Bell, Killed, Loop
from tests.simulation.oracle import Oracle

_FIRST_PID = 2**30
"""No process of the real machine has such a number."""


class Processes(HostProcesses):
    """The processes of a simulated machine."""

    def __init__(self, loop: Loop, oracle: Oracle, node: str, chance: random.Random) -> None:
        self.loop = loop
        self.oracle = oracle
        self.node = node
        self.chance = chance
        self._powered = True
        self._pids = itertools.count(_FIRST_PID)
        self._jobs: dict[int, str] = {}

    def started(self, pid: int) -> str | None:
        return str(pid) if pid in self._jobs else None

    def alive(self, agents: Sequence[Process]) -> list[Process]:
        return [agent for agent in agents if agent.pid in self._jobs]

    def end(self, agents: Sequence[Process], *, grace_seconds: float) -> None:
        self.loop.sleep(grace_seconds * self.chance.random())
        for agent in agents:
            self.gone(agent.pid)

    def power(self, *, on: bool) -> None:
        """Without it there are no processes."""
        self._powered = on
        if not on:
            for pid in list(self._jobs):
                self.gone(pid)

    def begin(self, job_id: str) -> int:
        """The pid of a new agent."""
        pid = next(self._pids)
        self._jobs[pid] = job_id
        self.oracle.agent_began(job_id, self.node)
        return pid

    def gone(self, pid: int) -> None:
        """It runs no more, and nobody learned how it ended."""
        if pid in self._jobs:
            self.oracle.agent_gone(self._jobs.pop(pid))

    def orphaned(self, pid: int, ends_at: datetime) -> None:
        """Its scheduler has died; it ends then, unless somebody ends it before."""
        if self._powered:
            self.loop.at(ends_at, lambda: self.gone(pid))


class SimulatedAgent:
    """Works for a while, and sometimes fails; most are done in minutes, a few take a day."""

    def __init__(self, processes: Processes, job: Job) -> None:
        self._processes = processes
        self._job = job
        self._end = Bell()

    def run(
        self,
        freezer_action: Mapping[str, Any],
        *,
        max_run_seconds: int | None,
        on_start: Callable[[int], None],
    ) -> Outcome:
        del max_run_seconds
        processes = self._processes
        seconds = self._seconds()
        ends_at = processes.loop.now + timedelta(seconds=seconds)
        pid = processes.begin(self._job.job_id)
        try:
            on_start(pid)
            ended = processes.loop.wait(self._end, seconds)
        except Killed:
            processes.orphaned(pid, ends_at)
            raise
        code = -15 if ended else int(processes.chance.random() < 0.06)
        processes.gone(pid)
        report = self._report(freezer_action) if code == 0 else None
        processes.oracle.agent_ended(self._job.job_id, code, report)
        return Outcome(exit_code=code, report=report, error="the disk is full" if code > 0 else "")

    def end(self) -> None:
        self._end.ring()

    def _seconds(self) -> float:
        chance = self._processes.chance
        kind = chance.random()
        longest = 1200 if kind < 0.85 else 5 * 3600 if kind < 0.98 else 40 * 3600
        return 5 + longest * chance.random()

    def _report(self, freezer_action: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "action": "backup",
            "backup_name": freezer_action["backup_name"],
            "container": freezer_action["container"],
            "hostname": self._processes.node,
            "time_stamp": to_epoch(self._processes.loop.now),
            "backup_uuid": f"{self._processes.chance.getrandbits(128):032x}",
        }
