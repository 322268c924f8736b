"""From the first release's mapping to today's while others read and write, and kill -9 in between."""

import contextlib
import json
import multiprocessing
import random
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from freezer_api.errors import (
    DocumentExists,
    DocumentNotFound,
    StoreUnavailable,
)
from freezer_api.store import elasticsearch_upgrade
from freezer_api.store.base import EVERYWHERE, Collection, Page, Query
from freezer_api.store.elasticsearch import Cluster, ElasticsearchStore
from freezer_api.store.elasticsearch_copy import Copy
from freezer_api.store.elasticsearch_places import MOVING_PAUSES
from freezer_api.store.elasticsearch_upgrade import give_back, switch_of
from freezer_api.store.mappings import LAYOUTS, MAPPING_VERSION
from freezer_model.clock import utc_now
from tests.contracts.document_store import ALL, JOBS, OURS, ids, job

pytestmark = pytest.mark.service

FORK = multiprocessing.get_context("fork")
EVERYTHING = Page(limit=100_000)


def store_at(url: str, prefix: str, **options: Any) -> ElasticsearchStore:
    return ElasticsearchStore(
        Cluster(hosts=(url,)),
        index_prefix=prefix,
        clock=utc_now,
        new_id=lambda: uuid.uuid4().hex,
        **options,
    )


def request(url: str, method: str, body: object = None) -> Any:
    """What the server says to a request that is not of the store's making."""
    asked = urllib.request.Request(  # noqa: S310 - the test's own server
        url,
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:  # noqa: S310
        return json.load(answer)


@pytest.fixture
def first_release(elasticsearch_url: str, index_prefix: str) -> Iterator[ElasticsearchStore]:
    """A store whose indices are as the first release made them."""
    for collection in Collection:
        alias = f"{index_prefix}_{collection}"
        request(
            f"{elasticsearch_url}/{alias}_v1",
            "PUT",
            {
                "aliases": {alias: {"is_write_index": True}},
                "mappings": LAYOUTS[1].mapping,
                "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1"},
            },
        )
    store = store_at(elasticsearch_url, index_prefix)
    yield store
    store.remove()
    store.close()


def versions(store: ElasticsearchStore) -> set[int]:
    return {contents.version for contents in store.describe()}


def upgraded(store: ElasticsearchStore) -> list[str]:
    """What an upgrade tells."""
    told: list[str] = []
    store.upgrade(told.append)
    return told


def test_the_first_release_s_indices_serve_as_they_are(first_release: ElasticsearchStore) -> None:
    store = first_release
    store.insert(JOBS, "a", job(client_id="c"))
    store.replace(JOBS, "a", job(client_id="d"), 1)
    assert store.ready()
    assert ids(store.search(JOBS, OURS, Query(match=(("client_id", "d"),)), ALL)) == ["a"]
    # Without stamps there is no fingerprint, so callers get the documents each time.
    assert store.fingerprint(JOBS, OURS, Query(match=(("client_id", "d"),))) is None
    store.prepare()
    assert versions(store) == {1}


def test_moves_documents_as_they_are(first_release: ElasticsearchStore) -> None:
    store = first_release
    for name in "dbca":
        store.insert(JOBS, name, job(client_id="c", name=name))
    store.replace(JOBS, "c", job(client_id="c", name="changed"), 1)
    store.delete(JOBS, OURS, "d")
    before = store.search(JOBS, OURS, Query(), ALL)
    told = upgraded(store)
    assert versions(store) == {MAPPING_VERSION}
    assert any("moved" in line for line in told)
    assert store.search(JOBS, OURS, Query(), ALL) == before
    assert ids(store.search(JOBS, OURS, Query(match=(("name", "changed"),)), ALL)) == ["c"]
    assert store.fingerprint(JOBS, OURS, Query(match=(("client_id", "c"),)))
    assert store.replace(JOBS, "a", job(), 1).version == 2
    store.delete(JOBS, OURS, "a")
    with pytest.raises(DocumentExists):
        store.insert(JOBS, "b", job())
    assert all("up to date" in line for line in upgraded(store))


