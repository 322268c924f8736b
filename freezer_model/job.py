"""A job: actions of one client, when they run, and how it went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from freezer_model.errors import InvalidDocument
from freezer_model.instants import NO_INSTANT
from freezer_model.schedule import SCHEDULE_KEYS, Schedule

RUNTIME_KEYS = (
    "time_created",
    "time_started",
    "time_ended",
    "time_succeeded",
    "current_pid",
    "event",
    "status",
    "result",
    "exit_code",
    "error",
)
"""Every key of a job_schedule that tells how it goes; the others say when to run."""

DEFAULT_RETRY_SECONDS = 60


class JobStatus(StrEnum):
    """Where a job stands with its scheduler."""

    NEW = ""
    """No scheduler has taken it up yet."""
    STOP = "stop"
    """Known to its scheduler, not armed."""
    SCHEDULED = "scheduled"
    """Armed: it runs when it is due."""
    RUNNING = "running"
    """An action of it is running."""
    COMPLETED = "completed"
    """Nothing more is due; schedulers no longer see it."""
    ABORTING = "aborting"
    """Known to the wire contract, never set by us."""
    REMOVED = "removed"
    """Gone from the API; forgotten as soon as its run has ended."""


class JobEvent(StrEnum):
    """What somebody asked of a job, until its scheduler has taken it."""

    NONE = ""
    START = "start"
    STOP = "stop"
    ABORT = "abort"
    REMOVE = "remove"


class JobResult(StrEnum):
    """How the last run ended."""

    NONE = ""
    SUCCESS = "success"
    FAIL = "fail"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """The runtime half of a job_schedule. Times are epoch seconds, -1 for none.

    `exit_code` is the last agent's (negative: the signal that ended it), None when no agent has
    run; `error` says in a sentence why the result is not success.
    """

    status: JobStatus = JobStatus.NEW
    event: JobEvent = JobEvent.NONE
    result: JobResult = JobResult.NONE
    time_created: int = NO_INSTANT
    time_started: int = NO_INSTANT
    time_ended: int = NO_INSTANT
    time_succeeded: int = NO_INSTANT
    """When the last run ended that succeeded. Kept by the API, since later runs may fail."""
    current_pid: int | None = None
    exit_code: int | None = None
    error: str = ""

    @classmethod
    def from_document(cls, document: Mapping[str, Any], path: str = "job_schedule") -> Self:
        """Read the runtime keys; null counts as absent. Raises InvalidDocument."""

        def number(key: str, default: int | None) -> Any:
            value = document.get(key)
            if value is None:
                return default
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidDocument(f"{path}.{key}", "must be an integer")
            return value

        def word(key: str, kind: type[StrEnum]) -> Any:
            value = document.get(key)
            try:
                return kind("" if value is None else value)
            except ValueError:
                allowed = ", ".join(repr(str(member)) for member in kind)
                raise InvalidDocument(f"{path}.{key}", f"must be one of {allowed}") from None

        return cls(
            status=word("status", JobStatus),
            event=word("event", JobEvent),
            result=word("result", JobResult),
            time_created=number("time_created", NO_INSTANT),
            time_started=number("time_started", NO_INSTANT),
            time_ended=number("time_ended", NO_INSTANT),
            time_succeeded=number("time_succeeded", NO_INSTANT),
            current_pid=number("current_pid", None),
            exit_code=number("exit_code", None),
            error=str(document.get("error") or ""),
        )

    def to_document(self) -> dict[str, Any]:
        """Every runtime key that has a value; the three words and three times always."""
        document: dict[str, Any] = {
            "status": str(self.status),
            "event": str(self.event),
            "result": str(self.result),
            "time_created": self.time_created,
            "time_started": self.time_started,
            "time_ended": self.time_ended,
        }
        if self.time_succeeded != NO_INSTANT:
            document["time_succeeded"] = self.time_succeeded
        if self.current_pid is not None:
            document["current_pid"] = self.current_pid
        if self.exit_code is not None:
            document["exit_code"] = self.exit_code
        if self.error:
            document["error"] = self.error
        return document

    def to_report(self) -> dict[str, Any]:
        """What a scheduler sends when it changes a job: null takes away what no longer holds."""
        gone = {"current_pid": None, "exit_code": None, "error": None}
        report = gone | self.to_document()
        del report["time_created"]
        report.pop("time_succeeded", None)
        return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One call of the agent within a job. `freezer_action` is opaque to all but the agent."""

    freezer_action: Mapping[str, Any]
    action_id: str = ""
    max_retries: int = 0
    max_retries_interval: int = DEFAULT_RETRY_SECONDS
    mandatory: bool = False
    max_run_time: int | None = None
    # How it went last also stands there: that is no edit of the action.
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_document(cls, document: Any, path: str) -> Self:
        """Read one entry of job_actions; null counts as absent. Raises InvalidDocument."""
        if not isinstance(document, Mapping):
            raise InvalidDocument(path, "must be an object")
        freezer_action = document.get("freezer_action")
        if freezer_action is None:
            freezer_action = {}
        if not isinstance(freezer_action, Mapping):
            raise InvalidDocument(f"{path}.freezer_action", "must be an object")
        # The manual of older releases spells the key max_retry_interval.
        pause = "max_retries_interval"
        if document.get(pause) is None and document.get("max_retry_interval") is not None:
            pause = "max_retry_interval"
        pause_seconds = _natural(document, pause, path)
        mandatory = document.get("mandatory")
        if mandatory is not None and not isinstance(mandatory, bool):
            raise InvalidDocument(f"{path}.mandatory", "must be true or false")
        return cls(
            freezer_action=freezer_action,
            action_id=_text(document, "action_id", path),
            max_retries=_natural(document, "max_retries", path) or 0,
            max_retries_interval=DEFAULT_RETRY_SECONDS if pause_seconds is None else pause_seconds,
            mandatory=bool(mandatory),
            max_run_time=_natural(document, "max_run_time", path),
            source=document,
        )

    def to_document(self) -> dict[str, Any]:
        """The entry as it was read, with this value's fields over it."""
        document = dict(self.source)
        # An entry that only names a stored action must not come to say that it is empty.
        if self.freezer_action or not self.action_id or document.get("freezer_action") is not None:
            document["freezer_action"] = dict(self.freezer_action)
        fields = {
            "action_id": (self.action_id, ""),
            "max_retries": (self.max_retries, 0),
            "max_retries_interval": (self.max_retries_interval, DEFAULT_RETRY_SECONDS),
            "mandatory": (self.mandatory, False),
            "max_run_time": (self.max_run_time, None),
        }
        for key, (value, default) in fields.items():
            if value != default or document.get(key) is not None:
                document[key] = value
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job document, checked. `source` keeps the fields that this value does not know."""

    job_id: str = ""
    client_id: str = ""
    project_id: str = ""
    user_id: str = ""
    description: str = ""
    actions: tuple[Action, ...]
    schedule: Schedule
    state: JobState
    session_id: str = ""
    session_tag: int = 0
    trust_id: str = ""
    source: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Check and read a job document; null counts as absent.

        Raises InvalidDocument with the path of the first field that breaks a rule, as in
        "job_schedule.schedule_interval" or "job_actions.0.freezer_action".
        """
        if not isinstance(document, Mapping):
            raise InvalidDocument("", "a job must be an object")
        timing = document.get("job_schedule")
        if timing is None:
            timing = {}
        if not isinstance(timing, Mapping):
            raise InvalidDocument("job_schedule", "must be an object")
        tag = document.get("session_tag")
        if tag is not None and (isinstance(tag, bool) or not isinstance(tag, int)):
            raise InvalidDocument("session_tag", "must be an integer")
        return cls(
            **{name: _text(document, name) for name in _TEXTS},
            actions=_actions(document),
            schedule=Schedule.from_document(timing),
            state=JobState.from_document(timing),
            session_tag=tag or 0,
            trust_id=_trust_id(document),
            source=document,
        )

    def to_document(self) -> dict[str, Any]:
        """The document as it was read, with this value's fields over it."""
        document = dict(self.source)
        document.update({name: getattr(self, name) for name in _TEXTS})
        document["job_actions"] = [action.to_document() for action in self.actions]
        document["job_schedule"] = self.schedule_document()
        document["session_tag"] = self.session_tag
        return document

    def schedule_document(self) -> dict[str, Any]:
        """The whole job_schedule: when to run, and how it goes, and what else was there."""
        timing = self.source.get("job_schedule") or {}
        known = (*SCHEDULE_KEYS, *RUNTIME_KEYS)
        unknown = {key: value for key, value in timing.items() if key not in known}
        return unknown | self.schedule.to_document() | self.state.to_document()

    def with_state(self, **changes: Any) -> Self:
        """The same job with some fields of its state changed."""
        return replace(self, state=replace(self.state, **changes))


_TEXTS = ("job_id", "client_id", "project_id", "user_id", "description", "session_id")


def _actions(document: Mapping[str, Any]) -> tuple[Action, ...]:
    entries = document.get("job_actions")
    if entries is None:
        entries = []
    if isinstance(entries, (str, bytes)) or not isinstance(entries, Sequence):
        raise InvalidDocument("job_actions", "must be a list")
    return tuple(
        Action.from_document(entry, f"job_actions.{position}")
        for position, entry in enumerate(entries)
    )


def _trust_id(document: Mapping[str, Any]) -> str:
    credentials = document.get("user_credentials")
    if credentials is None:
        return ""
    if not isinstance(credentials, Mapping):
        raise InvalidDocument("user_credentials", "must be an object")
    return _text(credentials, "trust_id", "user_credentials")


def _text(document: Mapping[str, Any], key: str, path: str = "") -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidDocument(f"{path}.{key}" if path else key, "must be text")
    return value


def _natural(document: Mapping[str, Any], key: str, path: str) -> int | None:
    value = document.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidDocument(f"{path}.{key}", "must be an integer of 0 or more")
    return value
