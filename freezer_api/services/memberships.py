"""Which job belongs to which session: two documents that point at each other.

The session is written first and the job second when a job joins, and the other way round when it
leaves; every step can be repeated, so a call that died half-way is finished by the next. Where calls
meet, what the job says holds: each of them makes the lists of its sessions agree with it in the end.
"""

from collections.abc import Mapping
from typing import Any

from freezer_api.errors import DocumentNotFound
from freezer_api.identity.context import Context
from freezer_api.services.changes import Changes
from freezer_api.services.documents import own_scope
from freezer_api.store.base import Collection, DocumentStore, Query, Scope
from freezer_model.job import RUNTIME_KEYS, JobEvent
from freezer_model.schedule import SCHEDULE_KEYS
from freezer_model.session import SessionJob

_JOBS, _SESSIONS = Collection.JOBS, Collection.SESSIONS
_ROUNDS = 20
"""How often a job may move on while its sessions' lists are put right."""


class Memberships:
    """Puts jobs into sessions and takes them out."""

    def __init__(self, *, store: DocumentStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def join(self, context: Context, session_id: str, job_id: str) -> None:
        """Put the job into the session, out of any other. Raises DocumentNotFound for either.

        The job gets the session's tag and schedule and keeps how its own runs went.
        """
        scope = own_scope(context)
        job = self._store.get(_JOBS, scope, job_id).document
        self._store.get(_SESSIONS, scope, session_id)
        former = {job["session_id"]}
        if job["session_id"] not in ("", session_id):
            self.drop_member(scope, job["session_id"], job_id)
        session = self._add(scope, session_id, job_id, job)

        def change(document: dict[str, Any]) -> dict[str, Any]:
            former.add(document["session_id"])
            return _joined(document, session)

        try:
            self._changes.apply(_JOBS, scope, job_id, change)
        except DocumentNotFound:
            self.drop_member(scope, session_id, job_id)
            raise
        self._agree(scope, job_id, former - {"", session_id} | {session_id})

    def leave(self, context: Context, session_id: str, job_id: str) -> None:
        """Take the job out of the session and ask its scheduler to stop it.

        Raises DocumentNotFound if there is no such session, or no such job in it.
        """
        scope = own_scope(context)
        session = self._store.get(_SESSIONS, scope, session_id).document
        job = self._job(scope, job_id)
        points_here = job is not None and job["session_id"] == session_id
        if job_id not in session["jobs"] and not points_here:
            raise DocumentNotFound(f"session {session_id}", job_id)
        if points_here:
            self._changes.apply(_JOBS, scope, job_id, lambda document: _left(document, session_id))
        self._agree(scope, job_id, {session_id})

    def drop_member(self, scope: Scope, session_id: str, job_id: str) -> None:
        """Take the job off the session's list; nothing happens where it is not on it."""
        try:
            self._changes.apply(
                _SESSIONS, scope, session_id, lambda document: _without_member(document, job_id)
            )
        except DocumentNotFound:
            return

    def release(self, scope: Scope, session_id: str) -> None:
        """Make every job forget the session, which is about to be removed or has been."""
        query = Query(match=(("session_id", session_id),))
        for job_id in self._changes.ids_of(_JOBS, scope, query):
            try:
                self._changes.apply(
                    _JOBS, scope, job_id, lambda document: _released(document, session_id)
                )
            except DocumentNotFound:
                continue

    def _agree(self, scope: Scope, job_id: str, session_ids: set[str]) -> None:
        """Make the sessions' lists agree with what the job says, whoever changes it meanwhile.

        Raises DocumentNotFound for a session that the job names and that has been removed; the job
        then names none.
        """
        for _ in range(_ROUNDS):
            job = self._job(scope, job_id)
            named = "" if job is None else job["session_id"]
            for other in sorted(session_ids - {named}):
                self.drop_member(scope, other, job_id)
            if job is not None and named in session_ids:
                self._keep(scope, named, job_id, job)
            now = self._job(scope, job_id)
            if named == ("" if now is None else now["session_id"]):
                return

    def _keep(self, scope: Scope, session_id: str, job_id: str, job: Mapping[str, Any]) -> None:
        try:
            self._add(scope, session_id, job_id, job)
        except DocumentNotFound:
            self._changes.apply(
                _JOBS, scope, job_id, lambda document: _released(document, session_id)
            )
            raise

    def _add(
        self, scope: Scope, session_id: str, job_id: str, job: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        member = _member(job)
        return self._changes.apply(
            _SESSIONS, scope, session_id, lambda document: _with_member(document, job_id, member)
        ).document

    def _job(self, scope: Scope, job_id: str) -> Mapping[str, Any] | None:
        try:
            return self._store.get(_JOBS, scope, job_id).document
        except DocumentNotFound:
            return None


def _member(job: Mapping[str, Any]) -> dict[str, Any]:
    member = {"client_id": job["client_id"], **job["job_schedule"]}
    return SessionJob.from_document(member, "jobs").to_document()


def _with_member(
    session: dict[str, Any], job_id: str, member: dict[str, Any]
) -> dict[str, Any] | None:
    if job_id in session["jobs"]:
        return None
    return session | {"jobs": {**session["jobs"], job_id: member}}


def _without_member(session: dict[str, Any], job_id: str) -> dict[str, Any] | None:
    if job_id not in session["jobs"]:
        return None
    others = {key: member for key, member in session["jobs"].items() if key != job_id}
    return session | {"jobs": others}


def _joined(job: dict[str, Any], session: Mapping[str, Any]) -> dict[str, Any]:
    runtime = {key: job["job_schedule"][key] for key in RUNTIME_KEYS if key in job["job_schedule"]}
    when = {key: session["schedule"][key] for key in SCHEDULE_KEYS if key in session["schedule"]}
    return job | {
        "session_id": session["session_id"],
        "session_tag": session["session_tag"],
        "job_schedule": {**when, **runtime},
    }


def _left(job: dict[str, Any], session_id: str) -> dict[str, Any] | None:
    released = _released(job, session_id)
    if released is None:
        return None
    return released | {"job_schedule": {**job["job_schedule"], "event": str(JobEvent.STOP)}}


def _released(job: dict[str, Any], session_id: str) -> dict[str, Any] | None:
    if job["session_id"] != session_id:
        return None
    return job | {"session_id": "", "session_tag": 0}
