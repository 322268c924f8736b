"""The body with which a client registers."""

from freezer_api.schemas.parts import FLAG, SHORT_TEXT, TEXT
from freezer_api.schemas.validator import Schema
from freezer_model.client import CAPABILITIES, CLIENT_ID_PATTERN, MOST_CLIENT_ID_CHARACTERS

REGISTER = Schema(
    {
        "type": "object",
        "properties": {
            "client_id": {
                "type": "string",
                "maxLength": MOST_CLIENT_ID_CHARACTERS,
                "pattern": CLIENT_ID_PATTERN,
                "description": "must be a host name, or a prefix, '_' and a host name",
            },
            "hostname": {**SHORT_TEXT, "minLength": 1},
            "description": TEXT,
            "uuid": SHORT_TEXT,
            "is_central": FLAG,
            **{
                name: {"type": ["array", "null"], "items": {"enum": list(words)}}
                for name, words in CAPABILITIES.items()
            },
        },
        "required": ["client_id"],
    }
)
