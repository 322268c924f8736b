"""The runs of jobs: their history, and the lease that lets one run of a job go on at a time.

Two documents stand behind a job's runs: one of each run, and one lease per job, which is taken,
renewed and given back by compare-and-set. Whoever reads jobs first settles the leases that have run
out, so that a job whose scheduler died does not look as if it ran.
"""

import hashlib
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from freezer_api.errors import DocumentNotFound, RunRefused
from freezer_api.identity.context import Context
from freezer_api.services.changes import Changes
from freezer_api.services.documents import check_id, own_scope, present
from freezer_api.store.base import (
    EVERYWHERE,
    Collection,
    DocumentStore,
    Found,
    Page,
    Query,
    Scope,
    Stored,
)
from freezer_model.clock import Clock
from freezer_model.instants import NO_INSTANT, to_epoch
from freezer_model.job import JobResult, JobStatus
from freezer_model.run import LOST, JobRun, Lease, RunStatus

_RUNS, _LEASES, _JOBS = Collection.RUNS, Collection.LEASES, Collection.JOBS

DEFAULT_LEASE_SECONDS = 300
_SETTLE_EVERY_SECONDS = 5
_SETTLE_AT_ONCE = 200
"""Leases that one look settles; the next look goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    """Until when the run holds its lease (-1: it has given it back), and whether it was lost."""

    lease_until: int
    was_lost: bool


class RunService:
    """The runs of a project's jobs. Keeps the newest `kept` of each job."""

    def __init__(self, *, store: DocumentStore, changes: Changes, clock: Clock, kept: int) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock
        self._kept = kept
        self._settled_at: int | None = None
        self._settling = threading.Lock()

    def get(self, context: Context, job_id: str, run_id: str) -> Stored:
        """One run. Raises DocumentNotFound."""
        self.settle_lost()
        return self._store.get(_RUNS, own_scope(context), _key(job_id, run_id))

    def search(self, context: Context, job_id: str, page: Page) -> Found:
        """The job's runs. Raises DocumentNotFound for an unknown job."""
        self.settle_lost()
        scope = own_scope(context)
        self._store.get(_JOBS, scope, job_id)
        return self._store.find(_RUNS, scope, _of(job_id), page)

    def report(
        self, context: Context, job_id: str, run_id: str, body: Mapping[str, Any]
    ) -> LeaseAnswer:
        """Begin the run, renew its lease, or end it; the same report may come again.

        A begin or renewal takes the job's lease: RunRefused while another run holds it, unless the
        body says `take_over` (then that one is lost), and for a run that has ended. The end of a run is always taken, also that of one which counted as
        lost. Raises DocumentNotFound for an unknown job.
        """
        check_id("run_id", run_id)
        scope = own_scope(context)
        job = self._store.get(_JOBS, scope, job_id).document
        given = {**present(body), "job_id": job_id, "run_id": run_id}
        given.setdefault("client_id", job["client_id"])
        run = JobRun.from_document(given)
        if run.status is RunStatus.RUNNING:
            seconds = given.get("lease_seconds", DEFAULT_LEASE_SECONDS)
            until = self._take(context, run, seconds, take_over=bool(given.get("take_over")))
            return LeaseAnswer(lease_until=until, was_lost=self._write(context, run))
        was_lost = self._write(context, run)
        self._note_last_runs(scope, run)
        self._give_back(scope, run)
        self._trim(scope, job_id)
        return LeaseAnswer(lease_until=NO_INSTANT, was_lost=was_lost)

    def settle_lost(self) -> None:
        """Account for the runs whose lease has run out, of all projects; looks every 5 seconds.

        The run counts as lost and its job, if it still shows that run, as failed and scheduled.
        """
        now = to_epoch(self._clock())
        # One look at a time is enough for all callers.
        with self._settling:
            last = self._settled_at
            if last is not None and 0 <= now - last < _SETTLE_EVERY_SECONDS:
                return
            self._settled_at = now
        query = Query(time_before=now - 1)
        for stored in self._store.search(_LEASES, EVERYWHERE, query, Page(limit=_SETTLE_AT_ONCE)):
            self._lose(stored.document, now)

    def forget(self, scope: Scope, job_id: str) -> None:
        """Remove the runs and the lease of a job that is gone."""
        for key in self._changes.ids_of(_RUNS, scope, _of(job_id)):
            self._delete(_RUNS, scope, key)
        self._delete(_LEASES, scope, job_id)

    # -- leases ----------------------------------------------------------------------------------

    def _take(self, context: Context, run: JobRun, seconds: int, *, take_over: bool) -> int:
        now = to_epoch(self._clock())
        former: list[dict[str, Any]] = []
        wanted = Lease().taken(run.run_id, now, seconds)
        fresh = _lease_document(context.project_id, run.job_id, wanted)
        fresh["time_started"] = run.time_started

        def take(document: dict[str, Any]) -> dict[str, Any]:
            held = _lease_of(document)
            former[:] = [document] if held.run_id not in {"", run.run_id} else []
            if not take_over and not held.is_free_for(run.run_id, now):
                raise RunRefused(
                    f"Run {held.run_id} of job {run.job_id} goes on: it holds the job until "
                    f"{held.until}"
                )
            return fresh

        self._refuse_ended(own_scope(context), run)
        self._changes.apply_or_insert(_LEASES, own_scope(context), run.job_id, take, fresh)
        for lease in former:
            self._lose_run(lease, f"{LOST} {lease['timestamp']}", now)
        return wanted.until

    def _refuse_ended(self, scope: Scope, run: JobRun) -> None:
        try:
            known = self._store.get(_RUNS, scope, _key(run.job_id, run.run_id)).document
        except DocumentNotFound:
            return
        if known["status"] == RunStatus.COMPLETED:
            raise RunRefused(f"Run {run.run_id} of job {run.job_id} has ended")

    def _give_back(self, scope: Scope, run: JobRun) -> None:
        def give_back(document: dict[str, Any]) -> dict[str, Any] | None:
            if _lease_of(document).run_id != run.run_id:
                return None
            return _lease_document(document["project_id"], run.job_id, Lease())

        with suppress(DocumentNotFound):
            self._changes.apply(_LEASES, scope, run.job_id, give_back)

    def _lose(self, lease: Mapping[str, Any], now: int) -> None:
        """The run first, then the job, then the lease: a crash between leaves it to be done."""
        scope, job_id = Scope(project_id=lease["project_id"]), lease["job_id"]
        run_id = lease["run_id"]
        error = f"{LOST} {lease['timestamp']}"
        if self._lose_run(lease, error, now):
            with suppress(DocumentNotFound):
                self._changes.apply(
                    _JOBS, scope, job_id, lambda document: _lost_job(document, lease, error, now)
                )

        def free(document: dict[str, Any]) -> dict[str, Any] | None:
            held = _lease_of(document)
            if held.run_id != run_id or held.until >= now:
                return None  # Its scheduler came back meanwhile.
            return _lease_document(document["project_id"], job_id, Lease())

        with suppress(DocumentNotFound):
            self._changes.apply(_LEASES, scope, job_id, free)

    def _lose_run(self, lease: Mapping[str, Any], error: str, now: int) -> bool:
        """Mark the run lost; False if it ended, and only giving back the lease failed."""
        try:
            run = self._changes.apply(
                _RUNS,
                Scope(project_id=lease["project_id"]),
                _key(lease["job_id"], lease["run_id"]),
                lambda document: _lost_run(document, error, now),
            )
        except DocumentNotFound:
            return True
        return bool(run.document["status"] != RunStatus.COMPLETED)

    # -- runs ------------------------------------------------------------------------------------

    def _write(self, context: Context, run: JobRun) -> bool:
        """Store the run; whether it counted as lost before."""
        former: list[str] = []

        def change(document: dict[str, Any]) -> dict[str, Any] | None:
            former[:] = [document["status"]]
            if document["status"] == RunStatus.COMPLETED and run.status is RunStatus.RUNNING:
                return None  # A heartbeat that was overtaken by the end.
            # What a heartbeat does not repeat stays as the begin told it.
            kept = {"time_started": document["time_started"], "scheduler": document["scheduler"]}
            told = {key: value for key, value in run.to_document().items() if value not in ("", -1)}
            return {**run.to_document(), **_owner_of(document), **kept, **told}

        fresh = {
            **run.to_document(),
            "project_id": context.project_id,
            "user_id": context.user_id,
        }
        key = _key(run.job_id, run.run_id)
        self._changes.apply_or_insert(_RUNS, own_scope(context), key, change, fresh)
        return former == [RunStatus.LOST]

    def _note_last_runs(self, scope: Scope, run: JobRun) -> None:
        """Show in the job how each of its actions went."""
        by_action = {action.action_id: action for action in run.actions if action.action_id}
        if not by_action:
            return

        def note(job: dict[str, Any]) -> dict[str, Any]:
            entries = [
                {**entry, "last_run": by_action[entry["action_id"]].to_document()}
                if entry.get("action_id") in by_action
                else entry
                for entry in job["job_actions"]
            ]
            return job | {"job_actions": entries}

        with suppress(DocumentNotFound):
            self._changes.apply(_JOBS, scope, run.job_id, note)

    def _trim(self, scope: Scope, job_id: str) -> None:
        """Remove the oldest runs beyond those that are kept."""
        query = _of(job_id)
        excess = self._store.search(
            _RUNS, scope, query, Page(limit=_SETTLE_AT_ONCE, offset=self._kept)
        )
        if not excess:
            return
        for stored in self._store.search(_RUNS, scope, query, Page(limit=len(excess))):
            self._delete(_RUNS, scope, stored.document_id)

    def _delete(self, collection: Collection, scope: Scope, key: str) -> None:
        with suppress(DocumentNotFound):
            self._store.delete(collection, scope, key)


