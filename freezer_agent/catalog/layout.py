"""Where the objects of a backup lie in a storage. The only place that knows these paths.

The layout is the one that freezer has written since release 4, so that chains are shared with it:

    data/ENGINE/HOST_NAME/LEVEL0_TIME/LEVEL_TIME/data
    data/ENGINE/HOST_NAME/LEVEL0_TIME/LEVEL_TIME/engine_metadata
    data/ENGINE/HOST_NAME/LEVEL0_TIME/LEVEL_TIME/index             (ours; no release looks there)
    metadata/ENGINE/HOST_NAME/LEVEL0_TIME/LEVEL_TIME/metadata
    locks/HOST_NAME/lock                                         (ours; no release looks there)
    checks/HOST_NAME/checks                                      (the same)
    unfinished/HOST_NAME/ENGINE/LEVEL0_TIME/LEVEL_TIME           (the same)
"""

import re
from dataclasses import dataclass

from freezer_agent.catalog.backup import Backup, BackupId, BackupName
from freezer_model.instants import from_epoch, to_epoch

METADATA_ROOT = "metadata"
_FOLDER = re.compile(r"(?P<zero>\d{1,12})/(?P<level>\d{1,9})_(?P<taken>\d{1,12})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A `metadata` object found while listing everything: its engine, its set and its id."""

    engine: str
    set_name: str
    id: BackupId


def data(engine: str, backup: Backup) -> str:
    """The stream."""
    return f"{data_folder(engine, backup)}/data"


def state(engine: str, backup: Backup) -> str:
    """What the engine needs to build the next level."""
    return f"{data_folder(engine, backup)}/engine_metadata"


def index(engine: str, backup: Backup) -> str:
    """What is in the stream, without its contents."""
    return f"{data_folder(engine, backup)}/index"


def metadata(engine: str, backup: Backup) -> str:
    """The small object whose presence makes the backup count."""
    return f"{metadata_folder_of(engine, backup)}/metadata"


def data_folder(engine: str, backup: Backup) -> str:
    """Everything of one backup but its metadata object."""
    return f"{set_folder(engine, backup.name)}/{_folder(backup.id)}"


def set_folder(engine: str, name: BackupName) -> str:
    """The streams of all backups of one set."""
    return f"data/{engine}/{name}"


def metadata_folder(engine: str, name: BackupName) -> str:
    """The metadata objects of all backups of one set."""
    return f"{METADATA_ROOT}/{engine}/{name}"


def lock(name: BackupName) -> str:
    """The object that says which agent works on the set."""
    return f"locks/{name}/lock"


def checks(name: BackupName) -> str:
    """What was found when backups of the set were verified."""
    return f"checks/{name}/checks"


def unfinished(engine: str, backup: Backup) -> str:
    """The object that says that a backup is being made or removed."""
    return f"{unfinished_folder(backup.name)}/{engine}/{_folder(backup.id)}"


def unfinished_folder(name: BackupName) -> str:
    """What says so of all backups of one set."""
    return f"unfinished/{name}"


def metadata_folder_of(engine: str, backup: Backup) -> str:
    """Where the metadata object of one backup lies."""
    return f"{metadata_folder(engine, backup.name)}/{_folder(backup.id)}"


def parse_unfinished(engine: str, name: BackupName, key: str) -> BackupId | None:
    """The backup that an object below `unfinished_folder` speaks of; None for a stranger."""
    start = f"{unfinished_folder(name)}/{engine}/"
    return _id_of(key.removeprefix(start)) if key.startswith(start) else None


def parse_metadata(engine: str, name: BackupName, key: str) -> BackupId | None:
    """The backup of a metadata object of this set; None for anything else that lies around."""
    folder = metadata_folder(engine, name)
    if not (key.startswith(f"{folder}/") and key.endswith("/metadata")):
        return None
    return _id_of(key[len(folder) + 1 : -len("/metadata")])


def parse_data(engine: str, name: BackupName, key: str) -> BackupId | None:
    """The backup that an object below `set_folder` belongs to; None for a stranger."""
    inside = key.removeprefix(f"{set_folder(engine, name)}/")
    if inside == key:
        return None
    return _id_of("/".join(inside.split("/")[:2]))


def parse_listed(key: str) -> Listed | None:
    """The backup of any metadata object of the storage; None for anything else."""
    parts = key.split("/")
    if len(parts) < 6 or parts[0] != METADATA_ROOT or parts[-1] != "metadata":
        return None
    found = _id_of("/".join(parts[-3:-1]))
    if found is None:
        return None
    return Listed(engine=parts[1], set_name="/".join(parts[2:-3]), id=found)


def _id_of(folder: str) -> BackupId | None:
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return None
    return BackupId(
        level_zero_at=from_epoch(int(match["zero"])),
        taken_at=from_epoch(int(match["taken"])),
        level=int(match["level"]),
    )


def _folder(backup: BackupId) -> str:
    return f"{to_epoch(backup.level_zero_at)}/{backup.level}_{to_epoch(backup.taken_at)}"
