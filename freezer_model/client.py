"""A client: a scheduler that registered, and what it is able to run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLIENT_ID_PATTERN = (
    r"^(?:([\w\-]+)\_)?"
    r"(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])\.)*"
    r"([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])$(?!\n)"
)
"""A host name, optionally with a prefix (usually the project id) and an underscore before it."""

MOST_CLIENT_ID_CHARACTERS = 255

ACTIONS = ("backup", "restore", "info", "admin", "exec")
MODES = ("fs", "mongo", "mysql", "sqlserver", "cinder", "glance", "cindernative", "nova")
STORAGES = ("local", "swift", "ssh", "s3", "ftp", "ftps")
ENGINES = ("tar", "rsync", "rsyncv2", "nova", "osbrick", "glance")

CAPABILITIES: dict[str, tuple[str, ...]] = {
    "supported_actions": ACTIONS,
    "supported_modes": MODES,
    "supported_storages": STORAGES,
    "supported_engines": ENGINES,
}
"""The four lists of a client with every word that exists, which is also what absence means."""

_ASKED_BY: dict[str, tuple[str, ...]] = {
    "supported_actions": ("action",),
    "supported_modes": ("mode",),
    "supported_storages": ("storage",),
    "supported_engines": ("engine_name", "engine"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """Something that an action asks for and a client does not do."""

    kind: str
    """action, mode, storage or engine"""
    value: str


def find_unsupported(
    capabilities: Mapping[str, Any], freezer_action: Mapping[str, Any]
) -> Unsupported | None:
    """The first thing of the action that the four lists do not hold, None if they hold all.

    A key that the action leaves out passes, and so does a list that is absent or null: apply the
    agent's defaults first where they matter.
    """
    for name, keys in _ASKED_BY.items():
        supported = capabilities.get(name)
        if supported is None:
            continue
        for key in keys:
            value = freezer_action.get(key)
            if value is not None and value not in supported:
                return Unsupported(kind=keys[-1], value=str(value))
    return None
