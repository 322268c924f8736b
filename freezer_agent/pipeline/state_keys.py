"""The keys of engine states that a node keeps, when it cannot open the backups that it makes.

One small file for each backup below a folder of the user's, readable by nobody else. It opens the
engine state of that backup, which holds nothing that the node does not know anyway: the names and
times of its files.
"""

import base64
import binascii
import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from freezer_agent.errors import StorageFull, StorageUnavailable
from freezer_agent.pipeline.sealing import KEY_BYTES

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LARGEST_FILE_BYTES = 64 * 1024
# Files are small and only the newest of a chain is needed, but which chain ended nobody tells us.
_MOST_KEYS = 1000


class StateKeys:
    """The keys kept in `folder`, which is made for its owner alone; `most_keys` at a time."""

    def __init__(
        self,
        folder: Path,
        random_bytes: Callable[[int], bytes],
        most_keys: int = _MOST_KEYS,
    ) -> None:
        self._folder = folder
        self._random_bytes = random_bytes
        self._most_keys = most_keys

    def keep(self, key: bytes) -> str:
        """Keep a key and return its id. The oldest unused keys give way at some number.

        It is on the disk when this returns, whole or not at all.
        """
        identity = self._random_bytes(16).hex()
        try:
            self._write(identity, key)
            self._forget_oldest()
        except OSError as error:
            message = f"the key of the engine state cannot be kept in {self._folder}"
            kind = (
                StorageFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StorageUnavailable
            )
            raise kind(f"{message}: {error.strerror}") from error
        return identity

    def find(self, identity: str) -> bytes | None:
        """The key of that id; None if it is not here (any more)."""
        if not _ID.fullmatch(identity):
            return None
        path = self._folder / identity
        try:
            with path.open("rb") as file:
                document = json.loads(file.read(_LARGEST_FILE_BYTES))
            key = base64.b64decode(document["key"], validate=True)
            # Used lately is what the tidying goes by.
            os.utime(path)
        except (OSError, ValueError, KeyError, TypeError, binascii.Error):
            return None
        return key if len(key) == KEY_BYTES else None

    def _write(self, identity: str, key: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = json.dumps({"key": base64.b64encode(key).decode("ascii")}).encode("ascii")
        temporary = self._folder / f".{identity}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(self._folder / identity)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _forget_oldest(self) -> None:
        with os.scandir(self._folder) as found:
            kept = [entry for entry in found if _ID.fullmatch(entry.name)]
        if len(kept) > self._most_keys:
            kept.sort(key=lambda entry: entry.stat().st_mtime)
            for entry in kept[: -self._most_keys]:
                Path(entry.path).unlink(missing_ok=True)
