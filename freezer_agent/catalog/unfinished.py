"""Which backups of a set are half made or half removed, so that the next run can finish that.

A small object is written before the first byte of a backup goes up, and before the metadata of one
that is to be removed is taken away; it is removed when everything is done. Whoever holds the lock
of the set and finds such an object knows that its writer is dead, and needs to wait for nothing.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from freezer_agent.catalog import layout
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.errors import StorageError, StorageFull
from freezer_agent.storages.base import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What a run that died had left of one backup."""

    label: str
    objects: int
    size_bytes: int
    pieces: int

    def __str__(self) -> str:
        """A sentence for the report."""
        parts = f" and {self.pieces} incomplete uploads" if self.pieces else ""
        return (
            f"{self.label} was left unfinished by a run that was interrupted: {self.objects} "
            f"objects of {self.size_bytes} bytes{parts} were removed"
        )


class Unfinished:
    """The marks of one set in one storage. The caller holds the lock of the set.

    `remove_pieces` removes what interrupted writings left below a folder that nobody writes to.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        engine: str,
        remove_pieces: Callable[[str], Sequence[object]],
    ) -> None:
        self._storage = storage
        self._engine = engine
        self._catalog = Catalog(storage, engine)
        self._remove_pieces = remove_pieces

    def begin(self, backup: Backup) -> None:
        """From now on the backup counts as unfinished, unless its metadata is there."""
        self._storage.write(layout.unfinished(self._engine, backup), [b"begun\n"])

    def end(self, backup: Backup) -> None:
        """It is complete, or gone without a trace."""
        self._storage.delete(layout.unfinished(self._engine, backup))

    def remove(self, backups: Sequence[Backup]) -> None:
        """Remove backups of one chain for good, so that a run that dies meanwhile can be finished.

        On a storage that is full they are removed without a mark: that is what makes room.
        """
        marked = []
        for backup in backups:
            try:
                self.begin(backup)
            except StorageFull as error:
                log.warning("%s is removed without a mark: %s", backup.label, error)
            else:
                marked.append(backup)
        self._catalog.remove(backups)
        for backup in marked:
            self.end(backup)

    def clean(self, names: Sequence[BackupName]) -> list[Freed]:
        """Remove all that is left of backups that were begun and never published."""
        freed = []
        for name in names:
            for found in list(self._storage.list(layout.unfinished_folder(name))):
                identity = layout.parse_unfinished(self._engine, name, found.key)
                if identity is not None:
                    backup = Backup(name=name, id=identity)
                    # Asked for by its name: some storages list late what they hold.
                    if not self._catalog.is_published(backup):
                        freed.append(self._freed(backup))
                    self.end(backup)
        return [one for one in freed if one.objects or one.pieces]

    def clean_metadata(self, backup: Backup) -> None:
        """Remove what interrupted writings of its metadata left; the metadata stays."""
        self._remove_pieces(layout.metadata_folder_of(self._engine, backup))

    def _freed(self, backup: Backup) -> Freed:
        sizes = self._catalog.sizes(backup)
        self._catalog.discard(backup)
        pieces = self._remove_pieces(layout.data_folder(self._engine, backup))
        pieces = [*pieces, *self._remove_pieces(layout.metadata_folder_of(self._engine, backup))]
        freed = Freed(
            label=backup.label,
            objects=len(sizes),
            size_bytes=sum(sizes.values()),
            pieces=len(pieces),
        )
        log.info("%s", freed)
        return freed


class UnfinishedCopies:
    """The marks in every storage that a backup goes to."""

    def __init__(self, copies: Sequence[Unfinished]) -> None:
        self.copies = tuple(copies)

    def begin(self, backup: Backup) -> None:
        """Mark it in all of them."""
        self._each(lambda one: one.begin(backup))

    def end(self, backup: Backup) -> None:
        """Take the marks away."""
        self._each(lambda one: one.end(backup))

    def clean(self, names: Sequence[BackupName]) -> list[Freed]:
        """Clean all of them."""
        freed: list[Freed] = []
        self._each(lambda one: freed.extend(one.clean(names)))
        return freed

    def _each(self, action: Callable[[Unfinished], None]) -> None:
        """Of several storages one that fails is left out of the run anyhow."""
        for one in self.copies:
            try:
                action(one)
            except StorageError:
                if len(self.copies) == 1:
                    raise
