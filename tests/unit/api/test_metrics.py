"""What Prometheus is told: of the service, and of the backups of all projects."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from freezer_api.errors import DocumentNotFound, StoreUnavailable
from freezer_api.metrics import fleet as fleet_module
from freezer_api.metrics.cache import SHARE, FleetCache
from freezer_api.metrics.fleet import Fleet, read_fleet
from freezer_api.metrics.requests import OnPort
from freezer_api.metrics.sightings import SharedSightings
from freezer_api.services.sightings import polling_client
from freezer_api.store.base import EVERYWHERE, Collection
from freezer_api.store.measured import Measured
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import Caller, World

POLL = {"match": [{"client_id": "node"}], "match_not": [{"status": "completed"}]}


class Ticker:
    """A clock that a test sets."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class TestPolls:
    def test_a_poll_names_its_client(self) -> None:
        assert polling_client(POLL) == "node"
        assert polling_client({**POLL, "match": {"client_id": "node"}}) == "node"

    @pytest.mark.parametrize(
        "criteria",
        [
            {},
            {"match": [{"client_id": "node"}]},
            {"match_not": [{"status": "completed"}]},
            {"match": [{"client_id": 5}], "match_not": [{"status": "completed"}]},
            {"match": "x", "match_not": [{"status": "completed"}]},
            {"match": [["client_id", "node"]], "match_not": [{"status": "completed"}]},
        ],
    )
    def test_other_searches_are_none(self, criteria: dict[str, Any]) -> None:
        assert polling_client(criteria) is None


class TestSightings:
    def test_processes_share_what_they_saw(self, tmp_path: Path) -> None:
        clock = Ticker()
        one = SharedSightings(tmp_path / "s", clock)
        other = SharedSightings(tmp_path / "s", clock)
        assert other.last_seen("p", "node") is None
        one.note("p", POLL)
        assert other.last_seen("p", "node") == 1000.0
        assert other.last_seen("q", "node") is None
        clock.now = 2000.0
        other.note("p", POLL)
        other.note("p", {})
        assert one.last_seen("p", "node") == 2000.0

    def test_invented_names_take_no_room(self, tmp_path: Path) -> None:
        """The table stays as large as it is; who polls again is known again."""
        clock = Ticker()
        table = SharedSightings(tmp_path / "s", clock, slots=64)
        for number in range(1000):
            clock.now += 1
            table.seen("p", f"invented{number}")
        table.seen("p", "node")
        assert table.last_seen("p", "node") == clock.now
        assert (tmp_path / "s").stat().st_size == 64 * 24
        known = [n for n in range(1000) if table.last_seen("p", f"invented{n}") is not None]
        assert len(known) <= 63
        assert min(known) > 800, "those that were seen long ago have made room"


def settled(member: Caller, **schedule: Any) -> str:
    return member.job_made(job_schedule=schedule)


