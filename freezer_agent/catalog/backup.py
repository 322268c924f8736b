"""What a backup is called and where it stands in its chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from freezer_model.instants import to_epoch


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class BackupName:
    """Which set of backups: the host they are of, and the name the operator gave.

    A name may contain slashes (cloud resources append their id), but no part of it may be empty,
    "." or "..", because the parts become folders of the storage.
    """

    host: str
    name: str

    def __post_init__(self) -> None:
        if any(part in {"", ".", ".."} for part in str(self).split("/")):
            raise ValueError(f"{str(self)!r} cannot name a set of backups")

    def __str__(self) -> str:
        """The folder of the storage layout: HOST_NAME."""
        return f"{self.host}_{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupId:
    """One backup of a set: its chain, its moment and its level. Moments are whole seconds."""

    level_zero_at: datetime
    taken_at: datetime
    level: int

    def __post_init__(self) -> None:
        if self.level < 0:
            raise ValueError(f"a backup level cannot be negative: {self.level}")
        for instant in (self.level_zero_at, self.taken_at):
            if instant.tzinfo is None or instant.microsecond:
                raise ValueError(f"a backup's moment is an aware whole second, not {instant}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One complete backup as the storage lists it."""

    name: BackupName
    id: BackupId

    @property
    def taken_at(self) -> datetime:
        """When the run that made it began."""
        return self.id.taken_at

    @property
    def level(self) -> int:
        """0 for a full backup, n for one that builds on level n - 1."""
        return self.id.level

    @property
    def label(self) -> str:
        """The backup in one word for reports: HOST_NAME/LEVEL0/LEVEL_TIME."""
        zero, taken = to_epoch(self.id.level_zero_at), to_epoch(self.taken_at)
        return f"{self.name}/{zero}/{self.level}_{taken}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A full backup and everything that builds on it, ordered by time, then by level."""

    name: BackupName
    level_zero_at: datetime
    backups: tuple[Backup, ...]

    @property
    def newest(self) -> Backup:
        """The backup that was taken last."""
        return self.backups[-1]

    @property
    def missing_level(self) -> int | None:
        """The lowest level that the newest backup needs and that is not there."""
        return find_levels(self.backups, self.newest).missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What one backup builds on, level 0 first and itself last; `missing` is the lowest gap."""

    backups: tuple[Backup, ...]
    missing: int | None


def find_levels(backups: Sequence[Backup], wanted: Backup) -> Levels:
    """Of each level below `wanted` the newest backup that was taken before the one above it.

    Under --always-level one level has several backups; the next one was built on the newest then.
    """
    chosen, missing = [wanted], None
    for level in range(wanted.level - 1, -1, -1):
        limit = chosen[-1].taken_at
        siblings = [one for one in backups if one.level == level and one.taken_at <= limit]
        if siblings:
            chosen.append(max(siblings, key=lambda one: one.taken_at))
        else:
            missing = level
    return Levels(backups=tuple(reversed(chosen)), missing=missing)
