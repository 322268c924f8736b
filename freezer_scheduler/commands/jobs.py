"""The commands for jobs: create, show, remove, list, and ask for an event."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from freezer_client.errors import ApiRefused
from freezer_model.errors import InvalidDocument
from freezer_model.job import Job, JobEvent, JobStatus
from freezer_scheduler.commands.base import Command, CommandContext, CommandFailed, found
from freezer_scheduler.commands.documents import read_document, write_document
from freezer_scheduler.commands.selection import PAGED, Conditions, print_selected

_COLUMNS = ("job_id", "description", "# actions", "status", "event", "result", "session_id")


def checked_job(document: Mapping[str, Any], client_id: str) -> dict[str, Any]:
    """The job document with its client filled in. Raises InvalidDocument, naming the field.

    Checked here, where the file is at hand, with the very rules of the API and the scheduler.
    """
    complete = dict(document)
    if not complete.get("client_id"):
        complete["client_id"] = client_id
    if complete.get("job_actions") is None:
        raise InvalidDocument("job_actions", "is required: a list of actions to run")
    Job.from_document(complete)
    return complete


def list_jobs(context: CommandContext, match: Conditions, match_not: Conditions = ()) -> None:
    """Print jobs in the table of job-list; their clients too if `--long` is given."""
    columns = _COLUMNS[:1] + ("client_id",) * context.long + _COLUMNS[1:]
    print_selected(
        context,
        context.freezer.jobs.list,
        columns,
        lambda job: _row(job, with_client=context.long),
        match=match,
        match_not=match_not,
    )


def _row(job: Mapping[str, Any], *, with_client: bool) -> Iterable[Any]:
    schedule = job.get("job_schedule") or {}
    yield job.get("job_id")
    if with_client:
        yield job.get("client_id")
    yield job.get("description")
    yield len(job.get("job_actions") or ())
    yield schedule.get("status")
    yield schedule.get("event")
    yield schedule.get("result")
    yield job.get("session_id")


def _create(context: CommandContext) -> None:
    document = _job_to_create(context)
    try:
        job_id = context.freezer.jobs.create(document)
    except ApiRefused as error:
        if "client not found" not in error.description.lower():
            raise
        raise CommandFailed(
            f"{error}. Start the scheduler of {document['client_id']!r} once, or make it known "
            f"with: freezer-scheduler -c {document['client_id']} register"
        ) from error
    context.say(f"Created job {job_id}", {"job_id": job_id})


def _job_to_create(context: CommandContext) -> dict[str, Any]:
    """The job of the file or of the options, checked."""
    if context.file and context.document is not None:
        raise CommandFailed("Give the job as --file or as options, not as both.")
    if context.document is not None:
        return checked_job(context.document, context.client_id)
    if not context.file:
        raise CommandFailed(
            "Parameter --file required, or the job in options, as in: --action backup "
            "--path-to-backup /srv --storage local --container /mnt --backup-name srv"
        )
    try:
        return checked_job(read_document(Path(context.file)), context.client_id)
    except InvalidDocument as error:
        raise CommandFailed(f"{context.file}: {error}") from error


def _get(context: CommandContext) -> None:
    document = found(context.freezer.jobs.get(context.job), "job", context.job)
    if not context.file:
        context.show(document)
        return
    write_document(Path(context.file), document)
    context.say(
        f"Saved job {context.job} in {context.file}",
        {"job_id": context.job, "file": context.file},
    )


def _delete(context: CommandContext) -> None:
    context.freezer.jobs.delete(context.job)
    context.say(f"Deleted job {context.job}", {"job_id": context.job})


def _list(context: CommandContext) -> None:
    match = [] if context.all else [{"client_id": context.client_id}]
    completed = [{"status": str(JobStatus.COMPLETED)}] if context.active_only else []
    list_jobs(context, match, completed)


def _request(event: JobEvent) -> Callable[[CommandContext], None]:
    def act(context: CommandContext) -> None:
        result = context.freezer.jobs.request_event(context.job, event)
        # The API's "start already requested" is worth telling, "success" is not.
        remark = "" if result == "success" else f" ({result})"
        context.say(
            f"{event.capitalize()} request sent for job {context.job}{remark}",
            {"job_id": context.job, "event": str(event), "result": result},
        )

    return act


COMMANDS = (
    Command(
        name="job-create",
        help="Create a job from a JSON file or from options; -c names its client.",
        act=_create,
        takes=("file", "document"),
    ),
    Command(
        name="job-get",
        help="Print a job, or save it in a file.",
        act=_get,
        needs=("job",),
        takes=("file",),
    ),
    Command(name="job-delete", help="Remove a job.", act=_delete, needs=("job",)),
    Command(
        name="job-start",
        help="Ask the job's scheduler to schedule it, again if it was completed.",
        act=_request(JobEvent.START),
        needs=("job",),
    ),
    Command(
        name="job-stop",
        help="Ask the job's scheduler not to run it any more; a run in progress goes on.",
        act=_request(JobEvent.STOP),
        needs=("job",),
    ),
    Command(
        name="job-abort",
        help="Ask the job's scheduler to end its run at once.",
        act=_request(JobEvent.ABORT),
        needs=("job",),
    ),
    Command(
        name="job-list",
        help="List the jobs of this client; -a only those not completed, --all of all clients.",
        act=_list,
        takes=("active_only", "all", "long", "status", "result", *PAGED),
    ),
)
