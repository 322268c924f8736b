"""Three schedulers in one session, with wrong clocks, killed and stopped meanwhile."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_server import Server, running, write_config
from tests.fakes.scheduler_process import PROJECT, JobDesk, SchedulerProcess, await_, cleared

FAILING = 3
LATE_SECONDS = 1.0
"""A machine on which a moment's work takes longer stood still."""

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = pytest.mark.skipif(
    FAKETIME is None, reason="libfaketime is not installed: apt-get install faketime"
)


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """How the session runs, in seconds, and how wrong the clocks of its members are."""

    interval: int
    hold_off: int
    skew: int

    @property
    def settling(self) -> int:
        """After a fault a member may miss runs for so long."""
        return 3 * self.interval

    @property
    def meets_at_once(self) -> bool:
        """Whether all come within the hold-off of the first; else they wait for each other."""
        return 2 * self.skew < self.hold_off


class Witness:
    """Notices when the machine stood still: whoever came late then is not to blame."""

    def __init__(self, folder: Path) -> None:
        self.stalls: list[tuple[float, float]] = []
        self._file = folder / "witness"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> list[tuple[float, float]]:
        self._thread.start()
        return self.stalls

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        seen = time.time()
        while not self._ended.wait(0.1):
            with self._file.open("wb") as file:
                file.write(b"x")
                os.fsync(file.fileno())
            now = time.time()
            if now - seen > LATE_SECONDS:
                self.stalls.append((seen, now))
            seen = now


@dataclass
class Member:
    """One node of the session. `troubles` are times, of the real clock, in which it did not live."""

    scheduler: SchedulerProcess
    desk: JobDesk
    skew: int
    rhythm: Rhythm
    stalls: list[tuple[float, float]]
    job_id: str = ""
    told: Path = Path()
    troubles: list[tuple[float, float]] = field(default_factory=list)
    since: float = 0.0
    until: float = float("inf")

    def lived(self, at: float) -> bool:
        """Whether nothing befell it around that time."""
        rhythm = self.rhythm
        if not self.since < at < self.until - rhythm.interval:
            return False
        return all(
            not begin - rhythm.interval < at < end + rhythm.settling
            for begin, end in (*self.troubles, *self.stalls)
        )

    def was_busy(self, at: float) -> bool:
        """Whether an earlier run of its job took longer than others had to join the one of then."""
        return any(
            run["time_started"] - self.skew < at - self.rhythm.hold_off
            and at < run["time_ended"] - self.skew + 1
            for run in self.runs()
        )

    def runs(self) -> list[dict[str, Any]]:
        """Its runs, the oldest first."""
        return self.desk.runs(self.job_id)


