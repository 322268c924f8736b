"""job-download and job-upload: exchange jobs between the API and the job directory."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freezer_model.errors import FreezerError
from freezer_model.job import RUNTIME_KEYS
from freezer_scheduler.commands.base import Command, CommandContext, CommandFailed
from freezer_scheduler.commands.documents import read_document, write_document
from freezer_scheduler.commands.jobs import checked_job

_JOB_ID = re.compile(r"[\w-]+")
_MADE_BY_SERVER = ("user_id", "project_id", "user_credentials", "_version")


def job_file(jobs_dir: Path, job_id: str) -> Path:
    """The file of a job. Raises CommandFailed for an id that would lead out of the directory."""
    if not _JOB_ID.fullmatch(job_id):
        raise CommandFailed(f"The job id {job_id!r} cannot be a file name.")
    return jobs_dir / f"job_{job_id}.conf"


def _download(context: CommandContext) -> None:
    jobs_dir = Path(context.jobs_dir)
    try:
        jobs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"Cannot make {jobs_dir}: {error.strerror}.") from error
    written: list[str] = []
    for document in context.freezer.jobs.list(match=[{"client_id": context.client_id}]):
        path = job_file(jobs_dir, str(document.get("job_id")))
        write_document(path, document)
        written.append(str(path))
    context.say(
        f"Downloaded {len(written)} job(s) to {jobs_dir}", [{"file": path} for path in written]
    )


def _upload(context: CommandContext) -> None:
    uploaded: list[dict[str, str]] = []
    refused = 0
    for path in _job_files(Path(context.jobs_dir)):
        try:
            uploaded.append({"file": str(path), "job_id": _upload_one(context, path)})
        except FreezerError as error:
            # One broken file must not keep the others from the API.
            print(f"ERROR {path}: {error}", file=context.err)
            refused += 1
    lines = [f"Uploaded job {item['job_id']} from {item['file']}" for item in uploaded]
    context.say("\n".join(lines) or "Uploaded no job", uploaded)
    if refused:
        raise CommandFailed(f"{refused} of {refused + len(uploaded)} files were not uploaded.")


def _job_files(jobs_dir: Path) -> Iterator[Path]:
    try:
        paths = sorted(jobs_dir.iterdir())
    except OSError as error:
        raise CommandFailed(f"Cannot read {jobs_dir}: {error.strerror}.") from error
    return (path for path in paths if path.suffix.lower() == ".conf" and path.is_file())


def _upload_one(context: CommandContext, path: Path) -> str:
    original = read_document(path)
    document = checked_job(_without_runtime(original), context.client_id)
    if job_id := document.get("job_id"):
        return context.freezer.jobs.create(document, job_id=job_id)
    created = context.freezer.jobs.create(document)
    # With its id in the file the next upload replaces this job and makes no second one.
    write_document(path, {"job_id": created, **original})
    return created


def _without_runtime(document: dict[str, Any]) -> dict[str, Any]:
    """The job without what its scheduler and the API say of it: a file is older than they are."""
    wanted = {key: value for key, value in document.items() if key not in _MADE_BY_SERVER}
    timing = wanted.get("job_schedule")
    if isinstance(timing, dict):
        wanted["job_schedule"] = {k: v for k, v in timing.items() if k not in RUNTIME_KEYS}
    return wanted


COMMANDS = (
    Command(
        name="job-download",
        help="Write the jobs of this client into the job directory.",
        act=_download,
        needs=("jobs_dir",),
    ),
    Command(
        name="job-upload",
        help="Create or replace the jobs that the files of the job directory describe.",
        act=_upload,
        needs=("jobs_dir",),
    ),
)
