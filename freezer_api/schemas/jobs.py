"""The bodies of jobs and of job events."""

from freezer_api.schemas.actions import ACTION_FIELDS
from freezer_api.schemas.parts import (
    ANYTHING,
    CLIENT_ID,
    IDENTIFIER,
    INTEGER,
    JOB_SCHEDULE,
    OBJECT,
    SHORT_TEXT,
    TEXT,
)
from freezer_api.schemas.validator import Schema

_FIELDS = {
    "job_id": IDENTIFIER,
    "client_id": {**CLIENT_ID, "type": ["string", "null"]},
    "description": TEXT,
    "job_actions": {
        "type": "array",
        "items": {"type": "object", "properties": ACTION_FIELDS},
    },
    "job_schedule": JOB_SCHEDULE,
    "session_id": {
        "type": ["string", "null"],
        "maxLength": 255,
        "pattern": r"^[\w-]*\Z",
        "description": "must consist of letters, digits, '_' and '-'",
    },
    "session_tag": INTEGER,
    "session_name": SHORT_TEXT,
    "action_defaults": OBJECT,
    # Made by the server; a document that was fetched is taken with them.
    "_version": INTEGER,
    "version": INTEGER,
    "user_id": TEXT,
    "project_id": TEXT,
    "user_credentials": ANYTHING,
}

CREATE = Schema(
    {
        "type": "object",
        "properties": {
            **_FIELDS,
            "client_id": CLIENT_ID,
        },
        "required": ["job_actions", "client_id"],
        "additionalProperties": False,
    }
)

MOST_REPORTS = 500

REPORTS = Schema(
    {
        "type": "object",
        "properties": {
            "jobs": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_REPORTS,
                "items": {
                    "type": "object",
                    "properties": {
                        "job_id": {**IDENTIFIER, "type": "string"},
                        "job_schedule": JOB_SCHEDULE,
                        "session_tag": INTEGER,
                    },
                    "required": ["job_id", "job_schedule"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["jobs"],
        "additionalProperties": False,
    }
)

UPDATE = Schema({"type": "object", "properties": _FIELDS, "additionalProperties": False})
