"""What is known by heart of projects and polls, and an index of times."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from freezer_api.store.base import Collection
from freezer_api.store.leaves import (
    digest,
    is_project_term,
    terms_of,
    time_stamp_of,
    watched_terms,
)

revision = "0002"
down_revision = "0001"

_DIGEST = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
_BATCH = 500

_documents = sa.table(
    "freezer_documents",
    sa.column("seq", sa.BigInteger),
    sa.column("collection", sa.String),
    sa.column("time_stamp", sa.BigInteger),
    sa.column("document", sa.Text),
)
_tallies = sa.table(
    "freezer_tallies",
    sa.column("term", _DIGEST),
    sa.column("documents", sa.BigInteger),
    sa.column("stamp", sa.String),
)


def upgrade() -> None:
    """Make table and index, then read every document once. Nothing is counted twice."""
    op.create_table(
        "freezer_tallies",
        sa.Column("term", _DIGEST, primary_key=True),
        sa.Column("documents", sa.BigInteger, nullable=False),
        sa.Column("stamp", sa.String(64), nullable=False),
        if_not_exists=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "freezer_documents_in_time",
        "freezer_documents",
        ["collection", "time_stamp", "seq"],
        if_not_exists=True,
    )
    connection = op.get_bind()
    connection.execute(sa.delete(_tallies))
    numbers: Counter[bytes] = Counter()
    for batch in _batches(connection):
        for row in batch:
            document = json.loads(row.document)
            _take_run_time(connection, row, document)
            _count(numbers, Collection(row.collection), terms_of(document))
    stamp = uuid.uuid4().hex  # never that of another upgrade of the same database
    rows = [{"term": term, "documents": number, "stamp": stamp} for term, number in numbers.items()]
    if rows:
        connection.execute(sa.insert(_tallies), rows)


def _batches(connection: sa.Connection) -> Iterator[list[Any]]:
    last = -1
    while True:
        after = sa.select(_documents).where(_documents.c.seq > last).order_by(_documents.c.seq)
        batch = list(connection.execute(after.limit(_BATCH)).all())
        if not batch:
            return
        yield batch
        last = batch[-1].seq


def _take_run_time(connection: sa.Connection, row: Any, document: dict[str, Any]) -> None:
    """Jobs have a time since this version: that of their last run."""
    time = time_stamp_of(document)
    if time != row.time_stamp:
        of_it = _documents.c.seq == row.seq
        connection.execute(sa.update(_documents).where(of_it).values(time_stamp=time))


def _count(numbers: Counter[bytes], collection: Collection, terms: frozenset[str]) -> None:
    numbers.update(digest(collection, term) for term in terms if is_project_term(term))
    # Watched terms have a stamp and no number.
    numbers.update({digest(collection, term): 0 for term in watched_terms(collection, terms)})
