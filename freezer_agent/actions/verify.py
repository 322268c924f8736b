"""Check stored backups without restoring them: all of it is there, and is what was written."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from freezer_agent.actions.base import Progress, Report, Table
from freezer_agent.actions.info import local_time
from freezer_agent.actions.listing import chosen
from freezer_agent.actions.reading import Reader, text_or_none
from freezer_agent.catalog.backup import Backup, find_levels
from freezer_agent.catalog.catalog import Catalog, Stored
from freezer_agent.catalog.checks import Check, Checks
from freezer_agent.catalog.links import Link, check_links
from freezer_agent.engines.base import StreamCheck
from freezer_agent.errors import (
    Damaged,
    EngineError,
    ObjectNotFound,
    StorageError,
    StreamError,
    WrongKey,
)
from freezer_agent.pipeline.checksum import verified
from freezer_agent.requests import VerifyRequest
from freezer_agent.storages.base import Storage
from freezer_model.clock import Clock
from freezer_model.instants import to_epoch

log = logging.getLogger(__name__)

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Finding:
    """What a check of one backup found. `depth` is structure, digest or data."""

    stored: Stored
    depth: str = "structure"
    problems: list[str] = field(default_factory=list)


def choose_share(
    found: Sequence[Stored], checks: Mapping[str, Check], share: float
) -> list[Stored]:
    """The backups whose bytes are read in this run: those read longest ago, up to the share.

    At least one, and at least the share of all bytes, so that 1 / share runs read everything.
    """

    def read_at(one: Stored) -> datetime:
        check = checks.get(one.backup.label)
        return check.data_at or _NEVER if check is not None else _NEVER

    wanted = share * sum(one.size_bytes for one in found)
    picked: list[Stored] = []
    for one in sorted(found, key=lambda one: (read_at(one), one.backup.taken_at)):
        if picked and sum(other.size_bytes for other in picked) >= wanted:
            break
        picked.append(one)
    return picked


class VerifyAction:
    """Checks the backups that are meant, reports each, and remembers what it found."""

    def __init__(
        self,
        *,
        request: VerifyRequest,
        storage: Storage,
        catalog: Catalog,
        catalog_of: Callable[[str], Catalog],
        reader_of: Callable[[Catalog], Reader],
        stream_checks: Mapping[str, StreamCheck],
        checks: Checks,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._request = request
        self._storage = storage
        self._catalog = catalog
        self._catalog_of = catalog_of
        self._reader_of = reader_of
        self._stream_checks = stream_checks
        self._checks = checks
        self._clock = clock
        self._progress = progress
        self._warnings: list[str] = []

    def run(self) -> Report:
        """Check. The report fails if anything is not as it was written."""
        with self._storage:
            everything = self._catalog.everything()
            found = chosen(everything, self._request.wanted)
            checks = {
                label: check
                for name in {one.backup.name for one in found}
                for label, check in self._checks.of(name).items()
            }
            deep = self._deep(found, checks)
            # What a backup builds on may be older than what was asked for.
            whole = replace(self._request.wanted, since=None, until=None)
            siblings = [one.backup for one in chosen(everything, whole)]
            checked = (self._checked(one, siblings, read=one in deep) for one in found)
            findings = [one for one in checked if one is not None]
            if not self._request.dry_run:
                self._remember(findings, siblings, checks)
        return self._report(findings, known=bool(siblings))

    def _deep(self, found: Sequence[Stored], checks: Mapping[str, Check]) -> list[Stored]:
        if self._request.share is None or not found:
            return []
        deep = choose_share(found, checks, self._request.share)
        self._progress.expect(sum(one.size_bytes for one in deep))
        return deep

    def _checked(self, stored: Stored, siblings: Sequence[Backup], *, read: bool) -> Finding | None:
        """The finding; None for a backup that was removed while it was checked."""
        finding = Finding(stored=stored)
        catalog = self._catalog_of(stored.engine)
        metadata: Mapping[str, Any] | None = None
        try:
            metadata = catalog.metadata(stored.backup)
        except ObjectNotFound:
            return None
        except Damaged as error:
            finding.problems.append(str(error))
        if metadata is not None:
            finding.problems += _structure_problems(catalog, stored, metadata, siblings)
            if read and not finding.problems:
                self._read(catalog, finding, metadata)
        if finding.problems and not _still_there(catalog, stored.backup):
            return None
        for problem in finding.problems:
            log.error("%s: %s", stored.backup.label, problem)
        return finding

    def _read(self, catalog: Catalog, finding: Finding, metadata: Mapping[str, Any]) -> None:
        """Read every byte: undone to the engine's stream if a key opens it, else as stored."""
        stored = finding.stored
        try:
            self._compare_digests(catalog, stored, metadata)
            finding.depth = "digest"
            reader = self._reader_of(catalog)
            try:
                level = reader.level(stored.backup)
            except WrongKey as error:
                self._warnings.append(f"{stored.backup.label}: only digests compared: {error}")
                return
            check = self._stream_checks.get(stored.engine)
            with reader.stream(level) as stream:
                for _ in check(stream) if check is not None else stream:
                    pass
            finding.depth = "data"
        except (StreamError, EngineError, ObjectNotFound) as error:
            finding.problems.append(str(error))

    def _compare_digests(
        self, catalog: Catalog, stored: Stored, metadata: Mapping[str, Any]
    ) -> None:
        """Compare the digests of what lies beside the stream; without a key that of it too."""
        label = stored.backup.label
        objects = [
            ("state_sha256", f"the engine state of {label}", catalog.read_state),
            ("index_sha256", f"the index of {label}", catalog.read_index),
        ]
        if metadata.get("encryption"):
            objects.append(("sha256", label, catalog.read_data))
        for key, what, read in objects:
            expected = text_or_none(metadata.get(key))
            if expected is not None:
                for _ in verified(read(stored.backup), expected, what):
                    pass

    def _remember(
        self,
        findings: Sequence[Finding],
        siblings: Sequence[Backup],
        before: Mapping[str, Check],
    ) -> None:
        now = self._clock()
        by_set = sorted(findings, key=lambda one: str(one.stored.backup.name))
        for name, group in groupby(by_set, key=lambda one: one.stored.backup.name):
            found = {}
            for one in group:
                label = one.stored.backup.label
                known = before.get(label)
                read = one.depth != "structure" and not one.problems
                data_at = now if read else known.data_at if known else None
                found[label] = Check(checked_at=now, good=not one.problems, data_at=data_at)
            try:
                self._checks.remember(name, found, siblings)
            except StorageError as error:
                self._warnings.append(f"what was checked cannot be remembered: {error}")

    def _report(self, findings: Sequence[Finding], *, known: bool) -> Report:
        bad = [one for one in findings if one.problems]
        failures = []
        if bad:
            failures.append(f"{len(bad)} of {len(findings)} backups are not as they were written")
        if not known and self._request.wanted.name is not None:
            # A misspelt name should not look like a set that is sound.
            failures.append(
                f"no backup of the name {self._request.wanted.name!r} is there to check"
            )
        return Report(
            document={
                "action": "verify",
                "good": not failures,
                "checked": len(findings),
                "damaged": len(bad),
                "backups": [_document(one) for one in findings],
                "warnings": self._warnings,
            },
            table=Table(
                columns=("", "Backup", "Level", "Date", "Checked", "Problem"),
                rows=[_row(one) for one in findings],
            ),
            warnings=self._warnings,
            failures=failures,
        )


