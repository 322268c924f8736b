"""Each state and event through the poller, with a timetable that is driven by hand."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from freezer_model.errors import InvalidDocument
from freezer_model.job import Job, JobResult
from freezer_model.run import JobRun, RunStatus
from freezer_model.schedule import Schedule, ScheduleKind
from freezer_scheduler.agent_process import Outcome
from freezer_scheduler.errors import (
    BoardRefused,
    CoordinationUnavailable,
    HeldElsewhere,
    JournalUnusable,
)
from freezer_scheduler.job_boards.base import SessionPlace, StateReport
from freezer_scheduler.job_boards.memory import MemoryBoard
from freezer_scheduler.journal import Journal
from freezer_scheduler.poller import Poller, Rules
from freezer_scheduler.process_tree import process_start
from freezer_scheduler.reports import Reports
from freezer_scheduler.run_records import RunRecords
from freezer_scheduler.runner import Run, Runner

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOURLY = {"schedule_interval": "1 hours"}


class HandTimetable:
    """Knows what is armed; fires only when told."""

    def __init__(self, run: Callable[[str], None]) -> None:
        self.run = run
        self.armed: dict[str, Schedule] = {}
        self.history: list[str] = []
        self.last: dict[str, datetime | None] = {}
        self.never: set[str] = set()
        self.broken: set[str] = set()
        self.closed = False
        self.served: dict[str, datetime] = {}

    def start(self) -> None:
        """Nothing fires by itself."""

    def arm(
        self, job_id: str, schedule: Schedule, last_run_at: datetime | None = None
    ) -> datetime | None:
        self.last[job_id] = last_run_at
        self.armed.pop(job_id, None)
        if job_id in self.broken:
            raise InvalidDocument("job_schedule.schedule_hour", "must be an hour")
        if job_id in self.never:
            return None
        self.history.append(job_id)
        self.armed[job_id] = schedule
        return AT + timedelta(hours=1)

    def disarm(self, job_id: str) -> None:
        self.armed.pop(job_id, None)

    def next_run_at(self, job_id: str) -> datetime | None:
        return AT + timedelta(hours=1) if job_id in self.armed else None

    def due_of_run(self, job_id: str) -> datetime | None:
        del job_id
        return None

    def serve(self, job_id: str, *, until: datetime) -> None:
        self.served[job_id] = until

    def close(self) -> None:
        self.closed = True
        self.armed.clear()

    def fire(self, job_id: str) -> None:
        schedule = self.armed[job_id]
        if schedule.kind in (ScheduleKind.AT_ONCE, ScheduleKind.DATE):
            del self.armed[job_id]
        self.run(job_id)


class HandOwnership:
    """Owns what it is told; other schedulers run what it is told."""

    def __init__(self) -> None:
        self.others: set[str] = set()
        self.elsewhere: set[str] = set()
        self.held: set[str] = set()
        self.away = False

    def open(self) -> None:
        """Nobody to join."""

    def refresh(self) -> None:
        if self.away:
            raise CoordinationUnavailable("away")

    def owns(self, job_id: str) -> bool:
        return not self.away and job_id not in self.others

    def runs_elsewhere(self, job_id: str) -> bool:
        return job_id in self.elsewhere

    @contextmanager
    def running(self, job_id: str) -> Iterator[None]:
        self.refresh()
        if job_id in self.elsewhere:
            raise HeldElsewhere("another scheduler runs it")
        self.held.add(job_id)
        yield
        self.held.remove(job_id)

    def close(self) -> None:
        """Nobody to leave."""


class Watched:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []
        self.jobs: list[str] = []

    def run_ended(
        self, job: Job, result: JobResult, *, error: str = "", exit_code: int | None = None
    ) -> None:
        del error, exit_code
        self.ended.append((job.job_id, str(result)))

    def look(self, jobs: Iterable[Job]) -> None:
        self.jobs = [job.job_id for job in jobs]


class GateAgent:
    """Runs until let go or ended; `outcome` is then its end."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.outcome = Outcome(exit_code=0, report=None, error="")
        self.calls: list[Mapping[str, Any]] = []
        self.was_ended = False

    def __call__(self, _job: Job) -> "GateAgent":
        return self

    def run(
        self,
        freezer_action: Mapping[str, Any],
        *,
        max_run_seconds: int | None,
        on_start: Callable[[int], None],
    ) -> Outcome:
        del max_run_seconds
        self.calls.append(freezer_action)
        on_start(4711)
        self.inside.set()
        assert self.go.wait(60)
        return Outcome(exit_code=-15, report=None, error="") if self.was_ended else self.outcome

    def end(self) -> None:
        self.was_ended = True
        self.go.set()


