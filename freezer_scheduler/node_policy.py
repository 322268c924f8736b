"""What the owner of a node lets jobs do on it: which commands, and below which directories."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freezer_scheduler.agent_process import option_name

_REST = "*"
_PATHS = (
    "path_to_backup",
    "file_to_backup",
    "restore_abs_path",
    "metadata_out",
    "log_file",
    "log_dir",
)
"""The options that name what is read for a backup, or written. `file_to_backup` is a former name."""
_FOLLOWING = frozenset({"soft", "all"})
"""How --dereference-symlink makes a backup hold what links point to, wherever that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePolicy:
    """None allows everything; an empty list nothing.

    A command is allowed if its words are those of an entry; a last word `*` stands for any further
    words, but for no pipe. A path is allowed if what it really is, links and `..` resolved, is one
    of `allowed_paths` or lies below one.
    """

    allowed_commands: Sequence[str] | None = None
    allowed_paths: Sequence[str] | None = None

    def refusal(self, freezer_action: Mapping[str, Any]) -> str | None:
        """Why this action must not run here now; None if it may. Looks at the file system."""
        given = {option_name(key): value for key, value in freezer_action.items()}
        if str(given.get("action", "")).strip().lower() == "exec":
            return self._of_command(given.get("command"))
        if self.allowed_paths is None:
            return None
        return next(self._of_paths(given), None)

    def _of_command(self, command: Any) -> str | None:
        if self.allowed_commands is None:
            return None
        try:
            words = shlex.split(str(command or ""))
        except ValueError:
            words = []
        if any(_fits(words, entry) for entry in self.allowed_commands):
            return None
        return f"this node does not allow the command {str(command)!r} (allowed_commands)"

    def _of_paths(self, given: Mapping[str, Any]) -> Iterator[str]:
        names = [*_PATHS, "container"] if _is_local(given) else [*_PATHS]
        for name in names:
            value = given.get(name)
            if value in (None, "", "-") or self._is_allowed(value):
                continue
            yield f"this node does not allow {name} to be {str(value)!r} (allowed_paths)"
        if str(given.get("dereference_symlink") or "").strip().lower() in _FOLLOWING:
            yield "this node does not allow links to be followed (allowed_paths)"
        if given.get("config"):
            yield "this node does not allow config, which could name any path (allowed_paths)"

    def _is_allowed(self, value: Any) -> bool:
        if not isinstance(value, str) or not Path(value).is_absolute() or "\0" in value:
            return False
        # A line break or a blank at an end would reach the agent as another path.
        if value.strip() != value or "\n" in value:
            return False
        real = Path(os.path.realpath(value))
        return any(
            real.is_relative_to(os.path.realpath(allowed)) for allowed in self.allowed_paths or ()
        )


ANYTHING = NodePolicy()
"""No bounds."""


def _is_local(given: Mapping[str, Any]) -> bool:
    return str(given.get("storage") or "").strip().lower() == "local"


def _fits(words: Sequence[str], entry: str) -> bool:
    allowed = shlex.split(entry)
    if allowed[-1:] != [_REST]:
        return bool(words) and list(words) == allowed
    fixed = allowed[:-1]
    further = words[len(fixed) :]
    return (
        bool(fixed)
        and list(words[: len(fixed)]) == fixed
        # The agent would run what stands behind a pipe as a command of its own.
        and not any("|" in word for word in further)
    )