def _structure_problems(
    catalog: Catalog, stored: Stored, metadata: Mapping[str, Any], siblings: Sequence[Backup]
) -> Iterator[str]:
    """What can be told without reading: objects, sizes, the chain, the words of the metadata."""
    backup = stored.backup
    chain = [
        one
        for one in siblings
        if (one.name, one.id.level_zero_at) == (backup.name, backup.id.level_zero_at)
    ]
    levels = find_levels(chain, backup)
    if levels.missing is not None:
        yield f"level {levels.missing}, which it builds on, is missing"
    elif len(levels.backups) > 1:
        yield from _link_problems(catalog, levels.backups[-2], Link.of(backup, metadata))
    engine = metadata.get("engine_name")
    if engine not in (None, stored.engine):
        yield f"its metadata is of engine {engine}, and it lies in the folder of {stored.engine}"
    sizes = catalog.sizes(backup)
    expected = metadata.get("size")
    if "data" not in sizes:
        yield "its data is missing"
    elif isinstance(expected, int) and sizes["data"] != expected:
        yield f"its data has {sizes['data']} bytes, {expected} were written"
    for key, name, what in (
        ("state", "engine_metadata", "engine state"),
        ("index", "index", "index of files"),
    ):
        written = metadata.get(f"{key}_size")  # not in backups of releases before this one
        if metadata.get(f"{key}_sha256") is not None and name not in sizes:
            yield f"its {what} is missing"
        elif isinstance(written, int) and sizes.get(name, written) != written:
            yield f"its {what} has {sizes[name]} bytes, {written} were written"


def _link_problems(catalog: Catalog, below: Backup, upper: Link) -> Iterator[str]:
    try:
        check_links([Link.of(below, catalog.metadata(below)), upper])
    except Damaged as error:
        yield str(error)
    except ObjectNotFound:
        yield f"{below.label}, which it builds on, is missing"


def _still_there(catalog: Catalog, backup: Backup) -> bool:
    with contextlib.suppress(Damaged):
        try:
            catalog.metadata(backup)
        except ObjectNotFound:
            return False
    return True


def _document(finding: Finding) -> dict[str, object]:
    backup = finding.stored.backup
    return {
        "backup": backup.label,
        "hostname": backup.name.host,
        "backup_name": backup.name.name,
        "level": backup.level,
        "time_stamp": to_epoch(backup.taken_at),
        "size": finding.stored.size_bytes,
        "checked": finding.depth,
        "good": not finding.problems,
        "problems": finding.problems,
    }


def _row(finding: Finding) -> tuple[str, ...]:
    backup = finding.stored.backup
    return (
        "BAD" if finding.problems else "good",
        backup.label,
        str(backup.level),
        local_time(backup.taken_at),
        finding.depth,
        "; ".join(finding.problems),
    )
