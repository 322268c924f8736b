"""The state tables of a job: what an event does, at the API and at the scheduler. All pure.

The API only records an event (`request_event`). The scheduler takes it (`take_event`), runs the job
and decides what follows (`after_run`).
"""

from dataclasses import dataclass, replace

from freezer_model.job import JobEvent, JobResult, JobState, JobStatus

REQUESTABLE = (JobEvent.START, JobEvent.STOP, JobEvent.ABORT)
"""The events that a user may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAnswer:
    """The state after a request, and the word that the caller is told."""

    state: JobState
    outcome: str
    changed: bool


def request_event(state: JobState, event: JobEvent) -> EventAnswer:
    """Record an event that a user asks for; asking twice changes nothing.

    `event` is one of REQUESTABLE. A start also clears status and result, so that a completed job
    is seen by its scheduler again.
    """
    if state.event is event:
        return EventAnswer(state=state, outcome=f"{event} already requested", changed=False)
    if event is JobEvent.START:
        state = replace(state, status=JobStatus.NEW, result=JobResult.NONE)
    return EventAnswer(state=replace(state, event=event), outcome="success", changed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a scheduler does with an event.

    `status` and `event` are what the job has afterwards. `arm`: give the trigger to the timetable,
    then see `after_arming`. `disarm`: take it from there. `end_agent`: end the running agent.
    `push`: tell the API. An event that stays is remembered for `after_run`.
    """

    status: JobStatus
    event: JobEvent = JobEvent.NONE
    arm: bool = False
    disarm: bool = False
    end_agent: bool = False
    push: bool = False


_S, _E = JobStatus, JobEvent

_STEPS: dict[tuple[JobStatus, JobEvent], Step] = {
    (_S.STOP, _E.START): Step(status=_S.STOP, arm=True, push=True),
    (_S.STOP, _E.STOP): Step(status=_S.STOP, push=True),
    (_S.STOP, _E.ABORT): Step(status=_S.STOP, push=True),
    (_S.STOP, _E.REMOVE): Step(status=_S.REMOVED),
    (_S.SCHEDULED, _E.START): Step(status=_S.SCHEDULED, push=True),
    (_S.SCHEDULED, _E.STOP): Step(status=_S.STOP, disarm=True, push=True),
    (_S.SCHEDULED, _E.ABORT): Step(status=_S.STOP, disarm=True, push=True),
    (_S.SCHEDULED, _E.REMOVE): Step(status=_S.REMOVED, disarm=True),
    (_S.RUNNING, _E.START): Step(status=_S.RUNNING, push=True),
    (_S.RUNNING, _E.STOP): Step(status=_S.RUNNING, event=_E.STOP),
    (_S.RUNNING, _E.ABORT): Step(status=_S.RUNNING, event=_E.ABORT, end_agent=True, push=True),
    (_S.RUNNING, _E.REMOVE): Step(status=_S.RUNNING, event=_E.REMOVE),
}


def take_event(status: JobStatus, event: JobEvent) -> Step:
    """What to do with `event` in `status` (stop, scheduled or running). No event, no change."""
    if event is JobEvent.NONE:
        return Step(status=status)
    return _STEPS[status, event]


def first_event(state: JobState) -> JobEvent:
    """The event with which a scheduler takes up a job that it has not seen before.

    A job without an event starts by being there, unless it was stopped. `scheduled` or `running`
    is what an earlier life of a scheduler left: the job starts anew.
    """
    if state.event is not JobEvent.NONE:
        return state.event
    return JobEvent.STOP if state.status is JobStatus.STOP else JobEvent.START


def after_arming(*, armed: bool) -> JobStatus:
    """The status once the timetable has said whether the trigger will ever fire."""
    return JobStatus.SCHEDULED if armed else JobStatus.COMPLETED


def after_run(event: JobEvent, *, exhausted: bool) -> Step:
    """What follows the end of a run.

    `event` is the one that was remembered during the run, `exhausted` whether the trigger will
    never fire again.
    """
    if event is JobEvent.REMOVE:
        return Step(status=JobStatus.REMOVED, disarm=True)
    if exhausted or event in (JobEvent.STOP, JobEvent.ABORT):
        return Step(status=JobStatus.COMPLETED, disarm=True, push=True)
    return Step(status=JobStatus.SCHEDULED, push=True)
