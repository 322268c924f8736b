"""What was found when stored backups were checked, and when: kept beside them in the storage.

One small JSON object per set of backups, so that every host sees what another has checked. It is
advice for people and for the order of checks, never a reason to trust a backup.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from freezer_agent.catalog import layout
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.errors import ObjectNotFound
from freezer_agent.storages.base import Storage

log = logging.getLogger(__name__)

_LARGEST = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The last check of one backup. `data_at` is when every byte was read last and was good."""

    checked_at: datetime
    good: bool
    data_at: datetime | None = None


class Checks:
    """The checks of all sets of one storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def of(self, name: BackupName) -> dict[str, Check]:
        """The last check of each backup of a set, by label. What cannot be read counts as none."""
        try:
            return dict(_parsed(json.loads(_small(self._storage.read(layout.checks(name))))))
        except ObjectNotFound:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("the checks of %s cannot be read and count as none: %s", name, error)
            return {}

    def remember(
        self, name: BackupName, found: Mapping[str, Check], existing: Iterable[Backup]
    ) -> None:
        """Add these to what is remembered of a set, and forget backups that are gone."""
        labels = {backup.label for backup in existing}
        kept = {label: one for label, one in {**self.of(name), **found}.items() if label in labels}
        document = {"backups": {label: _document(one) for label, one in kept.items()}}
        content = json.dumps(document, sort_keys=True).encode("ascii")
        self._storage.write(layout.checks(name), [content])


def _small(chunks: Iterable[bytes]) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > _LARGEST:
            raise ValueError("it is larger than any agent writes it")
    return bytes(content)


def _document(check: Check) -> dict[str, Any]:
    return {
        "checked_at": check.checked_at.isoformat(),
        "good": check.good,
        "data_at": check.data_at.isoformat() if check.data_at else None,
    }


def _parsed(document: Any) -> Iterator[tuple[str, Check]]:
    for label, found in document["backups"].items():
        data_at = found.get("data_at")
        yield (
            str(label),
            Check(
                checked_at=_aware(found["checked_at"]),
                good=found["good"] is True,
                data_at=_aware(data_at) if data_at else None,
            ),
        )


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment
