"""Documents in an SQL database: SQLite, embedded, is the default.

Each document is one row of JSON text, and one narrow row for each of its terms, clustered by term
and then by sequence number: the list of a term's documents, oldest first. A search walks the
shortest list that it can and looks the other conditions up, so it never reads a collection.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from freezer_api.errors import DocumentExists, DocumentNotFound, StoreUnavailable, VersionConflict
from freezer_api.store import sql_bulk, sql_rows, sql_schema, sql_tallies
from freezer_api.store.base import (
    COUNTED,
    Collection,
    Contents,
    Document,
    Found,
    Page,
    Query,
    Scope,
    Stored,
)
from freezer_api.store.entries import check_id, document_of, entry_of, is_storable_id
from freezer_api.store.leaves import (
    Conditions,
    conditions_of,
    digest,
    exists_for,
    project_term,
    terms_of,
    watched_term_of,
)
from freezer_api.store.sql_keys import keys_of
from freezer_api.store.sql_search import Plan, count_of, plan_for, rows_of


def _new_stamp() -> str:
    return uuid.uuid4().hex


class SqlStore:
    """A DocumentStore and ManagedStore in the database of an SQLAlchemy URL.

    Nothing is connected before the first call. After a fork make a new one.
    """

    def __init__(
        self,
        connection: str,
        *,
        busy_seconds: float = sql_schema.BUSY_SECONDS,
        new_stamp: Callable[[], str] = _new_stamp,
    ) -> None:
        self._new_stamp = new_stamp
        self._engine = sql_schema.open_database(connection, busy_seconds)
        self._writer = self._engine.execution_options(writes=True)
        self._is_checked = False
        # SQLite has one writer. Threads queue here, where the wait is fair and costs nothing;
        # processes meet in the busy timeout of the database.
        embedded = self._engine.dialect.name == "sqlite"
        self._turn = threading.Lock() if embedded else nullcontext()

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """Read the document by its id, and judge the scope by what it holds."""
        with self._reading() as connection:
            row = _row_in_scope(connection, collection, scope, document_id)
        return _stored(row)

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        """Store document and terms in one transaction."""
        check_id(document_id)
        entry = entry_of(document)
        lists = keys_of(collection, entry.terms)
        row = {
            "id_digest": digest(collection, document_id),
            "collection": str(collection),
            "version": 1,
            "time_stamp": entry.time_stamp,
            "document_id": document_id,
            "document": entry.text,
        }
        with self._writing() as connection:
            try:
                seq = sql_rows.add(connection, row)
            except IntegrityError as error:
                raise DocumentExists(collection, document_id) from error
            sql_rows.enlist(connection, seq, lists)
            self._record(connection, collection, frozenset(), entry.terms)
        return Stored(document_id=document_id, document=document_of(entry.text), version=1)

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        """Store the document and the difference of its terms if the version is unchanged.

        What was there is read before the transaction: if it changes meanwhile, so does the
        version, and nothing is written.
        """
        entry = entry_of(document)
        with self._reading() as connection:
            row = _row(connection, collection, document_id)
        if row.version != version:
            raise VersionConflict(collection, document_id)
        terms_before = terms_of(document_of(row.document))
        gone = keys_of(collection, terms_before - entry.terms)
        fresh = keys_of(collection, entry.terms - terms_before)
        with self._writing() as connection:
            if not sql_rows.put(connection, row.seq, version, entry):
                _row(connection, collection, document_id)
                raise VersionConflict(collection, document_id)
            sql_rows.delist(connection, row.seq, gone)
            sql_rows.enlist(connection, row.seq, fresh)
            self._record(connection, collection, terms_before, entry.terms)
        return Stored(
            document_id=document_id, document=document_of(entry.text), version=version + 1
        )

    def delete(
        self, collection: Collection, scope: Scope, document_id: str, version: int | None = None
    ) -> None:
        """Remove the document and its terms in one transaction."""
        with self._writing() as connection:
            row = _row_in_scope(connection, collection, scope, document_id, lock=True)
            if version not in {None, row.version}:
                raise VersionConflict(collection, document_id)
            terms_before = terms_of(document_of(row.document))
            sql_rows.delist(connection, row.seq, keys_of(collection, terms_before))
            sql_rows.remove(connection, row.seq)
            self._record(connection, collection, terms_before, frozenset())

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """Walk the shortest list of documents that the query names."""
        conditions = conditions_of(query)
        with self._reading() as connection:
            plan = plan_for(connection, collection, scope, conditions, page.order)
            rows = rows_of(connection, plan, page)
        return [_stored(row) for row in rows]

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """The same. Totals are looked up or counted, the fingerprint is looked up first."""
        conditions = conditions_of(query)
        with self._reading() as connection:
            fingerprint = _fingerprint(connection, collection, query)
            plan = plan_for(connection, collection, scope, conditions, page.order)
            rows = rows_of(connection, plan, page)
            if len(rows) < page.limit and (rows or not page.offset):
                total: int | None = page.offset + len(rows)
            else:
                total = _total(connection, scope, plan)
        return Found(documents=[_stored(row) for row in rows], total=total, fingerprint=fingerprint)

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """Count along the shortest list of documents that the query names."""
        conditions = conditions_of(query)
        with self._reading() as connection:
            return count_of(connection, plan_for(connection, collection, scope, conditions))

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """Look the stamp up: that of the watched term in all projects, whatever the scope is."""
        del scope
        if watched_term_of(collection, query) is None:
            return None
        with self._reading() as connection:
            return _fingerprint(connection, collection, query)

    def walk(self, collection: Collection) -> Iterator[Stored]:
        """Read page after page along the list of all documents."""
        last = 0
        while True:
            with self._reading() as connection:
                rows = sql_bulk.read_page(connection, collection, last)
            if not rows:
                return
            yield from map(_stored, rows)
            last = rows[-1].seq

    def adopt(
        self, collection: Collection, batch: Sequence[Stored], *, overwrite: bool = False
    ) -> int:
        """Store the batch in one transaction."""
        if not overwrite:
            with self._reading() as connection:
                batch = sql_bulk.absent(connection, collection, batch)
        arrivals = sql_bulk.arrivals_of(collection, batch)
        with self._writing() as connection:
            sql_bulk.make_room(connection)
            known = sql_bulk.known_rows(connection, arrivals)
            fresh = [arrival for arrival in arrivals if arrival.key not in known]
            sql_bulk.add(connection, collection, fresh)
            changed = [
                arrival
                for arrival in arrivals
                if overwrite
                and arrival.key in known
                and sql_bulk.differs(known[arrival.key], arrival)
            ]
            for arrival in changed:
                sql_bulk.overwrite(connection, collection, known[arrival.key], arrival)
            moves = [(frozenset[str](), arrival.entry.terms) for arrival in fresh]
            moves += [
                (terms_of(document_of(known[arrival.key].document)), arrival.entry.terms)
                for arrival in changed
            ]
            sql_tallies.record(connection, collection, moves, self._new_stamp())
        return len(fresh) + len(changed)

    def ready(self) -> bool:
        """Whether the tables are there, in this program's version."""
        try:
            return sql_schema.schema_version(self._engine) == sql_schema.SCHEMA_VERSION
        except StoreUnavailable:
            return False

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def prepare(self) -> None:
        """Make the file (mode 0600) and the tables, or bring them to this program's version."""
        # Only here: a worker that serves requests never needs the library of the migrations.
        from freezer_api.store import sql_upgrade  # noqa: PLC0415

        with self._turn:
            sql_upgrade.prepare(self._engine)

    def upgrade(self, _tell: Callable[[str], None]) -> None:
        """The same as `prepare`, which brings older schemas forward."""
        self.prepare()

    def describe(self) -> list[Contents]:
        """Count each collection."""
        return sql_schema.describe(self._engine)

    def remove(self) -> None:
        """Drop the tables."""
        self._is_checked = False
        with self._turn:
            sql_schema.remove(self._engine)

    def _record(
        self,
        connection: Connection,
        collection: Collection,
        before: frozenset[str],
        after: frozenset[str],
    ) -> None:
        sql_tallies.record(connection, collection, [(before, after)], self._new_stamp())

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with sql_schema.translated(self._engine), self._engine.connect() as connection:
            if not self._is_checked:
                sql_schema.require_version(connection)
                self._is_checked = True
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with (
            sql_schema.translated(self._engine),
            self._turn,
            self._writer.begin() as connection,
        ):
            sql_schema.require_version(connection)
            yield connection


