"""The promises of a PortableStore as tests. A new store runs them with one fixture, `store`."""

from collections.abc import Iterator
from typing import Any

import pytest

from freezer_api.errors import BadRequest
from freezer_api.store.base import EVERYWHERE, Collection, Page, Query, Stored
from freezer_api.store.memory import MemoryStore
from freezer_api.store.transfer import (
    PortableStore,
    Progress,
    TransferRefused,
    copy,
    fill,
    summarize,
    verify,
)
from tests.contracts.document_store import ALL, JOBS, OURS, STRANGE_IDS, STRANGE_TEXTS, ids, job


def stored(name: str, version: int = 1, **fields: Any) -> Stored:
    return Stored(document_id=name, document=job(**fields), version=version)


def filled_memory() -> MemoryStore:
    """Every collection, strange texts and ids, several versions, an order that no id tells."""
    memory = MemoryStore()
    for collection in Collection:
        for number, name in enumerate(STRANGE_IDS):
            memory.insert(collection, name, job(text=STRANGE_TEXTS[number % 9], x=number))
            if number % 3 == 0:
                memory.replace(collection, name, job(x=number, again=[1.0, 10**30, None]), 1)
        memory.insert(collection, f"{collection}-last", {"project_id": "theirs"})
    return memory


def silent(_progress: Progress) -> None:
    pass


class PortableStoreContract:
    """Every PortableStore passes these."""

    @pytest.fixture
    def store(self) -> Iterator[PortableStore]:
        raise NotImplementedError

    def test_walks_in_order_of_creation(self, store: PortableStore) -> None:
        names = [f"{number * 7 % 25:02}" for number in range(25)]
        for name in names:
            store.insert(JOBS, name, job())
        store.replace(JOBS, names[3], job(x=1), 1)
        store.insert(Collection.CLIENTS, "other", job())
        walked = list(store.walk(JOBS))
        assert ids(walked) == names
        assert walked[3] == store.get(JOBS, OURS, names[3])

    def test_adopts_documents_as_they_are(self, store: PortableStore) -> None:
        store.insert(JOBS, "first", job())
        batch = [stored("b", 7, color="red"), stored("a", 2, color="red"), stored("c")]
        assert store.adopt(JOBS, batch) == 3
        assert ids(store.search(JOBS, OURS, Query(), ALL)) == ["first", "b", "a", "c"]
        assert store.get(JOBS, OURS, "b") == batch[0]
        assert ids(store.search(JOBS, OURS, Query(match=(("color", "red"),)), ALL)) == ["b", "a"]
        assert store.replace(JOBS, "b", job(color="blue"), 7).version == 8
        store.insert(JOBS, "last", job())
        assert ids(store.walk(JOBS)) == ["first", "b", "a", "c", "last"]

    def test_leaves_alone_what_is_there(self, store: PortableStore) -> None:
        store.insert(JOBS, "a", job(x=1))
        assert store.adopt(JOBS, [stored("a", 9, x=2), stored("b")]) == 1
        assert store.get(JOBS, OURS, "a").version == 1
        assert store.adopt(JOBS, [stored("b", 5), stored("a")]) == 0
        assert ids(store.walk(JOBS)) == ["a", "b"]

    def test_overwrites_in_the_old_place(self, store: PortableStore) -> None:
        for name in ("a", "b", "c"):
            store.insert(JOBS, name, job(x=name, timestamp=1))
        batch = [stored("d"), stored("b", 4, x="new"), stored("a", 1, x="a", timestamp=1)]
        assert store.adopt(JOBS, batch, overwrite=True) == 2
        assert ids(store.walk(JOBS)) == ["a", "b", "c", "d"]
        assert store.get(JOBS, OURS, "b") == batch[1]
        assert store.search(JOBS, OURS, Query(match=(("x", "b"),)), ALL) == []
        assert ids(store.search(JOBS, OURS, Query(match=(("x", "new"),)), ALL)) == ["b"]
        assert ids(store.search(JOBS, OURS, Query(time_after=1), ALL)) == ["a", "c"]

    def test_adopts_nothing_of_a_batch_that_cannot_be_kept(self, store: PortableStore) -> None:
        wrong = Stored(document_id="b", document={"x": 1}, version=1)
        with pytest.raises(BadRequest):
            store.adopt(JOBS, [stored("a"), wrong])
        with pytest.raises(BadRequest):
            store.adopt(JOBS, [stored("a"), stored("nul\0")])
        assert store.search(JOBS, EVERYWHERE, Query(), ALL) == []
        assert store.adopt(JOBS, []) == 0

    def test_becomes_a_copy_and_gives_one(self, store: PortableStore) -> None:
        """Into the store and out of it again: nothing is lost, added or changed on either way."""
        memory, back = filled_memory(), MemoryStore()
        summaries = copy(memory, store, silent)
        assert {summary.documents for summary in summaries.values()} == {len(STRANGE_IDS) + 1}
        assert copy(store, back, silent) == summaries
        for collection in Collection:
            assert list(back.walk(collection)) == list(memory.walk(collection))

    def test_an_interrupted_copy_is_taken_up(self, store: PortableStore) -> None:
        memory = filled_memory()
        some = list(memory.walk(JOBS))[:5]
        fill(store, JOBS, some, silent)
        reports: list[Progress] = []
        copy(memory, store, reports.append)
        jobs = [report for report in reports if report.collection is JOBS]
        assert (jobs[-1].seen, jobs[-1].written) == (11, 6)

    def test_what_changed_since_is_copied_again(self, store: PortableStore) -> None:
        memory = filled_memory()
        copy(memory, store, silent)
        memory.replace(JOBS, "a/b", job(x="changed"), memory.get(JOBS, OURS, "a/b").version)
        memory.insert(JOBS, "new", job())
        with pytest.raises(TransferRefused, match="jobs differ"):
            verify(memory, store)
        copy(memory, store, silent)
        assert list(store.walk(JOBS)) == list(memory.walk(JOBS))

    def test_a_store_with_other_documents_is_refused(self, store: PortableStore) -> None:
        store.insert(Collection.SESSIONS, "mine", job())
        with pytest.raises(TransferRefused, match="'mine'"):
            copy(filled_memory(), store, silent)
        assert list(store.walk(JOBS)) == []

    def test_summaries_tell_differences(self, store: PortableStore) -> None:
        for name in ("a", "b"):
            store.insert(JOBS, name, job(x=name))
        ours = summarize(store, JOBS)
        for others, equal_digest in [
            ([stored("b", x="b"), stored("a", x="a")], True),
            ([stored("a", x="a"), stored("b", 2, x="b")], False),
            ([stored("a", x="a"), stored("b", x="c")], False),
            ([stored("a", x="a"), stored("c", x="b")], False),
        ]:
            memory = MemoryStore()
            memory.adopt(JOBS, others)
            theirs = summarize(memory, JOBS)
            assert (theirs.digest == ours.digest) is equal_digest
            assert theirs != ours

    def test_a_large_collection_is_walked_in_pieces(self, store: PortableStore) -> None:
        some = [stored(f"{number:05}", x=number) for number in range(2100)]
        fill(store, JOBS, some, silent)
        assert list(store.walk(JOBS)) == some
        page = Page(limit=5, offset=2095)
        assert store.search(JOBS, OURS, Query(), page) == some[2095:]
