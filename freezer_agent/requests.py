"""What a run is asked to do: one small frozen value per action. No option is seen below them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any


class StorageKind(StrEnum):
    """Where bytes go."""

    LOCAL = "local"


class Compression(StrEnum):
    """How the stream is compressed; the word is the one of the option and of the metadata."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    ZSTD = "zstd"
    NONE = "none"


class Dereference(StrEnum):
    """Which links are replaced by what they refer to."""

    NONE = "none"
    SOFT = "soft"
    HARD = "hard"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageChoice:
    """A storage and the container in it."""

    kind: StorageKind
    container: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SetName:
    """The set of backups meant: of which host, under which name.

    `other_name` is the name as former releases wrote it, with its template unfilled; backups
    are looked for under both and written under `name`.
    """

    host: str
    name: str
    other_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRules:
    """When to make an increment and when a new full backup.

    `max_level` n: full, 1, ... n, full again. `always_level` n: full, 1, ... n, and n again for
    ever; it takes precedence. `restart_after` begins anew that long after level 0. `keep_state`
    says whether later increments may build on the backup.
    """

    incremental: bool = False
    max_level: int | None = None
    always_level: int | None = None
    restart_after: timedelta | None = None
    keep_state: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRule:
    """Which chains are too old: by age or by date, exactly one of them."""

    older_than: timedelta | None = None
    before: datetime | None = None
    force: bool = False

    def cutoff(self, now: datetime) -> datetime:
        """The moment that a chain's newest level must be younger than to stay."""
        if self.before is not None:
            return self.before
        assert self.older_than is not None  # noqa: S101  # one of the two is always there
        return now - self.older_than


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """Make a backup of `source`. `facts` are given words that the report repeats."""

    storage: StorageChoice
    set_name: SetName
    source: Path
    compression: Compression
    levels: LevelRules
    pass_file: Path | None = None
    excludes: tuple[str, ...] = ()
    dereference: Dereference = Dereference.NONE
    sync: bool = True
    with_checksum: bool = False
    removal: RemovalRule | None = None
    dry_run: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Restore the newest backup at or before `at` (or the newest at all) into `target`."""

    storage: StorageChoice
    set_name: SetName
    target: Path
    at: datetime | None = None
    overwrite: bool = False
    pass_file: Path | None = None
    checksum: str | None = None
    excludes: tuple[str, ...] = ()
    dereference: Dereference = Dereference.NONE
    removal: RemovalRule | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """Remove the chains of a set that are too old, and what dead runs left behind."""

    storage: StorageChoice
    set_name: SetName
    removal: RemovalRule
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoRequest:
    """Show the containers of a storage, or the backups inside one."""

    storage: StorageChoice
    list_backups: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """Run a pipeline of argument lists."""

    pipeline: tuple[tuple[str, ...], ...]
    timeout_seconds: float | None = None
    dry_run: bool = False


Request = BackupRequest | RestoreRequest | PruneRequest | InfoRequest | CommandRequest
