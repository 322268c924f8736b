"""The API as typed calls: jobs, sessions, clients, backups, actions.

Every call raises ApiUnavailable, Unauthorized or ApiRefused (NotFound, Conflict), and is tried again
where that is safe; each docstring says so where it is not. Documents are dictionaries as they are
on the wire; ids are never empty: an id that cannot exist is NotFound without asking.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from freezer_client.calls import Calls
from freezer_client.credentials import Credentials
from freezer_client.documents import (
    NOTHING_KNOWN,
    Criteria,
    Documents,
    Listing,
    as_criteria,
    as_number,
    as_object,
    as_objects,
    by_key,
    delete,
    id_segment,
)
from freezer_client.errors import ApiRefused, ApiUnavailable, Conflict, refusal
from freezer_client.listing import Document
from freezer_client.session import ApiSession, open_session
from freezer_model.clock import Clock, utc_now

MOST_REPORTS = 500

# Not for secrets, but the system's generator needs no seed and no state to share.
_chance = random.SystemRandom()


def _new_id() -> str:
    return uuid4().hex


class Freezer:
    """The API of one project. Holds no state but its session; may be shared by threads."""

    def __init__(
        self,
        session: ApiSession,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = _chance.random,
        now: Clock = utc_now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        """Offer the calls over `session`; the other collaborators are for tests."""
        self._session = session
        calls = Calls(session, sleep=sleep, jitter=jitter, now=now)
        self.jobs = Jobs(calls, new_id)
        self.runs = Runs(calls)
        self.sessions = Sessions(calls)
        self.clients = Clients(calls)
        self.backups = Backups(calls)
        self.actions = Actions(calls, new_id)

    def project_id(self) -> str:
        """The id of the project. May log in; not tried again."""
        return self._session.project_id()

    def close(self) -> None:
        """Give up the connections; a later call opens new ones."""
        self._session.close()


def connect(credentials: Credentials, *, project_id: str = "") -> Freezer:
    """The API by these credentials. Nothing is sent before the first call.

    With `project_id` it is that project's, whatever project the login is for.
    """
    return Freezer(open_session(credentials, project_id=project_id))


class Jobs:
    """What runs, where and when."""

    def __init__(self, calls: Calls, new_id: Callable[[], str]) -> None:
        """Use `calls`; `new_id` names jobs that come without an id."""
        self._calls = calls
        self._new_id = new_id
        self._documents = Documents(calls, "jobs", by_key("job_id"))

    def list(
        self,
        *,
        match: Criteria = (),
        match_not: Criteria = (),
        search: str | None = None,
        all_projects: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        """The jobs that fit, in order of creation; without `limit` all of them.

        A job that fits while the list is read is never missing, however others change.
        """
        body = as_criteria(match, match_not, search)
        query = {"all_projects": "True"} if all_projects else {}
        return self._documents.read(body, limit, offset, query)

    def poll(
        self,
        *,
        match: Criteria = (),
        match_not: Criteria = (),
        all_projects: bool = False,
        known: Listing = NOTHING_KNOWN,
    ) -> Listing:
        """As `list` without a limit, at the price of one small request if nothing changed.

        `known` is what the last poll with the same criteria returned, and what this one returns if
        it still holds.
        """
        query = {"all_projects": "True"} if all_projects else {}
        return self._documents.poll(as_criteria(match, match_not, None), query, known)

    def get(self, job_id: str) -> Document | None:
        """The job, None if there is none."""
        return self._documents.get(job_id)

    def create(self, document: Mapping[str, Any], job_id: str | None = None) -> str:
        """Create a job and return its id; with `job_id`, create or replace that one.

        A job that names no id gets one here, so that a create whose answer was lost can be
        repeated: if the id is then taken, it is by this very job. An id in the document that is
        taken raises Conflict.
        """
        return self._documents.create(document, job_id, self._new_id)

    def update(self, job_id: str, document: Mapping[str, Any]) -> int:
        """Change the given fields (job_schedule is merged key by key); return the version."""
        return self._documents.update(job_id, document)

    def report(self, reports: Sequence[Mapping[str, Any]]) -> Mapping[str, ApiRefused]:
        """Merge each report into the job of its `job_id`, at most MOST_REPORTS; repeating is safe.

        By job, why its report was refused. Servers before ours refuse the call as a whole (404).
        """
        body = {"jobs": list(reports)}
        answer = as_object("job-reports", self._calls.send("POST", "job-reports", body=body))
        told = as_objects("job-reports", "jobs", answer)
        if [entry.get("job_id") for entry in told] != [each["job_id"] for each in reports]:
            raise ApiUnavailable("POST job-reports", "its answer is not of the jobs that were sent")
        return {str(entry["job_id"]): _refusal_of(entry) for entry in told if "code" in entry}

    def delete(self, job_id: str) -> None:
        """Remove the job. Older servers do not say NotFound."""
        self._documents.delete(job_id)

    def request_event(self, job_id: str, event: str) -> str:
        """Ask the job's scheduler for `start`, `stop` or `abort`; return the API's word.

        That is `success` or, as after a lost answer too, `<event> already requested`.
        """
        path = f"{self._documents.path(job_id)}/event"
        return str(
            as_object(path, self._calls.send("POST", path, body={event: None})).get("result")
        )


def _refusal_of(told: Document) -> ApiRefused:
    """Why one of many was refused."""
    said = [str(told.get(key) or "") for key in ("title", "description")]
    return refusal(f"PATCH jobs/{told.get('job_id')}", as_number(told["code"]), *said)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReply:
    """The answer to a report of a run: whether it counted as lost before."""

    was_lost: bool


class Runs:
    """How jobs went, run by run. Servers before ours keep none: every call is NotFound there."""

    def __init__(self, calls: Calls) -> None:
        """Use `calls`."""
        self._calls = calls

    def list(self, job_id: str, *, limit: int = 100, offset: int = 0) -> list[Document]:
        """A page of the job's runs, the oldest first."""
        path = self._path(job_id)
        query = {"limit": str(limit), "offset": str(offset)}
        answer = as_object(path, self._calls.send("GET", path, query=query))
        return as_objects(path, "runs", answer)

    def report(self, job_id: str, run_id: str, document: Mapping[str, Any]) -> LeaseReply:
        """Begin, renew or end the run; repeating is safe.

        Raises Conflict while another run of the job goes on.
        """
        path = f"{self._path(job_id)}/{id_segment('runs', run_id)}"
        answer = as_object(path, self._calls.send("PUT", path, body=dict(document)))
        return LeaseReply(was_lost=answer.get("was_lost") is True)

    def _path(self, job_id: str) -> str:
        return f"jobs/{id_segment('jobs', job_id)}/runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReply:
    """The answer to the start or end of a job in a session, and the number of the run."""

    result: str
    session_tag: int


