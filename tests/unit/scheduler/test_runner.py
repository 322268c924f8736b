"""One run of a job: sessions, actions in order, retries, and always a result."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from freezer_model.job import Job, JobResult
from freezer_scheduler.agent_process import AgentProcess, Outcome
from freezer_scheduler.errors import AgentNotFound, BoardRefused, BoardUnavailable
from freezer_scheduler.job_boards.base import SessionPlace
from freezer_scheduler.job_boards.memory import MemoryBoard
from freezer_scheduler.journal import Journal
from freezer_scheduler.reports import Reports
from freezer_scheduler.runner import Run, Runner

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OK = Outcome(exit_code=0, report=None, error="")
BAD = Outcome(exit_code=1, report=None, error="it broke")
BACKUP = Outcome(exit_code=0, report={"action": "backup", "level": 0}, error="")

Script = list[Outcome | Exception | Callable[[], Outcome]]


class ScriptedAgents:
    """Makes agents that end as the script says, one entry for each call."""

    def __init__(self) -> None:
        self.script: Script = []
        self.called: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.ended = 0

    def __call__(self, _job: Job) -> "ScriptedAgents":
        return self

    def run(
        self,
        freezer_action: Mapping[str, Any],
        *,
        max_run_seconds: int | None,
        on_start: Callable[[int], None],
    ) -> Outcome:
        del max_run_seconds
        self.called.append(str(freezer_action.get("name")))
        self.asked.append(dict(freezer_action))
        on_start(1)
        entry = self.script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return entry if isinstance(entry, Outcome) else entry()

    def end(self) -> None:
        self.ended += 1


class QuickRun(Run):
    """Notes its pauses, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def agents() -> ScriptedAgents:
    return ScriptedAgents()


@pytest.fixture
def board() -> MemoryBoard:
    return MemoryBoard()


@pytest.fixture
def runner(board: MemoryBoard, agents: ScriptedAgents, tmp_path: Path) -> Iterator[Runner]:
    journal = Journal(tmp_path / "journal")
    journal.open()
    yield Runner(
        board=board, reports=Reports(board, journal), new_agent=agents, slots=1, clock=lambda: AT
    )
    journal.close()


def job(*actions: dict[str, Any], **more: Any) -> Job:
    entries = [
        {"freezer_action": {"name": name}, **action}
        for name, action in zip("abcdef", actions, strict=False)
    ]
    return Job.from_document({"job_id": "j", "job_actions": entries, **more})


def ignore(_pid: int) -> None:
    """Nobody wants to know."""


def test_all_actions_in_order(runner: Runner, agents: ScriptedAgents) -> None:
    agents.script = [OK, OK]
    result = runner.run(job({}, {}), Run(), ignore)
    assert (result.result, result.exit_code, result.error) == (JobResult.SUCCESS, 0, "")
    assert agents.called == ["a", "b"]


def test_each_action_tells_how_it_went(runner: Runner, agents: ScriptedAgents) -> None:
    agents.script = [BAD, BAD, OK]
    actions = (
        {"action_id": "one", "max_retries": 1, "max_retries_interval": 0},
        {"action_id": "two"},
        {"action_id": "three", "mandatory": True},
    )
    result = runner.run(job(*actions), QuickRun(), ignore)
    at = int(AT.timestamp())
    times = {"time_started": at, "time_ended": at, "action": "backup"}
    assert [action.to_document() for action in result.actions] == [
        {
            "action_id": "one",
            "result": "fail",
            "attempts": 2,
            "exit_code": 1,
            "error": "the agent ended with exit code 1: it broke",
            "output": "it broke",
            **times,
        },
        {"action_id": "three", "result": "success", "attempts": 1, "exit_code": 0, **times},
    ]


def test_after_a_failure_only_mandatory_actions(runner: Runner, agents: ScriptedAgents) -> None:
    agents.script = [BAD, OK]
    result = runner.run(job({}, {}, {"mandatory": True}), Run(), ignore)
    assert agents.called == ["a", "c"]
    assert (result.result, result.exit_code) == (JobResult.FAIL, 1)
    assert result.error == "the agent ended with exit code 1: it broke"


def test_retries_with_pauses(runner: Runner, agents: ScriptedAgents) -> None:
    agents.script = [BAD, BAD, OK]
    run = QuickRun()
    result = runner.run(job({"max_retries": 2, "max_retries_interval": 5}), run, ignore)
    assert result.result is JobResult.SUCCESS
    assert run.pauses == [5, 5]


