"""The body with which a client registers."""

from freezer_api.schemas.parts import CLIENT_ID, FLAG, SHORT_TEXT, TEXT
from freezer_api.schemas.validator import Schema
from freezer_model.client import CAPABILITIES

REGISTER = Schema(
    {
        "type": "object",
        "properties": {
            "client_id": CLIENT_ID,
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
