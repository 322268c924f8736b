"""A fleet of machines over one API, with bad days drawn from a seed, and the checks at its end."""

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from freezer_api import conf as options
from freezer_api.app import Limits, make_app
from freezer_api.identity.middleware import claimed_identity
from freezer_api.identity.trusts import NoTrusts
from freezer_api.policies.enforcer import Enforcer
from freezer_api.services.delegations import DelegationRule
from freezer_api.services.sightings import NoSightings
from freezer_client.session import Reply
from freezer_scheduler.run_records import lease_seconds
from tests.simulation.indexed_store import IndexedStore
from tests.simulation.loop import Loop
from tests.simulation.network import Api, Weather
from tests.simulation.node import Client, Node, Surroundings
from tests.simulation.oracle import Expectation, Oracle, Taken, Violation
from tests.simulation.sharing import TIME_LIMIT, FakeCoordination

START = datetime(2026, 10, 20, tzinfo=UTC)
"""Five days before the clocks of Europe change, twelve before those of America."""

MEMBERS = 3
HOLD_OFF = timedelta(seconds=90)
SESSION = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large, and how bad."""

    nodes: int
    days: float
    poll_seconds: float
    pairs: int = 0
    """How many clients have two machines, which share their jobs."""
    crashes_a_week: float = 1.5
    kills_a_week: float = 0.7
    stops_a_week: float = 0.7
    partitions_a_week: float = 2.0
    outages_a_week: float = 1.0
    skew_seconds: float = 20.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a simulation was made of."""

    runs: int
    due: int
    requests: int
    crashes: int
    stops: int
    session_runs: int
    backups: int


