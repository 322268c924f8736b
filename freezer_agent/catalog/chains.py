"""Which backup to build on and which to restore. Pure decisions over listings."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from freezer_agent.catalog.backup import Backup, BackupId, BackupName, Chain, find_levels
from freezer_agent.errors import ChainBroken, NoBackupBefore
from freezer_agent.requests import LevelRules


def group_into_chains(backups: Iterable[Backup]) -> list[Chain]:
    """The chains of a listing, the oldest level 0 first. Every backup is in exactly one."""
    members: dict[tuple[datetime, BackupName], list[Backup]] = {}
    for backup in backups:
        members.setdefault((backup.id.level_zero_at, backup.name), []).append(backup)
    return [
        Chain(
            name=name,
            level_zero_at=level_zero_at,
            backups=tuple(sorted(found, key=lambda one: (one.taken_at, one.level))),
        )
        for (level_zero_at, name), found in sorted(members.items())
    ]


def choose_base(chains: Sequence[Chain], rules: LevelRules, now: datetime) -> Backup | None:
    """The backup that the next increment builds on; None for a new full backup.

    Only the newest chain is continued, and never one with a missing level: what is built on it
    could not be restored.
    """
    if not rules.incremental or not chains:
        return None
    chain = chains[-1]
    highest = max(backup.level for backup in chain.backups)
    if chain.missing_level is not None or _is_finished(chain, highest, rules, now):
        return None
    level = highest
    if rules.always_level and highest == rules.always_level:
        level = highest - 1
    return max(
        (backup for backup in chain.backups if backup.level == level),
        key=lambda backup: backup.taken_at,
    )


def choose_id(chains: Sequence[Chain], base: Backup | None, now: datetime) -> BackupId:
    """The id of the backup about to be made: now, or the next second that no backup has.

    Moments of a set strictly rise, so that the newest backup is always the last one made, also
    for two runs in one second and when the clock was set back.
    """
    last = max((backup.taken_at for chain in chains for backup in chain.backups), default=None)
    taken_at = now.astimezone(UTC).replace(microsecond=0)
    if last is not None and taken_at <= last:
        taken_at = last + timedelta(seconds=1)
    if base is None:
        return BackupId(level_zero_at=taken_at, taken_at=taken_at, level=0)
    return BackupId(level_zero_at=base.id.level_zero_at, taken_at=taken_at, level=base.level + 1)


def choose_restore_chain(
    chains: Sequence[Chain],
    name: BackupName,
    at: datetime | None,
) -> list[Backup]:
    """The backups to extract one after another, level 0 first, for the state at `at` (or now).

    The newest backup within the date decides; each lower level is the newest one taken before
    it. NoBackupBefore if there is none, ChainBroken if a level in between is missing.
    """
    within = [chain for chain in chains if at is None or chain.level_zero_at <= at]
    for chain in reversed(within):
        backups = tuple(one for one in chain.backups if at is None or one.taken_at <= at)
        if backups:
            return choose_levels(backups, backups[-1])
    raise NoBackupBefore(str(name), at)


def choose_levels(backups: Sequence[Backup], wanted: Backup) -> list[Backup]:
    """The backups of `wanted`'s chain to extract for it. ChainBroken if a level is missing."""
    levels = find_levels(backups, wanted)
    if levels.missing is not None:
        last_good = levels.missing - 1 if levels.missing else None
        raise ChainBroken(str(wanted.name), levels.missing, last_good)
    return list(levels.backups)


def _is_finished(chain: Chain, highest: int, rules: LevelRules, now: datetime) -> bool:
    if rules.restart_after is not None and now > chain.level_zero_at + rules.restart_after:
        return True
    if rules.always_level:
        return highest > rules.always_level
    return bool(rules.max_level) and highest >= (rules.max_level or 0)
