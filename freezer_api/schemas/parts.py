"""Pieces that several schemas are made of."""

from typing import Any

from freezer_model.client import CLIENT_ID_PATTERN, MOST_CLIENT_ID_CHARACTERS
from freezer_model.job import JobEvent, JobResult, JobStatus
from freezer_model.schedule import SCHEDULE_KEYS

_LARGEST = 2**53
"""Beyond this, readers in other languages no longer see the number that was sent."""

ID_PATTERN = r"^[\w-]+\Z"
ID_REASON = "must consist of letters, digits, '_' and '-'"

IDENTIFIER = {
    "type": ["string", "null"],
    "minLength": 1,
    "maxLength": 255,
    "pattern": ID_PATTERN,
    "description": ID_REASON,
}
CLIENT_ID = {
    "type": "string",
    "maxLength": MOST_CLIENT_ID_CHARACTERS,
    "pattern": CLIENT_ID_PATTERN,
    "description": "must be a host name, or a prefix, '_' and a host name",
}
TEXT = {"type": ["string", "null"]}
SHORT_TEXT = {"type": ["string", "null"], "maxLength": 255}
FLAG = {"type": ["boolean", "null"]}
INTEGER = {"type": ["integer", "null"], "minimum": -_LARGEST, "maximum": _LARGEST}
NATURAL = {"type": ["integer", "null"], "minimum": 0, "maximum": _LARGEST}
ANYTHING: dict[str, Any] = {}
OBJECT = {"type": ["object", "null"]}

JOB_SCHEDULE = {
    "type": "object",
    "properties": {
        "time_created": INTEGER,
        "time_started": INTEGER,
        "time_ended": INTEGER,
        "time_succeeded": INTEGER,
        "current_pid": INTEGER,
        "exit_code": INTEGER,
        "error": TEXT,
        "event": {"enum": [*(str(event) for event in JobEvent), None]},
        "status": {"enum": [*(str(status) for status in JobStatus), None]},
        "result": {"enum": [*(str(result) for result in JobResult), None]},
        **dict.fromkeys(SCHEDULE_KEYS, SHORT_TEXT),
    },
    "additionalProperties": False,
}
"""What Schedule.from_document then reads; that a date exists is checked there."""
