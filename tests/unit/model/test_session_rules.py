"""Sessions count runs: every row of the contract, every known fault, and any order of events."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from freezer_model.job import JobResult, JobStatus
from freezer_model.session import Session, SessionJob
from freezer_model.session_rules import SessionAnswer, end_in_session, start_in_session
from freezer_model.session_rules import SessionOutcome as Outcome

HOLD_OFF = 30
OPENED = 1000
IN, AFTER = OPENED + HOLD_OFF, OPENED + HOLD_OFF + 1
GOOD, BAD = JobResult.SUCCESS, JobResult.FAIL


def fresh(*names: str) -> Session:
    return Session(
        hold_off=HOLD_OFF, jobs={name: SessionJob(client_id=f"node-{name}") for name in names}
    )


def opened(*names: str, tag: int = 3) -> Session:
    return replace(fresh(*names), session_tag=tag, time_start=OPENED, status="running")


def start(session: Session, job: str = "a", *, tag: int, now: int) -> SessionAnswer:
    return start_in_session(session, job, tag, now)


def end(
    session: Session, job: str = "a", *, tag: int, result: JobResult = GOOD, now: int = 2000
) -> SessionAnswer:
    return end_in_session(session, job, tag, result, now)


def test_a_tag_that_was_never_given_is_too_high() -> None:
    session = opened("a")
    answer = start(session, tag=4, now=AFTER)
    assert (answer.outcome, answer.session) == (Outcome.TAG_TOO_HIGH, session)


def test_a_stranger_does_not_take_part() -> None:
    session = opened("a")
    answer = start(session, "x", tag=3, now=AFTER)
    assert (answer.outcome, answer.session) == (Outcome.NOT_A_MEMBER, session)


def test_in_hold_off_a_job_that_lags_joins_the_run() -> None:
    session = opened("a", "b")
    answer = start(session, tag=2, now=IN)
    assert (answer.outcome, answer.session.session_tag) == (Outcome.SUCCESS, 3)
    joined = answer.session.jobs["a"]
    assert (joined.status, joined.result, joined.time_started) == ("running", "", IN)
    assert (answer.session.time_start, answer.session.jobs["b"]) == (
        OPENED,
        SessionJob(client_id="node-b"),
    )


def test_in_hold_off_a_job_of_this_run_is_held_off() -> None:
    session = opened("a")
    answer = start(session, tag=3, now=IN)
    assert answer.outcome is Outcome.HOLD_OFF
    assert answer.session is session


def test_after_hold_off_a_job_of_this_run_opens_the_next() -> None:
    answer = start(opened("a", "b"), tag=3, now=AFTER)
    session = answer.session
    assert (answer.outcome, session.session_tag) == (Outcome.SUCCESS, 4)
    assert (session.time_start, session.time_end) == (AFTER, -1)
    assert (session.status, session.result) == ("running", "")
    assert (session.jobs["a"].status, session.jobs["b"].status) == ("running", "")


def test_after_hold_off_a_job_that_lags_is_out_of_sync() -> None:
    session = opened("a")
    answer = start(session, tag=2, now=AFTER)
    assert answer.outcome is Outcome.OUT_OF_SYNC
    assert answer.session is session


@pytest.mark.parametrize("now", [0, 10, OPENED])
def test_a_fresh_session_is_never_in_hold_off(now: int) -> None:
    answer = start(fresh("a"), tag=0, now=now)
    assert (answer.outcome, answer.session.session_tag) == (Outcome.SUCCESS, 1)


def test_a_start_far_in_the_future_does_not_hold_the_session_off() -> None:
    answer = start(opened("a"), tag=3, now=OPENED - HOLD_OFF - 1)
    assert (answer.outcome, answer.session.session_tag) == (Outcome.SUCCESS, 4)


def test_a_clock_that_is_a_little_behind_still_sees_the_hold_off() -> None:
    assert start(opened("a"), tag=3, now=OPENED - 1).outcome is Outcome.HOLD_OFF


def test_a_start_whose_answer_was_lost_may_be_repeated() -> None:
    first = start(opened("a"), tag=3, now=AFTER).session
    again = start(first, tag=3, now=AFTER + 1)
    assert (again.outcome, again.session.session_tag) == (Outcome.SUCCESS, 4)


def test_an_end_is_noted_and_the_session_goes_on_while_others_run() -> None:
    session = start(opened("a", "b"), tag=3, now=AFTER).session
    answer = end(session, tag=4, result=BAD)
    noted = answer.session.jobs["a"]
    assert answer.outcome is Outcome.SUCCESS
    assert (noted.status, noted.result, noted.time_ended) == ("completed", "fail", 2000)
    assert (answer.session.status, answer.session.result) == ("running", "")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_a_failed_member_fails_the_session_only_when_all_have_ended(order: tuple[str, str]) -> None:
    session = start(fresh("a", "b"), tag=0, now=OPENED).session
    session = start(session, "b", tag=0, now=OPENED + 1).session
    results = {"a": BAD, "b": GOOD}
    session = end(session, order[0], tag=1, result=results[order[0]]).session
    assert session.status == "running"
    session = end(session, order[1], tag=1, result=results[order[1]], now=2500).session
    assert (session.status, session.result, session.time_end) == ("completed", "fail", 2500)


def test_a_session_succeeds_when_all_members_do() -> None:
    session = start(fresh("a"), tag=0, now=OPENED).session
    session = end(session, tag=1).session
    assert (session.status, session.result) == ("completed", "success")


def test_an_aborted_member_fails_the_session() -> None:
    session = start(fresh("a"), tag=0, now=OPENED).session
    assert end(session, tag=1, result=JobResult.ABORTED).session.result == "fail"


def test_a_late_end_of_an_older_run_changes_nothing() -> None:
    session = start(opened("a"), tag=3, now=AFTER).session
    answer = end(session, tag=3)
    assert answer.outcome is Outcome.SUCCESS
    assert answer.session is session


def test_the_end_of_a_run_that_never_was_is_refused() -> None:
    assert end(opened("a"), tag=4).outcome is Outcome.TAG_TOO_HIGH


def test_the_end_of_a_stranger_is_refused() -> None:
    assert end(opened("a"), "x", tag=3).outcome is Outcome.NOT_A_MEMBER


def test_a_second_run_does_not_end_with_its_first_member() -> None:
    session = start(fresh("a", "b"), tag=0, now=OPENED).session
    session = start(session, "b", tag=0, now=OPENED).session
    session = end(end(session, "a", tag=1).session, "b", tag=1).session
    session = start(session, tag=1, now=AFTER).session
    assert end(session, tag=2).session.status == "running"


def test_an_end_that_is_repeated_does_not_move_the_end_of_the_session() -> None:
    session = start(fresh("a"), tag=0, now=OPENED).session
    session = end(session, tag=1, now=2000).session
    assert end(session, tag=1, now=3000).session.time_end == 2000


class AnySessionLife(RuleBasedStateMachine):
    """Members that start and end whenever they like, some with answers lost."""

    @initialize(count=st.integers(1, 6), hold_off=st.integers(0, 40))
    def found(self, count: int, hold_off: int) -> None:
        names = [f"j{number}" for number in range(count)]
        self.session = replace(fresh(*names), hold_off=hold_off)
        self.known = dict.fromkeys(names, 0)
        self.running = {}
        self.ended = {}
        self.now = OPENED

    def member(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.known)))

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(data=st.data(), answer_lost=st.booleans())
    def a_member_starts(self, *, data: st.DataObject, answer_lost: bool) -> None:
        job = self.member(data)
        before = self.session
        answer = start_in_session(before, job, self.known[job], self.now)
        self.session = answer.session
        if answer.outcome is not Outcome.SUCCESS:
            assert answer.session is before
            assert answer.outcome in {Outcome.HOLD_OFF, Outcome.OUT_OF_SYNC}
            if answer.outcome is Outcome.OUT_OF_SYNC:
                assert self.known[job] < before.session_tag
            return
        assert answer.session.session_tag - before.session_tag in {0, 1}
        if answer.session.session_tag > before.session_tag:
            self.running, self.ended = {}, {}
        self.running[job] = answer.session.session_tag
        self.ended.pop(job, None)
        if not answer_lost:
            self.known[job] = answer.session.session_tag

    @precondition(lambda self: self.running)
    @rule(data=st.data(), result=st.sampled_from([GOOD, BAD, JobResult.ABORTED]))
    def a_member_ends(self, data: st.DataObject, result: JobResult) -> None:
        job = data.draw(st.sampled_from(sorted(self.running)))
        tag = self.running.pop(job)
        answer = end_in_session(self.session, job, tag, result, self.now)
        assert answer.outcome is Outcome.SUCCESS
        self.session = answer.session
        self.ended[job] = result

    @rule(data=st.data(), age=st.integers(1, 3))
    def an_old_end_arrives_late(self, data: st.DataObject, age: int) -> None:
        tag = self.session.session_tag - age
        if tag >= 0:
            answer = end_in_session(self.session, self.member(data), tag, BAD, self.now)
            assert answer.session is self.session

    @rule(data=st.data())
    def a_member_invents_a_run(self, data: st.DataObject) -> None:
        tag = self.session.session_tag + 1
        answer = start_in_session(self.session, self.member(data), tag, self.now)
        assert (answer.outcome, answer.session) == (Outcome.TAG_TOO_HIGH, self.session)

    @invariant()
    def the_members_are_what_happened_to_them(self) -> None:
        for job, member in self.session.jobs.items():
            if job in self.running:
                assert member.status == JobStatus.RUNNING
            elif job in self.ended:
                assert (member.status, member.result) == ("completed", self.ended[job])
            else:
                assert member.status == JobStatus.NEW
            assert member.client_id == f"node-{job}"

    @invariant()
    def the_session_is_completed_when_all_have_ended_and_not_before(self) -> None:
        if len(self.ended) == len(self.known):
            assert self.session.status == "completed"
        elif not self.was_completed:
            assert self.session.status != "completed"

    @property
    def was_completed(self) -> bool:
        """A member that joins again after a lost answer does not reopen a completed run."""
        return self.session.time_end >= 0


AnySessionLife.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestAnySessionLife = AnySessionLife.TestCase
