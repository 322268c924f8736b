"""List the backups of a container with what is known of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from freezer_agent.actions.base import Report, Table
from freezer_agent.actions.info import local_time, readable_size
from freezer_agent.catalog.backup import Backup, BackupName
from freezer_agent.catalog.catalog import Catalog, Stored
from freezer_agent.catalog.checks import Check, Checks
from freezer_agent.catalog.wanted import SESSION_ID, SESSION_TAG
from freezer_agent.errors import Damaged, ObjectNotFound
from freezer_agent.requests import ListRequest, SetFilter
from freezer_agent.storages.base import Storage
from freezer_model.instants import to_epoch


def chosen(found: Sequence[Stored], wanted: SetFilter) -> list[Stored]:
    """The backups that are meant.

    Host and name are one word in the storage, joined by "_", which both may hold: what is asked
    for says where to part them.
    """
    parted = [(one, _parted(one.backup.name, wanted)) for one in found]
    return [
        Stored(
            engine=one.engine,
            backup=Backup(name=name, id=one.backup.id),
            size_bytes=one.size_bytes,
        )
        for one, name in parted
        if name is not None
        and (wanted.since is None or one.backup.taken_at >= wanted.since)
        and (wanted.until is None or one.backup.taken_at <= wanted.until)
    ]


def _parted(name: BackupName, wanted: SetFilter) -> BackupName | None:
    """The name, parted at the host that is asked for; None if it is not meant."""
    whole = str(name)
    host, rest = wanted.host, wanted.name
    if host is not None and whole.startswith(f"{host}_") and len(whole) > len(host) + 1:
        name = BackupName(host=host, name=whole[len(host) + 1 :])
    elif host is not None:
        return None
    elif rest is not None and whole.endswith(f"_{rest}") and len(whole) > len(rest) + 1:
        name = BackupName(host=whole[: -len(rest) - 1], name=rest)
    return name if rest is None or name.name == rest else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    stored: Stored
    encryption: str | None
    files: int | None
    damage: str
    check: Check | None
    session: Mapping[str, Any]


class ListAction:
    """Read only: the metadata of each backup and the checks of its set."""

    def __init__(
        self,
        *,
        request: ListRequest,
        storage: Storage,
        catalog: Catalog,
        catalog_of: Callable[[str], Catalog],
        checks: Checks,
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._catalog_of = catalog_of
        self._checks = checks

    def run(self) -> Report:
        """The listing, as a table and as JSON, ordered by set and time."""
        with self._storage:
            found = chosen(self._catalog.everything(), self._request.wanted)
            names = {one.backup.name for one in found}
            checks = {name: self._checks.of(name) for name in names}
            known = [
                self._known(one, checks[one.backup.name].get(one.backup.label)) for one in found
            ]
        return Report(
            document={"action": "list", "backups": [_document(one) for one in known]},
            table=Table(
                columns=(
                    *("Host", "Name", "Level", "Date", "Size", "Files", "Encrypted", "Verified"),
                ),
                rows=[_row(one) for one in known],
            ),
            warnings=[one.damage for one in known if one.damage],
        )

    def _known(self, stored: Stored, check: Check | None) -> _Known:
        metadata: dict[str, Any] = {}
        damage = ""
        try:
            metadata = dict(self._catalog_of(stored.engine).metadata(stored.backup))
        except (Damaged, ObjectNotFound) as error:
            damage = str(error)
        files = metadata.get("files")
        encryption = None
        if metadata.get("encryption"):
            encryption = str(metadata.get("encryption_format") or "aes-256-cfb")
        return _Known(
            stored=_as_written(stored, metadata),
            encryption=encryption,
            files=files if isinstance(files, int) else None,
            damage=damage,
            check=check,
            session={
                word: metadata[word] for word in (SESSION_ID, SESSION_TAG) if word in metadata
            },
        )


def _as_written(stored: Stored, metadata: Mapping[str, Any]) -> Stored:
    """The same, host and name parted as the metadata says, if it says so."""
    host, name = metadata.get("hostname"), metadata.get("backup_name")
    if f"{host}_{name}" != str(stored.backup.name):
        return stored
    named = BackupName(host=str(host), name=str(name))
    return replace(stored, backup=replace(stored.backup, name=named))


def _document(known: _Known) -> dict[str, object]:
    backup, check = known.stored.backup, known.check
    return {
        "backup": backup.label,
        "hostname": backup.name.host,
        "backup_name": backup.name.name,
        "engine_name": known.stored.engine,
        "level": backup.level,
        "time_stamp": to_epoch(backup.taken_at),
        "level_zero_time_stamp": to_epoch(backup.id.level_zero_at),
        "date": backup.taken_at.isoformat(),
        "size": known.stored.size_bytes,
        "files": known.files,
        "encrypted": known.encryption is not None,
        "encryption_format": known.encryption,
        **known.session,
        "verified": None
        if check is None
        else {
            "at": check.checked_at.isoformat(),
            "good": check.good,
            "data_at": check.data_at.isoformat() if check.data_at else None,
        },
    }


def _row(known: _Known) -> tuple[str, ...]:
    backup = known.stored.backup
    return (
        backup.name.host,
        backup.name.name,
        str(backup.level),
        local_time(backup.taken_at),
        readable_size(known.stored.size_bytes),
        "" if known.files is None else str(known.files),
        "?" if known.damage else known.encryption or "no",
        _verified(known.check),
    )


def _verified(check: Check | None) -> str:
    if check is None:
        return "never"
    if not check.good:
        return f"BAD {local_time(check.checked_at)}"
    if check.data_at is not None:
        return f"data {local_time(check.data_at)}"
    return f"structure {local_time(check.checked_at)}"
