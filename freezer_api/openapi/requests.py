"""Schemas of request bodies: those that the service checks, in the spelling of OpenAPI."""

from collections.abc import Mapping
from typing import Any

from freezer_api.schemas import actions, backups, clients, jobs, runs, sessions
from freezer_api.schemas.validator import Schema
from freezer_model.job_events import REQUESTABLE

_CONDITION = {"type": "object", "additionalProperties": True}
_CONDITIONS = {"type": ["array", "null"], "items": _CONDITION}
_BOUND = {"type": ["integer", "string", "null"]}

_SEARCH = {
    "type": "object",
    "description": (
        "Which documents are wanted. `match`: all conditions hold; `match_not`: none does; "
        "`match_or`: at least one entry does, with all its fields. A condition is {field: value}; "
        "a field is a bare name, found at any depth, or a dotted path. `_all` in `match` looks for "
        "words."
    ),
    "properties": {
        "match": _CONDITIONS,
        "match_not": _CONDITIONS,
        "match_or": _CONDITIONS,
        "time_after": _BOUND,
        "time_before": _BOUND,
    },
}

_EVENT = {
    "type": "object",
    "properties": {str(event): {} for event in REQUESTABLE},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}

_SESSION_ACTION = {
    "oneOf": [
        {
            "type": "object",
            "properties": {name: schema.document},
            "required": [name],
            "additionalProperties": False,
        }
        for name, schema in (("start", sessions.START), ("end", sessions.END))
    ]
}

_CHECKED: dict[str, Schema] = {
    "ActionCreate": actions.CREATE,
    "ActionUpdate": actions.UPDATE,
    "BackupCreate": backups.CREATE,
    "BackupUpdate": backups.UPDATE,
    "ClientRegister": clients.REGISTER,
    "JobCreate": jobs.CREATE,
    "JobReports": jobs.REPORTS,
    "JobUpdate": jobs.UPDATE,
    "RunReport": runs.REPORT,
    "SessionCreate": sessions.CREATE,
    "SessionUpdate": sessions.UPDATE,
}


def published(schema: Any) -> Any:
    """The schema with the regular expressions of ECMA 262, where `$` is the very end."""
    if isinstance(schema, Mapping):
        return {
            key: _pattern(value)
            if key == "pattern" and isinstance(value, str)
            else published(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list | tuple):
        return [published(value) for value in schema]
    return schema


def _pattern(text: str) -> str:
    return text.replace("$(?!\\n)", "$").replace("\\Z", "$").replace("\\_", "_")


REQUESTS: dict[str, Any] = {
    "Search": _SEARCH,
    "Event": _EVENT,
    "SessionAction": published(_SESSION_ACTION),
    **{name: published(schema.document) for name, schema in _CHECKED.items()},
}
