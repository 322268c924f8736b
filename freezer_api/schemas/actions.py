"""The bodies of actions. Alone and inside a job an action obeys the same rules."""

from typing import Any

from freezer_api.schemas.parts import FLAG, IDENTIFIER, NATURAL, OBJECT, TEXT
from freezer_api.schemas.validator import Schema
from freezer_model.client import ACTIONS, MODES

FREEZER_ACTION = {
    "type": "object",
    "properties": {
        "action": {"enum": list(ACTIONS)},
        "mode": {"enum": [*MODES, None]},
        "path_to_backup": TEXT,
        "backup_name": TEXT,
        "container": TEXT,
        "restore_abs_path": TEXT,
        "cindernative_freezer_only": FLAG,
    },
}

ACTION_FIELDS: dict[str, Any] = {
    "action_id": IDENTIFIER,
    "freezer_action": FREEZER_ACTION,
    "max_retries": NATURAL,
    "max_retries_interval": NATURAL,
    "max_run_time": NATURAL,
    "mandatory": FLAG,
}

CREATE = Schema({"type": "object", "properties": ACTION_FIELDS, "required": ["freezer_action"]})

# A part of freezer_action may be changed alone, and null is stored as it is.
_PARTIAL = {
    name: (
        {**schema, "enum": [*schema["enum"], None]}
        if "enum" in schema and None not in schema["enum"]
        else schema
    )
    for name, schema in FREEZER_ACTION["properties"].items()  # type: ignore[attr-defined] # a dict
}
UPDATE = Schema(
    {
        "type": "object",
        "properties": {
            **ACTION_FIELDS,
            "freezer_action": {**OBJECT, "properties": _PARTIAL},
        },
    }
)
