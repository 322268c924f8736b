"""The Elasticsearch store on three nodes with TLS and credentials, of which some are killed.

The tests run in their order on one cluster, which takes a minute or two to start; each leaves it
whole.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from freezer_api.errors import StoreUnavailable, VersionConflict
from freezer_api.store.base import Page, Query
from freezer_api.store.elasticsearch import Cluster, ElasticsearchStore
from freezer_model.clock import utc_now
from tests.contracts.document_store import ALL, JOBS, OURS, ids, job
from tests.services import elasticsearch_cluster
from tests.services.elasticsearch_cluster import NAMES, PASSWORD
from tests.services.fixtures import require

pytestmark = [pytest.mark.service, pytest.mark.cluster, pytest.mark.timeout(900)]

WRITERS = 8
LEAST_DOCUMENTS = 2_000
ROLES_OF_A_SERVICE = ["read", "write", "maintenance", "view_index_metadata"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[elasticsearch_cluster.Cluster]:
    require(elasticsearch_cluster.find, elasticsearch_cluster.install)
    with elasticsearch_cluster.running() as running:
        yield running


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def store_at(
    cluster: elasticsearch_cluster.Cluster, prefix: str, **options: Any
) -> ElasticsearchStore:
    credentials = {"username": "elastic", "password": PASSWORD}
    if {"username", "api_key"} & options.keys():
        credentials = {}
    known = {"hosts": cluster.hosts, "ca_certs": str(cluster.ca_certs), **credentials, **options}
    return ElasticsearchStore(
        Cluster(**known),
        index_prefix=prefix,
        clock=utc_now,
        new_id=lambda: uuid.uuid4().hex,
    )


@pytest.fixture(scope="module")
def made(cluster: elasticsearch_cluster.Cluster, prefix: str) -> Iterator[ElasticsearchStore]:
    with closing(store_at(cluster, prefix)) as store:
        store.prepare()
        yield store


def test_the_authority_must_be_the_one_that_signed(
    made: ElasticsearchStore, cluster: elasticsearch_cluster.Cluster, prefix: str, tmp_path: Path
) -> None:
    assert made.ready()
    # Another authority that calls itself the same.
    elasticsearch_cluster._make_certificates(tmp_path)
    with closing(store_at(cluster, prefix, ca_certs=str(tmp_path / "ca.crt"))) as deceived:
        with pytest.raises(StoreUnavailable, match="ca_certs against the authority") as refusal:
            deceived.get(JOBS, OURS, "a")
        assert not deceived.ready()
    assert "CERTIFICATE_VERIFY_FAILED" in str(refusal.value)


@pytest.mark.parametrize(
    "credentials",
    [
        {"username": "elastic", "password": "wr0ng"},
        {"username": "nobody", "password": "wr0ng"},
        {"api_key": "d3JvbmcxMjM0NTY3ODkwMTIzNDU2Nzg6d3JvbmcxMjM0NTY3ODkwMTI="},
    ],
    ids=["password", "user", "api-key"],
)
def test_strangers_are_told_what_to_look_at(
    cluster: elasticsearch_cluster.Cluster, prefix: str, credentials: dict[str, str]
) -> None:
    with closing(store_at(cluster, prefix, **credentials)) as stranger:
        with pytest.raises(StoreUnavailable, match="Check the user, the password or the API key"):
            stranger.search(JOBS, OURS, Query(), ALL)
        assert not stranger.ready()


def api_key(cluster: elasticsearch_cluster.Cluster, pattern: str, *privileges: str) -> str:
    role = {"indices": [{"names": [pattern], "privileges": list(privileges)}]}
    asked = {"name": uuid.uuid4().hex, "role_descriptors": {"freezer": role}}
    return str(cluster.ask("POST", "/_security/api_key", asked)["encoded"])


def test_a_service_needs_four_privileges_on_its_own_indices(
    made: ElasticsearchStore, cluster: elasticsearch_cluster.Cluster, prefix: str
) -> None:
    """Those that the manual names: enough for all that a service does, and for nothing else."""
    key = api_key(cluster, f"{prefix}_*", *ROLES_OF_A_SERVICE)
    with closing(store_at(cluster, prefix, api_key=key)) as service:
        assert service.ready()
        service.insert(JOBS, "a", job(client_id="c"))
        service.replace(JOBS, "a", job(client_id="d"), 1)
        assert ids(service.search(JOBS, OURS, Query(match=(("client_id", "d"),)), ALL)) == ["a"]
        assert service.fingerprint(JOBS, OURS, Query(match=(("client_id", "d"),)))
        service.delete(JOBS, OURS, "a")
        for forbidden in (service.prepare, service.remove):
            with pytest.raises(StoreUnavailable, match=r"\(403\)"):
                forbidden()
    assert made.ready()
    with closing(store_at(cluster, prefix, api_key=api_key(cluster, "else_*", "all"))) as other:
        with pytest.raises(StoreUnavailable):
            other.insert(JOBS, "a", job())
        assert not other.ready()


class Load:
    """Writers that create and replace documents, and note what was acknowledged."""

    def __init__(self, make: Callable[[], ElasticsearchStore]) -> None:
        self._make = make
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]
        self.acknowledged: dict[str, int] = {}
        self.failures: list[Exception] = []
        self.longest_seconds = 0.0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, documents: int) -> None:
        """Until so many more documents are acknowledged."""
        wanted = len(self.acknowledged) + documents
        deadline = time.monotonic() + 240
        while len(self.acknowledged) < wanted:
            assert not self.failures, self.failures
            assert time.monotonic() < deadline, "the writers stand still"
            time.sleep(0.05)

    def _write(self, number: int) -> None:
        with closing(self._make()) as store:
            count = 0
            while not self._ended.is_set():
                count += 1
                self._try(store, f"{number}-{count}", count)

    def _try(self, store: ElasticsearchStore, name: str, count: int) -> None:
        started = time.monotonic()
        try:
            version = store.insert(JOBS, name, job(count=count)).version
            if count % 3 == 0:
                version = store.replace(JOBS, name, job(count=-count), version).version
            assert store.get(JOBS, OURS, name).version == version
        except Exception as error:  # noqa: BLE001 - the test says what it was
            self.failures.append(error)
            return
        with self._lock:
            self.acknowledged[name] = version
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)


def test_no_acknowledged_write_is_lost_with_a_node(
    made: ElasticsearchStore, cluster: elasticsearch_cluster.Cluster, prefix: str
) -> None:
    """Kill -9 of a node with data, later of the elected master, while eight writers go on.

    No call fails, no creation or replacement is refused because its first answer was lost, and
    every acknowledged document is there in the end.
    """
    index = f"{prefix}_jobs_v2"
    load = Load(lambda: store_at(cluster, prefix))
    load.start()
    try:
        load.wait_for(400)
        witness = NAMES[0]
        victim = cluster.primary(index, node=witness)
        if victim == cluster.master(
            node=witness
        ):  # the other copy, then: it is the master's turn next
            victim = next(name for name in NAMES if name != victim)
        cluster.kill(victim)
        load.wait_for(600)
        cluster.start(victim)
        cluster.wait_for(3)
        load.wait_for(200)
        master = cluster.master(node=victim)
        cluster.kill(master)
        load.wait_for(800)
        cluster.start(master)
        cluster.wait_for(3)
    finally:
        load.end()
    assert load.failures == []
    assert len(load.acknowledged) >= LEAST_DOCUMENTS
    found = {one.document_id: one for one in made.search(JOBS, OURS, Query(), Page(limit=100_000))}
    assert {name: found[name].version for name in load.acknowledged} == load.acknowledged
    for name, stored in found.items():
        count = int(name.partition("-")[2])
        expected = -count if stored.version == 2 else count
        assert stored.document["count"] == expected
    # A writer that was told to end has at most one write of which it heard nothing.
    assert len(found) - len(load.acknowledged) <= WRITERS
    print(f"{len(found)} documents; the longest three calls took {load.longest_seconds:.1f} s")  # noqa: T201


def test_without_a_majority_it_is_unavailable_and_then_recovers(
    made: ElasticsearchStore,
    cluster: elasticsearch_cluster.Cluster,
    prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made.insert(JOBS, "before", job())
    with closing(store_at(cluster, prefix, retries=2, timeout_seconds=3)) as store:
        assert store.get(JOBS, OURS, "before").version == 1
        for name in NAMES[1:]:
            cluster.kill(name)
        with pytest.raises(StoreUnavailable):
            store.insert(JOBS, "meanwhile", job())
        assert "Elasticsearch is not ready" in caplog.text
        for name in NAMES[1:]:
            cluster.start(name)
        cluster.wait_for(3)
        assert store.insert(JOBS, "after", job()).version == 1
        assert store.get(JOBS, OURS, "before").version == 1
        assert "Elasticsearch is ready again" in caplog.text
        with pytest.raises(VersionConflict):
            store.replace(JOBS, "after", job(), 7)