def _key(job_id: str, run_id: str) -> str:
    """The id of a run's document: two jobs may name a run alike."""
    return hashlib.sha256(f"{job_id}\0{run_id}".encode()).hexdigest()


def _of(job_id: str) -> Query:
    return Query(match=(("job_id", job_id),))


def _owner_of(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"project_id": document["project_id"], "user_id": document["user_id"]}


def _lease_of(document: Mapping[str, Any]) -> Lease:
    return Lease(run_id=document["run_id"], until=document.get("timestamp", NO_INSTANT))


def _lease_document(project_id: str, job_id: str, lease: Lease) -> dict[str, Any]:
    """A lease as the store keeps it; `timestamp`, by which stores find times, is its end."""
    document: dict[str, Any] = {"project_id": project_id, "job_id": job_id, "run_id": lease.run_id}
    return document | {"timestamp": lease.until} if lease.run_id else document


def _lost_run(document: dict[str, Any], error: str, now: int) -> dict[str, Any] | None:
    if document["status"] != RunStatus.RUNNING:
        return None
    return document | {
        "status": str(RunStatus.LOST),
        "result": str(JobResult.FAIL),
        "error": error,
        "time_ended": now,
    }


def _lost_job(
    job: dict[str, Any], lease: Mapping[str, Any], error: str, now: int
) -> dict[str, Any] | None:
    schedule = job["job_schedule"]
    same_run = schedule["time_started"] == lease["time_started"]
    if schedule["status"] != JobStatus.RUNNING or not same_run:
        return None
    lost = {key: value for key, value in schedule.items() if key != "current_pid"} | {
        "status": str(JobStatus.SCHEDULED),
        "result": str(JobResult.FAIL),
        "error": error,
        "time_ended": now,
    }
    return job | {"job_schedule": lost}
