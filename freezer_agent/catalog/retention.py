"""Which backups stay and which go, with the reason for each. Pure decisions over listings.

A rule looks at single backups; what goes are whole chains. A chain stays as long as any of its
backups is to stay, because an increment is worth nothing without what it builds on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from freezer_agent.catalog.backup import Backup, Chain, find_levels
from freezer_agent.requests import KeepRules, RemovalRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one backup stays, and the reason that an operator reads."""

    backup: Backup
    remove: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVerdict:
    """The verdicts on the backups of one chain: either all of them go, or none."""

    chain: Chain
    remove: bool
    verdicts: tuple[Verdict, ...]

    @property
    def reason(self) -> str:
        """The reason in one sentence: the first one that keeps the chain, or why it goes."""
        return next(
            (one.reason for one in self.verdicts if one.reason != _FOR_ITS_CHAIN),
            _FOR_ITS_CHAIN,
        )


def choose_kept(
    chains: Sequence[Chain],
    rule: RemovalRule,
    now: datetime,
    *,
    zone: tzinfo | None = None,
    just_made: Backup | None = None,
) -> list[ChainVerdict]:
    """For each chain whether it goes, oldest first.

    A backup is kept if it is younger than the cutoff of the rule, or if one of its keep rules
    counts it. Only what can be restored is counted, so that damage never pushes out a good
    backup. The chain of the newest backup that can be restored stays, unless the rule has
    `force`; that of `just_made` stays always. Hours, days, weeks (from Monday), months and years
    are those of `zone`, the local one if None.
    """
    reasons = _Reasons(chains, zone)
    reasons.keep_what_is_young(rule.cutoff(now), "younger than")
    reasons.keep_counted(rule.keep)
    last_whole = reasons.newest_whole()
    verdicts = []
    for chain in chains:
        kept = {one: reasons.of(one) for one in chain.backups if reasons.of(one)}
        if just_made is not None and _is_in(just_made, chain):
            kept = {just_made: "this run has just made it"} | kept
        elif not kept and not rule.force and last_whole in chain.backups:
            kept = {last_whole: _LAST_WHOLE}
        verdicts.append(_verdict(chain, kept, reasons))
    return verdicts


_FOR_ITS_CHAIN = "its chain stays"
_LAST_WHOLE = "the last backup that can be restored (--force removes it too)"


def _is_in(backup: Backup, chain: Chain) -> bool:
    return (backup.name, backup.id.level_zero_at) == (chain.name, chain.level_zero_at)


def _verdict(chain: Chain, kept: dict[Backup, str], reasons: "_Reasons") -> ChainVerdict:
    if kept:
        verdicts = [
            Verdict(backup=one, remove=False, reason=kept.get(one, _FOR_ITS_CHAIN))
            for one in chain.backups
        ]
    else:
        verdicts = [
            Verdict(backup=one, remove=True, reason=reasons.against(one)) for one in chain.backups
        ]
    return ChainVerdict(chain=chain, remove=not kept, verdicts=tuple(verdicts))


class _Reasons:
    """Gathers what speaks for each backup."""

    def __init__(self, chains: Sequence[Chain], zone: tzinfo | None) -> None:
        self._zone = zone
        self._missing = {
            backup: find_levels(chain.backups, backup).missing
            for chain in chains
            for backup in chain.backups
        }
        self._newest_first = sorted(
            self._missing, key=lambda one: (one.taken_at, one.level), reverse=True
        )
        self._whole = [one for one in self._newest_first if self._missing[one] is None]
        self._for: dict[Backup, list[str]] = {}
        self._limits: list[str] = []

    def newest_whole(self) -> Backup | None:
        """The newest backup that can be restored."""
        return self._whole[0] if self._whole else None

    def keep_what_is_young(self, cutoff: datetime | None, word: str) -> None:
        """Keep what was taken after the cutoff, whole or not: it may be a run under way."""
        if cutoff is None:
            return
        text = cutoff.astimezone(self._zone).isoformat(timespec="seconds")
        self._limits.append(f"not younger than {text}")
        for backup in self._newest_first:
            if backup.taken_at > cutoff:
                self._add(backup, f"{word} {text}")

    def keep_counted(self, rules: KeepRules) -> None:
        """Keep the newest of each period, for as many periods as the rules say."""
        if rules.within is not None and self._whole:
            # Counted from the newest backup: a set that gets no new ones does not melt away.
            start = rules.within.before(self._whole[0].taken_at)
            text = start.astimezone(self._zone).isoformat(timespec="seconds")
            self._limits.append(f"not within {rules.within} of the newest")
            for backup in self._whole:
                if backup.taken_at >= start:
                    self._add(backup, f"within {rules.within} of the newest, since {text}")
        for word, count, period in self._periods(rules):
            if count is not None:
                self._limits.append(f"no more of the last {count} {word}")
                self._keep_newest(word, count, period)

    def of(self, backup: Backup) -> str:
        """What speaks for it; empty if nothing does."""
        return "; ".join(self._for.get(backup, []))

    def against(self, backup: Backup) -> str:
        """Why it goes."""
        missing = self._missing[backup]
        if missing is not None:
            return f"it cannot be restored (level {missing} is missing) and no rule keeps it"
        return ", ".join(self._limits) or "no rule keeps it"

    def _periods(
        self, rules: KeepRules
    ) -> Sequence[tuple[str, int | None, Callable[[Backup], object]]]:
        def local(backup: Backup) -> datetime:
            return backup.taken_at.astimezone(self._zone)

        return (
            ("backups", rules.last, lambda one: one),
            # The offset tells the two equal hours of a night that changes to winter time apart.
            ("hours", rules.hourly, lambda one: (local(one).utcoffset(), _hour(local(one)))),
            ("days", rules.daily, lambda one: local(one).date()),
            ("weeks", rules.weekly, lambda one: local(one).isocalendar()[:2]),
            ("months", rules.monthly, lambda one: (local(one).year, local(one).month)),
            ("years", rules.yearly, lambda one: local(one).year),
        )

    def _keep_newest(self, word: str, count: int, period: Callable[[Backup], object]) -> None:
        seen: set[object] = set()
        for backup in self._whole:
            if len(seen) == count:
                return
            key = period(backup)
            if key not in seen:
                seen.add(key)
                self._add(backup, f"{word} {len(seen)} of {count}")

    def _add(self, backup: Backup, reason: str) -> None:
        self._for.setdefault(backup, []).append(reason)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0, tzinfo=None)
