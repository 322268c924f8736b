"""A run of a job, as the API keeps it: how it went, action by action."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from freezer_model.instants import NO_INSTANT
from freezer_model.job import JobResult

LOST = "lost: its scheduler has not been heard of since"
"""How the error of a run begins whose lease has run out."""


class RunStatus(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    """Somebody holds its lease."""
    COMPLETED = "completed"
    """It has ended, and its scheduler said how."""
    LOST = "lost"
    """Its lease ran out. If its scheduler comes back, it says how the run really went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRun:
    """How one action of a run went. Times are epoch seconds, `attempts` counts from 1.

    `exit_code` is the last attempt's (negative: the signal that ended it), None if no agent ran;
    `output` is the end of what the agent said.
    """

    action_id: str = ""
    action: str = ""
    result: JobResult = JobResult.NONE
    attempts: int = 0
    exit_code: int | None = None
    error: str = ""
    output: str = ""
    time_started: int = NO_INSTANT
    time_ended: int = NO_INSTANT

    def to_document(self) -> dict[str, Any]:
        """All fields; exit code, error and output only if there is one."""
        document: dict[str, Any] = {
            "action_id": self.action_id,
            "action": self.action,
            "result": str(self.result),
            "attempts": self.attempts,
            "time_started": self.time_started,
            "time_ended": self.time_ended,
        }
        return document | _present(
            exit_code=self.exit_code, error=self.error or None, output=self.output or None
        )

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` writes; null counts as absent."""
        given = {key: value for key, value in document.items() if value is not None}
        known = {name: given[name] for name in cls.__dataclass_fields__ if name in given}
        return cls(**known | {"result": JobResult(given.get("result", ""))})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One run of one job. `scheduler` names who ran it; times are epoch seconds."""

    run_id: str
    job_id: str
    client_id: str = ""
    scheduler: str = ""
    status: RunStatus = RunStatus.RUNNING
    result: JobResult = JobResult.NONE
    exit_code: int | None = None
    error: str = ""
    time_started: int = NO_INSTANT
    time_ended: int = NO_INSTANT
    session_id: str = ""
    session_tag: int = 0
    actions: tuple[ActionRun, ...] = field(default=())

    def to_document(self) -> dict[str, Any]:
        """All fields; exit code and error only if there is one."""
        document: dict[str, Any] = {
            "run_id": self.run_id,
            "job_id": self.job_id,
            "client_id": self.client_id,
            "scheduler": self.scheduler,
            "status": str(self.status),
            "result": str(self.result),
            "time_started": self.time_started,
            "time_ended": self.time_ended,
            "session_id": self.session_id,
            "session_tag": self.session_tag,
            "actions": [action.to_document() for action in self.actions],
        }
        return document | _present(exit_code=self.exit_code, error=self.error or None)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` writes; null counts as absent, unknown fields are left out."""
        given = {key: value for key, value in document.items() if value is not None}
        known = {name: given[name] for name in cls.__dataclass_fields__ if name in given}
        return cls(
            **known
            | {
                "status": RunStatus(given.get("status", RunStatus.RUNNING)),
                "result": JobResult(given.get("result", "")),
                "actions": tuple(
                    ActionRun.from_document(action) for action in given.get("actions", ())
                ),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who may run a job now: the run that holds it, until when. Nobody if `run_id` is empty."""

    run_id: str = ""
    until: int = NO_INSTANT

    def is_free_for(self, run_id: str, now: int) -> bool:
        """Whether this run may take it: it is free, its own, or has run out."""
        return self.run_id in {"", run_id} or self.until < now

    def taken(self, run_id: str, now: int, seconds: int) -> "Lease":
        """The lease in the hand of this run, from `now` for so many seconds."""
        return Lease(run_id=run_id, until=now + seconds)


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
