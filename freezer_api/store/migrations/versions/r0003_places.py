"""Keys of terms by their place: those of one value side by side (`sql_keys`)."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from freezer_api.store.base import Collection
from freezer_api.store.leaves import project_terms, terms_of, watched_terms
from freezer_api.store.sql_keys import key_of

revision = "0003"
down_revision = "0002"

_DIGEST = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
_BATCH = 500

_documents = sa.table(
    "freezer_documents",
    sa.column("seq", sa.BigInteger),
    sa.column("collection", sa.String),
    sa.column("document", sa.Text),
)
_terms = sa.table("freezer_terms", sa.column("term", _DIGEST), sa.column("seq", sa.BigInteger))
_gathered = sa.Table(
    "freezer_terms_gathered",
    sa.MetaData(),
    sa.Column("term", _DIGEST, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    prefixes=["TEMPORARY"],
)
_tallies = sa.table(
    "freezer_tallies",
    sa.column("term", _DIGEST),
    sa.column("documents", sa.BigInteger),
    sa.column("stamp", sa.String),
)


def upgrade() -> None:
    """Read every document once, then make the table of terms anew in the order of its keys.

    Documents are not touched, so a step that was killed finds all that it needs.
    """
    connection = op.get_bind()
    _gathered.drop(connection, checkfirst=True)
    _gathered.create(connection)
    numbers: Counter[bytes] = Counter()
    for batch in _batches(connection):
        rows = []
        for row in batch:
            collection, terms = Collection(row.collection), terms_of(json.loads(row.document))
            keys = {key_of(collection, term) for term in terms}
            rows += [{"term": key, "seq": row.seq} for key in keys]
            _count(numbers, collection, terms)
        connection.execute(sa.insert(_gathered), rows)
    _replace_terms(connection)
    _replace_tallies(connection, numbers)


def _batches(connection: sa.Connection) -> Iterator[list[Any]]:
    last = -1
    while True:
        after = sa.select(_documents).where(_documents.c.seq > last).order_by(_documents.c.seq)
        batch = list(connection.execute(after.limit(_BATCH)).all())
        if not batch:
            return
        yield batch
        last = batch[-1].seq


def _count(numbers: Counter[bytes], collection: Collection, terms: frozenset[str]) -> None:
    numbers.update(key_of(collection, term) for term in project_terms(terms))
    # Watched terms have a stamp and no number.
    numbers.update({key_of(collection, term): 0 for term in watched_terms(collection, terms)})


def _replace_terms(connection: sa.Connection) -> None:
    op.drop_table("freezer_terms", if_exists=True)
    op.create_table(
        "freezer_terms",
        sa.Column("term", _DIGEST, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    in_order = sa.select(_gathered.c.term, _gathered.c.seq).order_by(
        _gathered.c.term, _gathered.c.seq
    )
    connection.execute(sa.insert(_terms).from_select(["term", "seq"], in_order))
    _gathered.drop(connection)


def _replace_tallies(connection: sa.Connection, numbers: Counter[bytes]) -> None:
    connection.execute(sa.delete(_tallies))
    stamp = uuid.uuid4().hex  # never that of another upgrade of the same database
    rows = [{"term": term, "documents": number, "stamp": stamp} for term, number in numbers.items()]
    if rows:
        connection.execute(sa.insert(_tallies), rows)
