"""Whether the levels of a chain are the ones that were built on each other. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from freezer_agent.catalog.backup import Backup
from freezer_agent.errors import Damaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A backup with the digest of its stream, and which one it says it builds on.

    Former releases write neither down: None.
    """

    backup: Backup
    sha256: str | None = None
    base: str | None = None
    base_sha256: str | None = None

    @classmethod
    def of(cls, backup: Backup, metadata: Mapping[str, Any]) -> "Link":
        """The link that the metadata of a backup tells."""
        words = {
            name: found if isinstance(found := metadata.get(name), str) else None
            for name in ("sha256", "base", "base_sha256")
        }
        return cls(backup=backup, **words)


def check_links(links: Sequence[Link]) -> None:
    """Level by level from 0: Damaged if one was built on another backup than the one before it.

    A backup that is missing, or was put in the place of another, would restore a mixture.
    """
    for lower, upper in pairwise(links):
        if None not in {upper.base_sha256, lower.sha256}:
            # Digests decide, not names: folders of backups are moved and renamed.
            if upper.base_sha256 != lower.sha256:
                raise Damaged(_what_it_misses(lower, upper))
        elif upper.base is not None and upper.base != lower.backup.label:
            raise Damaged(_what_it_misses(lower, upper))


def _what_it_misses(lower: Link, upper: Link) -> str:
    if upper.base not in {None, lower.backup.label}:
        return (
            f"{upper.backup.label} builds on {upper.base}, which is not in the storage any more; "
            "restore a date before it"
        )
    return (
        f"{upper.backup.label} was built on another {lower.backup.label} than the one in the "
        "storage; restore from another copy, or a date before it"
    )
