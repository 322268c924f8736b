"""What a run is asked to do: one small frozen value per action. No option is seen below them."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from freezer_agent.storage_choices import NamedStorage, StorageChoice


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


class CipherChoice(StrEnum):
    """What a new backup is encrypted with; AUTOMATIC takes the faster of the two first ciphers."""

    AUTOMATIC = "automatic"
    AES_256_GCM = "aes-256-gcm"
    CHACHA20_POLY1305 = "chacha20-poly1305"
    AES_256_CFB = "aes-256-cfb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """Keys of a run: files with secrets by their names, recipients as names or public keys.

    `pass_file` and `recipients` are what a new backup will open with. `pass_file` and `key_file`
    open stored ones. With one of these, a backup that is not encrypted is no backup of ours
    unless `allow_unencrypted` says that it may be.
    """

    pass_file: Path | None = None
    recipients: tuple[str, ...] = ()
    key_file: Path | None = None
    cipher: CipherChoice = CipherChoice.AUTOMATIC
    allow_unencrypted: bool = False

    @property
    def is_asked_for(self) -> bool:
        """Whether a new backup is encrypted."""
        return self.pass_file is not None or bool(self.recipients)

    @property
    def has_key(self) -> bool:
        """Whether there is something to open stored backups with."""
        return self.pass_file is not None or self.key_file is not None


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
class Span:
    """A length of time as people say it: calendar months, and days and hours of equal length."""

    months: int = 0
    rest: timedelta = timedelta(0)

    def before(self, moment: datetime) -> datetime:
        """The moment that long ago. The 31st becomes the last day of a shorter month."""
        count = moment.year * 12 + moment.month - 1 - self.months
        year, month = count // 12, count % 12 + 1
        if year < 1:
            return datetime.min.replace(tzinfo=moment.tzinfo)
        day = min(moment.day, calendar.monthrange(year, month)[1])
        try:
            return moment.replace(year=year, month=month, day=day) - self.rest
        except OverflowError:
            return datetime.min.replace(tzinfo=moment.tzinfo)

    def __str__(self) -> str:
        days, seconds = self.rest.days, self.rest.seconds
        parts = [
            (self.months // 12, "y"),
            (self.months % 12, "m"),
            (days, "d"),
            (seconds // 3600, "h"),
        ]
        return "".join(f"{count}{unit}" for count, unit in parts if count) or "0d"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRules:
    """Of how many periods the newest backup is kept; None where there is no such rule."""

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    within: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRule:
    """What is kept: what is younger than an age or a date, and what the keep rules count.

    At most one of `older_than` and `before` is there, and all but that goes if nothing else
    keeps it.
    """

    older_than: timedelta | None = None
    before: datetime | None = None
    keep: KeepRules = KeepRules()
    force: bool = False

    def cutoff(self, now: datetime) -> datetime | None:
        """What was taken after this moment stays; None if age does not count."""
        if self.before is not None:
            return self.before
        return now - self.older_than if self.older_than is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRun:
    """One run of a session: what several nodes did at one moment."""

    session_id: str
    tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """Make a backup of `source`. `facts` are given words that the report repeats.

    `session` is written down with the backup, so that it can be found again by that.
    """

    storage: StorageChoice
    set_name: SetName
    source: Path
    compression: Compression
    levels: LevelRules
    encryption: Encryption = field(default_factory=Encryption)
    excludes: tuple[str, ...] = ()
    dereference: Dereference = Dereference.NONE
    sync: bool = True
    with_checksum: bool = False
    removal: RemovalRule | None = None
    queue_size: int = 4
    dry_run: bool = False
    session: SessionRun | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Restore the newest backup at or before `at` (or the newest at all) into `target`.

    With `session` it is the one that was made in that run, and `at` does not count.
    """

    storage: StorageChoice
    set_name: SetName
    target: Path
    at: datetime | None = None
    session: SessionRun | None = None
    overwrite: bool = False
    encryption: Encryption = field(default_factory=Encryption)
    checksum: str | None = None
    excludes: tuple[str, ...] = ()
    dereference: Dereference = Dereference.NONE
    includes: tuple[str, ...] = ()
    removal: RemovalRule | None = None
    dry_run: bool = False
    aside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesRequest:
    """List the files that such a restore would bring, all or what fits `includes`."""

    storage: StorageChoice
    set_name: SetName
    at: datetime | None = None
    session: SessionRun | None = None
    encryption: Encryption = field(default_factory=Encryption)
    includes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFilter:
    """Which backups of a container are meant: of a host, of a name, of a time; None is any."""

    host: str | None = None
    name: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """List backups of a container, with what their metadata and checks tell."""

    storage: StorageChoice
    wanted: SetFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """Check stored backups; of `share` (0 to 1) of their bytes also every byte."""

    storage: StorageChoice
    wanted: SetFilter
    encryption: Encryption = field(default_factory=Encryption)
    share: float | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """Remove the chains of a set that are too old, and what dead runs left behind."""

    storage: StorageChoice
    set_name: SetName
    removal: RemovalRule
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeyRequest:
    """Add and remove keys of the sealed backups of a set that `encryption` opens."""

    storage: StorageChoice
    set_name: SetName
    encryption: Encryption
    new_pass_file: Path | None = None
    new_recipients: tuple[str, ...] = ()
    removed_pass_file: Path | None = None
    removed_recipients: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoRequest:
    """Show all containers of a storage, or the named one only; or the backups inside that."""

    storage: StorageChoice
    list_backups: bool
    only_named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """Run a pipeline of argument lists."""

    pipeline: tuple[tuple[str, ...], ...]
    timeout_seconds: float | None = None
    dry_run: bool = False


SingleRequest = (
    BackupRequest
    | RestoreRequest
    | PruneRequest
    | RekeyRequest
    | InfoRequest
    | FilesRequest
    | ListRequest
    | VerifyRequest
    | CommandRequest
)


class Requirement(StrEnum):
    """How many of several storages must have taken a backup for the run to be a success."""

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralRequest:
    """A request for several storages at once. The one that `request` itself names is the first."""

    request: SingleRequest
    storages: tuple[NamedStorage, ...]
    requirement: Requirement = Requirement.ALL
    queue_size: int = 4
    spool_bytes: int = 0
    stalled_seconds: int = 900


Request = SingleRequest | SeveralRequest
