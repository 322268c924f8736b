"""One document in the SQL store: its row, and its places on the lists of its terms."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, select, update

from freezer_api.store.entries import Entry
from freezer_api.store.sql_schema import documents, terms
from freezer_api.store.sql_statements import Prepared


def find(connection: Connection, key: bytes, *, lock: bool = False) -> Any:
    """The row of the document, None if there is none."""
    return (_FIND_LOCKED if lock else _FIND).run(connection, {"key": key}).one_or_none()


def add(connection: Connection, row: Mapping[str, Any]) -> int:
    """Insert the row; returns its sequence number."""
    if connection.dialect.name == "postgresql":
        return int(_INSERT_RETURNING.run(connection, row).scalar_one())
    return int(_INSERT.run(connection, row).lastrowid)


def add_all(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows in this order."""
    _INSERT.run_for_each(connection, rows)


def put(connection: Connection, seq: int, version: int, entry: Entry) -> bool:
    """Make the row the next version of the document; False if it has not this version."""
    values = {
        "seq_now": seq,
        "version_now": version,
        "version_next": version + 1,
        "time_stamp_next": entry.time_stamp,
        "document_next": entry.text,
    }
    return _PUT.run(connection, values).rowcount == 1


def remove(connection: Connection, seq: int) -> None:
    """Delete the row."""
    _REMOVE.run(connection, {"seq_now": seq})


def enlist(connection: Connection, seq: int, lists: frozenset[bytes]) -> None:
    """Put the document on the lists."""
    _ENLIST.run_for_each(connection, [{"term": each, "seq": seq} for each in sorted(lists)])


def enlist_all(connection: Connection, lists: Iterable[tuple[bytes, list[int]]]) -> None:
    """Put several documents on each list. Quickest if the lists come in the order of their keys."""
    if connection.dialect.name == "sqlite":
        _enlist_on_sqlite(connection, lists)
        return
    pairs = [{"term": key, "seq": seq} for key, seqs in lists for seq in seqs]
    _ENLIST.run_for_each(connection, pairs)


def _enlist_on_sqlite(connection: Connection, lists: Iterable[tuple[bytes, list[int]]]) -> None:
    """The loop over a long list's numbers is the database's and not ours: a third less."""
    alone: Any = []
    several: Any = []
    for key, seqs in lists:
        if len(seqs) == 1:
            alone.append((key, seqs[0]))
        else:
            several.append((key, json.dumps(seqs)))
    if alone:
        connection.exec_driver_sql(_ENLIST_ONE, alone)
    if several:
        connection.exec_driver_sql(_ENLIST_ALL, several)


def delist(connection: Connection, seq: int, lists: frozenset[bytes]) -> None:
    """Take the document off the lists."""
    _DELIST.run_for_each(connection, [{"its_term": each, "its_seq": seq} for each in sorted(lists)])


_COLUMNS = ("id_digest", "collection", "version", "time_stamp", "document_id", "document")
_BY_KEY = select(documents).where(
    documents.c.id_digest == bindparam("key", type_=documents.c.id_digest.type)
)
_FIND = Prepared(_BY_KEY)
_FIND_LOCKED = Prepared(_BY_KEY.with_for_update())
_INSERT = Prepared(insert(documents).inline(), _COLUMNS)
_INSERT_RETURNING = Prepared(insert(documents).returning(documents.c.seq), _COLUMNS)
_PUT = Prepared(
    update(documents)
    .where(documents.c.seq == bindparam("seq_now"), documents.c.version == bindparam("version_now"))
    .values(
        version=bindparam("version_next"),
        time_stamp=bindparam("time_stamp_next", type_=BigInteger),
        document=bindparam("document_next"),
    )
)
_REMOVE = Prepared(delete(documents).where(documents.c.seq == bindparam("seq_now")))
_ENLIST = Prepared(insert(terms).inline(), ("term", "seq"))
_ENLIST_ONE = "INSERT INTO freezer_terms (term, seq) VALUES (?, ?)"
_ENLIST_ALL = "INSERT INTO freezer_terms (term, seq) SELECT ?, value FROM json_each(?)"
_DELIST = Prepared(
    delete(terms).where(terms.c.term == bindparam("its_term"), terms.c.seq == bindparam("its_seq"))
)