def test_retries_end(runner: Runner, agents: ScriptedAgents) -> None:
    agents.script = [BAD, BAD]
    result = runner.run(job({"max_retries": 1}), QuickRun(), ignore)
    assert result.result is JobResult.FAIL
    assert agents.called == ["a", "a"]


def test_a_real_program_that_fails_twice(board: MemoryBoard, tmp_path: Path) -> None:
    program = str(Path(__file__).parents[2] / "fakes" / "fake_agent.py")
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    journal = Journal(tmp_path / "journal")
    journal.open()
    runner = Runner(
        board=board,
        reports=Reports(board, journal),
        new_agent=lambda _job: AgentProcess(program, environment),
        slots=1,
        clock=lambda: AT,
    )
    action = {
        "fail_times": 2,
        "count": str(tmp_path / "count"),
        "report": '{"action": "backup", "level": 1}',
        "say": "tried",
    }
    document = {
        "job_id": "j",
        "job_actions": [{"freezer_action": action, "max_retries": 2, "max_retries_interval": 0}],
    }
    pids: list[int] = []
    result = runner.run(Job.from_document(document), Run(), pids.append)
    journal.close()
    assert result.result is JobResult.SUCCESS
    assert len(set(pids)) == 3
    assert board.backups == [{"action": "backup", "level": 1, "job_id": "j"}]


def test_a_pause_gives_up_the_slot(runner: Runner, agents: ScriptedAgents) -> None:
    pausing, done = threading.Event(), threading.Event()

    class Pausing(Run):
        def pause(self, seconds: float) -> None:
            super().pause(0 * seconds)
            pausing.set()
            assert done.wait(60)

    agents.script = [BAD, OK, OK]
    results = []
    thread = threading.Thread(
        target=lambda: results.append(runner.run(job({"max_retries": 1}), Pausing(), ignore))
    )
    thread.start()
    assert pausing.wait(60)
    other = runner.run(job({}), Run(), ignore)
    done.set()
    thread.join(60)
    assert other.result is JobResult.SUCCESS
    assert results[0].result is JobResult.SUCCESS


@pytest.mark.parametrize("error", [OSError("no processes left"), AgentNotFound("freezer-agent")])
def test_an_agent_that_cannot_start(
    runner: Runner, agents: ScriptedAgents, error: Exception
) -> None:
    agents.script = [error, OK]
    result = runner.run(job({}, {"mandatory": True}), Run(), ignore)
    assert result.result is JobResult.FAIL
    assert result.error == str(error)
    assert result.exit_code is None
    assert agents.called == ["a", "b"]


