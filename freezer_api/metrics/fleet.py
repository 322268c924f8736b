"""How the backups of all projects stand, as the documents tell it: read from the store, and kept.

The absence of a backup leaves no trace of its own; that a job's last success grows old does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from freezer_api.store.base import EVERYWHERE, Collection, DocumentStore, Page, Query
from freezer_model.errors import InvalidDocument
from freezer_model.job import JobResult, JobState, JobStatus
from freezer_model.schedule import Schedule

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFact:
    """What matters of one job that will run again. Instants are epoch seconds, as in documents."""

    project_id: str
    client_id: str
    job_id: str
    succeeded_at: int
    """The end of its last success; before the first one, its creation."""
    has_succeeded: bool
    interval_seconds: int
    """0 for schedules other than intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFact:
    """A registered client."""

    project_id: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All jobs and clients, in short."""

    jobs_by_status: Mapping[str, int]
    jobs: tuple[JobFact, ...]
    clients: tuple[ClientFact, ...]
    left_out: int
    """Jobs and clients beyond the limit."""


def read_fleet(store: DocumentStore, limit: int) -> Fleet:
    """Read every job and client of the store, page by page; no more than `limit` of each are kept.

    Documents that came by other ways and cannot be read count as jobs without a status. Raises
    StoreUnavailable.
    """
    by_status = dict.fromkeys((str(status) or "new" for status in JobStatus), 0)
    jobs: list[JobFact] = []
    clients: list[ClientFact] = []
    left_out = 0
    for document in _all(store, Collection.JOBS):
        state = _state(document)
        by_status[str(state.status) or "new"] += 1
        if state.status is JobStatus.COMPLETED:
            continue
        if len(jobs) < limit:
            jobs.append(_job_fact(document, state))
        else:
            left_out += 1
    for document in _all(store, Collection.CLIENTS):
        if len(clients) < limit:
            clients.append(_client_fact(document))
        else:
            left_out += 1
    return Fleet(
        jobs_by_status=by_status, jobs=tuple(jobs), clients=tuple(clients), left_out=left_out
    )


def _all(store: DocumentStore, collection: Collection) -> Iterator[Mapping[str, Any]]:
    offset = 0
    while True:
        page = store.search(collection, EVERYWHERE, Query(), Page(limit=_PAGE, offset=offset))
        for stored in page:
            yield stored.document
        offset += len(page)
        if len(page) < _PAGE:
            return


def _state(document: Mapping[str, Any]) -> JobState:
    try:
        return JobState.from_document(document.get("job_schedule") or {})
    except (InvalidDocument, AttributeError):
        return JobState()


def _job_fact(document: Mapping[str, Any], state: JobState) -> JobFact:
    succeeded_at = state.time_succeeded
    if succeeded_at <= 0 and state.result is JobResult.SUCCESS:
        succeeded_at = state.time_ended  # kept by a release that did not write time_succeeded
    has_succeeded = succeeded_at > 0
    return JobFact(
        project_id=str(document.get("project_id", "")),
        client_id=str(document.get("client_id", "")),
        job_id=str(document.get("job_id", "")),
        succeeded_at=succeeded_at if has_succeeded else max(state.time_created, 0),
        has_succeeded=has_succeeded,
        interval_seconds=_interval_seconds(document),
    )


def _interval_seconds(document: Mapping[str, Any]) -> int:
    try:
        interval = Schedule.from_document(document.get("job_schedule") or {}).interval
    except (InvalidDocument, TypeError):
        return 0
    return int(interval.total_seconds()) if interval else 0


def _client_fact(document: Mapping[str, Any]) -> ClientFact:
    client = document.get("client")
    client_id = client.get("client_id", "") if isinstance(client, Mapping) else ""
    return ClientFact(project_id=str(document.get("project_id", "")), client_id=str(client_id))
