"""Which backup a restore means: the newest of a date, or the one of a run of a session."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from freezer_agent.catalog.backup import Backup, BackupName, Chain
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.chains import choose_levels, choose_restore_chain
from freezer_agent.errors import Damaged, NoBackupOfRun, ObjectNotFound
from freezer_agent.requests import SessionRun

log = logging.getLogger(__name__)

SESSION_ID, SESSION_TAG = "session_id", "session_tag"
"""Where the metadata of a backup names the session and its run."""


def wanted_chain(
    catalog: Catalog,
    names: Sequence[BackupName],
    *,
    at: datetime | None,
    session: SessionRun | None,
) -> list[Backup]:
    """The backups to extract one after another, level 0 first.

    With `session` for the backup of that run, of several the last; NoBackupOfRun if there is none.
    Else for the newest at or before `at`; NoBackupBefore. ChainBroken if a level is missing.
    """
    chains = catalog.chains(names)
    if session is None:
        return choose_restore_chain(chains, names[0], at)
    others: set[int] = set()
    for chain, backup in _newest_first(chains):
        tag = _tag_of(_metadata(catalog, backup), session.session_id)
        if tag == session.tag:
            return choose_levels(chain.backups, backup)
        if tag is not None:
            others.add(tag)
    raise NoBackupOfRun(str(names[0]), session.session_id, session.tag, sorted(others))


def told_session(session: SessionRun | None) -> dict[str, Any]:
    """The run as metadata and reports name it; nothing outside any session."""
    return {} if session is None else {SESSION_ID: session.session_id, SESSION_TAG: session.tag}


def _newest_first(chains: Sequence[Chain]) -> Iterator[tuple[Chain, Backup]]:
    pairs = [(chain, backup) for chain in chains for backup in chain.backups]
    return iter(sorted(pairs, key=lambda pair: pair[1].taken_at, reverse=True))


def _metadata(catalog: Catalog, backup: Backup) -> Mapping[str, Any]:
    """What is known of the backup: nothing, if that is damaged or was removed meanwhile."""
    try:
        return catalog.metadata(backup)
    except (Damaged, ObjectNotFound) as error:
        log.warning("%s is passed over: %s", backup.label, error)
        return {}


def _tag_of(metadata: Mapping[str, Any], session_id: str) -> int | None:
    tag = metadata.get(SESSION_TAG)
    return tag if metadata.get(SESSION_ID) == session_id and isinstance(tag, int) else None