def _row(
    connection: Connection, collection: Collection, document_id: str, *, lock: bool = False
) -> Any:
    if not is_storable_id(document_id):
        raise DocumentNotFound(collection, document_id)
    row = sql_rows.find(connection, digest(collection, document_id), lock=lock)
    if row is None:
        raise DocumentNotFound(collection, document_id)
    return row


def _row_in_scope(
    connection: Connection,
    collection: Collection,
    scope: Scope,
    document_id: str,
    *,
    lock: bool = False,
) -> Any:
    row = _row(connection, collection, document_id, lock=lock)
    if not exists_for(scope, document_of(row.document)):
        raise DocumentNotFound(collection, document_id)
    return row


def _fingerprint(connection: Connection, collection: Collection, query: Query) -> str | None:
    term = watched_term_of(collection, query)
    return None if term is None else sql_tallies.stamp_of(connection, collection, term)


def _total(connection: Connection, scope: Scope, plan: Plan) -> int | None:
    if scope.project_id is not None and not scope.or_match and _is_everything(plan.conditions):
        term = project_term(scope.project_id)
        return sql_tallies.documents_with(connection, plan.collection, term)
    number = count_of(connection, plan, at_most=COUNTED + 1)
    return number if number <= COUNTED else None


def _is_everything(conditions: Conditions) -> bool:
    return not (conditions.every or conditions.none or conditions.some or conditions.bounded)


def _stored(row: Any) -> Stored:
    return Stored(
        document_id=row.document_id, document=document_of(row.document), version=row.version
    )
