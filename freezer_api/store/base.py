"""What a document store is: collections of JSON documents, searched by exact values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Document = Mapping[str, Any]
Scalar = str | int | float | bool | None


class Collection(StrEnum):
    """The kinds of documents. Each lives in an id space of its own."""

    JOBS = "jobs"
    ACTIONS = "actions"
    SESSIONS = "sessions"
    CLIENTS = "clients"
    BACKUPS = "backups"
    RUNS = "runs"
    LEASES = "leases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose documents exist for a call.

    `project_id` None is all projects. `or_match` opens the scope for documents of any project
    that hold this (bare field name, value): central clients are seen by every project.
    """

    project_id: str | None
    or_match: tuple[str, Scalar] | None = None


EVERYWHERE = Scope(project_id=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which documents are wanted. The empty query wants all.

    A condition is (field, value). A field is a bare name, found at any depth and inside lists, or
    a dotted path from the top (list positions left out). Any occurrence may match; a missing
    field never equals. Values compare exactly, by type and text: 1 is neither "1" nor true.
    """

    match: tuple[tuple[str, Scalar], ...] = ()
    """All must hold."""
    match_not: tuple[tuple[str, Scalar], ...] = ()
    """None may hold; a document without the field stays."""
    match_or: tuple[tuple[tuple[str, Scalar], ...], ...] = ()
    """Of each group at least one must hold."""
    words: tuple[str, ...] = ()
    """Every word must occur among the document's values: as a whole value or as a whole word of
    one, never as a part of a word. Letter case does not matter."""
    time_after: int | None = None
    time_before: int | None = None
    """Inclusive epoch bounds on the document's time: `backup_metadata.time_stamp`, else
    `timestamp` there or at the top, else `job_schedule.time_started` (0 or later); with a bound, a document that has
    none of them is not found."""


class SortKey(StrEnum):
    """What a result can be ordered by."""

    CREATION = "creation"
    TIME = "time"
    """The document's time, as `Query.time_after` has it. Whatever the direction, documents
    without one come last, and equal ones in order of creation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a result is ordered. Oldest first, unless it is descending."""

    key: SortKey = SortKey.CREATION
    descending: bool = False


BY_CREATION = Order()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A window on the ordered result."""

    limit: int = 10
    offset: int = 0
    order: Order = BY_CREATION


COUNTED = 1000
"""How far a search counts what it found. More than that may be unknown; see `Found.total`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A document with its version, which grows with every replacement, starting at 1."""

    document_id: str
    document: Mapping[str, Any] = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of a search, and what is known of the whole result at that same moment."""

    documents: list[Stored]
    total: int | None
    """How many documents the query wants; None if they are more than COUNTED and the store does
    not know by heart. All documents of one project are always known."""
    fingerprint: str | None
    """As `DocumentStore.fingerprint` tells it. It never is younger than the documents."""


class DocumentStore(Protocol):
    """Keeps documents. Optimistic versions, no partial update.

    Every document has a text `project_id`. Order of a search is that of creation (then of id),
    which replacements never change, unless the page names another. What one call has written, the next call of the same
    process sees, `search` included; other processes see it within a second. An acknowledged
    write survives kill -9 of the process. Documents come back as they went in: all JSON types,
    key order of no meaning, every Unicode text.

    A document outside the scope does not exist for the call. Safe for use by several threads.
    Any call may raise StoreUnavailable, which changes nothing or is unknown to have done so.
    """

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """The document and its version. Raises DocumentNotFound."""
        ...

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        """Store a new document. Raises DocumentExists if the id is taken in any project.

        The id of a deleted document is free again.
        """
        ...

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        """Replace the document if its version is still `version`.

        Raises VersionConflict if it is not, DocumentNotFound if the document is gone. Exactly one
        of several callers with the same version succeeds.
        """
        ...

    def delete(
        self, collection: Collection, scope: Scope, document_id: str, version: int | None = None
    ) -> None:
        """Remove the document, if its version is still `version` where one is given.

        Raises DocumentNotFound, and VersionConflict if it was changed.
        """
        ...

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """The window `page` of all documents in scope that the query wants, in the page's order.

        Any offset works, also far beyond 10,000; past the end the list is empty. A page is
        shorter than its limit only at the end.
        """
        ...

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """As `search`, with what is known of the whole result."""
        ...

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """How many documents in scope the query wants, however many there are."""
        ...

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """A text that changes whenever the documents that the query wants change.

        It may change without need, never the other way round: equal fingerprints mean equal
        documents, in any process, also after `remove` or if a document is made anew. It costs
        less than reading documents, however many there are, so it is known for those queries
        only that `leaves.is_watched` names (the poll of a scheduler is one); None for all others.
        """
        ...

    def ready(self) -> bool:
        """Whether the store can be reached and has been made (see `freezer-manage db sync`)."""
        ...

    def close(self) -> None:
        """Release connections. The store is not used afterwards."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a store holds of one collection."""

    name: str
    """What the store itself calls it: an index, a table."""
    version: int
    """Of the schema that it was made with."""
    documents: int


class ManagedStore(DocumentStore, Protocol):
    """A store whose schema can be made and removed, as `freezer-manage db` and services do."""

    def prepare(self) -> None:
        """Make what is missing of the schema; nothing changes where all is there.

        Any number of processes may do so at the same time. Raises StoreUnavailable, also for a
        schema of a later version than this program's. An SQL store brings an earlier one up to
        date.
        """
        ...

    def upgrade(self, tell: Callable[[str], None]) -> None:
        """Bring the schema of an older release to this program's, telling what happens.

        May be killed and done again at any time; no document is lost. Raises StoreUnavailable.
        """
        ...

    def describe(self) -> list[Contents]:
        """What there is, one row for each collection; empty if nothing has been made."""
        ...

    def remove(self) -> None:
        """Remove every document and the schema. What is not there is no error."""
        ...
