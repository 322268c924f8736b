"""What can be done with sessions, and how their runs are counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from freezer_api.errors import SessionActionInvalid
from freezer_api.identity.context import Context
from freezer_api.services.changes import Changes
from freezer_api.services.documents import check_id, own_scope, present
from freezer_api.services.memberships import Memberships
from freezer_api.services.search import query_from
from freezer_api.services.tags import ANYTHING, Expected
from freezer_api.store.base import Collection, DocumentStore, Found, Page, Stored
from freezer_model.clock import Clock
from freezer_model.instants import NO_INSTANT, to_epoch
from freezer_model.job import JobResult
from freezer_model.schedule import Schedule
from freezer_model.session import ACTIVE, DEFAULT_HOLD_OFF_SECONDS, Session
from freezer_model.session_rules import (
    SessionAnswer,
    SessionOutcome,
    end_in_session,
    start_in_session,
)

_SESSIONS = Collection.SESSIONS

_REFUSALS = {
    SessionOutcome.TAG_TOO_HIGH: "requested tag value too high. The session has had fewer runs",
    SessionOutcome.NOT_A_MEMBER: "job_id not found in session",
}

_SETTABLE = (
    "description",
    "hold_off",
    "schedule",
    "status",
    "result",
    "session_tag",
    "time_start",
    "time_started",
    "time_end",
    "time_ended",
    "last_start",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """What a job is told that starts or ends in a session."""

    result: str
    session_tag: int


class SessionService:
    """Sessions of a project."""

    def __init__(
        self,
        *,
        store: DocumentStore,
        changes: Changes,
        memberships: Memberships,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._changes = changes
        self._memberships = memberships
        self._clock = clock
        self._new_id = new_id

    def create(self, context: Context, body: Mapping[str, Any]) -> str:
        """A new session without jobs; returns its id. Raises InvalidDocument."""
        session_id = self._new_id()
        document = _new_session(context, session_id, body)
        self._store.insert(_SESSIONS, session_id, document)
        return session_id

    def get(self, context: Context, session_id: str) -> Stored:
        """One session. Raises DocumentNotFound."""
        return self._store.get(_SESSIONS, own_scope(context), session_id)

    def search(self, context: Context, criteria: dict[str, Any], page: Page) -> Found:
        """Those that the criteria want. Raises InvalidDocument."""
        return self._store.find(_SESSIONS, own_scope(context), query_from(criteria), page)

    def replace(
        self,
        context: Context,
        session_id: str,
        body: Mapping[str, Any],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The session under this id, new or with the body's fields over a new one's.

        Its maker, its jobs and the count of its runs stay. Raises DocumentExists for an id of
        another project, InvalidDocument.
        """
        check_id("session_id", session_id)
        fresh = _new_session(context, session_id, body)
        given = _given(body)

        def change(stored: dict[str, Any]) -> dict[str, Any]:
            kept = {**stored, **{key: fresh[key] for key in ("description", "hold_off")}}
            return _changed(kept, given)

        return self._changes.apply_or_insert(
            _SESSIONS,
            own_scope(context),
            session_id,
            change,
            _changed(fresh, given),
            expected=expected,
        )

    def update(
        self,
        context: Context,
        session_id: str,
        body: Mapping[str, Any],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The session with the body's fields; `jobs` are merged. DocumentNotFound."""
        given = _given(body)
        return self._changes.apply(
            _SESSIONS,
            own_scope(context),
            session_id,
            lambda stored: _changed(stored, given),
            expected,
        )

    def delete(self, context: Context, session_id: str, expected: Expected = ANYTHING) -> None:
        """Remove the session; its jobs go on alone. Raises DocumentNotFound."""
        scope = own_scope(context)
        expected.check(self._store.get(_SESSIONS, scope, session_id))
        self._memberships.release(scope, session_id)
        self._changes.remove(_SESSIONS, scope, session_id, expected)
        # A job may have joined meanwhile; from now on none can.
        self._memberships.release(scope, session_id)

    def start(self, context: Context, session_id: str, job_id: str, tag: int) -> RunAnswer:
        """A job wants to start. Raises SessionActionInvalid, DocumentNotFound."""
        return self._run(
            context,
            session_id,
            lambda session, now: start_in_session(session, job_id, tag, now),
        )

    def end(
        self, context: Context, session_id: str, job_id: str, tag: int, result: str
    ) -> RunAnswer:
        """A job has ended. Raises SessionActionInvalid, DocumentNotFound."""
        return self._run(
            context,
            session_id,
            lambda session, now: end_in_session(session, job_id, tag, JobResult(result), now),
        )

    def _run(
        self,
        context: Context,
        session_id: str,
        decide: Callable[[Session, int], SessionAnswer],
    ) -> RunAnswer:
        answers: list[SessionAnswer] = []

        def change(stored: dict[str, Any]) -> dict[str, Any] | None:
            session = Session.from_document(stored)
            answer = decide(session, to_epoch(self._clock()))
            answers.append(answer)
            return None if answer.session is session else answer.session.to_document()

        self._changes.apply(_SESSIONS, own_scope(context), session_id, change)
        # The last decision is the one that was written.
        answer = answers[-1]
        if answer.outcome in _REFUSALS:
            raise SessionActionInvalid(_REFUSALS[answer.outcome])
        return RunAnswer(result=str(answer.outcome), session_tag=answer.session.session_tag)


def _new_session(context: Context, session_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    given = _given(body)
    return {
        "session_id": session_id,
        "session_tag": given.get("session_tag", 0),
        "description": given.get("description", ""),
        "hold_off": given.get("hold_off", DEFAULT_HOLD_OFF_SECONDS),
        "schedule": given.get("schedule", {}),
        "jobs": {},
        "status": ACTIVE,
        "result": "",
        "time_start": NO_INSTANT,
        "time_started": NO_INSTANT,
        "time_end": NO_INSTANT,
        "time_ended": NO_INSTANT,
        "last_start": "",
        "user_id": context.user_id,
        "project_id": context.project_id,
    }


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the body that mean something, as they are stored. Raises InvalidDocument."""
    fields = present({key: body.get(key) for key in _SETTABLE})
    if "hold_off" in fields:
        fields["hold_off"] = int(fields["hold_off"])
    if "schedule" in fields:
        schedule = present(fields["schedule"])
        Schedule.from_document(schedule, "schedule")
        fields["schedule"] = schedule
    jobs = body.get("jobs")
    if isinstance(jobs, Mapping):
        fields["jobs"] = present(jobs)
    return fields


def _changed(stored: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The stored session with the given fields, checked as a whole."""
    members = dict(stored["jobs"])
    for job_id, member in given.get("jobs", {}).items():
        check_id("jobs", job_id)
        before = members.get(job_id, {})
        members[job_id] = {**before, **member} if isinstance(member, Mapping) else member
    changed = {**stored, **_both_times(given), "jobs": members}
    return Session.from_document(changed).to_document()


def _both_times(given: dict[str, Any]) -> dict[str, Any]:
    """Either spelling of a time counts."""
    fields = dict(given)
    for short, long in (("time_start", "time_started"), ("time_end", "time_ended")):
        if long in given and short not in given:
            fields[short] = given[long]
    return fields
