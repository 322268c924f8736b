"""The Elasticsearch store keeps the promises of a document store on a real server."""

import uuid
from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import EVERYWHERE, Collection, Order, Page, Query
from freezer_api.store.elasticsearch import Cluster, ElasticsearchStore
from freezer_api.store.freshness import Freshness
from freezer_model.clock import utc_now
from tests.contracts.document_store import (
    ALL,
    DOCUMENTS,
    JOBS,
    OURS,
    PAGES,
    QUERIES,
    SCOPES,
    DocumentStoreContract,
    add_one,
    assert_answers_like_memory,
    ids,
    in_threads,
    job,
)

pytestmark = pytest.mark.service

SPAWN = get_context("spawn")
FORK = get_context("fork")


def store_at(url: str, prefix: str, **options: Any) -> ElasticsearchStore:
    return ElasticsearchStore(
        Cluster(hosts=(url,)),
        index_prefix=prefix,
        clock=utc_now,
        new_id=lambda: uuid.uuid4().hex,
        **options,
    )


def emptied(store: ElasticsearchStore) -> ElasticsearchStore:
    """The same store without documents: quicker than new indices, which take most of a second."""
    store.prepare()
    counts = {contents.name: contents.documents for contents in store.describe()}
    for collection in Collection:
        if any(count for name, count in counts.items() if collection in name):
            for stored in store.search(collection, EVERYWHERE, Query(), Page(limit=100_000)):
                store.delete(collection, EVERYWHERE, stored.document_id)
    return store


def made_twice(url: str, prefix: str) -> None:
    """What two service processes do at their start."""
    store = store_at(url, prefix)
    store.prepare()
    store.insert(JOBS, uuid.uuid4().hex, job())
    store.close()


def adding(url: str, prefix: str, rounds: int) -> None:
    store = store_at(url, prefix)
    for _round in range(rounds):
        add_one(store, "a", "counter")
    store.close()


def new_freshness(**options: Any) -> Freshness:
    return Freshness(lambda: uuid.uuid4().int >> 64, **options)


def adding_with(freshness: Freshness, url: str, prefix: str, first: int, amount: int) -> None:
    """What one worker of a service does: write, and find what it has written."""
    store = store_at(url, prefix, freshness=freshness)
    for number in range(first, first + amount):
        store.insert(JOBS, str(number), job(number=number))
        found = store.search(JOBS, OURS, Query(match=(("number", number),)), ALL)
        assert ids(found) == [str(number)]
    store.close()


def without_own_refreshes(url: str, prefix: str) -> None:
    """Let nothing be seen in the index of jobs but what somebody has refreshed."""
    with Elasticsearch(url, request_timeout=120) as client:
        client.indices.put_settings(index=f"{prefix}_jobs", settings={"refresh_interval": "-1"})


def refreshes(url: str, prefix: str) -> int:
    with Elasticsearch(url, request_timeout=120) as client:
        answer = client.indices.stats(index=f"{prefix}_jobs", metric="refresh")
        return int(answer["_all"]["primaries"]["refresh"]["total"])


@pytest.fixture(scope="module")
def module_store(elasticsearch_url: str) -> Iterator[ElasticsearchStore]:
    store = store_at(
        elasticsearch_url, f"t{uuid.uuid4().hex[:12]}", freshness=new_freshness(now=lambda: 10**12)
    )
    store.prepare()
    yield store
    store.remove()
    store.close()


