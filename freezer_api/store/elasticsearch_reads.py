"""What documents looked like when they were read: a replacement need not read them again.

Callers read a document, change it and replace it. The server's own numbers of the state that was
read are the condition of the write, so nothing is taken for granted here: if the document has
changed meanwhile, the write is refused.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from freezer_api.store.base import Collection
from freezer_api.store.elasticsearch_indices import Place
from freezer_api.store.mappings import write_ids
from freezer_api.store.windows import Hit

KEPT = 1024
"""Far more than there are requests at work in one process; below half a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state of a document in an index, as far as its replacement needs to know."""

    seq_no: int
    primary_term: int
    created: int
    write_ids: tuple[str, ...]

    @classmethod
    def of(cls, hit: Hit) -> "State":
        """The state that the server has told."""
        source = hit["_source"]
        return cls(
            seq_no=hit["_seq_no"],
            primary_term=hit["_primary_term"],
            created=source["created"],
            write_ids=tuple(write_ids(source)),
        )

    @property
    def unchanged(self) -> dict[str, str]:
        """The condition that the document is still in this state."""
        return {"if_seq_no": str(self.seq_no), "if_primary_term": str(self.primary_term)}


class RecentReads:
    """The last states that were read, safe for several threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._states: OrderedDict[tuple[str, Collection, str, int], State] = OrderedDict()
        self._lock = Lock()

    def note(self, collection: Collection, document_id: str, hit: Hit) -> None:
        """Keep the state in which the document was read."""
        key = (hit["_index"], collection, document_id, hit["_source"]["version"])
        state = State.of(hit)
        with self._lock:
            self._states[key] = state
            if len(self._states) > self._kept:
                self._states.popitem(last=False)

    def take(
        self, place: Place, collection: Collection, document_id: str, version: int
    ) -> State | None:
        """The state that had this version in this index, if it was read lately; once."""
        with self._lock:
            return self._states.pop((place.index, collection, document_id, version), None)