class Sessions:
    """Jobs of several nodes that run together."""

    def __init__(self, calls: Calls) -> None:
        """Use `calls`."""
        self._calls = calls
        self._documents = Documents(calls, "sessions", by_key("session_id"))

    def list(
        self,
        *,
        match: Criteria = (),
        match_not: Criteria = (),
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        """The sessions that fit, in order of creation; without `limit` all of them."""
        return self._documents.read(as_criteria(match, match_not, search), limit, offset)

    def get(self, session_id: str) -> Document | None:
        """The session, None if there is none."""
        return self._documents.get(session_id)

    def create(self, document: Mapping[str, Any], session_id: str | None = None) -> str:
        """Create a session and return its id; with `session_id`, create or replace that one.

        Without `session_id` a lost answer is not repeated, for the API would make a second one.
        """
        return self._documents.create(document, session_id, None)

    def update(self, session_id: str, document: Mapping[str, Any]) -> int:
        """Change the given fields; return the version."""
        return self._documents.update(session_id, document)

    def delete(self, session_id: str) -> None:
        """Remove the session; its jobs stay."""
        self._documents.delete(session_id)

    def add_job(self, session_id: str, job_id: str) -> None:
        """Make the job a member: it takes over the session's schedule."""
        self._calls.send("PUT", self._membership(session_id, job_id))

    def remove_job(self, session_id: str, job_id: str) -> None:
        """End the job's membership."""
        delete(self._calls, self._membership(session_id, job_id))

    def start_job(self, session_id: str, job_id: str, tag: int) -> SessionReply:
        """Say that the job begins a run; `tag` is the last run it knows of.

        Repeating is safe within the session's hold-off time: the second start joins the run that
        the first one opened.
        """
        return self._act(session_id, {"start": {"job_id": job_id, "current_tag": tag}})

    def end_job(self, session_id: str, job_id: str, tag: int, result: str) -> SessionReply:
        """Say that the job has ended its part of run `tag` with `result`."""
        end = {"job_id": job_id, "current_tag": tag, "result": result}
        return self._act(session_id, {"end": end})

    def _act(self, session_id: str, body: Mapping[str, Any]) -> SessionReply:
        path = f"{self._documents.path(session_id)}/action"
        answer = as_object(path, self._calls.send("POST", path, body=body))
        return SessionReply(
            result=str(answer.get("result")), session_tag=as_number(answer.get("session_tag"))
        )

    def _membership(self, session_id: str, job_id: str) -> str:
        return f"{self._documents.path(session_id)}/jobs/{id_segment('jobs', job_id)}"


class Clients:
    """The schedulers that registered, and what they are able to run."""

    def __init__(self, calls: Calls) -> None:
        """Use `calls`."""
        self._calls = calls
        self._documents = Documents(calls, "clients", _client_id)

    def list(
        self,
        *,
        match: Criteria = (),
        match_not: Criteria = (),
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        """The clients that fit, in order of registration; without `limit` all of them."""
        return self._documents.read(as_criteria(match, match_not, search), limit, offset)

    def get(self, client_id: str) -> Document | None:
        """The client (`client`, `project_id`, `user_id`), None if there is none."""
        return self._documents.get(client_id)

    def register(self, document: Mapping[str, Any]) -> str:
        """Register a client, or renew what it is able to do; return its id.

        Raises Conflict if the id belongs to another project. Older servers answer a second
        registration with a conflict too and keep the first one: there that counts as done.
        """
        client_id = str(document.get("client_id") or "")
        try:
            answer = self._calls.send("POST", "clients", body=dict(document))
        except Conflict:
            known = self.get(client_id) if client_id else None
            if known is None or not _same_central(known, document):
                raise
            return client_id
        return str(as_object("POST clients", answer).get("client_id") or client_id)

    def delete(self, client_id: str) -> None:
        """Remove the client; its jobs stay."""
        self._documents.delete(client_id)


class Backups:
    """What the API knows of finished backups."""

    def __init__(self, calls: Calls) -> None:
        """Use `calls`."""
        self._calls = calls
        self._documents = Documents(calls, "backups", by_key("backup_id"))

    def list(
        self,
        *,
        match: Criteria = (),
        match_not: Criteria = (),
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        """The backups that fit, in order of creation; without `limit` all of them."""
        return self._documents.read(as_criteria(match, match_not, search), limit, offset)

    def get(self, backup_id: str) -> Document | None:
        """The backup, None if there is none."""
        return self._documents.get(backup_id)

    def find(self, metadata: Mapping[str, Any]) -> str | None:
        """The id of the backup whose metadata holds all of this, None if there is none.

        For those who do not know whether their create was carried out.
        """
        names = ("backup_name", "hostname", "time_stamp", "job_id")
        match = [{name: metadata[name]} for name in names if metadata.get(name) is not None]
        wanted = {key: value for key, value in metadata.items() if key != "status"}
        for document in self.list(match=match):
            stored = document.get("backup_metadata") or {}
            if all(key in stored and stored[key] == value for key, value in wanted.items()):
                return str(document["backup_id"])
        return None

    def create(self, metadata: Mapping[str, Any]) -> str:
        """Record a backup and return its id.

        A call whose answer was lost is not repeated, for the API would keep two records: see
        `find`.
        """
        return self._documents.create(metadata, None, None)

    def update(self, backup_id: str, document: Mapping[str, Any]) -> Document:
        """Merge metadata (nested or flat) and status; return the whole backup."""
        path = self._documents.path(backup_id)
        return as_object(path, self._calls.send("PATCH", path, body=dict(document)))

    def delete(self, backup_id: str) -> None:
        """Remove the record, not the backup itself."""
        self._documents.delete(backup_id)


class Actions:
    """Stored calls of the agent that jobs refer to."""

    def __init__(self, calls: Calls, new_id: Callable[[], str]) -> None:
        """Use `calls`; `new_id` names actions that come without an id."""
        self._new_id = new_id
        self._documents = Documents(calls, "actions", by_key("action_id"))

    def list(
        self,
        *,
        match: Criteria = (),
        match_not: Criteria = (),
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Document]:
        """The actions that fit, in order of creation; without `limit` all of them."""
        return self._documents.read(as_criteria(match, match_not, search), limit, offset)

    def get(self, action_id: str) -> Document | None:
        """The action, None if there is none."""
        return self._documents.get(action_id)

    def create(self, document: Mapping[str, Any], action_id: str | None = None) -> str:
        """Create an action and return its id; with `action_id`, create or replace that one.

        What is said of Jobs.create about lost answers and taken ids holds here too.
        """
        return self._documents.create(document, action_id, self._new_id)

    def update(self, action_id: str, document: Mapping[str, Any]) -> int:
        """Change the given fields; return the version."""
        return self._documents.update(action_id, document)

    def delete(self, action_id: str) -> None:
        """Remove the action, also from the jobs that use it."""
        self._documents.delete(action_id)


def _client_id(document: Document) -> str:
    client = document.get("client")
    # Central clients of other projects may carry the id of one of ours.
    owner = document.get("project_id")
    return f"{owner} {client.get('client_id') if isinstance(client, dict) else None}"


def _same_central(known: Document, document: Mapping[str, Any]) -> bool:
    client = known.get("client")
    central = bool(client.get("is_central")) if isinstance(client, dict) else False
    return central == bool(document.get("is_central"))
