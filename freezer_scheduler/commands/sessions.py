"""The commands for sessions, which are jobs of several nodes that run together."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from freezer_model.errors import InvalidDocument
from freezer_model.instants import from_epoch
from freezer_model.schedule import Schedule
from freezer_scheduler.commands.base import Command, CommandContext, CommandFailed, found, ids
from freezer_scheduler.commands.documents import read_document, write_document
from freezer_scheduler.commands.jobs import list_jobs
from freezer_scheduler.commands.selection import PAGED, print_selected

_COLUMNS = ("session_id", "tag", "status", "description", "jobs", "last_start")


def _create(context: CommandContext) -> None:
    path = Path(context.file)
    try:
        document = _checked_session(read_document(path))
    except InvalidDocument as error:
        raise CommandFailed(f"{path}: {error}") from error
    session_id = context.freezer.sessions.create(document)
    context.say(f"Created session {session_id}", {"session_id": session_id})


def _checked_session(document: Mapping[str, Any]) -> dict[str, Any]:
    schedule = document.get("schedule")
    if schedule is None:
        schedule = {}
    if not isinstance(schedule, Mapping):
        raise InvalidDocument("schedule", "must be an object")
    Schedule.from_document(schedule, "schedule")
    return {**document, "schedule": dict(schedule)}


def _get(context: CommandContext) -> None:
    document = found(context.freezer.sessions.get(context.session), "session", context.session)
    if not context.file:
        context.show(document)
        return
    write_document(Path(context.file), document)
    context.say(
        f"Saved session {context.session} in {context.file}",
        {"session_id": context.session, "file": context.file},
    )


def _delete(context: CommandContext) -> None:
    context.freezer.sessions.delete(context.session)
    context.say(f"Deleted session {context.session}", {"session_id": context.session})


def _list(context: CommandContext) -> None:
    print_selected(context, context.freezer.sessions.list, _COLUMNS, _row)


def _row(session: Mapping[str, Any]) -> Iterable[Any]:
    return (
        session.get("session_id"),
        session.get("session_tag"),
        session.get("status"),
        session.get("description"),
        # Older servers send null for a session without jobs.
        len(session.get("jobs") or ()),
        _last_start(session),
    )


def _last_start(session: Mapping[str, Any]) -> str:
    started = session.get("time_start")
    if not isinstance(started, int) or started < 0:
        return str(session.get("last_start") or "")
    # In the node's own zone, as users write times.
    return from_epoch(started).astimezone().strftime("%Y-%m-%dT%H:%M:%S")


def _add_job(context: CommandContext) -> None:
    _each(context, context.freezer.sessions.add_job, "Added job {} to session {}")


def _remove_job(context: CommandContext) -> None:
    _each(context, context.freezer.sessions.remove_job, "Removed job {} from session {}")


def _each(context: CommandContext, call: Callable[[str, str], None], sentence: str) -> None:
    """Call for every job; what was done before one fails has been done, and is told."""
    done: list[str] = []
    try:
        for job_id in ids(context.job):
            call(context.session, job_id)
            done.append(job_id)
    finally:
        if done:
            context.say(
                "\n".join(sentence.format(job_id, context.session) for job_id in done),
                [{"session_id": context.session, "job_id": job_id} for job_id in done],
            )


def _list_jobs(context: CommandContext) -> None:
    found(context.freezer.sessions.get(context.session), "session", context.session)
    list_jobs(context, [{"session_id": context.session}])


COMMANDS = (
    Command(
        name="session-create",
        help="Create a session from a JSON file.",
        act=_create,
        needs=("file",),
    ),
    Command(
        name="session-get",
        help="Print a session, or save it in a file.",
        act=_get,
        needs=("session",),
        takes=("file",),
    ),
    Command(
        name="session-list",
        help="List the sessions of the project.",
        act=_list,
        takes=("status", "result", *PAGED),
    ),
    Command(name="session-delete", help="Remove a session.", act=_delete, needs=("session",)),
    Command(
        name="session-add-job",
        help="Make jobs (ID or ID,ID) members of a session; they take over its schedule.",
        act=_add_job,
        needs=("session", "job"),
    ),
    Command(
        name="session-remove-job",
        help="End the membership of jobs (ID or ID,ID) in a session.",
        act=_remove_job,
        needs=("session", "job"),
    ),
    Command(
        name="session-list-job",
        help="List the jobs of a session.",
        act=_list_jobs,
        needs=("session",),
        takes=("long", "status", "result", *PAGED),
    ),
)