class World:
    """A poller and all around it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.board = MemoryBoard()
        self.agent = GateAgent()
        self.threads: list[threading.Thread] = []
        self.numbers = itertools.count(1)
        self.ownership = HandOwnership()
        self.shares = False
        self.watched = Watched()
        self.begin_life()

    def begin_life(self) -> None:
        self.journal = Journal(self.path)
        self.journal.open()
        self.reports = Reports(self.board, self.journal)
        self.poller = Poller(
            board=self.board,
            reports=self.reports,
            journal=self.journal,
            runner=Runner(
                board=self.board,
                reports=self.reports,
                new_agent=self.agent,
                slots=2,
                clock=lambda: AT,
            ),
            ownership=self.ownership,
            watch=self.watched,
            records=RunRecords(
                board=self.board,
                new_id=lambda: f"run{next(self.numbers)}",
                scheduler="node",
                seconds=300,
                alone_by_lock=self.shares,
            ),
            clock=lambda: AT,
            rules=Rules(),
            timetable_of=self._timetable,  # type: ignore[arg-type]  # stands for it
        )
        self.poller.start()

    def begin_life_again(self) -> None:
        """As after a kill: nothing is closed in order but the file."""
        self.journal.close()
        self.begin_life()

    def _timetable(self, run: Callable[[str], None]) -> HandTimetable:
        self.timetable = HandTimetable(run)
        return self.timetable

    def put(self, job_id: str = "a", **timing: Any) -> None:
        self.board.put(
            {
                "job_id": job_id,
                "job_schedule": timing,
                "job_actions": [{"freezer_action": {"storage": "local"}}],
            }
        )

    def of(self, job_id: str = "a") -> dict[str, Any]:
        timing = self.board.jobs[job_id]["job_schedule"]
        assert isinstance(timing, dict)
        return timing

    def words(self, job_id: str = "a") -> tuple[str, str, str]:
        timing = self.of(job_id)
        return timing.get("status", ""), timing.get("event", ""), timing.get("result", "")

    def begin_run(self, job_id: str = "a") -> None:
        """Fire on a thread, and return when its agent runs."""
        self.agent.go.clear()
        self.agent.inside.clear()
        thread = threading.Thread(target=self.timetable.fire, args=[job_id])
        thread.start()
        self.threads.append(thread)
        assert self.agent.inside.wait(60)

    def end_run(self) -> None:
        self.agent.go.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path / "journal")
    yield one
    one.end_run()
    one.journal.close()


# -- stop ------------------------------------------------------------------------------------------


def test_a_new_job_starts_by_being_there(world: World) -> None:
    world.put()
    world.poller.tick()
    assert world.words() == ("scheduled", "", "")
    assert world.board.registered == 1
    world.timetable.fire("a")
    assert world.words() == ("completed", "", "success")
    assert world.of()["time_started"] == world.of()["time_ended"] == int(AT.timestamp())
    assert world.of()["exit_code"] == 0
    assert "current_pid" not in world.of()


@pytest.mark.parametrize("event", ["", "stop", "abort"])
def test_stopped_jobs_stay_stopped(world: World, event: str) -> None:
    world.put(status="stop", event=event)
    world.poller.tick()
    world.poller.tick()
    assert world.words() == ("stop", "", "")
    assert world.timetable.armed == {}


def test_stopped_then_started(world: World) -> None:
    world.put(status="stop")
    world.poller.tick()
    world.board.request("a", "start")
    world.poller.tick()
    assert world.words() == ("scheduled", "", "")
    assert "a" in world.timetable.armed


def test_a_stopped_job_is_removed(world: World) -> None:
    world.put(status="stop")
    world.poller.tick()
    del world.board.jobs["a"]
    world.poller.tick()
    world.put(status="stop", event="start")
    world.poller.tick()
    assert world.words() == ("scheduled", "", "")


def test_a_job_that_will_never_be_due_is_completed(world: World) -> None:
    world.timetable.never.add("a")
    world.put()
    world.poller.tick()
    assert world.words() == ("completed", "", "")
    world.board.request("a", "start")
    world.timetable.never.clear()
    world.poller.tick()
    assert world.words() == ("scheduled", "", "")


# -- scheduled -------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["stop", "abort"])
def test_scheduled_then_stopped(world: World, event: str) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.board.request("a", event)
    world.poller.tick()
    assert world.words() == ("stop", "", "")
    assert world.timetable.armed == {}


@pytest.mark.parametrize("event", ["stop", "abort"])
def test_a_run_whose_thread_was_on_its_way_at_the_stop_does_not_begin(
    world: World, event: str
) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.board.request("a", event)
    world.poller.tick()
    world.poller.fire("a")
    assert world.words() == ("stop", "", "")
    assert world.agent.calls == []
    world.board.request("a", "start")
    world.poller.tick()
    world.timetable.fire("a")
    assert world.words() == ("scheduled", "", "success")


def test_scheduled_then_started_is_armed_once(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.board.request("a", "start")
    world.poller.tick()
    assert world.words() == ("scheduled", "", "")
    assert world.timetable.history == ["a"]


def test_scheduled_then_removed(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    del world.board.jobs["a"]
    world.poller.tick()
    assert world.timetable.armed == {}


# -- running ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("timing", [{}, HOURLY])
@pytest.mark.parametrize("event", ["", "start", "stop", "abort"])
def test_events_during_a_run(world: World, timing: dict[str, Any], event: str) -> None:
    world.put(**timing)
    world.poller.tick()
    world.begin_run()
    assert world.of()["status"] == "running"
    assert world.of()["current_pid"] == 4711
    if event:
        world.board.request("a", event)
    for _ in range(3):
        world.poller.tick()
    if event != "abort":
        assert not world.agent.was_ended
        assert world.of()["status"] == "running"
    world.end_run()
    repeats = timing and event in ("", "start")
    assert world.words() == (
        "scheduled" if repeats else "completed",
        "",
        "aborted" if event == "abort" else "success",
    )
    assert ("a" in world.timetable.armed) == bool(repeats)
    assert len(world.agent.calls) == 1


def test_removed_during_a_run(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.begin_run()
    del world.board.jobs["a"]
    world.poller.tick()
    assert "a" in world.timetable.armed
    world.end_run()
    assert world.timetable.armed == {}
    assert world.journal.unfinished() == []
    assert world.journal.last_run_at("a") is None
    assert world.reports.deliver()


def test_a_start_takes_back_a_stop(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.begin_run()
    world.board.request("a", "stop")
    world.poller.tick()
    world.board.request("a", "start")
    world.poller.tick()
    world.end_run()
    assert world.words() == ("scheduled", "", "success")


def test_an_event_between_two_looks_is_not_overwritten_by_the_result(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.begin_run()
    world.board.request("a", "stop")
    world.end_run()
    assert world.words() == ("scheduled", "stop", "success")
    world.poller.tick()
    assert world.words() == ("stop", "", "success")


def test_no_job_runs_twice_at_once(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.begin_run()
    world.timetable.fire("a")
    assert len(world.agent.calls) == 1


def test_firing_what_is_not_known(world: World) -> None:
    world.poller.fire("unknown")
    assert world.agent.calls == []


# -- listings --------------------------------------------------------------------------------------


def test_a_board_that_is_away_changes_nothing(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.board.available = False
    world.poller.tick()
    world.timetable.fire("a")
    assert world.words() == ("scheduled", "", "")
    assert world.reports.undelivered_jobs() == {"a"}
    world.board.available = True
    world.poller.tick()
    assert world.words() == ("scheduled", "", "success")
    assert world.reports.undelivered_jobs() == set()


def test_a_refused_listing_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(**HOURLY)
    world.poller.tick()

    def refuse() -> list[Mapping[str, Any]]:
        raise BoardRefused("not yours")

    monkeypatch.setattr(world.board, "wanted", refuse)
    world.poller.tick()
    assert "a" in world.timetable.armed


def during_listing(world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """A tick whose listing is read before `act` and arrives after it."""
    wanted = world.board.wanted

    def slow() -> list[Mapping[str, Any]]:
        found = wanted()
        act()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(world.board, "wanted", slow)
        world.poller.tick()


def test_an_old_listing_does_not_take_what_has_just_completed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put()
    world.poller.tick()
    during_listing(world, monkeypatch, lambda: world.timetable.fire("a"))
    assert world.words() == ("completed", "", "success")
    world.poller.tick()
    assert world.timetable.history == ["a"]
    world.board.request("a", "start")
    world.poller.tick()
    assert world.timetable.history == ["a", "a"]


def test_what_completed_while_the_board_was_away_is_not_taken_again(world: World) -> None:
    world.put()
    world.poller.tick()
    world.board.available = False
    world.timetable.fire("a")
    world.poller.tick()
    world.board.available = True
    world.poller.tick()
    world.poller.tick()
    assert world.words() == ("completed", "", "success")
    assert world.timetable.history == ["a"]


def test_a_report_that_cannot_be_sent_leaves_the_job_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("a")
    world.put("b", **HOURLY)
    world.poller.tick()
    with monkeypatch.context() as patch:
        patch.setattr(world.reports, "deliver", lambda: False)
        world.reports.leave_delivery(lambda: None)
        world.timetable.fire("a")
        world.timetable.fire("b")
        for _ in range(3):
            world.poller.tick()
        assert world.timetable.history == ["a", "b"]
        assert list(world.timetable.armed) == ["b"]
    world.poller.tick()
    assert world.words("a") == ("completed", "", "success")
    assert world.words("b") == ("scheduled", "", "success")


def test_an_old_listing_does_not_remove_what_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    kept = world.board.jobs.pop("a")

    def back() -> None:
        world.board.jobs["a"] = kept
        world.timetable.fire("a")

    during_listing(world, monkeypatch, back)
    assert "a" in world.timetable.armed


def test_a_stop_that_came_after_the_listing_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(**HOURLY)
    during_listing(world, monkeypatch, lambda: world.board.request("a", "stop"))
    assert world.words() == ("scheduled", "stop", "")
    world.poller.tick()
    assert world.words() == ("stop", "", "")


# -- edits -----------------------------------------------------------------------------------------


def edit(world: World, **timing: Any) -> None:
    document = world.board.jobs["a"]
    document["job_actions"] = [{"freezer_action": {"storage": "local", "edited": "yes"}}]
    document["job_schedule"].update(timing)


def test_an_edit_of_a_scheduled_job(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    edit(world, schedule_interval="2 hours")
    world.poller.tick()
    assert world.timetable.history == ["a", "a"]
    world.timetable.fire("a")
    assert world.agent.calls == [{"storage": "local", "edited": "yes"}]


@pytest.mark.parametrize("seen_during_the_run", [True, False])
def test_an_edit_during_a_run(world: World, *, seen_during_the_run: bool) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.begin_run()
    edit(world, schedule_interval="2 hours")
    if seen_during_the_run:
        world.poller.tick()
        assert world.timetable.history == ["a"]
    world.end_run()
    world.poller.tick()
    assert world.timetable.history == ["a", "a"]
    assert world.of()["schedule_interval"] == "2 hours"
    assert world.words() == ("scheduled", "", "success")
    world.timetable.fire("a")
    assert world.agent.calls[-1] == {"storage": "local", "edited": "yes"}


def test_an_edit_after_which_nothing_is_due(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.timetable.never.add("a")
    edit(world, schedule_date="2001-01-01T00:00:00")
    world.poller.tick()
    assert world.words() == ("completed", "", "")
    world.poller.tick()
    world.timetable.never.clear()
    world.board.request("a", "start")
    world.poller.tick()
    assert world.words() == ("scheduled", "", "")


def test_an_edit_that_the_timetable_refuses(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.timetable.broken.add("a")
    edit(world, schedule_interval="2 hours")
    world.poller.tick()
    assert world.words() == ("completed", "", "fail")
    assert "schedule_hour" in world.of()["error"]
    world.poller.tick()


# -- refusals --------------------------------------------------------------------------------------


class Deaf:
    """A board at which nobody may say how jobs go, as for jobs of other users."""

    def __init__(self, world: World) -> None:
        self.told: list[str] = []
        world.board.report = self.report  # type: ignore[method-assign]

    def report(self, job_id: str, _changes: Mapping[str, Any], _tag: int | None) -> None:
        self.told.append(job_id)
        raise BoardRefused("you are not allowed to")


def test_a_refusal_that_the_board_does_not_take_is_not_repeated(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = Deaf(world)
    world.poller.rules = Rules(central=True)
    world.put("a")
    for _ in range(4):
        world.poller.tick()
    assert deaf.told == ["a"]
    assert caplog.text.count("job a is not run: the job has no trust") == 1


def test_a_refused_job_that_is_edited_is_looked_at_again(world: World) -> None:
    deaf = Deaf(world)
    world.poller.rules = Rules(central=True)
    world.put("a")
    world.poller.tick()
    world.poller.tick()
    world.put("a", event="start")
    world.poller.tick()
    assert deaf.told == ["a", "a"]


def test_a_refused_job_is_taken_once_the_rules_allow_it(world: World) -> None:
    Deaf(world)
    world.poller.rules = Rules(central=True)
    world.put("a")
    world.poller.tick()
    world.poller.tick()
    world.poller.rules = Rules()
    world.poller.tick()
    assert set(world.timetable.armed) == {"a"}


def test_a_broken_job_is_told_so_and_others_go_on(world: World) -> None:
    world.put("a", schedule_interval="1 fortnight")
    world.put("b")
    world.board.put({"job_id": "c", "job_actions": "none"})
    world.poller.tick()
    assert world.words("a") == ("completed", "", "fail")
    assert "schedule_interval" in world.of("a")["error"]
    assert world.words("b") == ("scheduled", "", "")
    assert world.words("c") == ("completed", "", "fail")
    world.poller.tick()


def test_what_the_node_does_not_do_is_told_so(world: World) -> None:
    world.poller.rules = Rules(capabilities={"supported_storages": ["local"]}, disable_exec=True)
    world.put("a")
    world.put("b", event="start")
    world.board.jobs["b"]["job_actions"][0]["freezer_action"] = {"action": "exec", "command": "x"}
    world.put("c")
    world.board.jobs["c"]["job_actions"][0]["freezer_action"] = {}
    world.poller.tick()
    assert world.words("a") == ("scheduled", "", "")
    assert world.words("b") == ("completed", "", "fail")
    assert "disable_exec" in world.of("b")["error"]
    assert "storage: swift" in world.of("c")["error"]
    assert list(world.timetable.armed) == ["a"]


def test_broken_by_an_edit(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.of()["schedule_interval"] = "often"
    world.poller.tick()
    assert world.words() == ("completed", "", "fail")
    assert world.timetable.armed == {}


def test_broken_by_an_edit_during_a_run(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.begin_run()
    world.of()["schedule_interval"] = "often"
    world.poller.tick()
    assert world.of()["status"] == "running"
    world.end_run()
    world.poller.tick()
    assert world.words() == ("completed", "", "fail")
    assert "schedule_interval" in world.of()["error"]


# -- bad days --------------------------------------------------------------------------------------


def test_a_run_that_was_cut_is_reported_as_lost(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.journal.begin("a", "run", AT)
    world.journal.agent_started("a", 2**22 + 1, "1")
    world.begin_life_again()
    assert world.words() == ("scheduled", "", "fail")
    assert "died" in world.of()["error"]
    assert world.journal.unfinished() == []
    world.poller.tick()
    assert "a" in world.timetable.armed


def test_the_pid_of_another_process_is_not_ended(world: World) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    ) as process:
        world.journal.begin("a", "run", AT)
        world.journal.agent_started("a", process.pid, "not its start")
        world.begin_life_again()
        assert process.poll() is None
        world.journal.begin("a", "run", AT)
        world.journal.agent_started("a", process.pid, process_start(process.pid))
        world.begin_life_again()
        assert process.wait(60) == -15


def test_a_journal_that_fails_leaves_no_job_running(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.journal.close()
    world.timetable.fire("a")
    status, _, result = world.words()
    assert (status, result) == ("scheduled", "fail")
    assert "journal" in world.of()["error"]
    world.journal.open()
    world.timetable.fire("a")
    assert world.words() == ("scheduled", "", "success")


def test_a_once_only_job_with_a_failing_journal_can_be_started_again(world: World) -> None:
    world.put()
    world.poller.tick()
    world.journal.close()
    world.timetable.fire("a")
    assert world.words() == ("completed", "", "fail")
    with suppress(JournalUnusable):
        world.poller.tick()
    world.journal.open()
    world.board.request("a", "start")
    world.poller.tick()
    world.timetable.fire("a")
    assert world.words() == ("completed", "", "success")


def test_an_agent_that_cannot_start_is_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Outcome:
        raise OSError("no memory")

    monkeypatch.setattr(world.agent, "run", broken)
    world.put(**HOURLY)
    world.poller.tick()
    world.timetable.fire("a")
    assert world.words() == ("scheduled", "", "fail")
    assert world.of()["error"] == "no memory"


def test_a_defect_in_a_run_is_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Outcome:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(world.agent, "run", broken)
    world.put()
    world.poller.tick()
    world.timetable.fire("a")
    assert world.words() == ("completed", "", "fail")
    assert "oops" in world.of()["error"]
    assert world.journal.unfinished() == []


@pytest.mark.parametrize(
    ("timing", "status"),
    [(HOURLY, "scheduled"), ({}, "completed"), ({"schedule_hour": "3"}, "scheduled")],
)
def test_close_ends_the_agents_and_reports(
    world: World, timing: dict[str, Any], status: str
) -> None:
    world.put(**timing)
    world.poller.tick()
    world.begin_run()
    world.poller.close(grace_seconds=0)
    assert world.words() == (status, "", "aborted")
    assert world.agent.was_ended
    assert world.timetable.closed
    assert world.journal.unfinished() == []
    world.poller.fire("a")
    assert len(world.agent.calls) == 1


def test_close_waits_for_what_ends_in_time(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    world.begin_run()
    timer = threading.Timer(0.05, world.agent.go.set)
    timer.start()
    world.poller.close(grace_seconds=250)
    timer.join()
    assert world.words() == ("scheduled", "", "success")
    assert not world.agent.was_ended


class TestLeases:
    def runs(self, world: World) -> list[tuple[str, str, str]]:
        return [
            (run.run_id, str(run.status), str(run.result)) for run in world.board.runs["a"].values()
        ]

    def test_a_run_is_announced_and_ended(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.begin_run()
        assert self.runs(world) == [("run1", "running", "")]
        world.end_run()
        world.reports.deliver()
        assert self.runs(world) == [("run1", "completed", "success")]
        (action,) = world.board.runs["a"]["run1"].actions
        assert (action.result, action.attempts, action.exit_code) == ("success", 1, 0)

    def test_a_job_that_runs_elsewhere_is_not_run(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        other = JobRun(run_id="other", job_id="a")
        world.board.hold_run(other, 300)
        before = world.words()
        world.timetable.fire("a")
        assert world.agent.calls == []
        assert world.words() == before
        assert world.journal.unfinished() == []
        world.board.end_run(replace(other, status=RunStatus.COMPLETED))
        world.timetable.fire("a")
        assert len(world.agent.calls) == 1

    def test_a_board_that_is_away_holds_up_nothing(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.board.available = False
        world.poller.tick()
        world.timetable.fire("a")
        assert len(world.agent.calls) == 1
        world.board.available = True
        world.poller.tick()
        assert self.runs(world) == [("run1", "completed", "success")]

    def test_a_run_that_was_lost_shows_as_running_again(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.begin_run()
        run = world.board.runs["a"]["run1"]
        world.board.runs["a"]["run1"] = replace(run, status=RunStatus.LOST)
        world.board.report("a", {"status": "scheduled", "result": "fail", "error": "lost"}, None)
        world.poller.tick()
        assert self.runs(world) == [("run1", "running", "")]
        world.reports.deliver()
        assert world.words() == ("running", "", "")
        assert "error" not in world.of()
        world.end_run()

    def test_a_run_whose_job_was_taken_over_is_ended_and_silent(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.begin_run()
        lost = replace(world.board.runs["a"]["run1"], status=RunStatus.LOST)
        world.board.runs["a"]["run1"] = lost
        world.board.hold_run(JobRun(run_id="other", job_id="a"), 300)
        world.board.report("a", {"status": "running", "time_started": 5}, None)
        world.poller.tick()
        world.end_run()
        assert world.agent.was_ended
        world.reports.deliver()
        assert world.words()[0] == "running"
        assert world.of()["time_started"] == 5
        assert world.journal.unfinished() == []

    def test_the_end_of_a_run_that_a_kill_cut_is_told(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.begin_run()
        world.begin_life_again()
        world.poller.tick()
        assert self.runs(world)[0] == ("run1", "completed", "fail")
        assert world.board.runs["a"]["run1"].error.startswith("lost")
        world.agent.go.set()


def test_a_first_run_that_fell_into_an_absence_is_not_forgotten(world: World) -> None:
    """Nothing of the job has run yet: it counts from when it was first seen."""
    world.put(schedule_hour="4")
    world.poller.tick()
    assert world.timetable.last["a"] is None
    world.begin_life_again()
    world.poller.tick()
    assert world.timetable.last["a"] == AT


class TestSharing:
    def test_jobs_of_others_are_left_to_them(self, world: World) -> None:
        world.ownership.others = {"b"}
        world.put("a", **HOURLY)
        world.put("b", **HOURLY)
        world.poller.tick()
        assert set(world.timetable.armed) == {"a"}
        assert world.words("b") == ("", "", "")

    def test_one_that_is_handed_over_is_disarmed_in_silence(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.ownership.others = {"a"}
        before = world.words()
        world.poller.tick()
        assert not world.timetable.armed
        assert world.words() == before
        world.ownership.others = set()
        world.poller.tick()
        assert set(world.timetable.armed) == {"a"}

    def test_a_run_is_finished_though_its_job_is_handed_over(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.begin_run()
        assert world.ownership.held == {"a"}
        world.ownership.others = {"a"}
        world.poller.tick()
        world.end_run()
        world.reports.deliver()
        assert world.words() == ("scheduled", "", "success")
        assert world.ownership.held == set()
        world.poller.tick()
        assert not world.timetable.armed

    def test_it_is_aborted_by_the_one_that_runs_it(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.begin_run()
        world.ownership.others = {"a"}
        world.board.request("a", "abort")
        world.poller.tick()
        world.end_run()
        world.reports.deliver()
        assert world.agent.was_ended
        assert world.of()["result"] == "aborted"

    def test_a_new_owner_waits_for_the_run_of_the_former_one(self, world: World) -> None:
        world.put(**HOURLY, status="running", event="abort")
        world.ownership.elsewhere = {"a"}
        world.poller.tick()
        assert world.words() == ("running", "abort", "")
        world.ownership.elsewhere = set()
        world.poller.tick()
        assert world.words()[1] == ""

    def test_a_run_that_goes_on_elsewhere_is_not_begun(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.ownership.elsewhere = {"a"}
        before = world.words()
        world.timetable.fire("a")
        assert world.agent.calls == []
        assert world.words() == before

    def test_an_instant_in_the_run_of_another_is_caught_up_with_after_it(
        self, world: World
    ) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.ownership.elsewhere = {"a"}
        begun = int(AT.timestamp()) - 600
        world.put(**HOURLY, status="running", time_started=begun)
        world.timetable.fire("a")
        world.poller.tick()
        assert not world.timetable.armed
        world.ownership.elsewhere = set()
        world.put(**HOURLY, status="scheduled", time_started=begun)
        world.poller.tick()
        assert world.timetable.last["a"] == AT - timedelta(minutes=10)

    def test_a_run_is_left_to_a_new_owner_that_no_tick_has_shown_yet(self, world: World) -> None:
        world.put(**HOURLY)
        world.poller.tick()
        world.ownership.others = {"a"}
        world.timetable.fire("a")
        assert world.agent.calls == []

    def test_who_comes_back_says_nothing_of_a_job_that_another_runs(self, world: World) -> None:
        world.shares = True
        world.begin_life_again()
        world.put(**HOURLY)
        world.poller.tick()
        world.begin_run()
        world.ownership.elsewhere = {"a"}
        world.put(**HOURLY, status="running", time_started=int(AT.timestamp()) + 1)
        world.begin_life_again()
        world.poller.tick()
        assert world.words() == ("running", "", "")
        assert world.of()["time_started"] == int(AT.timestamp()) + 1
        assert world.board.runs["a"]["run1"].error.startswith("lost")
        world.agent.go.set()

    def test_a_job_that_a_dead_scheduler_left_running_has_failed(self, world: World) -> None:
        world.put(**HOURLY, status="running")
        world.poller.tick()
        assert world.words() == ("scheduled", "", "fail")
        assert world.of()["error"].startswith("lost")

    def test_while_owners_cannot_be_told_nothing_begins(self, world: World) -> None:
        world.put("a", **HOURLY)
        world.poller.tick()
        world.ownership.away = True
        world.put("b", **HOURLY)
        world.poller.tick()
        assert set(world.timetable.armed) == {"a"}
        world.timetable.fire("a")
        assert world.agent.calls == []
        world.timetable.history.clear()
        world.ownership.away = False
        world.poller.tick()
        # Armed anew: the run that was missed is overdue.
        assert world.timetable.history == ["b", "a"]

    def test_the_last_run_of_another_counts(self, world: World) -> None:
        world.put(**HOURLY, time_started=int(AT.timestamp()) - 600)
        world.poller.tick()
        assert world.timetable.last["a"] == AT - timedelta(minutes=10)

    def test_the_last_run_of_another_counts_more_than_an_older_one_here(self, world: World) -> None:
        world.journal.begin("a", "old", AT - timedelta(days=7))
        world.journal.end("a")
        world.put(**HOURLY, time_started=int(AT.timestamp()) - 600)
        world.poller.tick()
        assert world.timetable.last["a"] == AT - timedelta(minutes=10)


def test_whoever_watches_is_told_of_jobs_and_results(world: World) -> None:
    world.put(**HOURLY)
    world.poller.tick()
    assert world.watched.jobs == ["a"]
    world.timetable.fire("a")
    world.agent.outcome = Outcome(exit_code=1, report=None, error="")
    world.timetable.fire("a")
    assert world.watched.ended == [("a", "success"), ("a", "fail")]


def test_killed_as_the_lease_was_given_the_next_life_gives_it_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing that is done for an exception is done then."""

    hold = world.board.hold_run

    def hold_and_die(run: JobRun, lease_seconds: int, *, take_over: bool = False) -> bool:
        hold(run, lease_seconds, take_over=take_over)
        world.journal.close()
        raise Killed

    world.put(**HOURLY)
    world.poller.tick()
    with monkeypatch.context() as patched:
        patched.setattr(world.board, "hold_run", hold_and_die)
        with pytest.raises(Killed):
            world.timetable.fire("a")
    world.begin_life_again()
    world.poller.tick()
    world.timetable.fire("a")
    assert world.words() == ("scheduled", "", "success")
    ended = [(str(run.status), str(run.result)) for run in world.board.runs["a"].values()]
    assert ended == [("completed", "fail"), ("completed", "success")]


