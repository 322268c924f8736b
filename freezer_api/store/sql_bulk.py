"""Many documents at once in the SQL store: one transaction for a batch, terms in their order.

Terms of a batch are written sorted, as the table keeps them. Each of its pages is then visited once
for a batch and not once for a document, which is most of the difference to single insertions.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from freezer_api.store import sql_rows
from freezer_api.store.base import Collection, Stored
from freezer_api.store.entries import Entry, check_id, document_of, entry_of
from freezer_api.store.leaves import collection_term, digest, terms_of
from freezer_api.store.sql_keys import fresh_key_of, key_of, keys_of
from freezer_api.store.sql_schema import documents, terms

_WALKED = 1000
"""Documents that are read at a time: about a megabyte."""
_ROOM_KIB = 128 * 1024
_LOOKED_UP = 500
"""Keys in one statement; SQLite takes 32,766 values, older ones 999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A document that is to be stored, worked out before the transaction."""

    key: bytes
    stored: Stored
    entry: Entry

    def row(self, collection: Collection) -> dict[str, Any]:
        """The row in the table of documents."""
        return {
            "id_digest": self.key,
            "collection": str(collection),
            "version": self.stored.version,
            "time_stamp": self.entry.time_stamp,
            "document_id": self.stored.document_id,
            "document": self.entry.text,
        }


def make_room(connection: Connection) -> None:
    """Let SQLite keep the pages of a whole batch until it is committed, from now on.

    The terms of a batch dirty more pages than a worker's cache holds. Those that have no place are
    written before their time, and again: 26 KB instead of 11 for each backup, of 60,000.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size = -{_ROOM_KIB}")


def arrivals_of(collection: Collection, batch: Sequence[Stored]) -> list[Arrival]:
    """The batch, checked; of equal ids the first counts. Raises BadRequest."""
    arrivals: dict[bytes, Arrival] = {}
    for stored in batch:
        check_id(stored.document_id)
        key = digest(collection, stored.document_id)
        arrivals.setdefault(key, Arrival(key=key, stored=stored, entry=entry_of(stored.document)))
    return list(arrivals.values())


def read_page(connection: Connection, collection: Collection, after: int) -> list[Any]:
    """The oldest rows of the collection whose sequence number is higher than `after`."""
    everything = key_of(collection, collection_term())
    page = (
        select(terms.c.seq)
        .where(terms.c.term == everything, terms.c.seq > after)
        .order_by(terms.c.seq)
        .limit(_WALKED)
        .subquery()
    )
    statement = select(documents).join(page, documents.c.seq == page.c.seq)
    return list(connection.execute(statement.order_by(documents.c.seq)).all())


def absent(
    connection: Connection, collection: Collection, batch: Sequence[Stored]
) -> Sequence[Stored]:
    """Those that are not there: a filling which is taken up again need not work out the others."""
    keys = [digest(collection, stored.document_id) for stored in batch]
    there: set[bytes] = set()
    for some in _slices(keys, _LOOKED_UP):
        column = select(documents.c.id_digest).where(documents.c.id_digest.in_(some))
        there.update(map(bytes, connection.scalars(column)))
    return [stored for key, stored in zip(keys, batch, strict=True) if key not in there]


def known_rows(connection: Connection, arrivals: Sequence[Arrival]) -> dict[bytes, Any]:
    """The rows that are there already, by their keys."""
    found = {}
    for some in _slices([arrival.key for arrival in arrivals], _LOOKED_UP):
        rows = connection.execute(select(documents).where(documents.c.id_digest.in_(some)))
        found.update({bytes(row.id_digest): row for row in rows})
    return found


def add(connection: Connection, collection: Collection, arrivals: Sequence[Arrival]) -> None:
    """Insert documents that are not there, with their terms."""
    if not arrivals:
        return
    sql_rows.add_all(connection, [arrival.row(collection) for arrival in arrivals])
    numbers: dict[bytes, int] = {}
    for some in _slices([arrival.key for arrival in arrivals], _LOOKED_UP):
        columns = select(documents.c.id_digest, documents.c.seq)
        rows = connection.execute(columns.where(documents.c.id_digest.in_(some)))
        numbers.update({bytes(row.id_digest): row.seq for row in rows})
    lists: defaultdict[str, list[int]] = defaultdict(list)
    for arrival in arrivals:
        seq = numbers[arrival.key]
        for term in arrival.entry.terms:
            lists[term].append(seq)
    by_key = sorted((fresh_key_of(collection, term), seqs) for term, seqs in lists.items())
    sql_rows.enlist_all(connection, by_key)


def overwrite(connection: Connection, collection: Collection, row: Any, arrival: Arrival) -> None:
    """Make a row the same as the arrival; it keeps its place in the order."""
    connection.execute(
        update(documents).where(documents.c.seq == row.seq).values(arrival.row(collection))
    )
    before = keys_of(collection, terms_of(document_of(row.document)))
    after = keys_of(collection, arrival.entry.terms)
    sql_rows.delist(connection, row.seq, before - after)
    sql_rows.enlist(connection, row.seq, after - before)


def differs(row: Any, arrival: Arrival) -> bool:
    """Whether the row is another version or another document."""
    return bool(
        row.version != arrival.stored.version
        or (row.document != arrival.entry.text and document_of(row.document) != _plain(arrival))
    )


def _plain(arrival: Arrival) -> dict[str, Any]:
    return document_of(arrival.entry.text)


def _slices(keys: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
