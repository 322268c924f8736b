"""The body of a run: its begin, its heartbeat, its end."""

from freezer_api.schemas.parts import FLAG, INTEGER, NATURAL, SHORT_TEXT, TEXT
from freezer_api.schemas.validator import Schema
from freezer_model.job import JobResult

MOST_LEASE_SECONDS = 7 * 86400

_RESULT = {"enum": [*(str(result) for result in JobResult), None]}
_TIMES = {"time_started": INTEGER, "time_ended": INTEGER}

_ACTION = {
    "type": "object",
    "properties": {
        "action_id": SHORT_TEXT,
        "action": SHORT_TEXT,
        "result": _RESULT,
        "attempts": NATURAL,
        "exit_code": INTEGER,
        "error": TEXT,
        "output": TEXT,
        **_TIMES,
    },
    "additionalProperties": False,
}

REPORT = Schema(
    {
        "type": "object",
        "properties": {
            "status": {"enum": ["running", "completed"]},
            "lease_seconds": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": MOST_LEASE_SECONDS,
            },
            "take_over": FLAG,
            "client_id": SHORT_TEXT,
            "scheduler": SHORT_TEXT,
            "result": _RESULT,
            "exit_code": INTEGER,
            "error": TEXT,
            "session_id": SHORT_TEXT,
            "session_tag": NATURAL,
            "actions": {"type": "array", "items": _ACTION},
            **_TIMES,
            # Of a run that was read and is sent back.
            "run_id": SHORT_TEXT,
            "job_id": SHORT_TEXT,
            "project_id": SHORT_TEXT,
            "user_id": SHORT_TEXT,
        },
        "required": ["status"],
        "additionalProperties": False,
    }
)
