"""The keys of term lists in the SQL store, made so that what is written together lies together.

A value is found by its field, its dotted path and its words. With keys that scatter, those are as
many places in the table, and each time stamp of a new document is another one: at 160,000 backups a
new one wrote 90 KB while a store was filled, and 60 with these keys, growing half as fast.
"""

import functools
import zlib
from collections.abc import Iterable

from freezer_api.store.base import Collection
from freezer_api.store.leaves import digest, value_of

PLACE_BYTES = 4
_SHORT = 200
_REMEMBERED = 32_768
"""Most terms of a document are those of thousands of others. Some 8 MiB."""
_DIGITS = frozenset("0123456789")
_LONGEST = 18
_PLACES = 1 << (8 * PLACE_BYTES)


def key_of(collection: Collection, term: str) -> bytes:
    """128 bits: the place of the term's value, then 96 bits of the digest of the whole term."""
    known = _remembered if len(term) <= _SHORT else fresh_key_of
    return known(collection, term)


def keys_of(collection: Collection, terms: Iterable[str]) -> frozenset[bytes]:
    """The keys of the terms."""
    return frozenset([key_of(collection, term) for term in terms])


def fresh_key_of(collection: Collection, term: str) -> bytes:
    """The same without a look at what is remembered: quicker where most terms are new."""
    return _place_of(value_of(term)) + digest(collection, term)[PLACE_BYTES:]


def _place_of(value: str) -> bytes:
    """The same for all terms of a value. Numbers keep their order, so times follow each other."""
    if value[:1] in _DIGITS:
        whole = value.partition(".")[0]
        if whole.isascii() and whole.isdigit() and len(whole) <= _LONGEST:
            return (int(whole) % _PLACES).to_bytes(PLACE_BYTES, "big")
    checksum = zlib.crc32(value.casefold().encode("utf-8", "surrogatepass"))
    return checksum.to_bytes(PLACE_BYTES, "big")


_remembered = functools.lru_cache(maxsize=_REMEMBERED)(fresh_key_of)