class TestFleet:
    @pytest.fixture
    def member(self, world: World) -> Caller:
        caller = world.caller()
        caller.client_registered()
        return caller

    def report(self, member: Caller, job: str, **timing: Any) -> None:
        assert member.patch(f"/jobs/{job}", {"job_schedule": timing}).status == 200

    def read(self, world: World, limit: int = 100) -> Fleet:
        return read_fleet(world.store, limit)

    def test_a_success_is_remembered_when_later_runs_fail(
        self, world: World, member: Caller
    ) -> None:
        job = settled(member, schedule_interval="4 hours")
        created_at = int(world.clock.seconds())
        (fact,) = self.read(world).jobs
        assert (fact.has_succeeded, fact.succeeded_at) == (False, created_at)
        assert fact.interval_seconds == 4 * 3600
        self.report(member, job, status="running", time_started=created_at + 5)
        self.report(member, job, result="success", status="scheduled", time_ended=created_at + 9)
        self.report(member, job, status="running", time_started=created_at + 50)
        self.report(member, job, result="fail", status="scheduled", time_ended=created_at + 60)
        (fact,) = self.read(world).jobs
        assert (fact.has_succeeded, fact.succeeded_at) == (True, created_at + 9)

    def test_nobody_can_claim_a_success(self, world: World, member: Caller) -> None:
        job = settled(member, time_succeeded=5)
        self.report(member, job, time_succeeded=6, result="fail", time_ended=7)
        assert not self.read(world).jobs[0].has_succeeded
        edited = member.get(f"/jobs/{job}").json
        edited["job_schedule"]["time_succeeded"] = 8
        assert member.post(f"/jobs/{job}", edited).status == 201
        assert not self.read(world).jobs[0].has_succeeded

    def test_an_edited_job_keeps_its_success(self, world: World, member: Caller) -> None:
        job = settled(member)
        self.report(member, job, result="success", time_ended=70)
        before = member.get(f"/jobs/{job}").json
        assert before["job_schedule"]["time_succeeded"] == 70
        body = {"client_id": "node", "job_actions": [], "job_schedule": {}}
        assert member.post(f"/jobs/{job}", body).status == 201
        assert self.read(world).jobs[0].succeeded_at == 70

    def test_a_success_that_an_older_release_kept(self, world: World, member: Caller) -> None:
        job = settled(member)
        stored = world.store.get(Collection.JOBS, EVERYWHERE, job)
        document = dict(stored.document)
        document["job_schedule"] = {"result": "success", "time_ended": 44}
        world.store.replace(Collection.JOBS, job, document, stored.version)
        assert self.read(world).jobs[0].succeeded_at == 44

    def test_jobs_by_status(self, world: World, member: Caller) -> None:
        for status in ("scheduled", "scheduled", "completed"):
            self.report(member, settled(member), status=status)
        settled(member)
        fleet = self.read(world)
        counted = {name: count for name, count in fleet.jobs_by_status.items() if count}
        assert counted == {"new": 1, "scheduled": 2, "completed": 1}
        assert len(fleet.jobs) == 3, "a completed job does not run again"

    def test_all_projects_and_all_pages(
        self, world: World, member: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fleet_module, "_PAGE", 2)
        other = world.caller(project="q")
        other.client_registered("far")
        other.job_made(client_id="far")
        for _ in range(4):
            settled(member)
        fleet = self.read(world)
        assert [job.client_id for job in fleet.jobs] == ["far"] + ["node"] * 4
        assert [(each.project_id, each.client_id) for each in fleet.clients] == [
            ("p", "node"),
            ("q", "far"),
        ]

    def test_series_are_limited(self, world: World, member: Caller) -> None:
        for _ in range(5):
            settled(member)
        fleet = self.read(world, limit=3)
        assert (len(fleet.jobs), fleet.left_out) == (3, 2)
        assert fleet.jobs_by_status["new"] == 5
        assert self.read(world, limit=0).left_out == 6

    @pytest.mark.parametrize(
        "broken",
        [
            {"job_schedule": {"status": "odd"}},
            {"job_schedule": {"schedule_interval": "1 fortnight"}},
            {"job_schedule": 5},
            {"job_schedule": {"schedule_interval": 5}},
        ],
    )
    def test_documents_that_cannot_be_read_count(self, broken: dict[str, Any]) -> None:
        store = MemoryStore()
        store.insert(Collection.JOBS, "j", {"project_id": "p", "job_id": "j", **broken})
        store.insert(Collection.CLIENTS, "c", {"project_id": "p", "client": "odd"})
        fleet = read_fleet(store, 10)
        assert fleet.jobs_by_status["new"] == 1
        assert [job.job_id for job in fleet.jobs] == ["j"]


EMPTY = Fleet(jobs_by_status={"new": 0}, jobs=(), clients=(), left_out=0)


