"""How a session counts runs: the start and the end of one job in it. Pure.

The session's tag numbers its runs. The first job to start after the hold-off time opens a new run;
jobs that come within it join that run. A session is completed when all its jobs have ended.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from freezer_model.instants import NO_INSTANT
from freezer_model.job import JobResult, JobStatus
from freezer_model.session import COMPLETED, RUNNING, Session, SessionJob


class SessionOutcome(StrEnum):
    """The answer to a start or an end."""

    SUCCESS = "success"
    HOLD_OFF = "hold-off"
    """The run of this tag was opened a moment ago and the job is part of it already."""
    OUT_OF_SYNC = "out-of-sync"
    """The job missed runs; it takes part again when a new one is opened."""
    TAG_TOO_HIGH = "tag-too-high"
    """The job claims a run that the session has not had."""
    NOT_A_MEMBER = "not-a-member"
    """The job does not belong to the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAnswer:
    """The session afterwards (the very same value if nothing changed) and the answer."""

    session: Session
    outcome: SessionOutcome


def start_in_session(session: Session, job_id: str, tag: int, now: int) -> SessionAnswer:
    """A job wants to start its run; `tag` is the last run it knows of, `now` epoch seconds."""
    if tag > session.session_tag:
        return _unchanged(session, SessionOutcome.TAG_TOO_HIGH)
    if job_id not in session.jobs:
        return _unchanged(session, SessionOutcome.NOT_A_MEMBER)
    behind = tag < session.session_tag
    if _in_hold_off(session, now):
        if not behind:
            return _unchanged(session, SessionOutcome.HOLD_OFF)
        return _joined(session, job_id, now)
    if behind:
        return _unchanged(session, SessionOutcome.OUT_OF_SYNC)
    return _joined(_new_run(session, now), job_id, now)


def end_in_session(
    session: Session, job_id: str, tag: int, result: JobResult, now: int
) -> SessionAnswer:
    """A job has ended its part of run `tag`. The end of an older run changes nothing."""
    if tag > session.session_tag:
        return _unchanged(session, SessionOutcome.TAG_TOO_HIGH)
    if job_id not in session.jobs:
        return _unchanged(session, SessionOutcome.NOT_A_MEMBER)
    if tag < session.session_tag:
        return _unchanged(session, SessionOutcome.SUCCESS)
    member = replace(
        session.jobs[job_id], status=JobStatus.COMPLETED, result=result, time_ended=now
    )
    session = replace(session, jobs={**session.jobs, job_id: member})
    return SessionAnswer(session=_completed(session, now), outcome=SessionOutcome.SUCCESS)


def _unchanged(session: Session, outcome: SessionOutcome) -> SessionAnswer:
    return SessionAnswer(session=session, outcome=outcome)


def _in_hold_off(session: Session, now: int) -> bool:
    # Servers' clocks differ by a little; a start far in the future is a clock that was wrong, and
    # must not hold the session off until then.
    return session.time_start >= 0 and abs(now - session.time_start) <= session.hold_off


def _new_run(session: Session, now: int) -> Session:
    # Every member is reset, or the last run's "completed" would end this one with its first end.
    members = {
        job_id: SessionJob(client_id=member.client_id) for job_id, member in session.jobs.items()
    }
    return replace(
        session,
        session_tag=session.session_tag + 1,
        status=RUNNING,
        result="",
        time_start=now,
        time_end=NO_INSTANT,
        jobs=members,
    )


def _joined(session: Session, job_id: str, now: int) -> SessionAnswer:
    member = replace(
        session.jobs[job_id],
        status=JobStatus.RUNNING,
        result=JobResult.NONE,
        time_started=now,
        time_ended=NO_INSTANT,
    )
    joined = replace(session, jobs={**session.jobs, job_id: member})
    return SessionAnswer(session=joined, outcome=SessionOutcome.SUCCESS)


def _completed(session: Session, now: int) -> Session:
    members = session.jobs.values()
    if session.status == COMPLETED or any(m.status != JobStatus.COMPLETED for m in members):
        return session
    good = all(member.result == JobResult.SUCCESS for member in members)
    verdict = JobResult.SUCCESS if good else JobResult.FAIL
    return replace(session, status=COMPLETED, result=str(verdict), time_end=now)
