"""The state tables of a job, cell by cell."""

import itertools

import pytest

from freezer_model.job import JobEvent as E
from freezer_model.job import JobResult, JobState
from freezer_model.job import JobStatus as S
from freezer_model.job_events import (
    REQUESTABLE,
    Step,
    after_arming,
    after_run,
    first_event,
    request_event,
    take_event,
)

STEPS = {
    (S.STOP, E.START): Step(status=S.STOP, arm=True, push=True),
    (S.STOP, E.STOP): Step(status=S.STOP, push=True),
    (S.STOP, E.ABORT): Step(status=S.STOP, push=True),
    (S.STOP, E.REMOVE): Step(status=S.REMOVED),
    (S.SCHEDULED, E.START): Step(status=S.SCHEDULED, push=True),
    (S.SCHEDULED, E.STOP): Step(status=S.STOP, disarm=True, push=True),
    (S.SCHEDULED, E.ABORT): Step(status=S.STOP, disarm=True, push=True),
    (S.SCHEDULED, E.REMOVE): Step(status=S.REMOVED, disarm=True),
    (S.RUNNING, E.START): Step(status=S.RUNNING, push=True),
    (S.RUNNING, E.STOP): Step(status=S.RUNNING, event=E.STOP),
    (S.RUNNING, E.ABORT): Step(status=S.RUNNING, event=E.ABORT, end_agent=True, push=True),
    (S.RUNNING, E.REMOVE): Step(status=S.RUNNING, event=E.REMOVE),
}


@pytest.mark.parametrize(("status", "event"), STEPS)
def test_every_cell_of_the_table(status: S, event: E) -> None:
    assert take_event(status, event) == STEPS[status, event]


def test_the_table_above_has_every_cell() -> None:
    states = (S.STOP, S.SCHEDULED, S.RUNNING)
    assert set(STEPS) == set(itertools.product(states, set(E) - {E.NONE}))


@pytest.mark.parametrize("status", S)
def test_without_an_event_nothing_happens(status: S) -> None:
    assert take_event(status, E.NONE) == Step(status=status)


@pytest.mark.parametrize(("status", "event"), STEPS)
def test_only_a_running_agent_is_ended(status: S, event: E) -> None:
    assert not take_event(status, event).end_agent or status is S.RUNNING


@pytest.mark.parametrize("event", REQUESTABLE)
@pytest.mark.parametrize("status", S)
@pytest.mark.parametrize("before", E)
def test_every_request_of_an_event(event: E, status: S, before: E) -> None:
    state = JobState(status=status, event=before, result=JobResult.FAIL, time_started=5)
    answer = request_event(state, event)
    if before is event:
        assert answer.outcome == f"{event} already requested"
        assert (answer.state, answer.changed) == (state, False)
        return
    assert (answer.outcome, answer.changed, answer.state.event) == ("success", True, event)
    cleared = event is E.START
    assert answer.state.status == (S.NEW if cleared else status)
    assert answer.state.result == (JobResult.NONE if cleared else JobResult.FAIL)
    assert answer.state.time_started == 5


@pytest.mark.parametrize("status", S)
def test_a_new_job_starts_by_being_there_unless_it_was_stopped(status: S) -> None:
    expected = E.STOP if status is S.STOP else E.START
    assert first_event(JobState(status=status)) is expected


@pytest.mark.parametrize("event", set(E) - {E.NONE})
@pytest.mark.parametrize("status", S)
def test_a_waiting_event_counts_more_than_how_the_job_was_left(status: S, event: E) -> None:
    assert first_event(JobState(status=status, event=event)) is event


def test_a_trigger_that_will_never_fire_completes_the_job() -> None:
    assert (after_arming(armed=True), after_arming(armed=False)) == (S.SCHEDULED, S.COMPLETED)


@pytest.mark.parametrize("exhausted", [True, False])
@pytest.mark.parametrize("event", E)
def test_every_end_of_a_run(event: E, *, exhausted: bool) -> None:
    step = after_run(event, exhausted=exhausted)
    if event is E.REMOVE:
        assert step == Step(status=S.REMOVED, disarm=True)
    elif exhausted or event in {E.STOP, E.ABORT}:
        assert step == Step(status=S.COMPLETED, disarm=True, push=True)
    else:
        assert step == Step(status=S.SCHEDULED, push=True)