class TestCache:
    def make(self, folder: Path, read: Callable[[], Fleet], clock: Ticker) -> FleetCache:
        return FleetCache(folder, read, refresh_seconds=60, now=clock)

    def test_one_process_reads_for_all(self, tmp_path: Path) -> None:
        clock, reads = Ticker(), []

        def read() -> Fleet:
            reads.append(clock.now)
            return EMPTY

        caches = [self.make(tmp_path, read, clock) for _ in range(3)]
        for later in (0, 30, 59, 60, 90, 121):
            clock.now = 1000.0 + later
            for cache in caches:
                reading = cache.reading()
                assert reading is not None
                assert reading.fleet == EMPTY
        assert reads == [1000.0, 1060.0, 1121.0]

    def test_a_slow_store_is_read_seldom(self, tmp_path: Path) -> None:
        clock, reads = Ticker(), []

        def read() -> Fleet:
            reads.append(clock.now)
            clock.now += 10
            return EMPTY

        cache = self.make(tmp_path, read, clock)
        cache.reading()
        clock.now += 10 * SHARE - 1
        cache.reading()
        assert len(reads) == 1
        clock.now += 2
        cache.reading()
        assert len(reads) == 2

    def test_what_was_known_stays_while_the_store_is_away(self, tmp_path: Path) -> None:
        clock = Ticker()
        answers: list[Fleet | None] = [None, EMPTY, None]

        def read() -> Fleet:
            answer = answers.pop(0)
            if answer is None:
                raise StoreUnavailable("gone")
            return answer

        cache = self.make(tmp_path, read, clock)
        assert cache.reading() is None
        first = cache.reading()
        assert first is not None
        clock.now += 100
        later = cache.reading()
        assert later is not None
        assert (later.read_at, later.fleet) == (first.read_at, EMPTY)
        assert answers == []


class TestMeasuredStore:
    def test_calls_are_timed_and_failures_told(self) -> None:
        seen: list[tuple[str, str, float, bool]] = []

        class Meter:
            def observe(
                self, operation: str, collection: str, seconds: float, *, failed: bool
            ) -> None:
                seen.append((operation, collection, seconds, failed))

        class FakeBroken(MemoryStore):
            def delete(self, *_arguments: Any) -> None:
                raise StoreUnavailable("gone")

        ticks = iter(range(100))
        store = Measured(FakeBroken(), Meter(), lambda: float(next(ticks)))
        with pytest.raises(DocumentNotFound):
            store.get(Collection.JOBS, EVERYWHERE, "x")
        with pytest.raises(StoreUnavailable):
            store.delete(Collection.JOBS, EVERYWHERE, "x")
        assert seen == [("get", "jobs", 1.0, False), ("delete", "jobs", 1.0, True)]


