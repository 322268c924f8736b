"""A job board in memory, for tests: it keeps the promises of the real ones, and its state."""

import copy
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from freezer_model.job import Job, JobResult, JobStatus
from freezer_model.run import JobRun, RunStatus
from freezer_scheduler.errors import BoardRefused, BoardUnavailable, HeldElsewhere
from freezer_scheduler.job_boards.base import SessionPlace, StateReport, report_each


class MemoryBoard:
    """Documents by job id. `available = False` makes it a board that is away."""

    def __init__(self) -> None:
        self.available = True
        self.jobs: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, JobRun]] = {}
        """By job, by run id."""
        self.backups: list[dict[str, Any]] = []
        self.ended_sessions: list[tuple[str, str, JobResult]] = []
        self.registered = 0
        self._lock = threading.RLock()

    def put(self, document: Mapping[str, Any]) -> None:
        """Create or replace a job."""
        with self._lock:
            self.jobs[document["job_id"]] = copy.deepcopy(dict(document))

    def request(self, job_id: str, event: str) -> None:
        """Ask for an event, as the API records it."""
        with self._lock:
            timing = self.jobs[job_id].setdefault("job_schedule", {})
            if event == "start":
                timing.update(status="", result="")
            timing["event"] = event

    def register(self) -> None:
        """Count the registrations."""
        self._check()
        self.registered += 1

    def wanted(self) -> list[Mapping[str, Any]]:
        """The jobs that are not completed."""
        self._check()
        with self._lock:
            return [
                copy.deepcopy(job)
                for job in self.jobs.values()
                if (job.get("job_schedule") or {}).get("status") != JobStatus.COMPLETED
            ]

    def report(self, job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        """Merge the changes into the job_schedule; null takes a key away."""
        self._check()
        with self._lock:
            if job_id not in self.jobs:
                raise BoardRefused(f"there is no job {job_id}")
            timing = self.jobs[job_id].get("job_schedule")
            merged = {**(timing if isinstance(timing, dict) else {}), **changes}
            self.jobs[job_id]["job_schedule"] = {k: v for k, v in merged.items() if v is not None}
            if session_tag is not None:
                self.jobs[job_id]["session_tag"] = session_tag

    def report_all(self, reports: Sequence[StateReport]) -> Mapping[str, str]:
        """Report one after the other."""
        return report_each(self, reports)

    def keep_copies(self) -> None:
        """Nobody else keeps these."""

    def hold_run(self, run: JobRun, lease_seconds: int, *, take_over: bool = False) -> bool:
        """Leases end only with their runs."""
        del lease_seconds
        self._check()
        with self._lock:
            runs = self.runs.setdefault(run.job_id, {})
            for other in runs.values():
                runs_on = other.run_id != run.run_id and other.status is RunStatus.RUNNING
                if runs_on and not take_over:
                    raise HeldElsewhere(f"run {other.run_id} goes on")
            before = runs.get(run.run_id)
            runs[run.run_id] = run
            return before is not None and before.status is RunStatus.LOST

    def end_run(self, run: JobRun) -> None:
        """Keep it."""
        self._check()
        with self._lock:
            self.runs.setdefault(run.job_id, {})[run.run_id] = run

    def join_session(self, job: Job) -> SessionPlace:
        """Every join opens a run."""
        self._check()
        return SessionPlace(result="success", session_tag=job.session_tag + 1)

    def leave_session(self, job: Job, result: JobResult) -> None:
        """Remember the end."""
        self._check()
        self.ended_sessions.append((job.session_id, job.job_id, result))

    def record_backup(self, record: Mapping[str, Any], *, again: bool) -> None:
        """Keep the record, once."""
        self._check()
        with self._lock:
            if not again or dict(record) not in self.backups:
                self.backups.append(dict(record))

    def _check(self) -> None:
        if not self.available:
            raise BoardUnavailable("the board is away")
