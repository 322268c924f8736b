"""Schemas of answers. Free-form parts stay free; fields that clients rely on are required."""

from typing import Any

from freezer_api.schemas.parts import INTEGER, JOB_SCHEDULE, TEXT

_STRING = {"type": "string"}
_NUMBER = {"type": "integer"}
_OBJECT: dict[str, Any] = {"type": "object"}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
    }


def _list_of(name: str, schema: str) -> dict[str, Any]:
    items = {"$ref": f"#/components/schemas/{schema}"}
    return _object({name: {"type": "array", "items": items}})


_OWNED = {"user_id": _STRING, "project_id": _STRING}

_ENTRY = _object({"freezer_action": _OBJECT, "action_id": _STRING}, mandatory={"type": "boolean"})

_JOB = _object(
    {
        "job_id": _STRING,
        **_OWNED,
        "client_id": _STRING,
        "description": TEXT,
        "session_id": TEXT,
        "session_tag": INTEGER,
        "job_schedule": {**JOB_SCHEDULE, "additionalProperties": True},
        "job_actions": {"type": "array", "items": _ENTRY},
    },
    user_credentials=_object({"trust_id": _STRING, "trustor_user_id": _STRING}),
)

_SESSION = _object(
    {
        "session_id": _STRING,
        **_OWNED,
        "session_tag": _NUMBER,
        "description": TEXT,
        "hold_off": _NUMBER,
        "schedule": _OBJECT,
        "jobs": {"type": "object", "additionalProperties": _OBJECT},
        "status": TEXT,
        "result": TEXT,
    }
)

_RUN = _object({"run_id": _STRING, "job_id": _STRING, "status": _STRING})

_VERSIONED = {"version": _NUMBER}

ANSWERS: dict[str, dict[str, Any]] = {
    "Error": _object({"title": _STRING}, description=_STRING),
    "Versions": _object({"versions": {"type": "array", "items": _OBJECT}}),
    "Home": _object({"resources": _OBJECT}),
    "Ready": _object({"status": _STRING}),
    "Description": _object({"openapi": _STRING, "paths": _OBJECT}),
    "Job": _JOB,
    "JobList": _list_of("jobs", "Job"),
    "JobId": _object({"job_id": _STRING}, **_VERSIONED),
    "JobsReported": _object(
        {
            "jobs": {
                "type": "array",
                "items": _object(
                    {"job_id": _STRING},
                    **_VERSIONED,
                    code=_NUMBER,
                    title=_STRING,
                    description=_STRING,
                ),
            }
        }
    ),
    "EventResult": _object({"result": _STRING}),
    "Run": _RUN,
    "RunList": _list_of("runs", "Run"),
    "Lease": _object({"run_id": _STRING, "lease_until": _NUMBER, "was_lost": {"type": "boolean"}}),
    "Action": _object({"action_id": _STRING, **_OWNED, "freezer_action": _OBJECT}),
    "ActionList": _list_of("actions", "Action"),
    "ActionId": _object({"action_id": _STRING}, **_VERSIONED),
    "Session": _SESSION,
    "SessionList": _list_of("sessions", "Session"),
    "SessionId": _object({"session_id": _STRING}, **_VERSIONED),
    "SessionActionResult": _object({"result": _STRING, "session_tag": _NUMBER}),
    "Client": _object({"client": _object({"client_id": _STRING, "uuid": _STRING}), **_OWNED}),
    "ClientList": _list_of("clients", "Client"),
    "ClientId": _object({"client_id": _STRING}),
    "Backup": _object(
        {"backup_id": _STRING, **_OWNED, "status": _STRING, "backup_metadata": _OBJECT}
    ),
    "BackupList": _list_of("backups", "Backup"),
    "BackupId": _object({"backup_id": _STRING}),
}