def test_an_agent_that_is_not_installed(board: MemoryBoard, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.open()

    def missing(_job: Job) -> ScriptedAgents:
        raise AgentNotFound("freezer-agent")

    runner = Runner(
        board=board, reports=Reports(board, journal), new_agent=missing, slots=1, clock=lambda: AT
    )
    result = runner.run(job({}), Run(), ignore)
    journal.close()
    assert result.result is JobResult.FAIL
    assert "freezer-agent was not found" in result.error


def test_abort_before_anything(runner: Runner, agents: ScriptedAgents) -> None:
    run = Run()
    run.abort()
    assert runner.run(job({}), run, ignore).result is JobResult.ABORTED
    assert agents.called == []


def test_abort_ends_the_agent_and_starts_no_other(runner: Runner, agents: ScriptedAgents) -> None:
    run = Run()

    def aborted() -> Outcome:
        run.abort()
        return Outcome(exit_code=143, report=None, error="")

    agents.script = [aborted]
    result = runner.run(job({"max_retries": 3}, {}), run, ignore)
    assert result.result is JobResult.ABORTED
    assert agents.ended == 1
    assert agents.called == ["a"]


def test_after_an_abort_mandatory_actions_clean_up(runner: Runner, agents: ScriptedAgents) -> None:
    run = Run()

    def aborted() -> Outcome:
        run.abort()
        return Outcome(exit_code=143, report=None, error="")

    agents.script = [aborted, BAD, OK]
    rules = {"mandatory": True, "max_retries": 1, "max_retries_interval": 0}
    result = runner.run(job({"max_retries": 3}, {}, rules), run, ignore)
    assert result.result is JobResult.ABORTED
    assert result.exit_code == 143
    assert agents.called == ["a", "c", "c"]
    assert [one.result for one in result.actions] == [JobResult.ABORTED, JobResult.SUCCESS]


def test_every_abort_ends_one_action(runner: Runner, agents: ScriptedAgents) -> None:
    run = Run()

    def aborted() -> Outcome:
        run.abort()
        return Outcome(exit_code=143, report=None, error="")

    agents.script = [aborted, aborted, OK]
    actions = job({}, {"mandatory": True}, {"mandatory": True})
    assert runner.run(actions, run, ignore).result is JobResult.ABORTED
    assert agents.ended == 2
    assert agents.called == ["a", "b", "c"]


def test_a_run_that_is_stopped_begins_nothing_more(runner: Runner, agents: ScriptedAgents) -> None:
    run = Run()

    def stopped() -> Outcome:
        run.stop()
        run.abort()
        return Outcome(exit_code=143, report=None, error="")

    agents.script = [stopped]
    result = runner.run(job({}, {"mandatory": True}), run, ignore)
    assert result.result is JobResult.ABORTED
    assert agents.called == ["a"]


def test_abort_while_waiting_for_a_slot_starts_no_agent(
    runner: Runner, agents: ScriptedAgents
) -> None:
    inside, go = threading.Event(), threading.Event()

    def slow() -> Outcome:
        inside.set()
        assert go.wait(60)
        return OK

    agents.script = [slow]
    first = threading.Thread(target=lambda: runner.run(job({}), Run(), ignore))
    first.start()
    assert inside.wait(60)
    run, results = Run(), []
    second = threading.Thread(target=lambda: results.append(runner.run(job({}), run, ignore)))
    second.start()
    run.abort()
    go.set()
    first.join(60)
    second.join(60)
    assert results[0].result is JobResult.ABORTED
    assert len(agents.called) == 1


@pytest.mark.parametrize(
    ("outcome", "result", "words"),
    [
        (Outcome(exit_code=-15, report=None, error=""), JobResult.ABORTED, "aborted"),
        (Outcome(exit_code=-9, report=None, error=""), JobResult.FAIL, "signal 9"),
        (
            Outcome(exit_code=-15, report=None, error="", overran=True),
            JobResult.FAIL,
            "max_run_time (7 s)",
        ),
    ],
)
def test_signals(
    runner: Runner, agents: ScriptedAgents, outcome: Outcome, result: JobResult, words: str
) -> None:
    agents.script = [outcome]
    ended = runner.run(job({"max_run_time": 7}), Run(), ignore)
    assert ended.result is result
    assert words in ended.error


def test_a_backup_is_recorded_with_its_session(
    runner: Runner, agents: ScriptedAgents, board: MemoryBoard
) -> None:
    agents.script = [BACKUP]
    result = runner.run(job({}, session_id="s", session_tag=4), Run(), ignore)
    assert result.job.session_tag == 5
    assert board.backups == [
        {"action": "backup", "level": 0, "job_id": "j", "session_id": "s", "session_tag": 5}
    ]
    assert board.ended_sessions == [("s", "j", JobResult.SUCCESS)]


def test_a_backup_is_told_the_run_of_its_session_and_nothing_else_is(
    runner: Runner, agents: ScriptedAgents
) -> None:
    agents.script = [BACKUP, BACKUP, BACKUP, BACKUP]
    restore = {"action": "restore", "session_id": "of old", "session_tag": 2}
    runner.run(
        job({"freezer_action": {"backup_name": "n"}}, {"freezer_action": restore}, session_id="s"),
        Run(),
        ignore,
    )
    runner.run(job({"freezer_action": {"action": "backup"}}), Run(), ignore)
    assert agents.asked == [
        {"backup_name": "n", "session_id": "s", "session_tag": 1},
        restore,
        {"action": "backup"},
    ]


@pytest.mark.parametrize(
    "report", [None, {"action": "restore"}, {"action": "backup", "dry_run": True}]
)
def test_what_is_no_backup_is_not_recorded(
    runner: Runner, agents: ScriptedAgents, board: MemoryBoard, report: dict[str, Any] | None
) -> None:
    agents.script = [Outcome(exit_code=0, report=report, error="")]
    runner.run(job({}), Run(), ignore)
    assert board.backups == []


@pytest.mark.parametrize(
    ("answer", "pauses"),
    [
        (BoardUnavailable("away"), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
        (BoardRefused("there is no session s"), []),
        (SessionPlace(result="hold-off", session_tag=9), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
    ],
)
def test_a_job_whose_session_cannot_be_joined_runs_outside_it(
    runner: Runner,
    agents: ScriptedAgents,
    board: MemoryBoard,
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
    pauses: list[float],
) -> None:
    def join(_job: Job) -> SessionPlace:
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]  # a parameter

    monkeypatch.setattr(board, "join_session", join)
    agents.script = [BACKUP]
    run = QuickRun()
    result = runner.run(job({}, session_id="s", session_tag=4), run, ignore)
    assert result.result is JobResult.SUCCESS
    assert result.job.session_tag == 4
    assert run.pauses == pauses
    assert board.backups == [{"action": "backup", "level": 0, "job_id": "j"}]
    assert board.ended_sessions == []


@pytest.mark.parametrize("last", ["success", "fail", ""])
def test_a_job_that_is_due_again_in_the_run_it_was_part_of_is_done(
    runner: Runner, board: MemoryBoard, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """It caught up and joined the others; now comes the instant at which they met."""
    place = SessionPlace(result="hold-off", session_tag=5)
    monkeypatch.setattr(board, "join_session", lambda _job: place)
    timing = {"schedule_interval": "1 hours", "result": last, "error": "why", "exit_code": 4}
    run = QuickRun()
    again = job({}, session_id="s", session_tag=5, job_schedule=timing)
    result = runner.run(again, run, ignore)
    assert (str(result.result), result.exit_code, result.error) == (last or "success", 4, "why")
    assert (result.job.session_id, result.job.session_tag) == ("", 5)
    assert (run.pauses, result.actions, result.joined_at) == ([], (), None)
    assert board.ended_sessions == []


def test_who_waited_for_the_session_tells_when_it_joined(
    runner: Runner, agents: ScriptedAgents, board: MemoryBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.script = [OK, OK]
    answers = [("success", 5), ("out-of-sync", 6), ("success", 7)]
    places = [SessionPlace(result=word, session_tag=tag) for word, tag in answers]
    monkeypatch.setattr(board, "join_session", lambda _job: places.pop(0))
    found = [runner.run(job({}, session_id="s"), QuickRun(), ignore).joined_at for _ in range(2)]
    assert found == [None, AT]


@pytest.mark.parametrize("aborted", [False, True])
def test_a_job_that_needs_its_session_is_not_run_without(
    runner: Runner,
    board: MemoryBoard,
    agents: ScriptedAgents,
    monkeypatch: pytest.MonkeyPatch,
    *,
    aborted: bool,
) -> None:
    monkeypatch.setattr(runner, "_session_required", True)
    run = QuickRun()

    def join(_job: Job) -> SessionPlace:
        if aborted:
            run.abort()
        raise BoardUnavailable("away")

    monkeypatch.setattr(board, "join_session", join)
    result = runner.run(job({}, session_id="s", session_tag=4), run, ignore)
    assert agents.called == []
    assert board.ended_sessions == []
    if aborted:
        assert result.result is JobResult.ABORTED
    else:
        assert result.result is JobResult.FAIL
        assert result.error == "not run: its session s could not be started: away"


def test_a_job_that_needs_its_session_runs_in_it(
    runner: Runner, board: MemoryBoard, agents: ScriptedAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_session_required", True)
    agents.script = [OK, OK]
    assert runner.run(job({}, session_id="s"), Run(), ignore).result is JobResult.SUCCESS
    assert runner.run(job({}), Run(), ignore).result is JobResult.SUCCESS
    assert board.ended_sessions == [("s", "j", JobResult.SUCCESS)]


def test_a_job_that_lags_waits_for_the_next_run_of_its_session_and_joins_it(
    runner: Runner, agents: ScriptedAgents, board: MemoryBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([("out-of-sync", 5), ("out-of-sync", 5), ("success", 6)])

    def join(asking: Job) -> SessionPlace:
        assert asking.session_tag == 4
        word, tag = next(answers)
        return SessionPlace(result=word, session_tag=tag)

    monkeypatch.setattr(board, "join_session", join)
    agents.script = [OK]
    result = runner.run(job({}, session_id="s", session_tag=4), QuickRun(), ignore)
    assert (result.job.session_id, result.job.session_tag) == ("s", 6)


def test_a_job_that_missed_runs_is_in_step_the_next_time(
    runner: Runner, agents: ScriptedAgents, board: MemoryBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one whose clock is ahead would be out of step for ever."""
    monkeypatch.setattr(
        board, "join_session", lambda _job: SessionPlace(result="out-of-sync", session_tag=9)
    )
    agents.script = [OK]
    result = runner.run(job({}, session_id="s", session_tag=4), QuickRun(), ignore)
    assert (result.job.session_id, result.job.session_tag) == ("", 9)
    assert board.ended_sessions == []
