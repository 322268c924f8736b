"""What really happened, written down beside the programs, and what must be true of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

SLACK = timedelta(minutes=20)
"""How long a machine that is up may take to begin a run that is due: requests may be slow."""

SKIP_TOLERANCE = timedelta(minutes=2)
"""How late a run of a job may begin that leaves missed ones out; more than it promises, for the
clocks of machines and for requests before the begin."""


@dataclass(kw_only=True)
class RealRun:
    """A run that a scheduler began: `due_at` by its clock, the others by the world's."""

    run_id: str
    job_id: str
    node: str
    due_at: datetime
    begun_at: datetime
    ended_at: datetime | None = None
    told: Mapping[str, Any] | None = None
    """The report of its end, as it was written down."""
    outcomes: list[int] = field(default_factory=list)
    """The exit codes of its agents."""
    backups: list[str] = field(default_factory=list)
    """The ids that its agents gave to the backups they made."""
    cut: bool = False
    """Whether the scheduler died in it."""


@dataclass(kw_only=True)
class Spell:
    """A time in which a machine knew its jobs and was up."""

    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A job's start in a session, as the API answered it."""

    job_id: str
    tag: int
    at: datetime


class Violation(BaseException):
    """Something that must never happen.

    No Exception: the scheduler's outermost edge would take it for a defect of one job, and go on.
    """


