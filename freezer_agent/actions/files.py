"""List the files of a backup, or search them, without restoring anything."""

import os
import stat
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from freezer_agent.actions.base import Report, Table
from freezer_agent.actions.info import local_time, readable_size
from freezer_agent.actions.reading import Reader
from freezer_agent.catalog.backup import BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.wanted import wanted_chain
from freezer_agent.engines.base import Browsable, Entry
from freezer_agent.engines.selection import Selection
from freezer_agent.pipeline.coding import Codings
from freezer_agent.requests import FilesRequest
from freezer_agent.storages.base import Storage
from freezer_model.instants import to_epoch

_LETTERS = {
    "file": stat.S_IFREG,
    "hard link": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "device": stat.S_IFBLK,
    "directory": stat.S_IFDIR,
    "fifo": stat.S_IFIFO,
}


class FilesAction:
    """Reads the indexes of the chain; only a backup without one has its stream read."""

    def __init__(
        self,
        *,
        request: FilesRequest,
        storage: Storage,
        catalog: Catalog,
        names: Sequence[BackupName],
        reader: Reader,
        codings: Codings,
        engine: Browsable,
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._names = names
        self._reader = reader
        self._codings = codings
        self._engine = engine

    def run(self) -> Report:
        """What a restore at the date would bring, as far as the patterns choose it."""
        request = self._request
        with (
            self._storage,
            tempfile.TemporaryDirectory("-freezer") as work,
            self._engine.tree(Path(work)) as tree,
        ):
            chain = wanted_chain(self._catalog, self._names, at=request.at, session=request.session)
            for level in self._reader.levels(chain, for_listing=True):
                with self._reader.listing(level) as listing:
                    tree.add_level(listing.chunks, has_contents=listing.has_contents)
            entries = sorted(tree.entries(Selection(request.includes)), key=lambda one: one.name)
        wanted = chain[-1]
        warnings = [*self._codings.remarks, *self._reader.remarks]
        return Report(
            document={
                "action": "files",
                "backup": wanted.label,
                "backup_name": wanted.name.name,
                "hostname": wanted.name.host,
                "level": wanted.level,
                "time_stamp": to_epoch(wanted.taken_at),
                "files": [_document(one) for one in entries],
                "warnings": warnings,
            },
            table=Table(
                columns=("Mode", "Owner", "Size", "Modified", "Name"),
                rows=[_row(one) for one in entries],
            ),
            warnings=warnings,
        )


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "name": os.fsdecode(entry.name),
        "kind": entry.kind,
        "size": entry.size_bytes,
        "modified": entry.modified_seconds,
        "mode": f"{entry.mode:04o}",
        "owner": entry.owner,
        "group": entry.group,
        "link": os.fsdecode(entry.link),
        "level": entry.level,
    }


def _row(entry: Entry) -> tuple[str, ...]:
    name = os.fsdecode(entry.name)
    if entry.link:
        arrow = "->" if entry.kind == "symlink" else "is"
        name = f"{name} {arrow} {os.fsdecode(entry.link)}"
    return (
        stat.filemode(_LETTERS.get(entry.kind, 0) | entry.mode),
        f"{entry.owner}:{entry.group}",
        readable_size(entry.size_bytes) if entry.kind == "file" else "",
        _shown(entry.modified_seconds),
        name,
    )


def _shown(seconds: float) -> str:
    try:
        return local_time(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, ValueError, OSError):
        return f"@{seconds:.0f}"
