"""Directories in the target of a restore that it must not remove: those that hold the backups.

GNU tar removes what the records of a directory do not list when it extracts an incremental archive.
A container of backups in the target would go that way, and the very backup that is being restored.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from freezer_agent.errors import EngineError

# Of a record `Yname` or `Dname` tar makes sure that the name is that of a file, or of a directory.
# `Nname` is there, and not in the archive.
_STAYING = {b"D", b"N"}


class KeptDirectories:
    """The directories to keep, as they lie in one target."""

    def __init__(self, target: Path, kept: Iterable[Path]) -> None:
        top = Path(os.path.realpath(target))
        inside = [path for path in kept if path != top and path.is_relative_to(top)]
        self._parts = [os.fsencode(path.relative_to(top)).split(b"/") for path in inside]
        self._target = target

    def check(self, name: bytes, records: bytes) -> None:
        """Look at a directory of the archive, b"" for the top, before tar does.

        Raises EngineError if extracting it would remove from a directory to keep, or all of it.
        """
        parts = name.split(b"/") if name else []
        for kept in self._parts:
            if parts[: len(kept)] == kept:
                raise self._refusal(kept, "is in this backup too, as it was then")
            if kept[: len(parts)] == parts and not _stays(kept[len(parts)], records):
                raise self._refusal(kept, "is not in this backup, and would be removed")

    def _refusal(self, kept: list[bytes], why: str) -> EngineError:
        place = os.fsdecode(b"/".join(kept))
        return EngineError(
            f"the container of the backups, {place!r} in {str(self._target)!r}, {why}: restore to "
            "another directory, or what is needed with --include"
        )


def _stays(name: bytes, records: bytes) -> bool:
    entries = records.split(b"\0")
    return any(entry[:1] in _STAYING and entry[1:] == name for entry in entries)