def test_a_copy_that_was_begun_is_brought_up_to_date(
    first_release: ElasticsearchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted, changed, made anew: what happened between two runs is not left as it was."""
    store = first_release
    for number in range(30):
        store.insert(JOBS, str(number), job(number=number))
    with monkeypatch.context() as patch:
        patch.setattr(Copy, "finish", _die)
        with pytest.raises(KeyboardInterrupt):
            upgraded(store)
    assert store.insert(JOBS, "new", job()).version == 1  # the block is lifted
    for number in range(0, 30, 3):
        store.delete(JOBS, OURS, str(number))
    store.insert(JOBS, "0", job(number="again"))
    store.replace(JOBS, "1", job(number="changed"), 1)
    before = store.search(JOBS, OURS, Query(), ALL)
    upgraded(store)
    assert versions(store) == {MAPPING_VERSION}
    assert store.search(JOBS, OURS, Query(), ALL) == before


def _die(_copy: Copy) -> None:
    raise KeyboardInterrupt


def test_nothing_is_switched_if_the_copy_differs(
    first_release: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    store = first_release
    store.insert(JOBS, "a", job())
    target = f"{elasticsearch_url}/{index_prefix}_jobs_v{MAPPING_VERSION}"
    assert ids(store.search(JOBS, OURS, Query(), ALL)) == ["a"]
    store._indices.make_templates()
    request(target, "PUT", {"aliases": {f"{index_prefix}_jobs_turn": {}}})
    key = request(f"{elasticsearch_url}/{index_prefix}_jobs_v1/_search", "GET")["hits"]["hits"]
    # A newer state than the old index has: somebody wrote where nobody should.
    request(
        f"{target}/_doc/{key[0]['_id']}?version=1000&version_type=external",
        "PUT",
        {"created": key[0]["_source"]["created"], "version": 7},
    )
    with pytest.raises(StoreUnavailable, match="not the same"):
        upgraded(store)
    assert store.replace(JOBS, "a", job(), 1).version == 2
    assert 1 in versions(store)


def test_a_service_lifts_the_block_of_a_dead_upgrade(
    first_release: ElasticsearchStore,
    elasticsearch_url: str,
    index_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = first_release
    store.insert(JOBS, "a", job())
    _die_with_the_turn(store, monkeypatch)
    waits: list[float] = []
    service = store_at(elasticsearch_url, index_prefix, sleep=waits.append)
    assert service.get(JOBS, OURS, "a").version == 1
    assert service.insert(JOBS, "b", job()).version == 1
    assert sum(waits) >= sum(MOVING_PAUSES)
    service.close()
    upgraded(store)
    assert ids(store.search(JOBS, OURS, Query(), ALL)) == ["a", "b"]
    assert versions(store) == {MAPPING_VERSION}


def test_an_upgrade_goes_on_with_the_switch_of_a_dead_one(
    first_release: ElasticsearchStore,
    elasticsearch_url: str,
    index_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = first_release
    store.insert(JOBS, "a", job())
    _die_with_the_turn(store, monkeypatch)
    waits: list[float] = []
    another = store_at(elasticsearch_url, index_prefix, sleep=waits.append)
    assert any("waiting" in line for line in upgraded(another))
    assert sum(waits) == elasticsearch_upgrade.WAIT_SECONDS
    assert versions(another) == {MAPPING_VERSION}
    assert ids(another.search(JOBS, OURS, Query(), ALL)) == ["a"]
    another.close()


def test_an_upgrade_that_lost_its_turn_switches_nothing(
    first_release: ElasticsearchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept so long that a service has lifted the block, and somebody wrote since."""
    store = first_release
    store.insert(JOBS, "a", job())
    finish = Copy.finish

    def finish_late(copy: Copy) -> None:
        finish(copy)
        holder = switch_of(store._connection, store._indices, JOBS)
        assert holder
        give_back(store._connection, store._indices, JOBS, holder)
        store.insert(JOBS, "late", job())

    with monkeypatch.context() as patch:
        patch.setattr(Copy, "finish", finish_late)
        with pytest.raises(StoreUnavailable, match="run the upgrade again"):
            upgraded(store)
    assert ids(store.search(JOBS, OURS, Query(), ALL)) == ["a", "late"]
    assert store.insert(JOBS, "b", job()).version == 1
    upgraded(store)
    assert ids(store.search(JOBS, OURS, Query(), ALL)) == ["a", "late", "b"]


def _die_with_the_turn(store: ElasticsearchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kill -9 does it: within the switch, and nothing is cleared up."""
    with monkeypatch.context() as patch:
        patch.setattr(Copy, "finish", _die)
        patch.setattr(elasticsearch_upgrade, "give_back", lambda *_nothing: None)
        with pytest.raises(KeyboardInterrupt):
            upgraded(store)


def test_a_block_of_the_operator_s_is_told_soon(
    first_release: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    waits: list[float] = []
    store = store_at(elasticsearch_url, index_prefix, sleep=waits.append)
    settings = f"{elasticsearch_url}/{index_prefix}_jobs_v1/_settings"
    for name, advice in (
        ("index.blocks.read_only", "lift the block"),
        ("index.blocks.write", "lift the block"),
        ("index.blocks.read_only_allow_delete", "too full"),
    ):
        request(settings, "PUT", {name: True})
        with pytest.raises(StoreUnavailable, match=advice):
            store.insert(JOBS, "a", job())
        assert store.search(JOBS, OURS, Query(), ALL) == []
        request(settings, "PUT", {name: None})
    assert sum(waits) < 5  # of two blocks that an upgrade could have made
    assert store.insert(JOBS, "a", job()).version == 1
    store.close()
    assert first_release.ready()


class Writer:
    """Somebody who inserts, replaces and deletes, and knows what must be there afterwards."""

    def __init__(self, store: ElasticsearchStore, name: str) -> None:
        self._store = store
        self._chance = random.Random(name)  # noqa: S311 - to be repeatable
        self._name = name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.kept: dict[str, tuple[int, int]] = {}
        self.failure: Exception | None = None
        self.writes = 0

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._write()
                self.writes += 1
        except Exception as error:  # noqa: BLE001 - the test says what it was
            self.failure = error

    def _write(self) -> None:
        number = self._chance.randrange(1_000_000)
        match self._chance.choice(["insert", "replace", "delete"]), list(self.kept):
            case "replace", [*some] if some:
                name = self._chance.choice(some)
                version = self.kept[name][0]
                stored = self._store.replace(JOBS, name, job(number=number), version)
                self.kept[name] = (stored.version, number)
            case "delete", [*some] if len(some) > 20:
                name = self._chance.choice(some)
                self._store.delete(JOBS, OURS, name)
                del self.kept[name]
                with pytest.raises(DocumentNotFound):
                    self._store.get(JOBS, OURS, name)
            case _:
                name = f"{self._name}-{number}"
                with contextlib.suppress(DocumentExists):
                    self._store.insert(JOBS, name, job(number=number))
                    self.kept[name] = (1, number)
        # Reading what was just written works in the middle of a switch, too.
        for name in list(self.kept)[-1:]:
            found = self._store.get(JOBS, OURS, name)
            assert (found.version, found.document["number"]) == self.kept[name]


def _upgrade_in_a_process(url: str, prefix: str) -> None:
    store = store_at(url, prefix)
    store.upgrade(lambda _text: None)


@pytest.mark.slow
def test_nothing_is_lost_whoever_writes_and_whoever_dies(
    first_release: ElasticsearchStore,
    elasticsearch_url: str,
    index_prefix: str,
) -> None:
    """Six writers, each of whom knows what is acknowledged; an upgrade that is killed ten times."""
    for number in range(3_000):
        first_release.insert(JOBS, f"before-{number}", job(number=number))
    stores = [store_at(elasticsearch_url, index_prefix) for _ in range(6)]
    writers = [Writer(store, f"w{number}") for number, store in enumerate(stores)]
    for writer in writers:
        writer.start()
    try:
        chance = random.Random(7)  # noqa: S311 - to be repeatable
        for _kill in range(10):
            upgrade = FORK.Process(
                target=_upgrade_in_a_process, args=(elasticsearch_url, index_prefix)
            )
            upgrade.start()
            upgrade.join(chance.uniform(0.3, 4))
            upgrade.kill()
            upgrade.join()
        upgraded(first_release)
        assert versions(first_release) == {MAPPING_VERSION}
        seen = [writer.writes for writer in writers]
        deadline = time.monotonic() + 60
        while any(writer.writes < count + 5 for writer, count in zip(writers, seen, strict=True)):
            assert time.monotonic() < deadline, [writer.failure for writer in writers]
            time.sleep(0.05)
    finally:
        for writer in writers:
            writer.end()
        for store in stores:
            store.close()
    assert [writer.failure for writer in writers] == [None] * len(writers)
    found = first_release.search(JOBS, EVERYWHERE, Query(), EVERYTHING)
    have = {one.document_id: (one.version, one.document["number"]) for one in found}
    expected = {f"before-{number}": (1, number) for number in range(3_000)}
    for writer in writers:
        expected |= writer.kept
    assert have == expected
    assert sum(writer.writes for writer in writers) > 100