class Oracle:
    """The truth about one fleet."""

    def __init__(self) -> None:
        self.runs: dict[str, RealRun] = {}
        self.by_job: dict[str, list[RealRun]] = {}
        self.running: dict[str, str] = {}
        self.spells: dict[str, list[Spell]] = {}
        self.taken: dict[str, list[Taken]] = {}
        self.leased: set[str] = set()
        """The runs that the API has heard of."""
        self.held_off: dict[str, datetime] = {}
        """Until when a job has no second run in its session."""
        self.places: dict[str, int] = {}
        """How many agents a machine runs at once."""
        self.crashes = 0
        self.stops = 0

    # -- what happens ----------------------------------------------------------------------------

    def armed(self, node: str, at: datetime) -> None:
        """The machine has read its jobs for the first time since it is up."""
        self.spells.setdefault(node, []).append(Spell(since=at))

    def died(self, node: str, jobs: Iterable[str], at: datetime) -> None:
        """The scheduler died, alone or with its machine."""
        self.crashes += 1
        for run in self._left(node, jobs, at):
            run.ended_at, run.cut = at, True

    def stopped(self, node: str, jobs: Iterable[str], at: datetime) -> None:
        """The scheduler has stopped as it was asked to: none of its runs is left without an end."""
        self.stops += 1
        if left := self._left(node, jobs, at):
            raise Violation(f"{node} stopped, and left {left}")
        if agents := [job_id for job_id in jobs if self.running.get(job_id) == node]:
            raise Violation(f"{node} stopped, and left agents of {agents}")

    def _left(self, node: str, jobs: Iterable[str], at: datetime) -> list[RealRun]:
        """The runs of a scheduler that is no more which have no end."""
        for spell in self.spells.get(node, []):
            spell.until = spell.until or at
        latest = [run for job_id in jobs for run in self.by_job.get(job_id, [])[-1:]]
        return [run for run in latest if run.node == node and run.ended_at is None]

    def begun(self, run: RealRun) -> None:
        """A run begins: never twice for one instant, never before the last one has ended."""
        known = self.by_job.setdefault(run.job_id, [])
        former, is_new = known[:], run.run_id not in self.runs
        # Noted first: its end is written down also if this must not be.
        known.append(run)
        self.runs[run.run_id] = run
        if former and former[-1].ended_at is None:
            raise Violation(f"{run} begins in the midst of {former[-1]}")
        if any(one.due_at == run.due_at for one in former):
            raise Violation(f"{run}: its instant had a run already")
        if not is_new:
            raise Violation(f"{run}: its id is not new")

    def ended(self, run_id: str, told: Mapping[str, Any], at: datetime) -> None:
        """The end of a run was written down: what it says is what the agents did."""
        run = self.runs[run_id]
        if run.told is not None:
            raise Violation(f"{run} ends twice")
        run.told, run.ended_at = told, run.ended_at or at
        if run.cut:
            expected = {"fail"}
        elif told["result"] == "aborted" or self._is_done(run):
            return
        else:
            expected = {"success"} if run.outcomes and run.outcomes[-1] == 0 else {"fail"}
        if told["result"] not in expected:
            raise Violation(f"{run} did not end so")

    def _is_done(self, run: RealRun) -> bool:
        """Whether the job was in its session's run already: it says again how that went."""
        until = self.held_off.get(run.job_id)
        return not run.outcomes and until is not None and run.begun_at <= until

    def agent_began(self, job_id: str, node: str) -> None:
        """An agent starts to work for the job: never two."""
        if job_id in self.running:
            raise Violation(f"two agents of job {job_id}: on {self.running[job_id]} and {node}")
        if list(self.running.values()).count(node) >= self.places[node]:
            raise Violation(f"job {job_id} on {node} is one agent too many")
        self.running[job_id] = node

    def agent_gone(self, job_id: str) -> None:
        """The agent works no more."""
        del self.running[job_id]

    def agent_ended(self, job_id: str, exit_code: int, report: Mapping[str, Any] | None) -> None:
        """The scheduler learned how its agent ended, and what it reports of a backup."""
        run = self.by_job[job_id][-1]
        run.outcomes.append(exit_code)
        if report is not None:
            run.backups.append(report["backup_uuid"])

    def joined(self, session_id: str, taken: Taken, hold_off: timedelta) -> None:
        """The API let a job into a run of its session: numbers go up by one, once for all members."""
        before = self.taken.setdefault(session_id, [])
        latest = before[-1].tag if before else 0
        if taken.tag not in {latest, latest + 1}:
            raise Violation(f"{taken}: after run {latest}")
        if taken.tag == latest:
            opened = next(one.at for one in before if one.tag == latest)
            if taken.at - opened > hold_off + timedelta(seconds=1):
                raise Violation(f"{taken}: the run was opened at {opened}")
        before.append(taken)
        self.held_off[taken.job_id] = taken.at + hold_off + timedelta(seconds=1)

    # -- what must be true at the end ------------------------------------------------------------

    def is_idle(self, job_id: str) -> bool:
        """Whether no run of the job goes on."""
        runs = self.by_job.get(job_id, [])
        return not runs or runs[-1].ended_at is not None

    def check_history(self, job_id: str, history: Iterable[Mapping[str, Any]]) -> None:
        """Every run that has ended is in the API's history as it was, and no other."""
        kept = {run["run_id"]: run for run in history}
        real = {run.run_id: run for run in self.by_job.get(job_id, [])}
        # One whose machine died before it could write the run down counts as lost by its lease.
        if extra := {name for name in kept.keys() - real.keys() if kept[name]["status"] != "lost"}:
            raise Violation(f"job {job_id}: nobody ran {extra}")
        for run_id, run in real.items():
            if run.ended_at is None:
                continue
            if run.told is None:
                raise Violation(f"{run}: its end was never told")
            known = kept.get(run_id)
            if known is None:
                raise Violation(f"{run}: its report is lost")
            if (known["status"], known["result"]) != ("completed", run.told["result"]):
                raise Violation(f"{run}: the API has it as {known}")

    def check_backups(self, records: Iterable[Mapping[str, Any]]) -> int:
        """The API has one record of each backup, of the session's run that it was made in."""
        kept: dict[str, Mapping[str, Any]] = {}
        for record in records:
            if kept.setdefault(record["backup_uuid"], record) is not record:
                raise Violation(f"a backup is recorded twice: {record}")
        made = {name: run for run in self.runs.values() for name in run.backups}
        if strange := kept.keys() - made.keys():
            raise Violation(f"nobody made {strange}")
        for name, run in made.items():
            # Of one whose scheduler died right then it may not have been written down.
            if name not in kept and run.told is not None and not run.cut:
                raise Violation(f"{run}: no record of its backup")
        for name, record in kept.items():
            told = made[name].told
            if told is None or made[name].cut:
                continue
            of_session = (record.get("session_id", ""), record.get("session_tag", 0))
            if (record["job_id"], *of_session) != (
                made[name].job_id,
                told["session_id"],
                told["session_tag"],
            ):
                raise Violation(f"{made[name]}: its backup is recorded as {record}")
        return len(kept)

    def check_due(self, expectation: "Expectation", end: datetime) -> int:
        """Every instant has had its run, or a reason that the job's rule allows; how many were due."""
        runs = self.by_job.get(expectation.job_id, [])
        spells = [spell for node in expectation.nodes for spell in self.spells.get(node, [])]
        slack = SLACK + expectation.handover
        checked = 0
        for due_at in expectation.instants:
            real = due_at - expectation.skew
            if real > end - slack - expectation.jitter:
                break
            checked += 1
            if expectation.catch_up == "skip":
                self._check_kept(expectation, due_at, real, runs, spells)
                continue
            if expectation.catch_up == "all" and runs and due_at < runs[0].due_at:
                continue  # What is caught up with is counted from the first run.
            if expectation.catch_up == "all":
                begun = [run.begun_at for run in runs if run.due_at == due_at]
            else:
                earliest = real - expectation.spread - timedelta(seconds=1)
                begun = [run.begun_at for run in runs if run.begun_at >= earliest]
            until = begun[0] if begun else end
            spare = _longest_spare(real + expectation.jitter, until, runs, spells)
            # A run that is caught up with is put off by chance as well.
            if spare > slack + expectation.jitter:
                raise Violation(
                    f"job {expectation.job_id} on {expectation.nodes} ({expectation.catch_up}) was "
                    f"due at {real} and could have run for {spare} before {until}"
                )
        return checked

    def _check_kept(
        self,
        expectation: "Expectation",
        due_at: datetime,
        real: datetime,
        runs: list[RealRun],
        spells: list[Spell],
    ) -> None:
        if any(run.due_at == due_at for run in runs):
            return
        window = (real - timedelta(minutes=5), real + SLACK)
        up = any(s.since <= window[0] and (s.until or window[1]) >= window[1] for s in spells)
        busy = any(
            run.begun_at < window[1] and (run.ended_at or window[1]) > window[0] for run in runs
        )
        if up and not busy:
            raise Violation(f"job {expectation.job_id}: its instant {real} was left out")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """When a job is due, by the clock of its machine, which is `skew` ahead of the world's.

    Of several machines that share the job one is ahead by `spread` more, and one that takes the job
    over needs the time of `handover`.
    """

    job_id: str
    nodes: tuple[str, ...]
    instants: list[datetime]
    catch_up: str = "once"
    jitter: timedelta = timedelta(0)
    skew: timedelta = timedelta(0)
    spread: timedelta = timedelta(0)
    handover: timedelta = timedelta(0)


def _longest_spare(
    since: datetime, until: datetime, runs: list[RealRun], spells: list[Spell]
) -> timedelta:
    """The longest time between the two in which the machine was up and the job did not run."""
    longest = timedelta(0)
    for spell in spells:
        cursor = max(since, spell.since)
        stop = min(until, spell.until or until)
        for run in runs:
            if (run.ended_at or until) <= cursor or run.begun_at >= stop:
                continue
            longest = max(longest, run.begun_at - cursor)
            cursor = max(cursor, run.ended_at or until)
        longest = max(longest, stop - cursor)
    return longest
