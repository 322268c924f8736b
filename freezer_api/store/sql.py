"""Documents in an SQL database: SQLite, embedded, is the default.

Each document is one row of JSON text, and one narrow row for each of its terms, clustered by term
and then by sequence number: the list of a term's documents, oldest first. A search walks the
shortest list that it can and looks the other conditions up, so it never reads a collection.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from freezer_api.errors import DocumentExists, DocumentNotFound, StoreUnavailable, VersionConflict
from freezer_api.store import sql_schema
from freezer_api.store.base import Collection, Contents, Document, Page, Query, Scope, Stored
from freezer_api.store.entries import Entry, check_id, document_of, entry_of, is_storable_id
from freezer_api.store.leaves import (
    Conditions,
    collection_term,
    conditions_of,
    digest,
    exists_for,
    scope_terms,
    terms_of,
)
from freezer_api.store.sql_schema import documents, terms

COUNTED = 1000
"""How far lists are counted to find the shortest. Above it, one is as good as another."""

_FARTHEST = 2**62  # windows are cut to the integers that databases know


class SqlStore:
    """A DocumentStore and ManagedStore in the database of an SQLAlchemy URL.

    Nothing is connected before the first call. After a fork make a new one.
    """

    def __init__(self, connection: str, *, busy_seconds: float = sql_schema.BUSY_SECONDS) -> None:
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
        lists = _digests(collection, entry.terms)
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
                seq = _insert(connection, row)
            except IntegrityError as error:
                raise DocumentExists(collection, document_id) from error
            _add(connection, seq, lists)
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
        before = _digests(collection, terms_of(document_of(row.document)))
        after = _digests(collection, entry.terms)
        with self._writing() as connection:
            if not _put(connection, row.seq, version, entry):
                _row(connection, collection, document_id)
                raise VersionConflict(collection, document_id)
            _drop(connection, row.seq, before - after)
            _add(connection, row.seq, after - before)
        return Stored(
            document_id=document_id, document=document_of(entry.text), version=version + 1
        )

    def delete(self, collection: Collection, scope: Scope, document_id: str) -> None:
        """Remove the document and its terms in one transaction."""
        with self._writing() as connection:
            row = _row_in_scope(connection, collection, scope, document_id, lock=True)
            _drop(connection, row.seq, _digests(collection, terms_of(document_of(row.document))))
            connection.execute(delete(documents).where(documents.c.seq == row.seq))

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """Walk the shortest list of documents that the query names."""
        conditions = conditions_of(query)
        lists = _lists(collection, scope, conditions)
        with self._reading() as connection:
            walked = _choose_shortest(connection, lists)
            others = [each for each in lists if each is not walked]
            barred = _digests(collection, conditions.none)
            wanted = (
                _walk(walked)
                .where(*_is_on_all(others))
                .where(*([~_is_on(barred)] if barred else []))
                .where(*([_in_time(conditions)] if conditions.bounded else []))
                .limit(min(page.limit, _FARTHEST))
                .offset(min(page.offset, _FARTHEST))
                .subquery()
            )
            rows = connection.execute(
                select(documents)
                .join(wanted, documents.c.seq == wanted.c.seq)
                .order_by(documents.c.seq)
            ).all()
        return [_stored(row) for row in rows]

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

    def describe(self) -> list[Contents]:
        """Count each collection."""
        return sql_schema.describe(self._engine)

    def remove(self) -> None:
        """Drop the tables."""
        self._is_checked = False
        with self._turn:
            sql_schema.remove(self._engine)

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
    statement = select(documents).where(documents.c.id_digest == digest(collection, document_id))
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
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


def _stored(row: Any) -> Stored:
    return Stored(
        document_id=row.document_id, document=document_of(row.document), version=row.version
    )


def _insert(connection: Connection, row: dict[str, Any]) -> int:
    key: Any = connection.execute(insert(documents).values(row)).inserted_primary_key
    return int(key.seq)


def _put(connection: Connection, seq: int, version: int, entry: Entry) -> bool:
    result = connection.execute(
        update(documents)
        .where(documents.c.seq == seq, documents.c.version == version)
        .values(version=version + 1, time_stamp=entry.time_stamp, document=entry.text)
    )
    return result.rowcount == 1


def _digests(collection: Collection, some_terms: Iterable[str]) -> frozenset[bytes]:
    return frozenset(digest(collection, term) for term in some_terms)


def _add(connection: Connection, seq: int, lists: frozenset[bytes]) -> None:
    if lists:
        connection.execute(insert(terms), [{"term": each, "seq": seq} for each in sorted(lists)])


def _drop(connection: Connection, seq: int, lists: frozenset[bytes]) -> None:
    if lists:
        connection.execute(_DROP, [{"its_term": each, "its_seq": seq} for each in sorted(lists)])


def _lists(collection: Collection, scope: Scope, conditions: Conditions) -> list[frozenset[bytes]]:
    """What a wanted document is on: one or several term lists per condition."""
    opening = scope_terms(scope) or {collection_term()}
    lists = [_digests(collection, opening)]
    lists += [_digests(collection, {term}) for term in sorted(conditions.every)]
    if conditions.some:
        lists.append(_digests(collection, conditions.some))
    return lists


def _choose_shortest(connection: Connection, lists: list[frozenset[bytes]]) -> frozenset[bytes]:
    if len(lists) == 1:
        return lists[0]
    counts = connection.execute(select(*(_bounded_count(each) for each in lists))).one()
    # Equally long: a single list comes in order by itself, several must be sorted.
    ranked = zip(counts, (len(each) > 1 for each in lists), range(len(lists)), strict=True)
    return lists[min(ranked)[2]]


def _bounded_count(lists: frozenset[bytes]) -> Any:
    some = select(literal(1)).where(terms.c.term.in_(lists)).limit(COUNTED).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _walk(lists: frozenset[bytes]) -> Select[Any]:
    walked = _walked.c
    if len(lists) == 1:
        return select(walked.seq).where(walked.term == next(iter(lists))).order_by(walked.seq)
    return select(walked.seq).distinct().where(walked.term.in_(lists)).order_by(walked.seq)


def _is_on_all(lists: list[frozenset[bytes]]) -> list[ColumnElement[bool]]:
    """The lists of one term each are looked up together: hundreds of conditions stay one step.

    A count, because PostgreSQL makes a join of each EXISTS and plans 256 of them for 40 seconds.
    """
    single = frozenset().union(*(each for each in lists if len(each) == 1))
    steps = [_is_on(each) for each in lists if len(each) > 1]
    if single:
        looked_up = terms.alias()
        found = select(func.count()).where(
            looked_up.c.term.in_(single), looked_up.c.seq == _walked.c.seq
        )
        steps.append(found.scalar_subquery() == len(single))
    return steps


def _is_on(lists: frozenset[bytes]) -> ColumnElement[bool]:
    looked_up = terms.alias()
    return exists().where(looked_up.c.term.in_(lists), looked_up.c.seq == _walked.c.seq)


def _in_time(conditions: Conditions) -> ColumnElement[bool]:
    bounds = []
    if conditions.time_after is not None:
        bounds.append(documents.c.time_stamp >= conditions.time_after)
    if conditions.time_before is not None:
        bounds.append(documents.c.time_stamp <= conditions.time_before)
    return exists().where(documents.c.seq == _walked.c.seq, and_(*bounds))


_walked = terms.alias("walked")
_DROP = delete(terms).where(
    terms.c.term == bindparam("its_term"), terms.c.seq == bindparam("its_seq")
)
