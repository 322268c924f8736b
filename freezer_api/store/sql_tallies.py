"""What the SQL store knows by heart of some terms: how many documents have them, and a stamp.

A row is kept for the project of every document, for its number, and for each watched term
(`leaves.watched_terms`), for its stamp: chance, new with each transaction that writes a document
which has the term, or had it. Rows are written in the transaction of the document, so nobody ever
sees the one without the other, and last of all, in the order of their keys: writers that meet in
one row wait for each other, but never in a circle.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from freezer_api.store.base import Collection
from freezer_api.store.leaves import project_terms, watched_terms
from freezer_api.store.sql_keys import key_of
from freezer_api.store.sql_schema import tallies
from freezer_api.store.sql_statements import Prepared

Move = tuple[frozenset[str], frozenset[str]]
"""The terms of one document before and after a write; no terms: it is not there."""


def record(
    connection: Connection, collection: Collection, moves: Iterable[Move], stamp: str
) -> None:
    """Note what the writes of one transaction did to the numbers, and that there were some."""
    change: Counter[str] = Counter()
    touched: dict[str, int] = {}
    for before, after in moves:
        for terms, number in ((after, 1), (before, -1)):
            for term in project_terms(terms):
                change[term] += number
        # Watched terms are not counted, but every write of such a document is a change.
        touched |= dict.fromkeys(watched_terms(collection, before | after), 0)
    touched |= {term: number for term, number in change.items() if number}
    numbers = sorted((key_of(collection, term), number) for term, number in touched.items())
    rows = [{"term": key, "documents": number, "stamp": stamp} for key, number in numbers]
    if rows:
        _ADDITIONS[connection.dialect.name].run_for_each(connection, rows)


def documents_with(connection: Connection, collection: Collection, project_term: str) -> int:
    """How many documents the project has in the collection."""
    return int(_NUMBER.run(connection, {"key": key_of(collection, project_term)}).scalar() or 0)


def stamp_of(connection: Connection, collection: Collection, watched_term: str) -> str:
    """What the last write of a document with the watched term left; empty if there was none."""
    return str(_STAMP.run(connection, {"key": key_of(collection, watched_term)}).scalar() or "")


def _on_conflict(insertion: Any) -> Any:
    given = insertion.excluded
    return insertion.on_conflict_do_update(
        index_elements=[tallies.c.term],
        set_={"documents": tallies.c.documents + given.documents, "stamp": given.stamp},
    )


def _on_duplicate(insertion: Any) -> Any:
    given = insertion.inserted
    return insertion.on_duplicate_key_update(
        documents=tallies.c.documents + given.documents, stamp=given.stamp
    )


_COLUMNS = ("term", "documents", "stamp")
_ADDITIONS: dict[str, Prepared] = {
    "sqlite": Prepared(_on_conflict(sqlite.insert(tallies)), _COLUMNS),
    "postgresql": Prepared(_on_conflict(postgresql.insert(tallies)), _COLUMNS),
    "mysql": Prepared(_on_duplicate(mysql.insert(tallies)), _COLUMNS),
    "mariadb": Prepared(_on_duplicate(mysql.insert(tallies)), _COLUMNS),
}
_NUMBER = Prepared(select(tallies.c.documents).where(tallies.c.term == bindparam("key")))
_STAMP = Prepared(select(tallies.c.stamp).where(tallies.c.term == bindparam("key")))