class TestElasticsearchStore(DocumentStoreContract):
    @pytest.fixture
    def store(self, module_store: ElasticsearchStore) -> ElasticsearchStore:
        return emptied(module_store)

    @settings(
        max_examples=15,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(
        documents=DOCUMENTS,
        questions=st.lists(st.tuples(SCOPES, QUERIES, PAGES), min_size=5, max_size=9),
    )
    def test_answers_like_memory(
        self, store: ElasticsearchStore, documents: list, questions: list
    ) -> None:
        assert_answers_like_memory(emptied(store), documents, questions)


@pytest.fixture
def unmade(elasticsearch_url: str, index_prefix: str) -> Iterator[ElasticsearchStore]:
    store = store_at(elasticsearch_url, index_prefix)
    yield store
    store.remove()
    store.close()


def test_without_indices_nothing_works_and_nothing_is_made(unmade: ElasticsearchStore) -> None:
    assert not unmade.ready()
    assert unmade.describe() == []
    for call in (
        lambda: unmade.insert(JOBS, "a", job()),
        lambda: unmade.get(JOBS, OURS, "a"),
        lambda: unmade.replace(JOBS, "a", job(), 1),
        lambda: unmade.delete(JOBS, OURS, "a"),
        lambda: unmade.search(JOBS, OURS, Query(), ALL),
    ):
        with pytest.raises(StoreUnavailable, match="freezer-manage db sync"):
            call()
    assert unmade.describe() == []


def test_many_processes_may_make_the_indices(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    with SPAWN.Pool(4) as pool:
        pool.starmap(made_twice, [(elasticsearch_url, index_prefix)] * 8)
    assert unmade.ready()
    assert len(unmade.search(JOBS, OURS, Query(), ALL)) == 8


def test_processes_lose_no_update_and_see_each_other_s(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    unmade.prepare()
    unmade.insert(JOBS, "a", job(counter=0))
    with SPAWN.Pool(4) as pool:
        pool.starmap(adding, [(elasticsearch_url, index_prefix, 8)] * 4)
    assert ids(unmade.search(JOBS, OURS, Query(match=(("counter", 32),)), ALL)) == ["a"]


def test_lists_contain_what_another_process_has_just_made(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    unmade.prepare()
    other = store_at(elasticsearch_url, index_prefix)
    for number in range(20):
        unmade.insert(JOBS, str(number), job())
        assert len(other.search(JOBS, OURS, Query(), ALL)) == number + 1
    other.close()


def test_workers_of_a_service_see_each_other_s_writes_at_once(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    """By what they share alone: the index does not refresh itself, and time does not pass."""
    unmade.prepare()
    without_own_refreshes(elasticsearch_url, index_prefix)
    freshness = new_freshness(now=lambda: 10**12)
    ours = store_at(elasticsearch_url, index_prefix, freshness=freshness)
    assert ours.count(JOBS, OURS, Query()) == 0
    for number in range(5):
        arguments = (freshness, elasticsearch_url, index_prefix, number * 8, 4)
        others = [
            FORK.Process(target=adding_with, args=arguments),
            FORK.Process(
                target=adding_with,
                args=(freshness, elasticsearch_url, index_prefix, number * 8 + 4, 4),
            ),
        ]
        for other in others:
            other.start()
        for other in others:
            other.join()
        assert [other.exitcode for other in others] == [0, 0]
        assert len(ours.search(JOBS, OURS, Query(), ALL)) == number * 8 + 8
    ours.close()


def test_searches_without_news_refresh_nothing(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    unmade.prepare()
    without_own_refreshes(elasticsearch_url, index_prefix)
    ours = store_at(elasticsearch_url, index_prefix, freshness=new_freshness(now=lambda: 10**12))
    ours.insert(JOBS, "a", job())
    assert ids(ours.search(JOBS, OURS, Query(), ALL)) == ["a"]
    before = refreshes(elasticsearch_url, index_prefix)
    for _search in range(5):
        assert ids(ours.search(JOBS, OURS, Query(), ALL)) == ["a"]
    assert refreshes(elasticsearch_url, index_prefix) == before
    ours.replace(JOBS, "a", job(number=7), 1)
    assert ids(ours.search(JOBS, OURS, Query(match=(("number", 7),)), ALL)) == ["a"]
    ours.delete(JOBS, OURS, "a")
    assert ours.search(JOBS, OURS, Query(), ALL) == []
    ours.close()


@pytest.mark.parametrize(("offset", "limit"), [(0, 25), (3, 4), (5, 5), (9, 3), (20, 9), (24, 1)])
def test_pages_are_the_same_with_any_window(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str, offset: int, limit: int
) -> None:
    unmade.prepare()
    names = [f"{number * 7 % 25:02}" for number in range(25)]
    for name in names:
        unmade.insert(JOBS, name, job())
    narrow = store_at(elasticsearch_url, index_prefix, window=4)
    for order, expected in ((Order(), names), (Order(descending=True), names[::-1])):
        page = Page(offset=offset, limit=limit, order=order)
        found = narrow.find(JOBS, OURS, Query(), page)
        assert ids(found.documents) == expected[offset : offset + limit]
        assert found.total == len(names)
    narrow.close()


@pytest.mark.slow
def test_pages_beyond_ten_thousand(unmade: ElasticsearchStore) -> None:
    """The server itself refuses such a window; the store walks there."""
    unmade.prepare()

    def load(worker: int) -> None:
        for number in range(worker, 10_050, 8):
            unmade.insert(JOBS, str(number), job(number=number))

    in_threads(8, load)
    everything = ids(unmade.search(JOBS, OURS, Query(), Page(limit=20_000)))
    assert len(set(everything)) == 10_050
    for offset in (999, 1_000, 5_000, 9_995, 10_000, 10_040):
        page = ids(unmade.search(JOBS, OURS, Query(), Page(offset=offset, limit=10)))
        assert page == everything[offset : offset + 10]
    assert unmade.search(JOBS, OURS, Query(), Page(offset=10_050)) == []


def test_an_alias_of_another_version_is_refused(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    with Elasticsearch(elasticsearch_url, request_timeout=120) as client:
        index, alias = f"{index_prefix}_jobs_v99", f"{index_prefix}_jobs"
        client.indices.create(index=index, aliases={alias: {}})
        try:
            assert not unmade.ready()
            with pytest.raises(StoreUnavailable, match=f"{index}.*{alias}_v2"):
                unmade.prepare()
        finally:
            client.indices.delete(index=index)


def test_an_index_in_the_alias_s_place_is_refused(
    unmade: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    with Elasticsearch(elasticsearch_url, request_timeout=120) as client:
        client.indices.create(index=f"{index_prefix}_jobs")
        try:
            with pytest.raises(StoreUnavailable, match=f"{index_prefix}_jobs"):
                unmade.prepare()
        finally:
            client.indices.delete(index=f"{index_prefix}_jobs")