# -- very many jobs --------------------------------------------------------------------------------


@pytest.fixture
def crowd(world: World) -> list[str]:
    names = [f"job{number}" for number in range(45)]
    for name in names:
        world.put(name, **HOURLY)
    return names


def test_many_new_jobs_are_armed_and_reported_together(
    world: World, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    take_all = world.board.report_all

    def report_all(reports: Sequence[StateReport]) -> Mapping[str, str]:
        told.append([each.job_id for each in reports])
        return take_all(reports)

    monkeypatch.setattr(world.board, "report_all", report_all)
    world.put("wrong", schedule_interval="sometimes")
    world.poller.tick()
    assert told == [crowd]
    assert [world.words(name) for name in crowd] == [("scheduled", "", "")] * len(crowd)
    assert world.words("wrong") == ("completed", "", "fail")
    assert set(world.timetable.armed) == set(crowd)
    assert world.journal.letters() == []


def test_many_jobs_whose_reports_cannot_be_kept_are_reported_at_once(
    world: World, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when all of them are written down."""
    together = world.journal.together

    @contextmanager
    def failing() -> Iterator[None]:
        with suppress(JournalUnusable), together():
            yield
            raise JournalUnusable("rolled back")
        raise JournalUnusable("the disk is full")

    world.reports.leave_delivery(lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(world.journal, "together", failing)
        world.poller.tick()
        assert len(world.journal.letters()) == len(crowd)
    assert world.reports.deliver()
    assert [world.words(name) for name in crowd] == [("scheduled", "", "")] * len(crowd)


def test_what_the_board_says_already_is_not_reported_after_a_restart(
    world: World, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.poller.tick()
    world.board.request("job7", "stop")
    told: list[str] = []
    report = world.board.report

    def noted(job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        told.append(job_id)
        report(job_id, changes, session_tag)

    monkeypatch.setattr(world.board, "report", noted)
    world.begin_life_again()
    world.poller.tick()
    assert told == ["job7"]
    assert world.words("job7") == ("stop", "", "")
    assert len(world.timetable.armed) == len(crowd) - 1
    # What changes from then on is told as ever.
    told.clear()
    world.board.request("job8", "stop")
    world.poller.tick()
    world.board.request("job8", "start")
    world.poller.tick()
    assert told == ["job8", "job8"]
    assert world.words("job8") == ("scheduled", "", "")


def test_a_listing_that_says_nothing_new_is_not_gone_through_again(
    world: World, crowd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.poller.tick()
    world.poller.tick()
    read: list[str] = []
    parse = Job.from_document

    def noted(document: Mapping[str, Any]) -> Job:
        read.append(str(document["job_id"]))
        return parse(document)

    monkeypatch.setattr(Job, "from_document", noted)
    world.poller.tick()
    assert read == []
    world.board.request("job3", "stop")
    world.poller.tick()
    assert set(read) == set(crowd)
    assert world.words("job3") == ("stop", "", "")
    # Other rules change what may run, whatever the listing says.
    world.poller.tick()
    world.poller.rules = Rules(capabilities={"supported_storages": ["swift"]})
    world.poller.tick()
    assert world.words("job4") == ("completed", "", "fail")


def test_a_run_that_waited_for_its_session_counts_for_the_instant_it_met_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["success", "out-of-sync", "success"]
    monkeypatch.setattr(
        world.board,
        "join_session",
        lambda _job: SessionPlace(result=words.pop(0), session_tag=2 - len(words) // 2),
    )
    monkeypatch.setattr(Run, "pause", lambda _run, _seconds: None)
    world.put(**HOURLY)
    world.board.jobs["a"]["session_id"] = "s"
    world.poller.tick()
    world.timetable.fire("a")
    assert world.timetable.served == {}
    world.timetable.fire("a")
    assert world.timetable.served == {"a": AT + timedelta(minutes=1)}
    assert world.words() == ("scheduled", "", "success")
