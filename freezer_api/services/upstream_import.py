"""Moves a cloud over from freezer-api 19.0.0: every living row of its database becomes a document.

What is there already stays as it is, so an import that was interrupted is simply repeated, and one
that is repeated after the move never undoes what happened since.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from freezer_api.errors import BadRequest
from freezer_api.services.upstream_documents import (
    action_of,
    backup_of,
    client_of,
    job_of,
    session_of,
)
from freezer_api.store.base import Collection, Stored
from freezer_api.store.entries import check_id, entry_of
from freezer_api.store.transfer import PortableStore, Progress, Report, batches
from freezer_model.errors import InvalidDocument

Row = Mapping[str, Any]


class Rows(Protocol):
    """Gives the rows of a table, oldest first."""

    def __call__(self, table: str) -> Iterator[Row]:
        """Also those that are marked as deleted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A row that did not become a document."""

    table: str
    row_id: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Result:
    """What an import has done, or would do."""

    read: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    """Rows that 19.0.0 had marked as deleted."""
    written: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    """Documents that were there already."""
    skipped: list[Skipped] = field(default_factory=list)
    changed: list[Skipped] = field(default_factory=list)
    """Documents that came without a part which led nowhere."""


class UpstreamImport:
    """One import into `target`; None: only see what it would do."""

    def __init__(self, rows: Rows, target: PortableStore | None, report: Report) -> None:
        self._rows = rows
        self._target = target
        self._report = report
        self._result = Result()
        self._actions: dict[str, Stored] = {}
        self._jobs: set[str] = set()
        self._sessions: set[str] = set()

    def run(self) -> Result:
        """Import every table. Raises StoreUnavailable; what was written until then stays."""
        self._sessions = {row["id"] for row in self._rows("sessions") if not row["deleted"]}
        self._take(Collection.CLIENTS, client_of)
        self._take(Collection.ACTIONS, action_of, self._remember_action)
        self._take(Collection.JOBS, self._job_converter())
        self._take(Collection.SESSIONS, self._session)
        self._take(Collection.BACKUPS, backup_of)
        return self._result

    def _take(
        self,
        collection: Collection,
        convert: Callable[[Row], Stored],
        remember: Callable[[Stored], None] = lambda _stored: None,
    ) -> None:
        converted = self._converted(collection, convert, remember)
        for batch in batches(converted):
            written = len(batch)
            if self._target is not None:
                written = self._target.adopt(collection, batch)
            self._result.written[collection] += written
            self._result.present[collection] += len(batch) - written
            self._report(
                Progress(
                    collection=collection,
                    seen=self._result.read[collection],
                    written=self._result.written[collection],
                )
            )

    def _converted(
        self,
        collection: Collection,
        convert: Callable[[Row], Stored],
        remember: Callable[[Stored], None],
    ) -> Iterator[Stored]:
        seen: set[str] = set()
        for row in self._rows(str(collection)):
            self._result.read[collection] += 1
            if row["deleted"]:
                self._result.deleted[collection] += 1
                continue
            try:
                stored = convert(row)
                check_id(stored.document_id)
                entry_of(stored.document)  # what cannot be kept must not spoil its batch
            except (InvalidDocument, BadRequest) as error:
                self._skip(collection, row, str(error))
                continue
            if stored.document_id in seen:
                self._skip(collection, row, "is registered twice; the older one was taken")
                continue
            seen.add(stored.document_id)
            remember(stored)
            yield stored

    def _skip(self, collection: Collection, row: Row, reason: str) -> None:
        skipped = Skipped(table=str(collection), row_id=str(row["id"]), reason=reason)
        self._result.skipped.append(skipped)

    def _change(self, collection: Collection, row: Row, reason: str) -> None:
        changed = Skipped(table=str(collection), row_id=str(row["id"]), reason=reason)
        self._result.changed.append(changed)

    def _remember_action(self, stored: Stored) -> None:
        self._actions[stored.document_id] = stored

    def _job_converter(self) -> Callable[[Row], Stored]:
        links: defaultdict[str, list[Row]] = defaultdict(list)
        for link in self._rows("job_actions"):
            if not link["deleted"]:
                links[link["job_id"]].append(link)
        credentials = {
            row["job_id"]: row for row in self._rows("user_credentials") if not row["deleted"]
        }

        def convert(row: Row) -> Stored:
            ordered = sorted(links[row["id"]], key=lambda link: link["position"] or 0)
            names = [link["action_id"] for link in ordered]
            actions = [self._actions[name] for name in names if name in self._actions]
            if len(actions) < len(names):
                self._change(Collection.JOBS, row, "uses an action that is gone: left out")
            if row["session_id"] and row["session_id"] not in self._sessions:
                self._change(Collection.JOBS, row, "is of a session that is gone: is of none now")
                row = {**row, "session_id": "", "session_tag": 0}
            stored = job_of(row, actions, credentials.get(row["id"]))
            self._jobs.add(stored.document_id)
            return stored

        return convert

    def _session(self, row: Row) -> Stored:
        stored = session_of(row)
        members = stored.document["jobs"]
        living = {job_id: member for job_id, member in members.items() if job_id in self._jobs}
        if len(living) < len(members):
            self._change(Collection.SESSIONS, row, "has members that are gone: left out")
        document = {**stored.document, "jobs": living}
        return Stored(document_id=stored.document_id, document=document, version=1)
