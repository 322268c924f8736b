"""The bodies of sessions, and of the starts and ends of jobs in them."""

from typing import Any

from freezer_api.schemas.parts import (
    ANYTHING,
    INTEGER,
    JOB_SCHEDULE,
    OBJECT,
    SHORT_TEXT,
    TEXT,
)
from freezer_api.schemas.validator import Schema

# Older tools send the seconds as text.
_SECONDS = {
    "type": ["integer", "string", "null"],
    "minimum": 0,
    "maximum": 2**53,
    "maxLength": 15,
    "pattern": r"^[0-9]+\Z",
    "description": "must be a number of seconds, 0 or more",
}

_FIELDS: dict[str, Any] = {
    "description": TEXT,
    "hold_off": _SECONDS,
    "schedule": {**JOB_SCHEDULE, "type": ["object", "null"]},
    "status": SHORT_TEXT,
    "result": SHORT_TEXT,
    "session_tag": {**INTEGER, "minimum": 0},
    "time_start": INTEGER,
    "time_started": INTEGER,
    "time_end": INTEGER,
    "time_ended": INTEGER,
    "last_start": {"type": ["string", "integer", "null"]},
}

# A new session has no jobs, whatever a body says of them; old tools send lists.
CREATE = Schema(
    {
        "type": "object",
        "properties": {**_FIELDS, "schedule": JOB_SCHEDULE, "jobs": ANYTHING},
        "required": ["schedule"],
    }
)

UPDATE = Schema({"type": "object", "properties": {**_FIELDS, "jobs": OBJECT}})

# The command line of python-freezerclient sends the tag as it was typed.
_TAG = {
    "type": ["integer", "string"],
    "minimum": 0,
    "maximum": 2**53,
    "maxLength": 15,
    "pattern": r"^[0-9]+\Z",
    "description": "must be an integer of 0 or more",
}
_JOB = {"type": "string", "minLength": 1, "maxLength": 255}

START = Schema(
    {
        "type": "object",
        "properties": {"job_id": _JOB, "current_tag": _TAG},
        "required": ["job_id", "current_tag"],
    }
)

END = Schema(
    {
        "type": "object",
        "properties": {
            "job_id": _JOB,
            "current_tag": _TAG,
            "result": {"enum": ["success", "fail", "aborted"]},
        },
        "required": ["job_id", "current_tag", "result"],
    }
)
