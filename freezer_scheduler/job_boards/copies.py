"""Copies of the API's jobs in the job directory, for people and for --no-api."""

import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_JOB_ID = re.compile(r"[\w-]{1,200}")
_INDEX = ".written-by-freezer-scheduler"


def write_private(path: Path, text: str) -> None:
    """Replace the file at once and for its owner only. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class SavedCopies:
    """`job_<id>.conf` files, 0600. Removes those of vanished jobs, but only if it wrote them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._texts: dict[str, str] = {}
        self._kept: list[Mapping[str, Any]] = []
        self._troubled = False

    def keep(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Make the directory hold these jobs. A directory that cannot be written is logged once."""
        # Of a poll that found nothing new these are the very same objects: quickly compared.
        if documents == self._kept:
            return
        try:
            self._keep(documents)
            self._kept = list(documents)
        except OSError as error:
            if not self._troubled:
                log.warning("Jobs are not copied to %s: %s", self._folder, error.strerror)
            self._troubled = True
        else:
            self._troubled = False

    def _keep(self, documents: Sequence[Mapping[str, Any]]) -> None:
        wanted = {
            f"job_{document['job_id']}.conf": json.dumps(document, indent=4)
            for document in documents
            if _JOB_ID.fullmatch(str(document.get("job_id")))
        }
        if wanted == self._texts:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        index = self._folder / _INDEX
        # The index names a file before it is there: what a crash leaves is still known as ours.
        written = self._written(index) | set(wanted)
        write_private(index, "\n".join(sorted(written)))
        for name, text in wanted.items():
            if self._texts.get(name) != text:
                write_private(self._folder / name, text)
        for name in written - set(wanted):
            (self._folder / name).unlink(missing_ok=True)
        write_private(index, "\n".join(sorted(wanted)))
        self._texts = wanted

    @staticmethod
    def _written(index: Path) -> set[str]:
        try:
            names = index.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return set()
        return {name for name in names if re.fullmatch(r"job_[\w-]{1,200}\.conf", name)}
