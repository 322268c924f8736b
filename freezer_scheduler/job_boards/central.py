"""The job board of a central scheduler: jobs of all projects, each reported in its user's name.

Jobs are listed with the scheduler's own login. What concerns one job goes by the trust that its
user gave, so that it lands in the user's project with the user's rights. A login with a trust is
kept as long as it is among those used last.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freezer_client.api import Freezer
from freezer_client.errors import ApiRefused, ApiUnavailable
from freezer_model.job import Job, JobResult
from freezer_model.run import JobRun
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, JobNotSupported
from freezer_scheduler.job_boards.api import ApiBoard
from freezer_scheduler.job_boards.base import JobBoard, SessionPlace, StateReport, report_each

log = logging.getLogger(__name__)

KEPT_LOGINS = 200
_DEAD = (401, 403, 404)
"""What Keystone says of a trust that was withdrawn, and of one whose user has lost his roles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    """Whose job it is; `trust_id` empty where nobody gave a trust."""

    project_id: str
    trust_id: str


class CentralBoard:
    """The board of `own`, with a login of its own for each trust.

    `by_trust` opens the API with a trust's id, `in_project` with the scheduler's own login for
    another project: by it a user is told why a job without a working trust is not run, if the
    scheduler's role allows that.
    """

    def __init__(
        self,
        *,
        own: ApiBoard,
        freezer: Freezer,
        by_trust: Callable[[str], Freezer],
        in_project: Callable[[str], Freezer],
        board_over: Callable[[Freezer], ApiBoard],
    ) -> None:
        self._own = own
        self._freezer = freezer
        self._board_over = board_over
        self._by_trust = _Logins(by_trust)
        self._in_project = _Logins(in_project)
        self._tenants: dict[str, _Tenant] = {}

    def register(self) -> None:
        """See JobBoard. Needs the role that central clients need."""
        self._own.register()

    def wanted(self) -> list[Mapping[str, Any]]:
        """See JobBoard: of every project."""
        documents = self._own.wanted()
        self._tenants = {str(found["job_id"]): _tenant_of(found) for found in documents}
        return documents

    def report(self, job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        """See JobBoard."""
        self._carry(job_id, lambda board: board.report(job_id, changes, session_tag))

    def report_all(self, reports: Sequence[StateReport]) -> Mapping[str, str]:
        """See JobBoard: each by the trust of its own user."""
        return report_each(self, reports)

    def keep_copies(self) -> None:
        """See JobBoard."""
        self._own.keep_copies()

    def hold_run(self, run: JobRun, lease_seconds: int, *, take_over: bool = False) -> bool:
        """See JobBoard."""
        held: list[bool] = []

        def hold(board: JobBoard) -> None:
            held.append(board.hold_run(run, lease_seconds, take_over=take_over))

        self._carry(run.job_id, hold)
        return held[-1]

    def end_run(self, run: JobRun) -> None:
        """See JobBoard."""
        self._carry(run.job_id, lambda board: board.end_run(run))

    def join_session(self, job: Job) -> SessionPlace:
        """See JobBoard."""
        places: list[SessionPlace] = []
        self._carry(job.job_id, lambda board: places.append(board.join_session(job)))
        return places[-1]

    def leave_session(self, job: Job, result: JobResult) -> None:
        """See JobBoard."""
        self._carry(job.job_id, lambda board: board.leave_session(job, result))

    def record_backup(self, record: Mapping[str, Any], *, again: bool) -> None:
        """See JobBoard."""
        job_id = str(record.get("job_id", ""))
        self._carry(job_id, lambda board: board.record_backup(record, again=again))

    def require_trust(self, job: Job) -> None:
        """Raise JobNotSupported unless the job's trust works and is for the job's project.

        Raises BoardUnavailable if Keystone cannot be asked.
        """
        try:
            project_id = self._by_trust.to(job.trust_id).project_id()
        except (ApiUnavailable, ApiRefused) as error:
            if self._is_dead(error):
                raise JobNotSupported(_DEAD_TRUST) from error
            raise BoardUnavailable(str(error)) from error
        if project_id != job.project_id:
            raise JobNotSupported("the job's trust is for another project than the job")

    def close(self) -> None:
        """Give up all connections."""
        self._by_trust.close()
        self._in_project.close()
        self._freezer.close()

    def _carry(self, job_id: str, call: Callable[[JobBoard], None]) -> None:
        tenant = self._tenants.get(job_id) or self._asked(job_id)
        if tenant.trust_id:
            try:
                call(self._board_over(self._by_trust.to(tenant.trust_id)))
            except BoardUnavailable as error:
                # One dead trust must not hold up the reports of all other users.
                if not self._is_dead(error.__cause__):
                    raise
                log.warning("job %s: its trust does not work any more: %s", job_id, error)
            else:
                return
        call(self._board_over(self._in_project.to(tenant.project_id)))

    def _asked(self, job_id: str) -> _Tenant:
        """The tenant of a job that is not listed: it has ended, or an earlier life has run it."""
        try:
            document = self._freezer.jobs.get(job_id)
        except ApiUnavailable as error:
            raise BoardUnavailable(str(error)) from error
        except ApiRefused as error:
            raise BoardRefused(str(error)) from error
        if document is None:
            raise BoardRefused(f"there is no job {job_id} any more")
        return _tenant_of(document)

    def _is_dead(self, error: BaseException | None) -> bool:
        """Whether Keystone refuses the trust, and not us: then we can still log in without it."""
        if getattr(error, "status", None) not in _DEAD:
            return False
        try:
            self._freezer.jobs.list(limit=1)
        except (ApiUnavailable, ApiRefused):
            return False
        return True


_DEAD_TRUST = (
    "the trust that the job's user gave is not valid any more: it was withdrawn, or the user has "
    "lost the role or left the project. Remove the job and create it anew"
)


class _Logins:
    """Open lines to the API by a key, as many as are used; the oldest goes first."""

    def __init__(self, open_line: Callable[[str], Freezer]) -> None:
        self._open_line = open_line
        self._lock = threading.Lock()
        self._lines: OrderedDict[str, Freezer] = OrderedDict()

    def to(self, key: str) -> Freezer:
        """The line, which logs in with the first request only."""
        with self._lock:
            if key not in self._lines:
                self._lines[key] = self._open_line(key)
            self._lines.move_to_end(key)
            if len(self._lines) > KEPT_LOGINS:
                _, oldest = self._lines.popitem(last=False)
                oldest.close()
            return self._lines[key]

    def close(self) -> None:
        """Give them all up."""
        with self._lock:
            for line in self._lines.values():
                line.close()
            self._lines.clear()


def _tenant_of(document: Mapping[str, Any]) -> _Tenant:
    credentials = document.get("user_credentials")
    trust_id = credentials.get("trust_id") if isinstance(credentials, Mapping) else None
    return _Tenant(project_id=str(document.get("project_id") or ""), trust_id=str(trust_id or ""))
