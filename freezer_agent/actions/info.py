"""Show the containers of a storage, or the backups inside one."""

from datetime import datetime

from freezer_agent.actions.base import Report, Table
from freezer_agent.catalog.catalog import Catalog, Stored
from freezer_agent.requests import InfoRequest
from freezer_agent.storage_choices import SwiftStorage
from freezer_agent.storages.base import ContainerUsage, Storage
from freezer_model.instants import to_epoch


class InfoAction:
    """Read only: lists containers, or every backup of every set in the container."""

    def __init__(self, *, request: InfoRequest, storage: Storage, catalog: Catalog) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog

    def run(self) -> Report:
        """The listing, as a table and as JSON."""
        with self._storage:
            if self._request.list_backups:
                return self._backups()
            return _containers([one for one in self._storage.usage() if self._is_wanted(one)])

    def _is_wanted(self, found: ContainerUsage) -> bool:
        """Other storages than Swift show no more than what is named."""
        storage = self._request.storage
        if not self._request.only_named or not isinstance(storage, SwiftStorage):
            return True
        return found.container == storage.container.partition("/")[0]

    def _backups(self) -> Report:
        found = self._catalog.everything()
        return Report(
            document={
                "action": "info",
                "container": str(self._request.storage.container),
                "backups": [_document(one) for one in found],
            },
            table=Table(
                columns=("Host", "Name", "Engine", "Level", "Date", "Size"),
                rows=[_row(one) for one in found],
            ),
        )


def _containers(found: list[ContainerUsage]) -> Report:
    return Report(
        document={
            "action": "info",
            "containers": [
                {"container": one.container, "size": one.size_bytes, "objects": one.objects}
                for one in found
            ],
        },
        table=Table(
            columns=("Container", "Size", "Object Count"),
            rows=[
                (one.container, readable_size(one.size_bytes), str(one.objects)) for one in found
            ],
        ),
    )


def _document(stored: Stored) -> dict[str, object]:
    backup = stored.backup
    return {
        "hostname": backup.name.host,
        "backup_name": backup.name.name,
        "engine_name": stored.engine,
        "level": backup.level,
        "time_stamp": to_epoch(backup.taken_at),
        "level_zero_time_stamp": to_epoch(backup.id.level_zero_at),
        "date": backup.taken_at.isoformat(),
        "size": stored.size_bytes,
    }


def _row(stored: Stored) -> tuple[str, ...]:
    name, backup = stored.backup.name, stored.backup
    when = local_time(backup.taken_at)
    size = readable_size(stored.size_bytes)
    return (name.host, name.name, stored.engine, str(backup.level), when, size)


def local_time(instant: datetime) -> str:
    """In the form and zone that --restore-from-date takes."""
    return instant.astimezone().strftime("%Y-%m-%dT%H:%M:%S")


def readable_size(size_bytes: float) -> str:
    """The size in the largest binary unit that keeps it at least 1: 512 B, 1.5 KiB."""
    size, units = size_bytes, ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"
