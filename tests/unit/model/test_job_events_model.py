"""A job through any order of requests, looks of its scheduler, firings and ends, against a model."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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


class JobLife(RuleBasedStateMachine):
    """The job at the API, and what its scheduler holds of it: it follows the steps to the letter.

    Beside it stands what a user expects, in plain words: `wanted` tells whether the job is to run
    by its schedule.
    """

    def __init__(self) -> None:
        super().__init__()
        self.api = JobState()
        self.held: S | None = None
        self.remembered = E.NONE
        self.armed = self.running = self.agent_ended = False
        self.wanted = True
        self.unseen: E | None = None

    @initialize(stopped=st.booleans())
    def made(self, *, stopped: bool) -> None:
        self.api = JobState(status=S.STOP if stopped else S.NEW)
        self.wanted = not stopped

    @rule(event=st.sampled_from(REQUESTABLE))
    def somebody_asks(self, event: E) -> None:
        answer = request_event(self.api, event)
        assert answer.changed == (self.api.event is not event)
        self.api = answer.state
        self.unseen = event

    @precondition(lambda self: self.api.status is not S.COMPLETED)
    @rule(ever_due=st.booleans())
    def the_scheduler_looks(self, *, ever_due: bool) -> None:
        event = self.api.event
        if self.held is None:
            self.held = S.STOP
            event = first_event(self.api)
        if event is E.NONE:
            return
        if self.running and self.remembered is event:
            return
        self.take(event, ever_due=ever_due)
        if self.unseen is not None:
            self.wanted = {E.START: True, E.STOP: False, E.ABORT: False}[self.unseen] and (
                self.armed or self.running or self.held is S.SCHEDULED
            )
            self.unseen = None

    def take(self, event: E, *, ever_due: bool) -> None:
        assert self.held is not None
        step = take_event(self.held, event)
        self.held, self.remembered = step.status, step.event
        if step.end_agent:
            assert self.running
            self.agent_ended = True
        if step.disarm:
            self.armed = False
        if step.arm:
            self.armed = ever_due
            self.held = after_arming(armed=ever_due)
            self.wanted = ever_due
        self.pushed(step)

    def pushed(self, step: Step) -> None:
        assert self.held is not None
        if step.push:
            consumed = self.remembered is E.NONE
            event = E.NONE if consumed else self.api.event
            self.api = replace(self.api, status=self.held, event=event)
        if self.held in (S.COMPLETED, S.REMOVED):
            self.held = None

    @precondition(lambda self: self.armed and not self.running)
    @rule()
    def it_is_due(self) -> None:
        assert self.held is S.SCHEDULED
        self.held, self.running, self.agent_ended = S.RUNNING, True, False
        self.api = replace(self.api, status=S.RUNNING, result=JobResult.NONE)

    @precondition(lambda self: self.running)
    @rule(exhausted=st.booleans())
    def the_run_ends(self, *, exhausted: bool) -> None:
        event = self.remembered
        step = after_run(event, exhausted=exhausted)
        self.running, self.remembered = False, E.NONE
        if step.disarm or exhausted:
            self.armed = False
        self.held = step.status
        result = JobResult.ABORTED if self.agent_ended else JobResult.SUCCESS
        kept = E.NONE if event is not E.NONE else self.api.event
        self.api = replace(self.api, status=step.status, result=result, event=kept)
        if step.status is S.COMPLETED:
            self.held = None
            self.wanted = False

    @precondition(lambda self: self.held is not None and not self.running)
    @rule()
    def the_scheduler_is_killed_and_started(self) -> None:
        self.held, self.armed = None, False

    @invariant()
    def a_job_that_runs_can_always_be_ended(self) -> None:
        if self.running:
            assert take_event(S.RUNNING, E.ABORT).end_agent

    @invariant()
    def what_is_armed_is_scheduled_or_runs(self) -> None:
        assert not self.armed or self.held in {S.SCHEDULED, S.RUNNING}
        assert self.held is not S.SCHEDULED or self.armed

    @invariant()
    def the_api_shows_a_run_only_while_there_is_one(self) -> None:
        assert self.api.status is not S.RUNNING or self.running

    @invariant()
    def a_job_is_armed_only_if_it_is_wanted(self) -> None:
        if self.armed and self.remembered is E.NONE and self.unseen is None:
            assert self.wanted


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