def with_clock(scheduler: SchedulerProcess, skew: int) -> None:
    scheduler.variables = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": f"{skew:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "api"
    folder.mkdir()
    with running(write_config(folder), "--workers", "1") as server:
        yield server


@pytest.fixture
def on_elasticsearch(elasticsearch_url: str, index_prefix: str, tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "freezer-api.conf"
    config.write_text(
        "[DEFAULT]\nauth_strategy = noauth\nkept_runs = 10000\n[storage]\nbackend = elasticsearch\n"
        f"[elasticsearch]\nhosts = {elasticsearch_url}\nindex_prefix = {index_prefix}\n"
    )
    with running(config, "--workers", "1") as server:
        yield server


def members_of(server: Server, folder: Path, stack: ExitStack, rhythm: Rhythm) -> list[Member]:
    url = f"http://{server.host}:{server.port}"
    found = []
    stalls = stack.enter_context(Witness(folder))
    for number, skew in enumerate((-rhythm.skew, 0, rhythm.skew)):
        scheduler = stack.enter_context(cleared(SchedulerProcess(folder / f"n{number}", url)))
        with_clock(scheduler, skew)
        desk = JobDesk(server, scheduler.client_id)
        found.append(Member(scheduler, desk, skew, rhythm, stalls))
    return found


def begin(server: Server, members: list[Member], folder: Path, rhythm: Rhythm) -> str:
    """The id of a session of which each member has a job that fails every so many times."""
    # Whoever is ahead begins first; the last one follows by twice as much as clocks are wrong.
    first = int(time.time()) + 12 + rhythm.skew
    start = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(first))
    schedule = {"schedule_start_date": start, "schedule_interval": f"{rhythm.interval} seconds"}
    body = {"schedule": schedule, "hold_off": rhythm.hold_off}
    status, answer = server.send("POST", f"/v2/{PROJECT}/sessions", body)
    assert status == 201, answer
    session_id = str(answer["session_id"])
    for number, member in enumerate(members):
        member.told = folder / f"told{number}"
        script = f"echo run >> {member.told}; n=$(wc -l < {member.told}); sleep 0.2; test $((n % {FAILING})) != 0"
        action = {
            "freezer_action": {"action": "exec", "command": f'sh -c "{script}"'},
            "max_retries": 0,
        }
        member.job_id = member.desk.create([action])
        path = f"/v2/{PROJECT}/sessions/{session_id}/jobs/{member.job_id}"
        assert server.send("PUT", path)[0] in {200, 204}
        member.scheduler.start()
    for member in members:
        member.desk.await_schedule(member.job_id, status="scheduled")
        member.since = time.time()
        if not rhythm.meets_at_once:
            member.since = max(member.since, first - member.skew + rhythm.interval)
    return session_id


def trouble(member: Member, kind: str, seconds: float) -> None:
    """Kill the scheduler with its agents, or hold it, for so long."""
    began = time.time()
    if kind == "kill":
        member.scheduler.end(signal.SIGKILL)
        time.sleep(seconds)
        member.scheduler.start()
    else:
        member.scheduler.signal(signal.SIGSTOP)
        time.sleep(seconds)
        member.scheduler.signal(signal.SIGCONT)
    member.troubles.append((began, time.time()))


def session_of(server: Server, session_id: str) -> dict[str, Any]:
    status, answer = server.send("GET", f"/v2/{PROJECT}/sessions/{session_id}")
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def check(server: Server, session_id: str, members: list[Member]) -> None:
    """The tag counts each run once, all that lived took part, and results are what happened."""
    tag = session_of(server, session_id)["session_tag"]
    began: dict[int, float] = {}
    parts: dict[int, set[str]] = {}
    for member in members:
        for run in member.runs():
            assert run["status"] in {"completed", "running"}, run
            if run["session_id"] != session_id:
                at = run["time_started"] - member.skew
                assert not member.lived(at), f"it took no part: {run}, {member.troubles}"
                continue
            number = run["session_tag"]
            assert member.job_id not in parts.setdefault(number, set()), f"twice in run {number}"
            parts[number].add(member.job_id)
            began.setdefault(number, run["time_started"] - member.skew)
    assert max(parts) <= tag
    for number in range(1, tag):
        # One that was killed right after it had opened a run left no record of it.
        at = began.get(number, 0.0)
        for member in members:
            if number not in began or member.job_id in parts[number] or not member.lived(at):
                continue
            assert member.was_busy(at), (number, member.job_id, member.troubles)
    missing = set(range(1, tag)) - parts.keys()
    assert len(missing) <= sum(len(member.troubles) for member in members)
    for member in members:
        _check_results(member)


def _check_results(member: Member) -> None:
    """Every third call of the script failed; of a run that was cut short nothing is known.

    The last one may have been ended by the stop.
    """
    ended = [run for run in member.runs() if run["status"] == "completed"]
    # One without actions was not carried out: the job had been part of that run already.
    runs = [
        run for run in ended if run["actions"] and run["result"] != "aborted" and not _is_lost(run)
    ]
    calls = len(member.told.read_text().splitlines())
    cut = len(member.troubles)
    assert len(runs) <= calls <= len(ended) + cut + 1
    # Under libfaketime a sleep is refused now and then, which no real clock does.
    judged = [run for run in runs if "[Errno 22]" not in run.get("error", "")]
    failed = [run for run in judged if run["result"] == "fail"]
    assert abs(len(failed) - calls // FAILING) <= cut + 1 + len(runs) - len(judged)
    if not cut:
        for number, run in enumerate(runs, start=1):
            expected = "fail" if number % FAILING == 0 else "success"
            assert run not in judged or run["result"] == expected, (number, run)


def _is_lost(run: dict[str, Any]) -> bool:
    return str(run.get("error", "")).startswith("lost")


def live(
    server: Server, folder: Path, rhythm: Rhythm, *, runs: int, seed: int | None = None
) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be the same again
    with ExitStack() as stack:
        members = members_of(server, folder, stack, rhythm)
        session_id = begin(server, members, folder, rhythm)

        def has_had(count: int) -> bool:
            time.sleep(1)  # Twenty looks a second would keep the API from the schedulers.
            return bool(session_of(server, session_id)["session_tag"] >= count)

        await_("the first run", lambda: has_had(1), 90 + rhythm.skew)
        while seed is not None and not has_had(runs - 4):
            had = int(session_of(server, session_id)["session_tag"])
            trouble(
                chance.choice(members), chance.choice(["kill", "stop"]), chance.uniform(0.5, 12)
            )
            target = had + chance.randrange(3, 7)
            await_("the next runs", lambda target=target: has_had(target), 20 * rhythm.interval)
        await_("the last runs", lambda: has_had(runs), 20 * rhythm.interval)
        for member in members:
            member.until = time.time()
            assert member.scheduler.end() == 0
        check(server, session_id, members)


def test_members_with_wrong_clocks_run_together(on_sqlite: Server, tmp_path: Path) -> None:
    # Far enough from each other, and from the end of the hold-off, for a machine that is slow.
    live(on_sqlite, tmp_path, Rhythm(interval=10, hold_off=7, skew=2), runs=4)


@pytest.mark.sessions
@pytest.mark.service
@pytest.mark.timeout(7200)
def test_two_hundred_runs_with_kills_and_pauses(on_elasticsearch: Server, tmp_path: Path) -> None:
    live(
        on_elasticsearch,
        tmp_path,
        Rhythm(interval=7, hold_off=4, skew=20),
        runs=int(os.environ.get("FREEZER_SESSION_RUNS", "200")),
        seed=int(os.environ.get("FREEZER_SESSION_SEED", "1")),
    )
