"""What to do so that the jobs we know become the jobs that are wanted. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from freezer_model.job import Job, JobEvent
from freezer_model.job_events import first_event


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """A job that was not known: take it up with this event."""

    job: Job
    event: JobEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """A job that was edited: use it from now on; arm it anew if its schedule changed."""

    job: Job
    schedule_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Somebody asked for an event, or the job is gone (event `remove`)."""

    job_id: str
    event: JobEvent


Command = Take | Adopt | Act


def plan(wanted: Iterable[Job], known: Mapping[str, Job]) -> list[Command]:
    """The commands, edits before events, in the order of the listing; vanished jobs last.

    `wanted` must be a whole listing: what is known and not in it is removed.
    """
    commands: list[Command] = []
    seen: set[str] = set()
    for job in wanted:
        seen.add(job.job_id)
        before = known.get(job.job_id)
        if before is None:
            commands.append(Take(job=job, event=first_event(job.state)))
            continue
        rearm = job.schedule != before.schedule
        if rearm or _definition(job) != _definition(before):
            commands.append(Adopt(job=job, schedule_changed=rearm))
        if job.state.event is not JobEvent.NONE:
            commands.append(Act(job_id=job.job_id, event=job.state.event))
    commands.extend(
        Act(job_id=job_id, event=JobEvent.REMOVE) for job_id in known if job_id not in seen
    )
    return commands


def _definition(job: Job) -> tuple[object, ...]:
    return job.actions, job.session_id, job.description
