"""Whole collections at once: how documents move from one store to another, and how that is proved.

A store that can be walked and filled like this is portable. Nothing here knows what kind it is.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from freezer_api.errors import ApiError
from freezer_api.store.base import Collection, ManagedStore, Stored

BATCH = 2000
"""Documents that move together: two megabytes, a second or two of one writer."""


class PortableStore(ManagedStore, Protocol):
    """A store whose documents can be read and written in bulk."""

    def walk(self, collection: Collection) -> Iterator[Stored]:
        """Every document of the collection, oldest first, a few at a time in memory.

        What is written meanwhile may be seen or not.
        """
        ...

    def adopt(
        self, collection: Collection, batch: Sequence[Stored], *, overwrite: bool = False
    ) -> int:
        """Store documents as they are, versions included, in this order after all others.

        One whose id is there already is left alone, or with `overwrite` made the same, in its
        old place. All of them or none are stored where the store has transactions; elsewhere a
        call that failed is repeated. Returns how many were written. Raises BadRequest.
        """
        ...


class TransferRefused(ApiError):
    """The two stores are not such that one can become the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a collection holds, in a form that two stores can be compared by."""

    documents: int
    digest: str
    """Of ids, versions and documents, whatever order and store they are in."""
    order_digest: str
    """Of the ids in their order of creation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a transfer is."""

    collection: Collection
    seen: int
    written: int


Report = Callable[[Progress], None]


def copy(source: PortableStore, target: PortableStore, report: Report) -> dict[Collection, Summary]:
    """Make `target`, which must be ready, hold what `source` holds.

    Killed halfway it is simply called again: what is there is compared, not written. Raises
    TransferRefused if the target holds what the source does not (then nothing was written), or
    differs in the end, since somebody wrote meanwhile.
    """
    for collection in Collection:
        _require_only_copies(source, target, collection)
    for collection in Collection:
        fill(target, collection, source.walk(collection), report, overwrite=True)
    return verify(source, target)


def fill(
    target: PortableStore,
    collection: Collection,
    documents: Iterable[Stored],
    report: Report,
    *,
    overwrite: bool = False,
) -> int:
    """Adopt the documents batch by batch; returns how many were written."""
    seen = written = 0
    for batch in batches(documents):
        written += target.adopt(collection, batch, overwrite=overwrite)
        seen += len(batch)
        report(Progress(collection=collection, seen=seen, written=written))
    return written


def verify(source: PortableStore, target: PortableStore) -> dict[Collection, Summary]:
    """Compare count, digest and order of every collection. Raises TransferRefused."""
    summaries = {}
    for collection in Collection:
        ours = summarize(source, collection)
        theirs = summarize(target, collection)
        if ours != theirs:
            raise TransferRefused(
                f"The {collection} differ: {ours.documents} documents with digest "
                f"{ours.digest[:12]} in the source, {theirs.documents} with {theirs.digest[:12]} in "
                "the target. Somebody writes to one of them: stop every freezer-api and run the "
                "command again. If it says the same then, remove the target and start anew"
            )
        summaries[collection] = ours
    return summaries


def summarize(store: PortableStore, collection: Collection) -> Summary:
    """Read the whole collection once."""
    count, total = 0, 0
    order = hashlib.sha256()
    for stored in store.walk(collection):
        count += 1
        # A sum and not an exclusive or: a document that is there twice would cancel itself.
        total += int.from_bytes(hashlib.sha256(_canonical(stored)).digest())
        order.update(f"{json.dumps(stored.document_id)}\n".encode())
    digest = (total % 2**256).to_bytes(32).hex()
    return Summary(documents=count, digest=digest, order_digest=order.hexdigest())


def batches(documents: Iterable[Stored], size: int = BATCH) -> Iterator[list[Stored]]:
    """The documents in lists of at most `size`."""
    remaining = iter(documents)
    while batch := list(islice(remaining, size)):
        yield batch


def _canonical(stored: Stored) -> bytes:
    """One text for equal documents: keys in order, plain ASCII."""
    whole = [stored.document_id, stored.version, stored.document]
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), default=dict).encode()


def _require_only_copies(
    source: PortableStore, target: PortableStore, collection: Collection
) -> None:
    """Refuse a target with documents that the source does not have."""
    known: set[str] | None = None
    for stored in target.walk(collection):
        if known is None:
            known = {one.document_id for one in source.walk(collection)}
        if stored.document_id not in known:
            raise TransferRefused(
                f"The target holds {collection} that the source does not, "
                f"{stored.document_id!r} for one. Name an empty store, or one that an earlier, "
                "interrupted call has begun to fill. Nothing was written"
            )
