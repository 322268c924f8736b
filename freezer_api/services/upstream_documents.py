"""Rows of freezer-api 19.0.0's SQL tables become our documents. Pure.

What that release shows of a row counts: columns go before the JSON beside them, entries of
deleted actions are left out of jobs. A row that cannot become a document raises InvalidDocument.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from freezer_api.services.clients import document_id_of
from freezer_api.services.documents import present
from freezer_api.services.job_actions import definition_of
from freezer_api.store.base import Stored
from freezer_model.backup import BackupStatus
from freezer_model.client import CAPABILITIES
from freezer_model.errors import InvalidDocument
from freezer_model.instants import NO_INSTANT
from freezer_model.job import Job, JobResult
from freezer_model.session import ACTIVE, DEFAULT_HOLD_OFF_SECONDS, Session

Row = Mapping[str, Any]

_ACTION_COLUMNS = {
    "backup_name": "backup_name",
    "action": "action",
    "mode": "actionmode",
    "container": "container",
    "timeout": "timeout",
    "priority": "priority",
    "path_to_backup": "path_to_backup",
    "log_file": "log_file",
}
"""Keys of a freezer_action that have a column of their own, which counts."""


def client_of(row: Row) -> Stored:
    """A client."""
    client = {
        "client_id": _required(row, "client_id"),
        "uuid": row["uuid"],
        "hostname": row["hostname"],
        "description": row["description"],
        "is_central": bool(row["is_central"]),
        **{name: _json(row, name, list) for name in CAPABILITIES},
    }
    document_id = document_id_of(
        _required(row, "project_id"), client["client_id"], is_central=client["is_central"]
    )
    return _stored(document_id, {"client": client, **_owner(row)})


def action_of(row: Row) -> Stored:
    """An action."""
    freezer_action = _json(row, "backup_metadata", dict) or {}
    columns = {key: row[column] for key, column in _ACTION_COLUMNS.items()}
    definition = definition_of(
        {
            "freezer_action": freezer_action | present(columns),
            "max_retries": row["max_retries"],
            "max_retries_interval": row["max_retries_interval"],
            "mandatory": bool(row["mandatory"]) or freezer_action.get("mandatory") is True,
        }
    )
    return _stored(row["id"], {**definition, "action_id": row["id"], **_owner(row)})


def job_of(row: Row, actions: Sequence[Stored], credentials: Row | None) -> Stored:
    """A job with these actions, and the trust that it has."""
    given = present(_json(row, "schedule", dict) or {})
    succeeded = given.get("result") == JobResult.SUCCESS
    timing = {
        "time_created": _epoch(row["created_at"]),
        "time_started": NO_INSTANT,
        "time_ended": NO_INSTANT,
        # 19.0.0 remembers the last run only, and how that ended.
        "time_succeeded": given.get("time_ended") if succeeded else NO_INSTANT,
        **given,
    }
    document = {
        "job_id": row["id"],
        "client_id": _required(row, "client_id"),
        "description": row["description"] or "",
        "session_id": row["session_id"] or "",
        "session_tag": row["session_tag"] or 0,
        "job_schedule": timing,
        "job_actions": [_entry_of(action) for action in actions],
        **_owner(row),
    }
    if credentials is not None:
        document["user_credentials"] = {
            "trust_id": credentials["trust_id"],
            "trustor_user_id": credentials["trustor_user_id"],
        }
    return _stored(row["id"], Job.from_document(document).to_document())


def session_of(row: Row) -> Stored:
    """A session with its members."""
    document = {
        "session_id": row["id"],
        "session_tag": row["session_tag"] or 0,
        "description": row["description"] or "",
        "hold_off": DEFAULT_HOLD_OFF_SECONDS if row["hold_off"] is None else row["hold_off"],
        "schedule": present(_json(row, "schedule", dict) or {}),
        "jobs": _members(row),
        "status": row["status"] or ACTIVE,
        "result": row["result"] or "",
        "time_start": row["time_start"],
        "time_end": row["time_end"],
        "last_start": "",
        **_owner(row),
    }
    return _stored(row["id"], Session.from_document(document).to_document())


def backup_of(row: Row) -> Stored:
    """A backup with the metadata as they are."""
    status = row["status"] or BackupStatus.AVAILABLE
    if status not in list(BackupStatus):
        raise InvalidDocument("status", f"must be one of {', '.join(BackupStatus)}")
    document = {
        "backup_id": row["id"],
        **_owner(row),
        "status": str(status),
        "backup_metadata": _json(row, "backup_metadata", dict) or {},
    }
    return _stored(row["id"], document)


def _entry_of(action: Stored) -> dict[str, Any]:
    owner = ("user_id", "project_id")
    return {key: value for key, value in action.document.items() if key not in owner}


def _members(row: Row) -> dict[str, Any]:
    # 19.0.0 begins with a list, and has "null" where a session was made by its id.
    members = _json(row, "job", dict | list)
    return members if isinstance(members, dict) else {}


def _owner(row: Row) -> dict[str, Any]:
    return {"user_id": row["user_id"] or "", "project_id": _required(row, "project_id")}


def _required(row: Row, column: str) -> str:
    value = row[column]
    if not isinstance(value, str) or not value:
        raise InvalidDocument(column, "is empty")
    return value


def _json(row: Row, column: str, kind: Any) -> Any:
    """What the column's JSON text says; SQLite gives 19.0.0's texts as bytes."""
    text = row[column]
    if text is None or text in {"", b""}:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidDocument(column, "is no JSON") from error
    if value is not None and not isinstance(value, kind):
        raise InvalidDocument(column, f"holds a {type(value).__name__}")
    return value


def _epoch(created_at: Any) -> int:
    """19.0.0 writes UTC without a zone; SQLite gives it as text."""
    if isinstance(created_at, str):
        try:
            created_at = datetime.fromisoformat(created_at)
        except ValueError:
            return NO_INSTANT
    if not isinstance(created_at, datetime):
        return NO_INSTANT
    return int(created_at.replace(tzinfo=UTC).timestamp())


def _stored(document_id: str, document: dict[str, Any]) -> Stored:
    return Stored(document_id=document_id, document=document, version=1)
