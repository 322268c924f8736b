"""The promises of a DocumentStore as tests. A new store runs them with one fixture, `store`."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import strategies as st

from freezer_api.errors import BadRequest, DocumentExists, DocumentNotFound, VersionConflict
from freezer_api.store.base import (
    EVERYWHERE,
    Collection,
    DocumentStore,
    ManagedStore,
    Order,
    Page,
    Query,
    Scope,
    SortKey,
)
from freezer_api.store.memory import MemoryStore

JOBS = Collection.JOBS
OURS = Scope(project_id="ours")
THEIRS = Scope(project_id="theirs")
ALL = Page(limit=1000)
POLL = Query(match=(("client_id", "node"),), match_not=(("status", "completed"),))

STRANGE_TEXTS = [
    "",
    " leading and trailing ",
    "tab\tnewline\ncarriage\rbell\a",
    "NUL \0 inside",
    "lone surrogate \ud800",
    "Ünïcödé \N{SNOWMAN} \N{PILE OF POO} العربية",
    "decomposed e\u0301",
    'quotes " and \\ backslashes',
    "a" * 100_000,
]
STRANGE_IDS = ["..", ".", "a/b", "_all", "*", "?x=1", "%2e%2e", "Ünï \N{SNOWMAN}", "a" * 512, " "]
NOT_STORABLE_IDS = ["", "nul\0", "\ud800", "a" * 513]


def job(**fields: Any) -> dict[str, Any]:
    return {"project_id": "ours", **fields}


def ids(found: list[Any]) -> list[str]:
    return [stored.document_id for stored in found]


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `count` threads that start at one moment return."""
    together = threading.Barrier(count)

    def run(number: int) -> Any:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def add_one(store: DocumentStore, document_id: str, name: str) -> None:
    """Count up in the document, as services do: read, decide, replace, again on conflict."""
    while True:
        found = store.get(JOBS, EVERYWHERE, document_id)
        document = {**found.document, name: found.document[name] + 1}
        try:
            store.replace(JOBS, document_id, document, found.version)
        except VersionConflict:
            continue
        return


def seen_now(store: DocumentStore) -> tuple[str | None, str]:
    """Fingerprint and documents of the poll."""
    found = store.find(JOBS, OURS, POLL, ALL)
    return found.fingerprint, repr(sorted(repr(one.document) for one in found.documents))


