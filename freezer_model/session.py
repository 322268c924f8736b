"""A session: jobs of several nodes that run together, and count their runs together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from freezer_model.errors import InvalidDocument
from freezer_model.instants import NO_INSTANT
from freezer_model.job import JobResult, JobStatus

DEFAULT_HOLD_OFF_SECONDS = 30
"""What a new session gets."""
ABSENT_HOLD_OFF_SECONDS = 60
"""What counts for a stored session that has none."""

ACTIVE = "active"
RUNNING = "running"
COMPLETED = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionJob:
    """What a session knows of one of its jobs."""

    client_id: str = ""
    status: str = JobStatus.NEW
    result: str = JobResult.NONE
    time_started: int = NO_INSTANT
    time_ended: int = NO_INSTANT

    @classmethod
    def from_document(cls, document: Any, path: str) -> Self:
        """Read one member; absent, null and "" are the defaults. Raises InvalidDocument."""
        if not isinstance(document, Mapping):
            raise InvalidDocument(path, "must be an object")
        return cls(
            client_id=_text(document, "client_id", path),
            status=_text(document, "status", path),
            result=_text(document, "result", path),
            time_started=_integer(document, "time_started", path),
            time_ended=_integer(document, "time_ended", path),
        )

    def to_document(self) -> dict[str, Any]:
        """All five fields."""
        return {
            "client_id": self.client_id,
            "status": str(self.status),
            "result": str(self.result),
            "time_started": self.time_started,
            "time_ended": self.time_ended,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session document, checked. Times are epoch seconds; `source` keeps unknown fields."""

    session_id: str = ""
    session_tag: int = 0
    description: str = ""
    hold_off: int = ABSENT_HOLD_OFF_SECONDS
    status: str = ACTIVE
    result: str = ""
    time_start: int = NO_INSTANT
    time_end: int = NO_INSTANT
    jobs: Mapping[str, SessionJob]
    source: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Check and read a session document; null counts as absent. Raises InvalidDocument."""
        if not isinstance(document, Mapping):
            raise InvalidDocument("", "a session must be an object")
        members = document.get("jobs")
        if members is None:
            members = {}
        if not isinstance(members, Mapping):
            raise InvalidDocument("jobs", "must be an object")
        hold_off = _integer(document, "hold_off", absent=ABSENT_HOLD_OFF_SECONDS)
        if hold_off < 0:
            raise InvalidDocument("hold_off", "must be 0 or more seconds")
        return cls(
            session_id=_text(document, "session_id"),
            session_tag=_integer(document, "session_tag", absent=0),
            description=_text(document, "description"),
            hold_off=hold_off,
            status=_text(document, "status"),
            result=_text(document, "result"),
            time_start=_integer(document, "time_start"),
            time_end=_integer(document, "time_end"),
            jobs={
                job_id: SessionJob.from_document(member, f"jobs.{job_id}")
                for job_id, member in members.items()
            },
            source=document,
        )

    def to_document(self) -> dict[str, Any]:
        """The document as it was read, with this value's fields over it.

        Both spellings of the times are written: `time_start` and `time_started`, `time_end` and
        `time_ended`.
        """
        return dict(self.source) | {
            "session_id": self.session_id,
            "session_tag": self.session_tag,
            "description": self.description,
            "hold_off": self.hold_off,
            "status": self.status,
            "result": self.result,
            "time_start": self.time_start,
            "time_started": self.time_start,
            "time_end": self.time_end,
            "time_ended": self.time_end,
            "jobs": {job_id: member.to_document() for job_id, member in self.jobs.items()},
        }


def _text(document: Mapping[str, Any], key: str, path: str = "") -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidDocument(f"{path}.{key}" if path else key, "must be text")
    return value


def _integer(
    document: Mapping[str, Any], key: str, path: str = "", absent: int = NO_INSTANT
) -> int:
    value = document.get(key)
    if value is None or value == "":
        return absent
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidDocument(f"{path}.{key}" if path else key, "must be an integer")
    return value
