"""What can be done with jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from freezer_api.errors import DocumentExists, DocumentNotFound, RequestRefused
from freezer_api.identity.context import Context
from freezer_api.services.changes import Changes
from freezer_api.services.clients import ClientService
from freezer_api.services.delegations import CREDENTIALS, Delegations
from freezer_api.services.documents import check_id, own_scope, read_scope
from freezer_api.services.job_actions import JobActions, Resolved
from freezer_api.services.job_documents import new_job, patched_job, replaced_job
from freezer_api.services.job_pages import (
    JobPage,
    JobsAsked,
    are_all_of,
    search_tag,
    watched_client,
)
from freezer_api.services.memberships import Memberships
from freezer_api.services.runs import RunService
from freezer_api.services.search import query_from
from freezer_api.services.tags import ANYTHING, Expected, without_process
from freezer_api.store.base import EVERYWHERE, Collection, DocumentStore, Stored
from freezer_model.client import find_unsupported
from freezer_model.clock import Clock
from freezer_model.instants import to_epoch
from freezer_model.job import JobEvent, JobState
from freezer_model.job_events import EventAnswer, request_event

_JOBS = Collection.JOBS


class JobService:
    """Jobs of a project."""

    def __init__(
        self,
        *,
        store: DocumentStore,
        changes: Changes,
        clients: ClientService,
        actions: JobActions,
        memberships: Memberships,
        runs: RunService,
        delegations: Delegations,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._changes = changes
        self._clients = clients
        self._actions = actions
        self._memberships = memberships
        self._runs = runs
        self._delegations = delegations
        self._clock = clock
        self._new_id = new_id

    def create(self, context: Context, body: Mapping[str, Any]) -> str:
        """A new job, under its own id if it names one; returns the id.

        Raises InvalidDocument, DocumentExists, RequestRefused (client, actions) and
        MissingCredential. A job that is refused leaves nothing behind.
        """
        own_id = body.get("job_id")
        job_id = self._new_id() if own_id is None else check_id("job_id", own_id)
        return self._create(context, job_id, body).document_id

    def get(self, context: Context, job_id: str, *, everywhere: bool) -> Stored:
        """One job as it is shown, of any project if `everywhere`. Raises DocumentNotFound."""
        self._runs.settle_lost()
        job = self._store.get(_JOBS, read_scope(context, everywhere=everywhere), job_id)
        return job if everywhere else replace(job, document=self._shown(context, [job])[0])

    def search(self, context: Context, asked: JobsAsked) -> JobPage:
        """Those that the criteria want. Raises InvalidDocument."""
        self._runs.settle_lost()
        query = query_from(asked.criteria, within="job_actions")
        client_id = watched_client(query)
        # Before the search: what changes in between makes the tag older, never younger.
        foreign = self._is_foreign(context, asked, client_id)
        scope = read_scope(context, everywhere=asked.everywhere)
        found = self._store.find(_JOBS, scope, query, asked.page)
        tag = None
        if found.fingerprint is not None and client_id and are_all_of(client_id, found.documents):
            tag = search_tag(context, asked, found.fingerprint, client_is_foreign=foreign)
        if asked.sees_processes:
            documents = [dict(job.document) for job in found.documents]
        else:
            documents = self._shown(context, found.documents)
        return JobPage(documents=documents, total=found.total, tag=tag)

    def tag(self, context: Context, asked: JobsAsked) -> str | None:
        """The tag that `search` would find, without reading a job; None if only `search` can."""
        self._runs.settle_lost()
        query = query_from(asked.criteria, within="job_actions")
        client_id = watched_client(query)
        scope = read_scope(context, everywhere=asked.everywhere)
        fingerprint = self._store.fingerprint(_JOBS, scope, query)
        if fingerprint is None or client_id is None:
            return None
        foreign = self._is_foreign(context, asked, client_id)
        return search_tag(context, asked, fingerprint, client_is_foreign=foreign)

    def _is_foreign(self, context: Context, asked: JobsAsked, client_id: str | None) -> bool:
        if asked.sees_processes or client_id is None:
            return False
        return self._clients.is_foreign(context.project_id, client_id)

    def replace(
        self,
        context: Context,
        job_id: str,
        body: Mapping[str, Any],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The job under this id, new or replaced. Raises as `create`, and PreconditionFailed."""
        check_id("job_id", job_id)
        try:
            return self._replace(context, job_id, body, expected)
        except DocumentNotFound:
            pass
        expected.check_absent()
        try:
            return self._create(context, job_id, body)
        except DocumentExists:
            # Of another project, or made by a simultaneous call of this one.
            try:
                return self._replace(context, job_id, body, expected)
            except DocumentNotFound:
                raise DocumentExists(_JOBS, job_id) from None

    def update(
        self,
        context: Context,
        job_id: str,
        body: Mapping[str, Any],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The job with the body merged into it. Raises as `replace`, and DocumentNotFound."""
        scope = own_scope(context)
        entries = body.get("job_actions")
        resolved = None
        # What a scheduler reports of a run touches neither, and comes often.
        if entries is not None or body.get("client_id") is not None:
            job = self._store.get(_JOBS, scope, job_id)
            expected.check(job)
            stored = job.document
            if entries is not None:
                resolved = self._actions.resolve(context, entries, stored["job_actions"])
            self._check_client(
                context,
                body.get("client_id") or stored["client_id"],
                stored["job_actions"] if resolved is None else resolved.entries,
            )
        new_entries = None if resolved is None else resolved.entries
        changed = self._changes.apply(
            _JOBS,
            scope,
            job_id,
            lambda document: patched_job(document, body, new_entries),
            expected,
        )
        if resolved is None:
            return changed
        self._actions.write(resolved)
        return self._agreed(context, resolved, changed)

    def delete(self, context: Context, job_id: str, expected: Expected = ANYTHING) -> None:
        """Remove the job, from its session too, and the last job's delegation.

        Raises DocumentNotFound and PreconditionFailed.
        """
        scope = own_scope(context)
        stored = self._store.get(_JOBS, scope, job_id)
        expected.check(stored)
        job = stored.document
        if job["session_id"]:
            self._memberships.drop_member(scope, job["session_id"], job_id)
        self._changes.remove(_JOBS, scope, job_id, expected)
        self._delegations.withdraw_unused(context, job)
        self._runs.forget(scope, job_id)

    def request_event(self, context: Context, job_id: str, event: JobEvent) -> str:
        """Ask the job's scheduler for something; the word that the caller is told.

        Raises DocumentNotFound. Nothing but the event is changed, whoever else writes meanwhile.
        """
        answers: list[EventAnswer] = []

        def change(job: dict[str, Any]) -> dict[str, Any] | None:
            answer = request_event(JobState.from_document(job["job_schedule"]), event)
            answers.append(answer)
            if not answer.changed:
                return None
            return job | {"job_schedule": {**job["job_schedule"], **answer.state.to_document()}}

        self._changes.apply(_JOBS, own_scope(context), job_id, change)
        # The last answer is the one that was written.
        return answers[-1].outcome

    def _create(self, context: Context, job_id: str, body: Mapping[str, Any]) -> Stored:
        resolved = self._actions.resolve(context, body["job_actions"])
        client = self._check_client(context, body["client_id"], resolved.entries)
        now = to_epoch(self._clock())
        document = new_job(context, job_id, body, resolved.entries, now)
        self._require_free(job_id)
        # Last, when nothing else can refuse the job: a refused one leaves no trust behind.
        stored = self._delegations.insert(context, client, document)
        self._actions.write(resolved)
        return self._agreed(context, resolved, stored)

    def _require_free(self, job_id: str) -> None:
        try:
            self._store.get(_JOBS, EVERYWHERE, job_id)
        except DocumentNotFound:
            return
        raise DocumentExists(_JOBS, job_id)

    def _replace(
        self, context: Context, job_id: str, body: Mapping[str, Any], expected: Expected
    ) -> Stored:
        scope = own_scope(context)
        stored = self._store.get(_JOBS, scope, job_id)
        expected.check(stored)
        held = stored.document["job_actions"]
        resolved = self._actions.resolve(context, body["job_actions"], held)
        self._check_client(context, body["client_id"], resolved.entries)
        replaced = self._changes.apply(
            _JOBS,
            scope,
            job_id,
            lambda document: replaced_job(document, body, resolved.entries),
            expected,
        )
        self._actions.write(resolved)
        return self._agreed(context, resolved, replaced)

    def _agreed(self, context: Context, resolved: Resolved, written: Stored) -> Stored:
        """The job after what became of the actions that it refers to while it was written."""
        if not resolved.referred:
            return written
        try:
            return self._changes.apply(
                _JOBS,
                own_scope(context),
                written.document_id,
                lambda job: self._actions.refreshed(context, job, resolved.referred),
            )
        except DocumentNotFound:
            return written

    def _check_client(
        self, context: Context, client_id: str, entries: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """The client, which the project sees and which can do all the actions."""
        try:
            client = self._clients.get(context, client_id).document
        except DocumentNotFound:
            raise RequestRefused(f"Client not found with ID {client_id}") from None
        for entry in entries:
            missing = find_unsupported(client["client"], entry["freezer_action"])
            if missing is not None:
                raise RequestRefused(
                    f"Client {client_id} does not support {missing.kind}: {missing.value}"
                )
        return client

    def _shown(self, context: Context, jobs: Sequence[Stored]) -> list[dict[str, Any]]:
        """The documents without what is not the caller's to see.

        That is the process ids of other projects' clients, and the trusts of another project.
        """
        foreign: dict[str, bool] = {}
        shown = []
        for stored in jobs:
            job = dict(stored.document)
            if job["project_id"] != context.own_project_id:
                job.pop(CREDENTIALS, None)
            if "current_pid" in job["job_schedule"]:
                client_id = job["client_id"]
                if client_id not in foreign:
                    foreign[client_id] = self._clients.is_foreign(context.project_id, client_id)
                if foreign[client_id]:
                    job = without_process(job)
            shown.append(job)
        return shown
