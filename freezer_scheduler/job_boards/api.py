"""The job board of the API."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from freezer_client.api import MOST_REPORTS, Freezer
from freezer_client.documents import NOTHING_KNOWN
from freezer_client.errors import (
    ApiRefused,
    ApiUnavailable,
    ClientError,
    Conflict,
    CredentialsMissing,
    NotFound,
    Unauthorized,
)
from freezer_model.job import Job, JobResult
from freezer_model.run import JobRun
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, HeldElsewhere
from freezer_scheduler.job_boards.base import SessionPlace, StateReport, report_each
from freezer_scheduler.job_boards.copies import SavedCopies

_UNKNOWN_TO_OLD_SERVERS = ("exit_code", "error")
_LATER = (408, 425, 429)
_UNKNOWN_CALL = (404, 405, 501)


class ApiBoard:
    """Jobs of `client_id` at the API, with a copy of each in the job directory.

    Without a client id it is that of the project and the host, as soon as the API is asked.
    """

    def __init__(
        self,
        *,
        freezer: Freezer,
        client_id: str,
        hostname: str,
        registration: Mapping[str, Any],
        copies: SavedCopies,
        all_projects: bool = False,
    ) -> None:
        self._freezer = freezer
        self._client_id = client_id
        self._hostname = hostname
        self._registration = registration
        self._copies = copies
        self._polled = NOTHING_KNOWN
        self._own: list[Mapping[str, Any]] = []
        self._takes_many = True
        self._all_projects = all_projects

    def register(self) -> None:
        """Make this client known, with what it is able to run."""
        with _translated():
            self._freezer.clients.register(
                {"client_id": self._own_id(), "hostname": self._hostname, **self._registration}
            )

    def wanted(self) -> list[Mapping[str, Any]]:
        """The client's jobs that are not completed."""
        with _translated():
            own_id = self._own_id()
            self._polled = self._freezer.jobs.poll(
                match=[{"client_id": own_id}],
                match_not=[{"status": "completed"}],
                all_projects=self._all_projects,
                known=self._polled,
            )
            documents = self._polled.documents
        # Another document of the API may hold the client's id at some depth of its own.
        self._own = [found for found in documents if found.get("client_id") == own_id]
        return list(self._own)

    def report(self, job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        """PATCH the runtime keys; the schedule and the actions stay as they are at the API."""
        document = _report(changes, session_tag)
        with _translated():
            try:
                self._freezer.jobs.update(job_id, document)
            except ApiRefused as error:
                if error.status != 400:
                    raise
                # Servers before ours know no exit code and no error, and want no nulls.
                document["job_schedule"] = {
                    key: value
                    for key, value in changes.items()
                    if key not in _UNKNOWN_TO_OLD_SERVERS and value is not None
                }
                self._freezer.jobs.update(job_id, document)

    def report_all(self, reports: Sequence[StateReport]) -> Mapping[str, str]:
        """One call for many; servers that know no such call get them one by one."""
        if not self._takes_many:
            return report_each(self, reports)
        bodies = [
            {"job_id": each.job_id, **_report(each.changes, each.session_tag)} for each in reports
        ]
        refused: dict[str, str] = {}
        with _translated():
            for start in range(0, len(bodies), MOST_REPORTS):
                part = bodies[start : start + MOST_REPORTS]
                try:
                    answers = self._freezer.jobs.report(part)
                except ApiRefused as error:
                    if error.status not in _UNKNOWN_CALL:
                        raise
                    self._takes_many = False
                    return report_each(self, reports)
                refused |= {job_id: str(reason) for job_id, reason in answers.items()}
        return refused

    def keep_copies(self) -> None:
        """Keep them in the job directory, one file for each job."""
        self._copies.keep(self._own)

    def hold_run(self, run: JobRun, lease_seconds: int, *, take_over: bool = False) -> bool:
        """PUT the run with the seconds of its lease."""
        with _translated():
            try:
                document = {**run.to_document(), "lease_seconds": lease_seconds}
                if take_over:
                    document["take_over"] = True
                return self._freezer.runs.report(run.job_id, run.run_id, document).was_lost
            except NotFound:
                return False  # A server before ours, or a job that was removed: soon seen.
            except Conflict as error:
                raise HeldElsewhere(str(error)) from error

    def end_run(self, run: JobRun) -> None:
        """PUT the run as it ended."""
        with _translated(), suppress(NotFound):
            self._freezer.runs.report(run.job_id, run.run_id, run.to_document())

    def join_session(self, job: Job) -> SessionPlace:
        """POST the start of the job's part."""
        with _translated():
            reply = self._freezer.sessions.start_job(job.session_id, job.job_id, job.session_tag)
        return SessionPlace(result=reply.result, session_tag=reply.session_tag)

    def leave_session(self, job: Job, result: JobResult) -> None:
        """POST the end of the job's part."""
        with _translated():
            self._freezer.sessions.end_job(job.session_id, job.job_id, job.session_tag, str(result))

    def record_backup(self, record: Mapping[str, Any], *, again: bool) -> None:
        """POST the metadata, or PATCH the record that it names by `backup_id`."""
        with _translated():
            if backup_id := record.get("backup_id"):
                self._freezer.backups.update(str(backup_id), record)
            elif not again or self._freezer.backups.find(record) is None:
                self._freezer.backups.create(record)

    def _own_id(self) -> str:
        if not self._client_id:
            self._client_id = f"{self._freezer.project_id()}_{self._hostname}"
        return self._client_id


def _report(changes: Mapping[str, Any], session_tag: int | None) -> dict[str, Any]:
    of_session = {} if session_tag is None else {"session_tag": session_tag}
    return {"job_schedule": dict(changes), **of_session}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ApiUnavailable as error:
        raise BoardUnavailable(
            str(error),
            answered=error.status is not None,
            retry_after_seconds=error.retry_after_seconds,
        ) from error
    except Conflict as error:
        raise BoardUnavailable(str(error), answered=True) from error
    except (CredentialsMissing, Unauthorized) as error:
        raise BoardUnavailable(str(error)) from error
    except ApiRefused as error:
        if error.status >= 500 or error.status in _LATER:
            raise BoardUnavailable(str(error), answered=True) from error
        raise BoardRefused(str(error)) from error
    except ClientError as error:
        raise BoardUnavailable(str(error)) from error
