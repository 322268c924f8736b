"""Reports arrive: in order, states once, whatever is away meanwhile."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from freezer_model.job import Job, JobEvent, JobResult, JobState, JobStatus
from freezer_model.run import JobRun, RunStatus
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, JournalUnusable
from freezer_scheduler.job_boards.base import StateReport
from freezer_scheduler.job_boards.memory import MemoryBoard
from freezer_scheduler.journal import Journal
from freezer_scheduler.reports import Reports

RUNNING = JobState(status=JobStatus.RUNNING)
DONE = JobState(status=JobStatus.COMPLETED, result=JobResult.SUCCESS)


class LoggedBoard(MemoryBoard):
    """Notes each report that arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[tuple[str, str]] = []
        self.again: list[bool] = []

    def report(self, job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        super().report(job_id, changes, session_tag)
        self.arrived.append((job_id, changes["status"]))

    def leave_session(self, job: Job, result: JobResult) -> None:
        super().leave_session(job, result)
        self.arrived.append((job.job_id, f"end of {job.session_id} {job.session_tag} {result}"))

    def record_backup(self, record: Mapping[str, Any], *, again: bool) -> None:
        self.again.append(again)
        super().record_backup(record, again=again)
        self.arrived.append((record["job_id"], "backup"))


@pytest.fixture
def board() -> LoggedBoard:
    one = LoggedBoard()
    one.put({"job_id": "a"})
    one.put({"job_id": "b"})
    return one


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    one = Journal(path)
    one.open()
    yield one
    one.close()


@pytest.fixture
def reports(board: LoggedBoard, journal: Journal) -> Reports:
    return Reports(board, journal)


def session_job() -> Job:
    return Job.from_document({"job_id": "a", "session_id": "s", "session_tag": 3})


def test_a_report_leaves_the_schedule_and_unconsumed_events(
    board: LoggedBoard, reports: Reports
) -> None:
    board.put({"job_id": "a", "job_schedule": {"schedule_interval": "1 hours", "event": "stop"}})
    reports.state("a", RUNNING, consumed=False)
    timing = board.jobs["a"]["job_schedule"]
    assert (timing["schedule_interval"], timing["event"]) == ("1 hours", "stop")
    assert timing["status"] == "running"
    reports.state("a", DONE, consumed=True)
    assert board.jobs["a"]["job_schedule"]["event"] == ""


def test_away_then_in_order_and_once(board: LoggedBoard, reports: Reports) -> None:
    board.available = False
    reports.state("b", RUNNING, consumed=False)
    reports.state("a", RUNNING, consumed=False)
    reports.backup("a", {"level": 0})
    reports.session_end(session_job(), JobResult.SUCCESS)
    reports.state("a", DONE, consumed=False)
    assert reports.undelivered_jobs() == {"a", "b"}
    assert not reports.deliver()
    board.available = True
    assert reports.deliver()
    assert board.arrived == [
        ("b", "running"),
        ("a", "backup"),
        ("a", "end of s 3 success"),
        ("a", "completed"),
    ]
    assert reports.deliver()
    assert len(board.arrived) == 4
    assert reports.undelivered_jobs() == set()


def test_two_states_keep_a_consumed_event_and_the_tag(board: LoggedBoard, reports: Reports) -> None:
    board.request("a", "start")
    board.available = False
    reports.state("a", JobState(status=JobStatus.SCHEDULED), consumed=True, session_tag=7)
    reports.state("a", DONE, consumed=False)
    board.available = True
    reports.deliver()
    assert board.jobs["a"]["job_schedule"]["event"] == JobEvent.NONE
    assert board.jobs["a"]["session_tag"] == 7
    assert board.arrived == [("a", "completed")]


def test_reports_of_an_earlier_life(
    board: LoggedBoard, reports: Reports, journal: Journal, path: Path
) -> None:
    board.available = False
    reports.backup("a", {"level": 0})
    journal.close()
    board.available = True
    later = Journal(path)
    later.open()
    assert Reports(board, later).deliver()
    later.close()
    assert board.backups == [{"level": 0, "job_id": "a"}]
    assert board.again == [False, True]


def test_who_delivers_is_woken(board: LoggedBoard, reports: Reports) -> None:
    woken: list[str] = []
    reports.leave_delivery(lambda: woken.append("now"))
    reports.state("a", RUNNING, consumed=False)
    reports.backup("a", {"level": 0})
    assert (len(woken), board.arrived) == (2, [])
    reports.leave_delivery(None)
    reports.state("b", RUNNING, consumed=False)
    assert board.arrived == [("a", "running"), ("a", "backup"), ("b", "running")]


def test_one_that_is_refused_does_not_hold_up_others(board: LoggedBoard, reports: Reports) -> None:
    board.available = False
    reports.state("gone", DONE, consumed=False)
    reports.state("a", DONE, consumed=False)
    board.available = True
    assert reports.deliver()
    assert board.arrived == [("a", "completed")]


def test_a_journal_that_fails_sends_at_once(
    board: LoggedBoard, reports: Reports, journal: Journal
) -> None:
    journal.close()
    reports.state("a", DONE, consumed=False)
    reports.backup("a", {"level": 1})
    reports.session_end(session_job(), JobResult.FAIL)
    assert [what for _, what in board.arrived] == ["completed", "backup", "end of s 3 fail"]
    assert not reports.deliver()
    board.available = False
    reports.state("a", DONE, consumed=False)
    reports.backup("a", {"level": 1})


def test_one_that_was_replaced_while_others_were_sent_is_not_sent(
    board: LoggedBoard, reports: Reports, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.available = False
    reports.state("b", RUNNING, consumed=False)
    reports.state("a", RUNNING, consumed=False)
    board.available = True
    send = board.report

    def meanwhile(job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        if job_id == "b":
            journal.post_latest(
                "state", "a", {"changes": DONE.to_report(), "session_tag": None}, lambda _, new: new
            )
        send(job_id, changes, session_tag)

    monkeypatch.setattr(board, "report", meanwhile)
    reports.deliver()
    reports.deliver()
    assert board.arrived == [("b", "running"), ("a", "completed")]


def test_the_board_may_refuse_what_cannot_be_kept(
    board: LoggedBoard, reports: Reports, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.close()

    def refuse(*_: object) -> None:
        raise BoardRefused("no")

    monkeypatch.setattr(board, "report", refuse)
    reports.state("a", DONE, consumed=False)
    assert board.arrived == []


class PickyBoard(LoggedBoard):
    """Answers every report of some jobs with an error of its own."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = set(broken)
        self.asked: list[str] = []

    def report(self, job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        self.asked.append(job_id)
        if job_id in self.broken:
            raise BoardUnavailable(f"500 for {job_id}", answered=True)
        super().report(job_id, changes, session_tag)


def picky(journal: Journal, *broken: str) -> tuple[PickyBoard, Reports]:
    board = PickyBoard(*broken)
    for job_id in "abcdefg":
        board.put({"job_id": job_id})
    reports = Reports(board, journal)
    reports.leave_delivery(lambda: None)
    return board, reports


def test_a_report_that_always_fails_holds_up_its_job_only(journal: Journal) -> None:
    board, reports = picky(journal, "a")
    reports.state("a", RUNNING, consumed=False)
    reports.backup("a", {"level": 0})
    reports.state("b", DONE, consumed=False)
    assert not reports.deliver()
    assert board.arrived == [("b", "completed")]
    assert reports.undelivered_jobs() == {"a"}
    board.broken.clear()
    assert reports.deliver()
    assert board.arrived == [("b", "completed"), ("a", "running"), ("a", "backup")]


def test_many_jobs_that_fail_starve_no_other_and_are_all_tried_in_turn(journal: Journal) -> None:
    board, reports = picky(journal, *"abcde")
    for job_id in "abcde":
        reports.state(job_id, RUNNING, consumed=False)
    reports.deliver()
    assert board.asked == ["a", *"abc"], (
        "together, then by themselves; after some failures the board is left alone"
    )
    reports.state("f", DONE, consumed=False)
    board.asked.clear()
    reports.deliver()
    reports.deliver()
    assert ("f", "completed") in board.arrived
    assert {"d", "e", "a"} <= set(board.asked)
    board.broken.clear()
    assert reports.deliver()
    assert reports.undelivered_jobs() == set()


def test_a_board_that_does_not_answer_is_asked_once(journal: Journal) -> None:
    board, reports = picky(journal)
    board.available = False
    for job_id in "abc":
        reports.state(job_id, RUNNING, consumed=False)
    assert not reports.deliver()
    assert board.asked == ["a"]


def test_the_end_of_a_run_is_sent_before_the_next_one_begins(
    board: LoggedBoard, reports: Reports
) -> None:
    """Else the board takes that for a second run at once, and refuses it."""
    reports.leave_delivery(lambda: None)
    ended = JobRun(run_id="r", job_id="a", status=RunStatus.COMPLETED, result=JobResult.SUCCESS)
    reports.state("b", RUNNING, consumed=False)
    reports.settle_end("a")
    assert board.arrived == []
    reports.state("a", DONE, consumed=False, ended=ended)
    reports.settle_end("a")
    assert [what for _, what in board.arrived] == ["running", "completed"]


def test_a_journal_that_fails_has_no_end_to_send(reports: Reports, journal: Journal) -> None:
    journal.close()
    reports.settle_end("a")


class GatheringBoard(LoggedBoard):
    """Takes many at once, or says why not."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[list[str]] = []
        self.trouble: BoardUnavailable | BoardRefused | None = None

    def report_all(self, reports: Sequence[StateReport]) -> Mapping[str, str]:
        self.together.append([each.job_id for each in reports])
        if self.trouble is not None:
            raise self.trouble
        return super().report_all(reports)


def gathered(journal: Journal, jobs: str) -> tuple[GatheringBoard, Reports]:
    board = GatheringBoard()
    reports = Reports(board, journal)
    for job_id in jobs:
        board.put({"job_id": job_id})
    reports.leave_delivery(lambda: None)
    with reports.together():
        for job_id in jobs:
            reports.state(job_id, RUNNING, consumed=False)
        assert board.arrived == []
    return board, reports


def test_states_of_many_jobs_go_together(journal: Journal) -> None:
    board, reports = gathered(journal, "abcd")
    del board.jobs["c"]
    assert reports.deliver()
    assert board.together == [["a", "b", "c", "d"]]
    assert board.arrived == [("a", "running"), ("b", "running"), ("d", "running")]
    assert journal.letters() == []


def test_what_else_is_told_keeps_its_place_among_states(journal: Journal) -> None:
    board, reports = gathered(journal, "ab")
    reports.backup("b", {"level": 0})
    reports.state("c", DONE, consumed=False)
    board.put({"job_id": "c"})
    assert reports.deliver()
    assert board.together == [["a", "b"]]
    assert board.arrived == [
        ("a", "running"),
        ("b", "running"),
        ("b", "backup"),
        ("c", "completed"),
    ]


@pytest.mark.parametrize(
    "trouble", [BoardUnavailable("500", answered=True), BoardRefused("the body is no good")]
)
def test_one_that_spoils_the_call_holds_up_no_other(
    journal: Journal, trouble: BoardUnavailable | BoardRefused
) -> None:
    board, reports = gathered(journal, "abc")
    board.trouble = trouble
    assert reports.deliver()
    assert [job_id for job_id, _ in board.arrived] == ["a", "b", "c"]


def test_a_board_that_does_not_answer_is_asked_once_for_many(journal: Journal) -> None:
    board, reports = gathered(journal, "abc")
    board.trouble = BoardUnavailable("nobody there")
    assert not reports.deliver()
    assert (len(board.together), board.arrived) == (1, [])
    board.trouble = None
    assert reports.deliver()
    assert len(board.arrived) == 3


def test_very_many_are_sent_in_parts_with_time_for_other_things_between(journal: Journal) -> None:
    board = GatheringBoard()
    reports = Reports(board, journal)
    reports.leave_delivery(lambda: None)
    with reports.together():
        for number in range(2500):
            board.put({"job_id": f"j{number}"})
            reports.state(f"j{number}", RUNNING, consumed=False)
    left = []
    while reports.deliver_some():
        left.append(len(journal.letters()))
    assert left == [1500, 500]
    assert journal.letters() == []
    assert {len(each) for each in board.together} == {250}


def test_reports_that_cannot_be_kept_together_are_an_error(
    board: LoggedBoard, journal: Journal
) -> None:
    reports = Reports(board, journal)
    journal.close()
    with pytest.raises(JournalUnusable), reports.together():
        raise AssertionError("never entered")
