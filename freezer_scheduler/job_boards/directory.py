"""The job board of a directory: jobs are files, and so are their results. No API, no network."""

import hashlib
import json
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freezer_model.job import RUNTIME_KEYS, Job, JobEvent, JobResult, JobStatus
from freezer_model.run import JobRun
from freezer_scheduler.errors import BoardRefused, BoardUnavailable
from freezer_scheduler.job_boards.base import SessionPlace, StateReport, report_each
from freezer_scheduler.job_boards.copies import write_private

log = logging.getLogger(__name__)

_KEPT_RUNS = 20


class DirectoryBoard:
    """Reads `*.conf` (JSON) of the directory anew each time.

    Beside `NAME.conf` a `NAME.state` keeps how the job goes: the runtime keys of job_schedule and
    the metadata of its last backup and its last runs. A job whose file changes is a new job: its state starts anew.
    A job without an id has its file's name for one. Of the runtime keys of the file itself an event
    counts, and the status `stop`, until there is a state: a job that somebody stopped, and whose
    copy of the API's lies there, does not run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[str, Path] = {}
        self._digests: dict[str, str] = {}
        self._unreadable: dict[Path, str] = {}
        self._is_listed = False

    def register(self) -> None:
        """Nobody needs to know."""

    def wanted(self) -> list[Mapping[str, Any]]:
        """The jobs of the readable files that are not completed, in order of file names."""
        with self._lock:
            return self._list()

    def report(self, job_id: str, changes: Mapping[str, Any], session_tag: int | None) -> None:
        """Write the changes into the state file."""
        del session_tag  # There are no sessions without the API.
        with self._lock:
            self._change(job_id, lambda state: state["job_schedule"].update(changes))

    def report_all(self, reports: Sequence[StateReport]) -> Mapping[str, str]:
        """Report one after the other."""
        return report_each(self, reports)

    def keep_copies(self) -> None:
        """They lie there already."""

    def hold_run(self, run: JobRun, lease_seconds: int, *, take_over: bool = False) -> bool:
        """Nobody else runs the jobs of this directory: the lock of the scheduler sees to it."""
        del run, lease_seconds, take_over
        return False

    def end_run(self, run: JobRun) -> None:
        """Keep it among the last runs in the job's state file."""
        with self._lock:
            self._change(run.job_id, lambda state: _add_run(state, run))

    def join_session(self, job: Job) -> SessionPlace:
        """Refused: sessions need the API."""
        raise BoardRefused(f"job {job.job_id} cannot join a session without the API")

    def leave_session(self, job: Job, result: JobResult) -> None:
        """Nothing to leave."""

    def record_backup(self, record: Mapping[str, Any], *, again: bool) -> None:
        """Keep the metadata in the job's state file."""
        del again
        with self._lock:
            self._change(
                str(record.get("job_id", "")), lambda state: state.update(last_backup=dict(record))
            )

    def _list(self) -> list[Mapping[str, Any]]:
        try:
            paths = sorted(
                path for path in self._folder.iterdir() if path.suffix.lower() == ".conf"
            )
        except FileNotFoundError:
            paths = []
        except OSError as error:
            raise BoardUnavailable(f"Cannot read {self._folder}: {error.strerror}") from error
        self._is_listed = True
        self._files = {}
        self._digests = {}
        found = [self._read(path) for path in paths]
        return [document for document in found if document is not None]

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            text = path.read_text(encoding="utf-8")
            document = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            self._complain(path, str(error))
            return None
        if not isinstance(document, dict):
            self._complain(path, "a job must be a JSON object")
            return None
        job_id = document.get("job_id")
        if not isinstance(job_id, str) or not job_id:
            job_id = re.sub(r"[^\w-]", "_", path.stem)
        if job_id in self._files:
            self._complain(path, f"{self._files[job_id].name} has the same job_id {job_id}")
            return None
        self._unreadable.pop(path, None)
        self._files[job_id] = path
        self._digests[job_id] = _digest(text)
        merged = _with_defaults(document) | {"job_id": job_id}
        state = self._state(path, _digest(text))["job_schedule"]
        schedule = document.get("job_schedule")
        if schedule is None:
            schedule = {}
        if isinstance(schedule, dict):
            wanted = {key: schedule[key] for key in schedule if key not in RUNTIME_KEYS}
            state = state or _asked_for(schedule)
            merged["job_schedule"] = wanted | state
        is_over = state.get("status") == JobStatus.COMPLETED
        return None if is_over or state.get("event") == JobEvent.REMOVE else merged

    def _complain(self, path: Path, reason: str) -> None:
        if self._unreadable.get(path) != reason:
            log.error("The job file %s is left out: %s", path, reason)
        self._unreadable[path] = reason

    def _state(self, path: Path, digest: str) -> dict[str, Any]:
        try:
            state = json.loads(path.with_suffix(".state").read_text(encoding="utf-8"))
            if state["of"] == digest and isinstance(state["job_schedule"], dict):
                return dict(state)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # No state, or one that is no use: the job is new.
        return {"of": digest, "job_schedule": {}}

    def _change(self, job_id: str, change: Any) -> None:
        if not self._is_listed:
            # What an earlier life could not say comes before the first look.
            self._list()
        path = self._files.get(job_id)
        if path is None or not path.exists():
            raise BoardRefused(f"the file of job {job_id} is gone")
        try:
            # Of the file as it was listed: one that was edited since is another job.
            state = self._state(path, self._digests[job_id])
            change(state)
            write_private(path.with_suffix(".state"), json.dumps(state, indent=4))
        except OSError as error:
            raise BoardUnavailable(
                f"Cannot write the state of job {job_id}: {error.strerror}"
            ) from error


def _add_run(state: dict[str, Any], run: JobRun) -> None:
    others = [other for other in state.get("runs", ()) if other.get("run_id") != run.run_id]
    state["runs"] = [*others, run.to_document()][-_KEPT_RUNS:]


def _asked_for(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """What a file that was not seen before asks for; how its job went elsewhere does not count."""
    asked = {"event": schedule.get("event")}
    if schedule.get("status") == JobStatus.STOP:
        asked["status"] = JobStatus.STOP
    return {key: value for key, value in asked.items() if value}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The job with `action_defaults` filled into each action where it says nothing itself."""
    defaults = document.get("action_defaults")
    actions = document.get("job_actions")
    job = {key: value for key, value in document.items() if key != "action_defaults"}
    if isinstance(defaults, dict) and isinstance(actions, list):
        job["job_actions"] = [_filled(action, defaults) for action in actions]
    return job


def _filled(action: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(action, dict) or not isinstance(action.get("freezer_action"), dict):
        return action
    own = {key: value for key, value in action["freezer_action"].items() if value is not None}
    return {**action, "freezer_action": {**action["freezer_action"], **defaults, **own}}
