"""What the tag of a search for jobs depends on, so that a poll can be answered without reading any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freezer_api.identity.context import Context
from freezer_api.services.tags import tag_of_bytes, text_of
from freezer_api.store.base import Page, Query, Stored
from freezer_api.store.leaves import WATCHED_FIELD


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsAsked:
    """A search for jobs, as a caller makes it."""

    criteria: Mapping[str, Any]
    page: Page
    everywhere: bool
    """Of all projects."""
    sees_processes: bool
    """With the process ids of clients that belong to other projects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """What the search found. The tag, if any, changes with every page of the search."""

    documents: list[dict[str, Any]]
    total: int | None
    tag: str | None


def search_tag(
    context: Context, asked: JobsAsked, fingerprint: str, *, client_is_foreign: bool
) -> str:
    """The tag of all that an answer is made of: who asks for what, and the state of the store."""
    return tag_of_bytes(
        text_of(asked.criteria),
        None if asked.everywhere else context.project_id,
        context.own_project_id,
        (asked.page.limit, asked.page.offset, asked.page.order),
        asked.sees_processes,
        client_is_foreign,
        fingerprint,
    )


def watched_client(query: Query) -> str | None:
    """The client whose jobs are asked for."""
    asked = (value for field, value in query.match if field == WATCHED_FIELD)
    return next((value for value in asked if isinstance(value, str)), None)


def are_all_of(client_id: str, jobs: Sequence[Stored]) -> bool:
    """Whether the jobs are that client's. Others may hold its id at some depth of their own."""
    return all(job.document["client_id"] == client_id for job in jobs)
