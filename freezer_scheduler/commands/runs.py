"""run-list and job-run-now: how a job went, and one run of it at once."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from freezer_client.errors import NotFound
from freezer_client.listing import SMALLEST_SERVER_LIMIT, Document
from freezer_model.instants import from_epoch
from freezer_model.job import RUNTIME_KEYS, JobStatus
from freezer_model.schedule import SCHEDULE_KEYS
from freezer_scheduler.commands.base import Command, CommandContext, CommandFailed, found
from freezer_scheduler.commands.selection import ordered

_COLUMNS = ("run_id", "started", "duration", "status", "result", "exit code", "error")
_LONG_COLUMNS = ("action", "scheduler")
_MOST_ERROR_CHARACTERS = 60


def _list(context: CommandContext) -> None:
    runs = [
        run
        for run in _newest_first(context)
        if context.status in ("", run.get("status")) and context.result in ("", run.get("result"))
    ]
    shown = ordered(context, runs)
    if context.as_json:
        context.show(shown)
        return
    if not context.long:
        context.listing(_COLUMNS, shown, lambda run: _row(run, is_long=False))
        return
    lines = [line for run in shown for line in _with_actions(run)]
    context.listing(_COLUMNS + _LONG_COLUMNS, lines, lambda line: line)


def _newest_first(context: CommandContext) -> list[Document]:
    pages: list[Document] = []
    try:
        while True:
            page = context.freezer.runs.list(
                context.job, limit=SMALLEST_SERVER_LIMIT, offset=len(pages)
            )
            pages += page
            if len(page) < SMALLEST_SERVER_LIMIT:
                break
    except NotFound as error:
        found(context.freezer.jobs.get(context.job), "job", context.job)
        raise CommandFailed("This API keeps no runs; a newer server does.") from error
    # A run that begins while they are read comes at the end; one that the server drops moves the
    # others forward, so none is shown twice.
    pages.sort(key=lambda run: _number(run.get("time_started")), reverse=True)
    return pages


def _row(run: Mapping[str, Any], *, is_long: bool) -> Iterator[Any]:
    error = " ".join(str(run.get("error") or "").split())
    yield run.get("run_id")
    yield _instant(run.get("time_started"))
    yield _duration(run)
    yield run.get("status")
    yield run.get("result")
    yield run.get("exit_code")
    yield error if is_long or len(error) <= _MOST_ERROR_CHARACTERS else f"{error[:57]}..."


def _with_actions(run: Mapping[str, Any]) -> Iterator[Iterable[Any]]:
    """A line for the run, and one for each action below it."""
    yield (*_row(run, is_long=True), "", run.get("scheduler"))
    actions = run.get("actions")
    for action in actions if isinstance(actions, list) else ():
        tries = action.get("attempts") or 0
        yield (
            "",
            _instant(action.get("time_started")),
            _duration(action),
            "",
            action.get("result"),
            action.get("exit_code"),
            " ".join(str(action.get("error") or "").split()),
            f"{action.get('action')}, {tries} {'try' if tries == 1 else 'tries'}",
            "",
        )


def _number(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _instant(epoch: Any) -> str:
    if _number(epoch) < 0:
        return ""
    return from_epoch(epoch).astimezone().strftime("%Y-%m-%dT%H:%M:%S")


def _duration(run: Mapping[str, Any]) -> str:
    start, end = _number(run.get("time_started")), _number(run.get("time_ended"))
    return f"{end - start} s" if 0 <= start <= end else ""


def _run_now(context: CommandContext) -> None:
    job = found(context.freezer.jobs.get(context.job), "job", context.job)
    schedule = job.get("job_schedule") or {}
    if schedule.get("status") == JobStatus.RUNNING:
        raise CommandFailed(f"The job {context.job} runs at this moment.")
    created = context.freezer.jobs.create(once(job))
    context.say(
        f"Created job {created}, which runs job {context.job} once, as soon as its scheduler asks",
        {"job_id": created, "copy_of": context.job},
    )


_OF_ONE_JOB = ("job_id", "session_id", "session_tag", "user_id", "project_id", "_version")


def once(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job that does the same one time at once, outside any session."""
    copy = {
        key: value
        for key, value in job.items()
        # The delegation of a central job is the API's to give: each job has its own.
        if key not in (*_OF_ONE_JOB, "version", "user_credentials")
    }
    timing = job.get("job_schedule") or {}
    dropped = (*SCHEDULE_KEYS, *RUNTIME_KEYS)
    copy["job_schedule"] = {key: value for key, value in timing.items() if key not in dropped}
    copy["job_actions"] = [
        {key: value for key, value in action.items() if key != "last_run"}
        for action in job.get("job_actions") or ()
    ]
    copy["description"] = f"once: {job.get('description') or job.get('job_id')}"
    return copy


COMMANDS = (
    Command(
        name="run-list",
        help="List how a job went, run by run, the newest first; --long with its actions.",
        act=_list,
        needs=("job",),
        takes=("long", "status", "result", "reverse", "limit", "offset", "watch"),
    ),
    Command(
        name="job-run-now",
        help="Run a job once besides its schedule: makes a copy of it that runs and completes.",
        act=_run_now,
        needs=("job",),
    ),
)