class DocumentStoreContract:
    """Every DocumentStore passes these."""

    @pytest.fixture
    def store(self) -> Iterator[ManagedStore]:
        raise NotImplementedError

    # Documents one by one

    def test_reads_what_was_inserted(self, store: DocumentStore) -> None:
        stored = store.insert(JOBS, "a", job(name="one"))
        assert stored == store.get(JOBS, OURS, "a")
        assert (stored.document, stored.version) == (job(name="one"), 1)

    def test_an_id_is_taken_in_every_project(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(name="one"))
        for project_id in ("ours", "theirs"):
            with pytest.raises(DocumentExists):
                store.insert(JOBS, "a", {"project_id": project_id})
        assert store.get(JOBS, OURS, "a").document == job(name="one")

    def test_each_collection_has_its_own_ids(self, store: DocumentStore) -> None:
        for collection in Collection:
            store.insert(collection, "a", job(kind=str(collection)))
        for collection in Collection:
            assert store.get(collection, OURS, "a").document["kind"] == collection
            kinds = [one.document["kind"] for one in store.search(collection, OURS, Query(), ALL)]
            assert kinds == [collection]

    def test_unknown_ids_are_not_found(self, store: DocumentStore) -> None:
        for unknown in ("a", *STRANGE_IDS, *NOT_STORABLE_IDS):
            with pytest.raises(DocumentNotFound):
                store.get(JOBS, EVERYWHERE, unknown)
            with pytest.raises(DocumentNotFound):
                store.delete(JOBS, EVERYWHERE, unknown)
            with pytest.raises(DocumentNotFound):
                store.replace(JOBS, unknown, job(), 1)

    def test_versions_grow_by_one(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(name="one"))
        for version in (1, 2, 3):
            replaced = store.replace(JOBS, "a", job(name=version), version)
            assert replaced == store.get(JOBS, OURS, "a")
            assert (replaced.document, replaced.version) == (job(name=version), version + 1)

    @pytest.mark.parametrize("version", [0, 1, 3])
    def test_refuses_another_version(self, store: DocumentStore, version: int) -> None:
        store.insert(JOBS, "a", job(name="one"))
        store.replace(JOBS, "a", job(name="two"), 1)
        with pytest.raises(VersionConflict):
            store.replace(JOBS, "a", job(name="three"), version)
        assert store.get(JOBS, OURS, "a").document == job(name="two")

    def test_deleted_is_gone_and_its_id_free(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(name="one"))
        store.replace(JOBS, "a", job(name="two"), 1)
        store.delete(JOBS, OURS, "a")
        with pytest.raises(DocumentNotFound):
            store.get(JOBS, OURS, "a")
        assert store.search(JOBS, OURS, Query(), ALL) == []
        assert store.insert(JOBS, "a", {"project_id": "theirs"}).version == 1
        assert store.search(JOBS, OURS, Query(match=(("name", "two"),)), ALL) == []

    def test_a_returned_document_is_a_copy(self, store: DocumentStore) -> None:
        given = job(inner={"list": [1]})
        returned = store.insert(JOBS, "a", given).document
        given["inner"]["list"].append(2)
        returned["inner"]["list"].append(3)
        store.get(JOBS, OURS, "a").document["inner"]["list"].append(4)
        assert store.get(JOBS, OURS, "a").document == job(inner={"list": [1]})

    # What may be in a document

    def test_every_json_value_comes_back(self, store: DocumentStore) -> None:
        document = job(
            texts=STRANGE_TEXTS,
            numbers=[0, -1, 2**63, -(2**64), 10**400, 1.5, -0.25, 1e300, 5e-324, 0.1],
            others=[None, True, False, [], {}, [[]], {"": {"": ""}}],
            keys={text: text for text in STRANGE_TEXTS},
        )
        store.insert(JOBS, "a", document)
        found = store.get(JOBS, OURS, "a").document
        assert found == document
        assert [type(number) for number in found["numbers"]] == [int] * 5 + [float] * 5
        assert store.search(JOBS, OURS, Query(), ALL)[0].document == document

    @pytest.mark.parametrize("text", STRANGE_TEXTS, ids=range(len(STRANGE_TEXTS)))
    def test_every_text_is_found_exactly(self, store: DocumentStore, text: str) -> None:
        store.insert(JOBS, "same", job(name=text, inner={text: "as a key"}))
        store.insert(JOBS, "other", job(name=text + "x", inner={text + "x": "as a key"}))
        for condition in (("name", text), (text, "as a key")):
            assert ids(store.search(JOBS, OURS, Query(match=(condition,)), ALL)) == ["same"]

    @pytest.mark.parametrize("strange", STRANGE_IDS)
    def test_takes_strange_ids(self, store: DocumentStore, strange: str) -> None:
        store.insert(JOBS, strange, job())
        assert store.get(JOBS, OURS, strange).document_id == strange
        assert ids(store.search(JOBS, OURS, Query(), ALL)) == [strange]
        assert store.replace(JOBS, strange, job(), 1).document_id == strange
        store.delete(JOBS, OURS, strange)
        assert store.ready()

    def test_ids_differ_by_letter_case_and_blanks(self, store: DocumentStore) -> None:
        some = ["a", "A", "a ", "ä", "a\u0308"]
        for document_id in some:
            store.insert(JOBS, document_id, job())
        assert ids(store.search(JOBS, OURS, Query(), ALL)) == some

    @pytest.mark.parametrize("refused", NOT_STORABLE_IDS, ids=["empty", "nul", "surrogate", "long"])
    def test_refuses_other_ids(self, store: DocumentStore, refused: str) -> None:
        with pytest.raises(BadRequest):
            store.insert(JOBS, refused, job())

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"project_id": None},
            {"project_id": ["ours"]},
            job(number=float("nan")),
            job(number=float("inf")),
            job(number=10**5000),
            job(value={1, 2}),
            job(value={1: 2}),
            job(value=" ".join(f"{number:x}" for number in range(200_000))),
        ],
        ids=[
            "no-project",
            "null-project",
            "list-project",
            "nan",
            "infinity",
            "digits",
            "set",
            "number-key",
            "words",
        ],
    )
    def test_refuses_what_cannot_be_kept(
        self, store: DocumentStore, document: dict[str, Any]
    ) -> None:
        with pytest.raises(BadRequest):
            store.insert(JOBS, "a", document)
        store.insert(JOBS, "a", job())
        with pytest.raises(BadRequest):
            store.replace(JOBS, "a", document, 1)
        assert store.get(JOBS, OURS, "a").version == 1

    def test_refuses_deep_nesting(self, store: DocumentStore) -> None:
        deep: Any = 1
        for _level in range(100_000):
            deep = [deep]
        with pytest.raises(BadRequest):
            store.insert(JOBS, "a", job(deep=deep))

    # Scope

    def test_another_project_s_document_does_not_exist(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(name="one"))
        with pytest.raises(DocumentNotFound):
            store.get(JOBS, THEIRS, "a")
        with pytest.raises(DocumentNotFound):
            store.delete(JOBS, THEIRS, "a")
        assert store.search(JOBS, THEIRS, Query(), ALL) == []
        assert store.search(JOBS, THEIRS, Query(match=(("name", "one"),)), ALL) == []
        assert ids(store.search(JOBS, EVERYWHERE, Query(), ALL)) == ["a"]
        assert store.get(JOBS, EVERYWHERE, "a").document == job(name="one")
        store.delete(JOBS, EVERYWHERE, "a")

    def test_a_project_is_the_one_at_the_top(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(inner={"project_id": "theirs"}))
        assert store.search(JOBS, THEIRS, Query(), ALL) == []

    def test_a_scope_can_be_open_for_some_documents(self, store: DocumentStore) -> None:
        store.insert(JOBS, "theirs", {"project_id": "theirs", "inner": {"central": False}})
        store.insert(JOBS, "central", {"project_id": "theirs", "inner": {"central": True}})
        store.insert(JOBS, "ours", job(inner={"central": True}))
        store.insert(JOBS, "plain", job())
        open_scope = Scope(project_id="ours", or_match=("central", True))
        found = store.search(JOBS, open_scope, Query(), ALL)
        assert ids(found) == ["central", "ours", "plain"]
        barred = Query(match=(("central", True),), match_not=(("project_id", "ours"),))
        assert ids(store.search(JOBS, open_scope, barred, ALL)) == ["central"]
        assert store.get(JOBS, open_scope, "central").document_id == "central"
        with pytest.raises(DocumentNotFound):
            store.get(JOBS, open_scope, "theirs")

    # Search

    @pytest.mark.parametrize(
        ("condition", "found"),
        [
            (("status", "done"), ["top", "inner", "listed"]),
            (("job_schedule.status", "done"), ["inner"]),
            (("actions.freezer.status", "done"), ["listed"]),
            (("freezer.status", "done"), []),
            (("schedule.status", "done"), []),
            (("stat", "done"), []),
            (("status", "don"), []),
            (("status", "Done"), []),
            (("actions", "done"), []),
            (("tags", "blue"), ["listed"]),
            (("_id", "top"), []),
            (("*", "done"), []),
            (("", "done"), []),
            (("_source", "done"), []),
        ],
    )
    def test_fields_by_name_and_path(
        self, store: DocumentStore, condition: tuple[str, Any], found: list[str]
    ) -> None:
        store.insert(JOBS, "top", job(status="done"))
        store.insert(JOBS, "inner", job(job_schedule={"status": "done"}))
        actions = [{"freezer": {"status": "new"}}, {"freezer": {"status": "done"}}]
        store.insert(JOBS, "listed", job(actions=actions, tags=["red", ["blue"]]))
        store.insert(JOBS, "none", job(status=["undone", {"x": "done"}]))
        assert ids(store.search(JOBS, OURS, Query(match=(condition,)), ALL)) == found

    @pytest.mark.parametrize(
        ("value", "found"),
        [
            (1, ["one", "float"]),
            (1.0, ["one", "float"]),
            ("1", ["text"]),
            (True, ["true"]),
            (False, ["false"]),
            (0, ["zero"]),
            (None, ["null"]),
            ("", ["empty"]),
            (1.5, ["fraction"]),
            (10**400, ["huge"]),
            (2**53 + 1, ["odd"]),
            (float(2**53), ["even"]),
        ],
    )
    def test_values_are_equal_by_type(
        self, store: DocumentStore, value: Any, found: list[str]
    ) -> None:
        values = {
            "one": 1,
            "float": 1.0,
            "text": "1",
            "true": True,
            "false": False,
            "zero": 0,
            "null": None,
            "empty": "",
            "fraction": 1.5,
            "huge": 10**400,
            "odd": 2**53 + 1,
            "even": 2**53,
        }
        for name, each in values.items():
            store.insert(JOBS, name, job(x=each))
        assert ids(store.search(JOBS, OURS, Query(match=(("x", value),)), ALL)) == found

    def test_combines_conditions(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(color="red", size=1, client="x"))
        store.insert(JOBS, "b", job(color="red", size=2))
        store.insert(JOBS, "c", job(color="blue", size=1))
        store.insert(JOBS, "d", job(size=3, client="x"))
        red, blue, small = ("color", "red"), ("color", "blue"), ("size", 1)
        for query, found in [
            (Query(match=(red, small)), ["a"]),
            (Query(match=(red, blue)), []),
            (Query(match_not=(red,)), ["c", "d"]),
            (Query(match_not=(red, blue)), ["d"]),
            (Query(match_or=((red, blue),)), ["a", "b", "c"]),
            (Query(match_or=((blue, ("size", 3)),)), ["c", "d"]),
            (Query(match=(small,), match_or=((blue, ("size", 3)),)), ["c"]),
            (Query(match_or=((red, blue), (small, ("size", 3)))), ["a", "c"]),
            (Query(match=(small,), match_not=(red,)), ["c"]),
            (Query(match=(small, small), match_or=((red, red),)), ["a"]),
            (Query(match=(("client", "x"),), match_not=(("size", 3),), words=("RED",)), ["a"]),
            (Query(), ["a", "b", "c", "d"]),
        ]:
            assert ids(store.search(JOBS, OURS, query, ALL)) == found

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (("nightly",), ["a"]),
            (("NIGHTLY", "mysql"), ["a"]),
            (("nightly", "absent"), []),
            (("night",), []),
            (("nightly mysql dump",), ["a"]),
            (("nightly mysql",), []),
            (("db-1.example.org",), ["a"]),
            (("example",), ["a"]),
            (("/var/lib",), ["a"]),
            (("lib",), ["a"]),
            (("strasse",), ["a"]),
            (("42",), ["a"]),
            (("true",), ["a"]),
            (("name",), []),
            ((), ["a", "b"]),
        ],
    )
    def test_finds_words(
        self, store: DocumentStore, words: tuple[str, ...], found: list[str]
    ) -> None:
        document = job(
            name="Nightly mysql dump",
            inner=[{"host": "db-1.example.org", "note": "saves /var/lib daily"}],
            street="Straße",
            number=42,
            flag=True,
        )
        store.insert(JOBS, "a", document)
        store.insert(JOBS, "b", job(other="unrelated"))
        assert ids(store.search(JOBS, OURS, Query(words=words), ALL)) == found

    @pytest.mark.parametrize(
        ("after", "before", "found"),
        [
            (10, None, ["b", "c", "d", "f"]),
            (None, 10, ["a", "b", "d", "e"]),
            (10, 10, ["b", "d"]),
            (11, 10, []),
            (-(10**30), 10**30, ["a", "b", "c", "d", "e", "f"]),
        ],
    )
    def test_bounds_in_time(
        self, store: DocumentStore, after: int | None, before: int | None, found: list[str]
    ) -> None:
        for name, stamp in {"a": 9, "b": 10, "c": 11, "d": "10", "e": 9.5, "f": 10**18}.items():
            store.insert(JOBS, name, job(backup_metadata={"time_stamp": stamp}, timestamp=0))
        for name, stamp in {"g": "soon", "h": 10**400, "i": True, "j": None}.items():
            store.insert(JOBS, name, job(backup_metadata={"time_stamp": stamp}))
        query = Query(time_after=after, time_before=before)
        assert ids(store.search(JOBS, OURS, query, ALL)) == found

    def test_falls_back_to_the_other_time(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(timestamp=10))
        store.insert(JOBS, "b", job(timestamp=20, backup_metadata=None))
        assert ids(store.search(JOBS, OURS, Query(time_after=15), ALL)) == ["b"]

    def test_search_follows_replacements(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(color="red", timestamp=1))
        store.replace(JOBS, "a", job(colour="blue", timestamp=2), 1)
        for gone in (Query(match=(("color", "red"),)), Query(words=("red",)), Query(time_before=1)):
            assert store.search(JOBS, OURS, gone, ALL) == []
        for there in (
            Query(match=(("colour", "blue"),)),
            Query(words=("blue",)),
            Query(time_after=2),
            Query(match_not=(("color", "red"),)),
        ):
            assert ids(store.search(JOBS, OURS, there, ALL)) == ["a"]

    def test_refuses_endless_queries(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(x=1))
        most = tuple(("x", number) for number in range(256))
        assert ids(store.search(JOBS, OURS, Query(match_or=(most,)), ALL)) == ["a"]
        assert store.search(JOBS, OURS, Query(match=most), ALL) == []
        with pytest.raises(BadRequest):
            store.search(JOBS, OURS, Query(match=(*most, ("x", 256))), ALL)

    # Order and pages

    def test_pages_in_order_of_creation(self, store: DocumentStore) -> None:
        names = [f"{number * 7 % 25:02}" for number in range(25)]
        for name in names:
            store.insert(JOBS, name, job())
        seen: list[str] = []
        while page := store.search(JOBS, OURS, Query(), Page(limit=10, offset=len(seen))):
            seen += ids(page)
        assert seen == names
        assert ids(store.search(JOBS, OURS, Query(), Page())) == names[:10]
        for offset in (25, 10_000, 10**9, 10**30):
            assert store.search(JOBS, OURS, Query(), Page(offset=offset)) == []

    def test_replacements_keep_the_order(self, store: DocumentStore) -> None:
        for name in ("c", "a", "b"):
            store.insert(JOBS, name, job(x=1))
        for version in (1, 2):
            store.replace(JOBS, "a", job(x=2, y=version), version)
        store.delete(JOBS, OURS, "c")
        store.insert(JOBS, "c", job(x=1))
        assert ids(store.search(JOBS, OURS, Query(), ALL)) == ["a", "b", "c"]
        some = Query(match_or=((("x", 1), ("x", 2), ("y", 2)),))
        assert ids(store.search(JOBS, OURS, some, ALL)) == ["a", "b", "c"]

    @pytest.mark.parametrize("key", ["timestamp", "job_schedule", "backup_metadata"])
    @pytest.mark.parametrize(
        ("direction", "ordered"),
        [("asc", ["c", "e", "a", "d", "b", "f"]), ("desc", ["a", "d", "c", "e", "b", "f"])],
    )
    def test_orders_by_time(
        self, store: DocumentStore, key: str, direction: str, ordered: list[str]
    ) -> None:
        """Equal ones in order of creation, those without a time last, in both directions."""
        inner = {"job_schedule": "time_started", "backup_metadata": "time_stamp"}.get(key)
        for name, time in {"a": 20, "b": None, "c": 0, "d": 20, "e": 0}.items():
            value = {inner: time} if inner else time
            store.insert(JOBS, name, job(**{key: value, "even": name in "ace"}))
        store.insert(JOBS, "f", job(job_schedule={"time_started": -1}, even=False))
        order = Order(key=SortKey.TIME, descending=direction == "desc")
        whole = Page(limit=100, order=order)
        assert ids(store.search(JOBS, OURS, Query(), whole)) == ordered
        for offset in range(8):
            page = Page(limit=2, offset=offset, order=order)
            assert ids(store.search(JOBS, OURS, Query(), page)) == ordered[offset : offset + 2]
        even = Query(match=(("even", True),))
        expected = [name for name in ordered if name in "ace"]
        assert ids(store.search(JOBS, EVERYWHERE, even, whole)) == expected

    def test_orders_by_creation_backwards(self, store: DocumentStore) -> None:
        for name in ("c", "a", "b", "d"):
            store.insert(JOBS, name, job(x=1))
        store.replace(JOBS, "a", job(x=1, timestamp=1), 1)
        page = Page(limit=3, offset=1, order=Order(descending=True))
        for scope in (OURS, EVERYWHERE):
            assert ids(store.search(JOBS, scope, Query(match=(("x", 1),)), page)) == ["b", "a", "c"]

    # Numbers

    def test_counts_what_a_query_wants(self, store: DocumentStore) -> None:
        for number in range(5):
            store.insert(JOBS, str(number), job(even=number % 2 == 0))
        store.insert(JOBS, "theirs", {"project_id": "theirs", "even": True})
        store.insert(Collection.ACTIONS, "0", job(even=True))
        store.replace(JOBS, "4", job(even=False), 1)
        store.delete(JOBS, OURS, "1")
        even = Query(match=(("even", True),))
        opened = Scope(project_id="ours", or_match=("even", True))
        for scope, query, expected in [
            (OURS, Query(), 4),
            (THEIRS, Query(), 1),
            (EVERYWHERE, Query(), 5),
            (OURS, even, 2),
            (EVERYWHERE, even, 3),
            (opened, Query(), 5),
            (Scope(project_id="nobody"), Query(), 0),
        ]:
            assert store.count(JOBS, scope, query) == expected
            for page in (Page(limit=1), Page(limit=100), Page(limit=2, offset=50)):
                found = store.find(JOBS, scope, query, page)
                assert found.documents == store.search(JOBS, scope, query, page)
                assert found.total == expected

    def test_a_deletion_can_depend_on_the_version(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job())
        store.replace(JOBS, "a", job(x=1), 1)
        with pytest.raises(VersionConflict):
            store.delete(JOBS, OURS, "a", 1)
        with pytest.raises(DocumentNotFound):
            store.delete(JOBS, THEIRS, "a", 2)
        store.delete(JOBS, OURS, "a", 2)
        assert store.count(JOBS, EVERYWHERE, Query()) == 0

    # Fingerprints

    def test_a_fingerprint_changes_with_every_write(self, store: DocumentStore) -> None:
        seen = [store.fingerprint(JOBS, OURS, POLL)]

        def changed() -> bool:
            seen.append(store.fingerprint(JOBS, OURS, POLL))
            return seen.count(seen[-1]) == 1

        store.insert(JOBS, "a", job(client_id="node"))
        assert changed()
        store.insert(JOBS, "b", job(client_id="node", status="completed"))
        store.replace(JOBS, "b", job(client_id="node"), 1)
        assert changed()
        store.replace(JOBS, "a", job(client_id="node", x=1), 1)
        assert changed()
        store.replace(JOBS, "a", job(client_id="other"), 2)
        assert changed()
        store.replace(JOBS, "a", job(client_id="node", x=1), 3)
        assert changed()
        store.delete(JOBS, OURS, "b")
        assert changed()
        store.insert(JOBS, "b", job(client_id="node"))
        assert changed()
        assert None not in seen

    def test_a_fingerprint_stays_when_others_change(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(client_id="node"))
        before = [store.fingerprint(JOBS, scope, POLL) for scope in (OURS, EVERYWHERE)]
        store.insert(JOBS, "b", job(client_id="other"))
        store.replace(JOBS, "b", job(client_id="other", x="node"), 1)
        store.insert(Collection.BACKUPS, "a", job(client_id="node"))
        store.insert(Collection.CLIENTS, "a", job(client_id="node"))
        store.delete(JOBS, OURS, "b")
        assert [store.fingerprint(JOBS, scope, POLL) for scope in (OURS, EVERYWHERE)] == before
        assert store.find(JOBS, OURS, POLL, Page()).fingerprint == before[0]
        assert store.find(JOBS, EVERYWHERE, POLL, Page(limit=1)).fingerprint == before[1]

    def test_a_field_of_that_name_may_be_anywhere(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job(actions=[{"client_id": "node"}]))
        before = store.fingerprint(JOBS, OURS, POLL)
        store.replace(JOBS, "a", job(actions=[{"client_id": "other"}]), 1)
        assert store.fingerprint(JOBS, OURS, POLL) != before

    def test_polls_only_have_a_fingerprint(self, store: DocumentStore) -> None:
        assert store.fingerprint(JOBS, OURS, Query()) is None
        assert store.fingerprint(JOBS, OURS, Query(match_or=((("client_id", "a"),),))) is None
        assert store.fingerprint(Collection.BACKUPS, OURS, POLL) is None
        assert store.find(JOBS, OURS, Query(), Page()).fingerprint is None

    def test_a_fingerprint_is_new_after_a_removal(self, store: ManagedStore) -> None:
        seen = set()
        for _life in range(3):
            store.remove()
            store.prepare()
            store.insert(JOBS, "a", job(client_id="node"))
            seen.add(store.fingerprint(JOBS, OURS, POLL))
        assert len(seen) == 3

    def test_equal_fingerprints_mean_equal_answers(self, store: DocumentStore) -> None:
        """Writers and a reader at once: no reader takes an older answer for the last one."""
        for number in range(3):
            store.insert(JOBS, str(number), job(client_id="node", counter=0))
        done = threading.Event()

        def write(number: int) -> None:
            for _round in range(10):
                add_one(store, str(number), "counter")
            store.delete(JOBS, OURS, str(number))
            store.insert(JOBS, str(number), job(client_id="node", counter=10))

        def read_until_done() -> list[tuple[str | None, str]]:
            seen = []
            while not done.is_set():
                seen.append(seen_now(store))
            return seen

        with ThreadPoolExecutor(4) as pool:
            reading = pool.submit(read_until_done)
            try:
                list(pool.map(write, range(3)))
            finally:
                done.set()
        last = seen_now(store)
        assert last[1].count("'counter': 10") == 3
        assert store.fingerprint(JOBS, OURS, POLL) == last[0]
        assert {answer for mark, answer in reading.result() if mark == last[0]} <= {last[1]}

    # Several at once

    def test_no_update_is_lost(self, store: DocumentStore) -> None:
        """32 concurrent read-decide-replace rounds on one document: all of them count."""
        store.insert(JOBS, "a", job(counter=0))
        in_threads(32, lambda _number: add_one(store, "a", "counter"))
        found = store.get(JOBS, OURS, "a")
        assert (found.document["counter"], found.version) == (32, 33)
        assert ids(store.search(JOBS, OURS, Query(match=(("counter", 32),)), ALL)) == ["a"]
        others = tuple(("counter", number) for number in range(32))
        assert store.search(JOBS, OURS, Query(match_or=(others,)), ALL) == []

    def test_one_of_many_insertions_wins(self, store: DocumentStore) -> None:
        def insert(number: int) -> int | None:
            try:
                store.insert(JOBS, "a", job(winner=number))
            except DocumentExists:
                return None
            return number

        winners = [number for number in in_threads(16, insert) if number is not None]
        assert winners == [store.get(JOBS, OURS, "a").document["winner"]]
        assert len(store.search(JOBS, OURS, Query(), ALL)) == 1

    def test_one_of_many_replacements_of_a_version_wins(self, store: DocumentStore) -> None:
        store.insert(JOBS, "a", job())

        def replace(number: int) -> int | None:
            try:
                store.replace(JOBS, "a", job(winner=number), 1)
            except VersionConflict:
                return None
            return number

        winners = [number for number in in_threads(16, replace) if number is not None]
        assert winners == [store.get(JOBS, OURS, "a").document["winner"]]

    def test_every_insertion_is_seen_at_once(self, store: DocumentStore) -> None:
        def insert_and_look(number: int) -> list[str]:
            store.insert(JOBS, str(number), job(number=number))
            return ids(store.search(JOBS, OURS, Query(match=(("number", number),)), ALL))

        assert in_threads(16, insert_and_look) == [[str(number)] for number in range(16)]

    def test_a_deletion_meets_replacements(self, store: DocumentStore) -> None:
        """Whatever the order, the document is gone in the end and nothing of it is found."""
        store.insert(JOBS, "a", job(counter=0))

        tried = threading.Event()

        def replace_until_gone() -> None:
            is_last = False
            while not is_last:
                is_last = tried.is_set()
                add_one(store, "a", "counter")

        def work(number: int) -> None:
            if number:
                with pytest.raises(DocumentNotFound):
                    replace_until_gone()
                return
            try:
                store.delete(JOBS, OURS, "a")
            finally:
                tried.set()

        in_threads(4, work)
        assert store.search(JOBS, EVERYWHERE, Query(), ALL) == []

    # The schema

    def test_can_be_made_again(self, store: ManagedStore) -> None:
        store.insert(JOBS, "a", job())
        store.prepare()
        assert store.ready()
        assert store.get(JOBS, OURS, "a").version == 1

    def test_tells_what_there_is(self, store: ManagedStore) -> None:
        store.insert(JOBS, "a", job())
        store.insert(JOBS, "b", {"project_id": "theirs"})
        store.insert(Collection.CLIENTS, "a", job())
        counts = {contents.name: contents.documents for contents in store.describe()}
        assert len(counts) == len(Collection)
        assert sorted(counts.values())[-3:] == [0, 1, 2]
        assert len({contents.version for contents in store.describe()}) == 1

    def test_is_empty_after_removal(self, store: ManagedStore) -> None:
        store.insert(JOBS, "a", job())
        store.remove()
        store.remove()
        store.prepare()
        assert store.search(JOBS, EVERYWHERE, Query(), ALL) == []
        assert store.insert(JOBS, "a", job()).version == 1