class Fleet:
    """Everything of one simulation. Its journals lie in `folder`."""

    def __init__(self, size: Size, seed: int, folder: Path) -> None:
        self._size = size
        self._chance = random.Random(seed)  # noqa: S311 - to be the same again, not to be secret
        self.loop = Loop(START)
        self.oracle = Oracle()
        self._numbers = itertools.count(1)
        self.api = Api(self._application(folder))
        self.api.answered = self._see
        around = Surroundings(
            loop=self.loop,
            api=self.api,
            oracle=self.oracle,
            weather=Weather(),
            new_id=self._new_id,
            poll_seconds=size.poll_seconds,
        )
        self._around = around
        self._folder = folder
        self.nodes = [self._node(Client(name=f"node{n}")) for n in range(size.nodes)]
        self.pairs = [self._pair(f"pair{number}") for number in range(size.pairs)]
        self.expectations: list[Expectation] = []
        self.commanded: list[str] = []
        self.sessions: dict[str, list[tuple[str, Node]]] = {}
        self._cuts: dict[str, list[tuple[datetime, datetime]]] = {}
        self.end = START + timedelta(days=size.days)
        lease = timedelta(seconds=lease_seconds(size.poll_seconds))
        self._calm = self.end - lease - timedelta(hours=1, seconds=3 * size.poll_seconds)

    def live(self) -> Figures:
        """Let the days pass, and check. Raises Violation."""
        for node in self.nodes:
            self._make_jobs([node])
        for pair in self.pairs:
            self._make_jobs(pair)
        for number in range(0, len(self.nodes) - MEMBERS + 1, MEMBERS):
            self._make_session(self.nodes[number : number + MEMBERS])
        for node in self._machines():
            self.loop.after(self._chance.uniform(0, self._size.poll_seconds), node.boot)
            self._plan_faults(node)
        for job_id in self.commanded:
            self._plan_commands(job_id)
        self._plan_outages()
        self._look_every(timedelta(hours=6))
        self.loop.run_until(self.end)
        return self._checked()

    def _machines(self) -> list[Node]:
        return self.nodes + [node for pair in self.pairs for node in pair]

    # -- making ----------------------------------------------------------------------------------

    def _application(self, folder: Path) -> Any:
        return make_app(
            store=IndexedStore(),
            enforcer=Enforcer(options.load([], prog="freezer-api", config_files=[]), lambda: 0.0),
            read_identity=claimed_identity,
            trusts=NoTrusts(),
            delegation_rule=DelegationRule(for_central_clients=False, for_all_clients=False),
            clock=lambda: self.loop.now,
            new_id=self._new_id,
            sleep=lambda _seconds: None,
            limits=Limits(kept_runs=10_000),
            disabled_by=folder / "disabled",
            seconds=self.loop.monotonic,
            sightings=NoSightings(),
        )

    def _new_id(self) -> str:
        return f"{next(self._numbers):032x}"

    def _fork(self) -> random.Random:
        return random.Random(self._chance.getrandbits(64))  # noqa: S311 - see above

    def _skew(self) -> timedelta:
        most = self._size.skew_seconds
        return timedelta(seconds=round(self._chance.uniform(-most, most), 3))

    def _node(self, client: Client) -> Node:
        slots = self._chance.choice([2, 3, 1000])
        return Node(
            self._around,
            f"{client.name}{'' if client.coordination is None else f'-{next(self._numbers)}'}",
            client,
            self._fork(),
            self._folder,
            self._skew(),
            slots,
        )

    def _pair(self, name: str) -> list[Node]:
        client = Client(name=name, coordination=FakeCoordination(self.loop))
        return [self._node(client), self._node(client)]

    def _make_jobs(self, nodes: list[Node]) -> None:
        """The jobs of one client. What is skipped depends on whose turn it is: not those of a pair."""
        name = nodes[0].client.name
        self.api.asked("POST", "clients", {"client_id": name, "hostname": name})
        for hours, catch_up in (
            (24, "once"),
            (24, "once"),
            (12, "skip"),
            (36, "all"),
            (48, "once"),
        ):
            rule = catch_up if len(nodes) == 1 else "once"
            self._make_interval_job(nodes, timedelta(hours=hours), rule)
        self._make_cron_job(nodes, "Europe/Berlin", 4, 0)
        self._make_cron_job(nodes, "America/New_York", 22, 30)
        self._make_job(nodes[0], {"schedule_interval": "2 days"})
        job_id = self._make_job(nodes[0], {"schedule_interval": "1 days"})
        self.commanded.append(job_id)

    def _make_interval_job(self, nodes: list[Node], interval: timedelta, catch_up: str) -> None:
        first = START + timedelta(hours=2, seconds=self._chance.randrange(20 * 3600))
        jitter = timedelta(hours=self._chance.choice([0, 0, 1]) if catch_up != "skip" else 0)
        schedule = {
            "schedule_start_date": first.isoformat(),
            "schedule_interval": f"{int(interval.total_seconds())} seconds",
            "schedule_catch_up": catch_up,
        }
        if jitter:
            schedule["schedule_jitter"] = "1 hours"
        job_id = self._make_job(nodes[0], schedule, retries=self._chance.choice([0, 2]))
        count = (self.end - first) // interval + 1
        self._expect(nodes, job_id, [first + n * interval for n in range(count)], catch_up, jitter)

    def _make_cron_job(self, nodes: list[Node], zone: str, hour: int, minute: int) -> None:
        job_id = self._make_job(
            nodes[0],
            {
                "schedule_hour": str(hour),
                "schedule_minute": str(minute),
                "schedule_timezone": zone,
            },
        )
        local = [
            datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
            for day in (START + timedelta(days=n) for n in range(int(self._size.days) + 2))
        ]
        instants = [at.astimezone(UTC) for at in local]
        self._expect(nodes, job_id, [at for at in instants if START + SESSION < at < self.end])

    def _make_session(self, nodes: list[Node]) -> None:
        first = START + timedelta(hours=self._chance.randrange(3, 20))
        schedule = {
            "schedule_start_date": first.isoformat(),
            "schedule_interval": f"{int(SESSION.total_seconds())} seconds",
        }
        hold_off = int(HOLD_OFF.total_seconds())
        body = {"schedule": schedule, "hold_off": hold_off}
        session_id = self.api.asked("POST", "sessions", body)["session_id"]
        count = (self.end - first) // SESSION + 1
        for node in nodes:
            job_id = self._make_job(node, {})
            self.api.asked("PUT", f"sessions/{session_id}/jobs/{job_id}")
            self._expect([node], job_id, [first + n * SESSION for n in range(count)])
            self.sessions.setdefault(session_id, []).append((job_id, node))

    def _make_job(self, node: Node, schedule: dict[str, Any], retries: int = 0) -> str:
        action = {
            "freezer_action": {"action": "backup", "backup_name": "b", "container": "c"},
            "max_retries": retries,
            "max_retries_interval": 120,
        }
        body = {"client_id": node.client.name, "job_actions": [action], "job_schedule": schedule}
        job_id = str(self.api.asked("POST", "jobs", body)["job_id"])
        node.client.jobs.append(job_id)
        return job_id

    def _expect(
        self,
        nodes: list[Node],
        job_id: str,
        instants: list[datetime],
        catch_up: str = "once",
        jitter: timedelta = timedelta(0),
    ) -> None:
        latest = min(node.skew for node in nodes)
        # It learns of its turn when it looks the next time.
        handover = TIME_LIMIT + timedelta(seconds=2 * self._size.poll_seconds)
        self.expectations.append(
            Expectation(
                job_id=job_id,
                nodes=tuple(node.name for node in nodes),
                instants=instants,
                catch_up=catch_up,
                jitter=jitter,
                skew=latest,
                spread=max(node.skew for node in nodes) - latest,
                handover=handover if len(nodes) > 1 else timedelta(0),
            )
        )

    # -- bad days --------------------------------------------------------------------------------

    def _plan_faults(self, node: Node) -> None:
        for at in self._moments(self._size.crashes_a_week):
            away = self._chance.choice([60.0, 600.0, 6 * 3600.0, 30 * 3600.0])
            back = min(at + timedelta(seconds=self._chance.uniform(30, away)), self._calm)
            if self._chance.random() < 0.5:
                count = self._chance.randrange(1, 30)
                self.loop.at(at, lambda count=count: node.crash_at_write(count))
            else:
                self.loop.at(at, node.crash)
                self.loop.at(back, node.boot)
        for at in self._moments(self._size.kills_a_week):
            if self._chance.random() < 0.5:
                count = self._chance.randrange(1, 30)
                strike = partial(node.crash_at_write, count, agents_live=True)
                self.loop.at(at, strike)
            else:
                self.loop.at(at, node.kill)
                self.loop.at(at + timedelta(seconds=self._chance.uniform(1, 3600)), node.boot)
        for at in self._moments(self._size.stops_a_week):
            self.loop.at(at, node.stop)
        for at in self._moments(self._size.partitions_a_week):
            until = min(at + self._length(), self._calm)
            self._cuts.setdefault(node.name, []).append((at, until))
            self.loop.at(at, lambda: node.partition(cut=True))
            self.loop.at(until, lambda: node.partition(cut=False))
        self.loop.at(self._calm, lambda: node.crash_at_write(0))
        self.loop.at(self._calm, lambda: node.partition(cut=False))
        self.loop.at(self._calm + timedelta(seconds=1), node.boot)

    def _plan_outages(self) -> None:
        def turn(*, down: bool) -> None:
            self.api.down = down

        for at in self._moments(self._size.outages_a_week):
            until = min(at + self._length(), self._calm)
            for cuts in (self._cuts.setdefault(node.name, []) for node in self._machines()):
                cuts.append((at, until))
            self.loop.at(at, lambda: turn(down=True))
            self.loop.at(until, lambda: turn(down=False))
        self.loop.at(self._calm, lambda: turn(down=False))

    def _plan_commands(self, job_id: str) -> None:
        for at in self._moments(3.0):
            event = self._chance.choice(["start", "start", "stop", "abort"])
            path = f"jobs/{job_id}/event"
            self.loop.at(
                at, lambda path=path, event=event: self.api.answer("POST", path, {event: None})
            )

    def _moments(self, a_week: float) -> list[datetime]:
        found, at = [], START
        while a_week:
            at += timedelta(weeks=self._chance.expovariate(a_week))
            if at >= self._calm:
                break
            found.append(at)
        return found

    def _length(self) -> timedelta:
        return timedelta(seconds=self._chance.choice([20, 300, 4 * 3600]) * self._chance.random())

    # -- looking ---------------------------------------------------------------------------------

    def _see(self, method: str, path: str, body: Any, reply: Reply) -> None:
        if method == "PUT" and "/runs/" in path and reply.status < 300:
            self.oracle.leased.add(path.rpartition("/")[2])
        if method != "POST" or not path.startswith("sessions/") or "start" not in (body or {}):
            return
        answer = reply.document()
        if reply.status < 300 and answer.get("result") == "success":
            taken = Taken(
                job_id=body["start"]["job_id"], tag=int(answer["session_tag"]), at=self.loop.now
            )
            self.oracle.joined(path.split("/")[1], taken, HOLD_OFF)

    def _look_every(self, length: timedelta) -> None:
        def look() -> None:
            self._check_running()
            self.loop.at(self.loop.now + length, look)

        self.loop.at(START + length, look)

    def _check_running(self) -> None:
        """No job shows a run that ended longer ago than a lease and what its report may take.

        One that began while the API was away has no lease until its scheduler looks the next time: if
        the line is cut again before, it is shown until that scheduler comes back.
        """
        lease = timedelta(seconds=lease_seconds(self._size.poll_seconds) + 60)
        for job in self._jobs():
            if job["job_schedule"]["status"] != "running":
                continue
            runs = self.oracle.by_job.get(job["job_id"], [])
            if runs and runs[-1].run_id not in self.oracle.leased:
                continue
            ended_at = runs[-1].ended_at if runs else START
            if ended_at is not None and self.loop.now - ended_at > lease:
                raise Violation(
                    f"job {job['job_id']} is left running at {self.loop.now}: {runs[-1:]}"
                )

    def _jobs(self) -> list[dict[str, Any]]:
        return list(self.api.asked("GET", "jobs", limit="10000")["jobs"])

    def _backups(self) -> list[dict[str, Any]]:
        found = self.api.asked("GET", "backups", limit="100000")["backups"]
        return [backup["backup_metadata"] for backup in found]

    def _checked(self) -> Figures:
        self._check_running()
        for job in self._jobs():
            job_id = job["job_id"]
            history = self.api.asked("GET", f"jobs/{job_id}/runs", limit="10000")["runs"]
            self.oracle.check_history(job_id, history)
            if job["job_schedule"]["status"] == "running" and self.oracle.is_idle(job_id):
                raise Violation(f"job {job_id} is left running")
        due = sum(self.oracle.check_due(expected, self.end) for expected in self.expectations)
        backups = self.oracle.check_backups(self._backups())
        session_runs = sum(self._check_session(session_id) for session_id in self.sessions)
        return Figures(
            runs=len(self.oracle.runs),
            due=due,
            requests=self.api.requests,
            crashes=self.oracle.crashes,
            stops=self.oracle.stops,
            session_runs=session_runs,
            backups=backups,
        )

    def _check_session(self, session_id: str) -> int:
        """The tag counts each run once; every job that could take part in one did."""
        document = self.api.asked("GET", f"sessions/{session_id}")
        taken = self.oracle.taken.get(session_id, [])
        tags = sorted({one.tag for one in taken})
        if tags != list(range(1, document["session_tag"] + 1)):
            raise Violation(f"session {session_id}: {document['session_tag']} runs, seen {tags}")
        told = [
            (run.job_id, run.told["session_tag"])
            for run in self.oracle.runs.values()
            if run.told is not None and run.told["session_id"] == session_id
        ]
        if len(told) != len(set(told)):
            raise Violation(f"session {session_id}: a job counts twice in one run")
        for job_id, node in self.sessions[session_id]:
            self._check_member(session_id, job_id, node)
        return len(tags)

    def _check_member(self, session_id: str, job_id: str, node: Node) -> None:
        expected = next(one for one in self.expectations if one.job_id == job_id)
        runs = self.oracle.by_job.get(job_id, [])
        instants = set(expected.instants)
        for run in runs:
            if run.due_at not in instants or run.cut or run.told is None or not run.outcomes:
                continue
            window = (run.begun_at - timedelta(minutes=2), run.begun_at + timedelta(minutes=5))
            if run.begun_at - (run.due_at - node.skew) > timedelta(seconds=20):
                continue  # It was late: the others have gone.
            if any(
                cut[0] < window[1] and cut[1] > window[0] for cut in self._cuts.get(node.name, [])
            ):
                continue
            if run.told["session_id"] != session_id:
                raise Violation(f"{run} on {node.name} took no part in its session {session_id}")