class TestPage:
    @pytest.fixture
    def answer(self, tmp_path: Path) -> Callable[[str], tuple[int, str]]:
        """Each in a process of its own: the library keeps its numbers for one for ever."""

        def ask(script: str) -> tuple[int, str]:
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
                capture_output=True,
                text=True,
                check=False,
                cwd=Path(__file__).parents[3],
            )
            return done.returncode, done.stdout + done.stderr

        return ask

    def test_counts_of_all_workers(self, answer: Callable[[str], tuple[int, str]]) -> None:
        """Two workers that have ended and one that asks; methods and routes stay few."""
        code, text = answer(
            """
            import os, sys
            from pathlib import Path
            from freezer_api.metrics import meters
            meters.activate(Path(sys.argv[1]))
            for _ in range(2):
                pid = os.fork()
                if not pid:
                    m = meters.Meters()
                    for method in ("GET", "BREW1", "BREW2"):
                        m.request(method, "/v2/{project_id}/jobs", "200", 0.02)
                    m.request("GET", None, "401", 0.02)
                    m.observe("search", "jobs", 0.3, failed=True)
                    os._exit(0)
                os.waitpid(pid, 0)
                meters.worker_ended(pid)
            print(meters.exposition([]).decode())
            """
        )
        assert code == 0, text
        lines = text.splitlines()
        route = 'route="/v2/{project_id}/jobs"'
        assert f'freezer_api_requests_total{{method="GET",{route},status="200"}} 2.0' in lines
        assert f'freezer_api_requests_total{{method="other",{route},status="200"}} 4.0' in lines
        assert 'freezer_api_requests_total{method="GET",route="none",status="401"} 2.0' in lines
        bucket = f'freezer_api_request_seconds_bucket{{le="0.025",method="GET",{route}}} 2.0'
        assert bucket in lines
        assert 'freezer_api_store_seconds_count{collection="jobs",operation="search"} 2.0' in lines
        assert 'freezer_api_store_failures_total{collection="jobs",operation="search"} 2.0' in lines

    def test_ages_and_the_only_path(self, answer: Callable[[str], tuple[int, str]]) -> None:
        code, text = answer(
            """
            import sys
            from pathlib import Path
            from falcon import testing
            from freezer_api.errors import StoreUnavailable
            from freezer_api.metrics import meters
            from freezer_api.metrics.cache import FleetCache
            from freezer_api.metrics.fleet import ClientFact, Fleet, JobFact
            from freezer_api.metrics.page import MetricsPage
            from freezer_api.metrics.sightings import SharedSightings
            folder = Path(sys.argv[1])
            meters.activate(folder)
            job = JobFact(project_id="p", client_id="node", job_id="j\\n\\"", succeeded_at=400,
                          has_succeeded=True, interval_seconds=3600)
            fleet = Fleet(jobs_by_status={"scheduled": 1}, jobs=(job,), left_out=7,
                          clients=(ClientFact(project_id="p", client_id="node"),
                                   ClientFact(project_id="p", client_id="silent")))
            seen = SharedSightings(folder / "s", lambda: 990.0)
            seen.seen("p", "node")
            cache = FleetCache(folder, lambda: fleet, refresh_seconds=60, now=lambda: 1000.0)
            page = MetricsPage(cache=cache, sightings=seen, store_is_ready=lambda: False,
                               started_at=950.0, now=lambda: 1000.0)
            client = testing.TestClient(page)
            print(client.simulate_get("/metrics").text)
            for method, path in (("GET", "/"), ("POST", "/metrics"), ("GET", "/v2/p/jobs")):
                assert client.simulate_request(method, path).status_code == 404
            assert client.simulate_head("/metrics").text == ""
            """
        )
        assert code == 0, text
        lines = text.splitlines()
        assert "freezer_store_up 0.0" in lines
        assert 'freezer_jobs{status="scheduled"} 1.0' in lines
        assert "freezer_series_left_out 7.0" in lines
        job = '{client_id="node",job_id="j\\n\\"",project_id="p"}'
        assert f"freezer_job_seconds_since_success{job} 600.0" in lines
        assert f"freezer_job_interval_seconds{job} 3600.0" in lines
        ages = 'freezer_client_seconds_since_seen{client_id="%s",project_id="p"} %s'
        assert ages % ("node", "10.0") in lines
        assert ages % ("silent", "50.0") in lines


def test_a_port_of_its_own() -> None:
    def named(name: bytes) -> Any:
        def answer(_environ: Any, start: Any) -> list[bytes]:
            start("200 OK", [("Content-Type", "text/plain")])
            return [name]

        return answer

    client = testing.TestClient(OnPort(named(b"api"), named(b"metrics"), 9091))
    assert client.simulate_get("/metrics", port=9090).text == "api"
    assert client.simulate_get("/metrics", port=9091).text == "metrics"
    assert client.simulate_get("/metrics", port=9090, headers={"Host": "x:9091"}).text == "api"


def test_the_file_of_the_fleet_is_whole(tmp_path: Path) -> None:
    """It is replaced as one, so that a reader in another process never sees half of it."""
    cache = FleetCache(tmp_path, lambda: EMPTY, refresh_seconds=60)
    cache.reading()
    assert json.loads((tmp_path / "fleet.json").read_text())["fleet"]["left_out"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.json", "fleet.lock"]