# Random documents and queries: every store must answer as the memory store does. Few names and
# values, so that they meet.

_NAMES = st.sampled_from(["a", "b", "a.b", "", "A"])
_SCALARS = st.sampled_from(["x", "X", "x y", "1", "", 1, 1.0, 0, 1.5, True, False, None])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.lists(
    st.builds(
        lambda body, project_id, stamp: {**body, "project_id": project_id, "timestamp": stamp},
        st.dictionaries(_NAMES, _VALUES, max_size=3),
        st.sampled_from(["ours", "theirs"]),
        st.sampled_from([None, 1, 2, "3"]),
    ),
    min_size=1,
    max_size=8,
)
_CONDITION = st.tuples(
    st.sampled_from(["a", "b", "a.b", "b.a", "", "a.b.a", "project_id"]), _SCALARS
)
_CONDITIONS = st.lists(_CONDITION, max_size=2).map(tuple)
_GROUPS = st.lists(st.lists(_CONDITION, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple)
QUERIES = st.builds(
    Query,
    match=_CONDITIONS,
    match_not=_CONDITIONS,
    match_or=_GROUPS,
    words=st.lists(st.sampled_from(["x", "y", "x y", "1", "true", ""]), max_size=2).map(tuple),
    time_after=st.sampled_from([None, None, None, 2]),
    time_before=st.sampled_from([None, None, None, 2]),
)
SCOPES = st.sampled_from([EVERYWHERE, OURS, THEIRS, Scope(project_id="ours", or_match=("a", True))])
PAGES = st.builds(
    Page,
    limit=st.integers(1, 9),
    offset=st.integers(0, 4),
    order=st.builds(Order, key=st.sampled_from(SortKey), descending=st.booleans()),
)


def assert_answers_like_memory(
    store: DocumentStore,
    documents: list[dict[str, Any]],
    questions: list[tuple[Scope, Query, Page]],
) -> None:
    """Fill both, half of the documents by a replacement, and compare what they find."""
    memory = MemoryStore()
    for one in (memory, store):
        for number, document in enumerate(documents):
            first = documents[-1] if number % 2 else document
            one.insert(JOBS, str(number), first)
            one.replace(JOBS, str(number), document, 1)
    for scope, query, page in questions:
        expected = memory.find(JOBS, scope, query, page)
        assert ids(store.search(JOBS, scope, query, page)) == ids(expected.documents)
        found = store.find(JOBS, scope, query, page)
        assert (ids(found.documents), found.total) == (ids(expected.documents), expected.total)
        assert store.count(JOBS, scope, query) == expected.total
