"""Which backups a storage holds, and the objects of each. Knows no bytes, stages or engines."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from freezer_agent.catalog import layout
from freezer_agent.catalog.backup import Backup, BackupName, Chain
from freezer_agent.catalog.chains import group_into_chains
from freezer_agent.errors import Damaged, ObjectNotFound
from freezer_agent.pipeline.self_digest import DIGEST, digest_of, written
from freezer_agent.storages.base import Storage

log = logging.getLogger(__name__)

_LARGEST_METADATA = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One backup of a listing over everything, with the size of its objects."""

    engine: str
    backup: Backup
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """What a run that died left behind: objects of a backup that has no metadata."""

    label: str
    taken_at: datetime
    keys: tuple[str, ...]
    size_bytes: int


class Catalog:
    """The backups of one engine in one storage.

    A backup exists from the moment its metadata object does, and until that is removed; its
    stream and engine state are written before and removed after.
    """

    def __init__(self, storage: Storage, engine: str) -> None:
        self._storage = storage
        self._engine = engine

    def chains(self, names: Sequence[BackupName]) -> list[Chain]:
        """The chains of the set under each of its names, the oldest level 0 first."""
        backups = (backup for name in names for backup in self._backups(name))
        return group_into_chains(backups)

    def everything(self) -> list[Stored]:
        """Every backup of every set and engine in the storage, ordered by set and time."""
        sizes: dict[str, int] = {}
        for found in self._storage.list("data"):
            folder = "/".join(found.key.split("/")[1:]).rpartition("/")[0].removesuffix("/segments")
            sizes[folder] = sizes.get(folder, 0) + found.size_bytes
        stored = []
        for found in self._storage.list(layout.METADATA_ROOT):
            listed = layout.parse_listed(found.key)
            host, _, name = listed.set_name.partition("_") if listed else ("", "", "")
            if listed is None or not host or not name:
                continue
            backup = Backup(name=BackupName(host=host, name=name), id=listed.id)
            folder = layout.data_folder(listed.engine, backup).removeprefix("data/")
            stored.append(
                Stored(engine=listed.engine, backup=backup, size_bytes=sizes.get(folder, 0)),
            )
        return sorted(stored, key=lambda one: (str(one.backup.name), one.backup.taken_at))

    def place(self, backup: Backup) -> str:
        """The folder of the backup in the layout: ENGINE/HOST_NAME/LEVEL0_TIME/LEVEL_TIME."""
        return layout.data_folder(self._engine, backup).removeprefix("data/")

    def metadata(self, backup: Backup) -> Mapping[str, Any]:
        """What was written down about the backup. Damaged if it is no JSON object."""
        key = layout.metadata(self._engine, backup)
        content = bytearray()
        for chunk in self._storage.read(key):
            content += chunk
            if len(content) > _LARGEST_METADATA:
                raise Damaged(f"the metadata object {key!r} is far larger than any agent writes it")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Damaged(f"the metadata object {key!r} is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise Damaged(f"the metadata object {key!r} is no JSON object")
        if DIGEST in document and not _vouches(document, content):
            raise Damaged(f"the metadata object {key!r} is damaged; restore another copy or date")
        return document

    def read_data(self, backup: Backup) -> Iterator[bytes]:
        """The stream as it was stored."""
        return self._storage.read(layout.data(self._engine, backup))

    def write_data(self, backup: Backup, chunks: Iterable[bytes]) -> int:
        """Store the stream and return its size."""
        return self._storage.write(layout.data(self._engine, backup), chunks)

    def read_state(self, backup: Backup) -> Iterator[bytes]:
        """The engine state as it was stored. ObjectNotFound if none was kept."""
        return self._storage.read(layout.state(self._engine, backup))

    def write_state(self, backup: Backup, chunks: Iterable[bytes]) -> int:
        """Store the engine state, which the next level is built on."""
        return self._storage.write(layout.state(self._engine, backup), chunks)

    def read_index(self, backup: Backup) -> Iterator[bytes]:
        """The index of the stream as it was stored. ObjectNotFound if none was kept."""
        return self._storage.read(layout.index(self._engine, backup))

    def write_index(self, backup: Backup, chunks: Iterable[bytes]) -> int:
        """Store the index, which tells what is in the stream."""
        return self._storage.write(layout.index(self._engine, backup), chunks)

    def publish(self, backup: Backup, document: Mapping[str, Any]) -> None:
        """Write the metadata object: from then on the backup exists.

        One line, because former releases read the first line only.
        """
        self._storage.write(layout.metadata(self._engine, backup), [written(document) + b"\n"])

    def is_published(self, backup: Backup) -> bool:
        """Whether the metadata object is there, whatever it holds and whatever listings say."""
        try:
            for _ in self._storage.read(layout.metadata(self._engine, backup)):
                return True
        except ObjectNotFound:
            return False
        return True

    def data_size(self, backup: Backup) -> int:
        """The stored size of the stream. ObjectNotFound if it is not there."""
        wanted = layout.data(self._engine, backup)
        for found in self._storage.list(layout.data_folder(self._engine, backup)):
            if found.key == wanted:
                return found.size_bytes
        raise ObjectNotFound(wanted)

    def sizes(self, backup: Backup) -> dict[str, int]:
        """The stored size of each object beside the metadata, by its name in the folder."""
        folder = layout.data_folder(self._engine, backup)
        return {
            found.key[len(folder) + 1 :]: found.size_bytes for found in self._storage.list(folder)
        }

    def remove(self, backups: Iterable[Backup]) -> None:
        """Remove backups of one chain: first what makes them count, the newest before the oldest.

        A removal that dies midway leaves a shorter chain that can be restored, or orphans, never
        a backup with missing data.
        """
        doomed = sorted(backups, key=lambda one: (one.taken_at, one.level), reverse=True)
        for backup in doomed:
            self._storage.delete(layout.metadata(self._engine, backup))
        for backup in doomed:
            self.discard(backup)

    def discard(self, backup: Backup) -> None:
        """Remove the stream and the state of a backup that has no metadata (any more)."""
        folder = layout.data_folder(self._engine, backup)
        for found in list(self._storage.list(folder)):
            self._storage.delete(found.key)

    def orphans(self, names: Sequence[BackupName], before: datetime) -> list[Orphan]:
        """Streams without metadata that runs begun before `before` left behind."""
        orphans = []
        for name in names:
            known = {backup.id for backup in self._backups(name)}
            strays: dict[Backup, list[tuple[str, int]]] = {}
            for found in self._storage.list(layout.set_folder(self._engine, name)):
                identity = layout.parse_data(self._engine, name, found.key)
                if identity and identity not in known and identity.taken_at < before:
                    stray = Backup(name=name, id=identity)
                    strays.setdefault(stray, []).append((found.key, found.size_bytes))
            orphans += [_orphan(backup, found) for backup, found in strays.items()]
        return orphans

    def remove_orphan(self, orphan: Orphan) -> None:
        """Remove the objects of a run that died."""
        for key in orphan.keys:
            self._storage.delete(key)

    def _backups(self, name: BackupName) -> Iterator[Backup]:
        for found in self._storage.list(layout.metadata_folder(self._engine, name)):
            identity = layout.parse_metadata(self._engine, name, found.key)
            if identity is None:
                log.debug("%s is not named like the metadata of a backup: left alone", found.key)
                continue
            yield Backup(name=name, id=identity)


def _vouches(document: Mapping[str, Any], content: bytes | bytearray) -> bool:
    """Whether the digest is right and the object has the one form that is written."""
    return content == written(document) + b"\n" and document[DIGEST] == digest_of(document)


def _orphan(backup: Backup, found: list[tuple[str, int]]) -> Orphan:
    return Orphan(
        label=backup.label,
        taken_at=backup.taken_at,
        keys=tuple(key for key, _ in found),
        size_bytes=sum(size for _, size in found),
    )
