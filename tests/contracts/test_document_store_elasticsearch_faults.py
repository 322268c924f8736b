"""The Elasticsearch store when answers are lost, late or unwelcome, and behind TLS.

The server is real; a proxy in front of it makes the trouble.
"""

import base64
import datetime as dt
import ipaddress
import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from elasticsearch import Elasticsearch

from freezer_api.errors import (
    DocumentExists,
    DocumentNotFound,
    StoreUnavailable,
    VersionConflict,
)
from freezer_api.store.base import Query
from freezer_api.store.elasticsearch import Cluster, ElasticsearchStore
from freezer_api.store.freshness import Freshness
from freezer_api.store.mappings import MAPPING_VERSION
from freezer_model.clock import utc_now
from tests.contracts.document_store import ALL, JOBS, OURS, ids, job
from tests.services.faulty_proxy import Fault, FaultyProxy, proxy_to

pytestmark = pytest.mark.service


def store_at(
    url: str, prefix: str, freshness: Freshness | None = None, **cluster: Any
) -> ElasticsearchStore:
    return ElasticsearchStore(
        Cluster(hosts=(url,), **cluster),
        freshness=freshness,
        index_prefix=prefix,
        clock=utc_now,
        new_id=lambda: uuid.uuid4().hex,
        sleep=lambda _seconds: None,
    )


@pytest.fixture
def made(elasticsearch_url: str, index_prefix: str) -> Iterator[ElasticsearchStore]:
    """A store whose connection is sound."""
    store = store_at(elasticsearch_url, index_prefix)
    store.prepare()
    yield store
    store.remove()
    store.close()


@pytest.fixture
def proxy(elasticsearch_url: str) -> Iterator[tuple[str, FaultyProxy]]:
    with proxy_to(elasticsearch_url) as proxied:
        yield proxied


@pytest.fixture
def faults(proxy: tuple[str, FaultyProxy]) -> FaultyProxy:
    return proxy[1]


@pytest.fixture
def shaky(
    made: ElasticsearchStore, proxy: tuple[str, FaultyProxy], index_prefix: str
) -> Iterator[ElasticsearchStore]:
    """The same store through the proxy."""
    assert made.ready()
    store = store_at(proxy[0], index_prefix, timeout_seconds=60, retries=2)
    assert store.search(JOBS, OURS, Query(), ALL) == []  # now it knows where its indices are
    yield store
    store.close()


def test_a_repeated_insertion_knows_its_own_document(
    shaky: ElasticsearchStore, made: ElasticsearchStore, faults: FaultyProxy
) -> None:
    faults.faults.append(Fault.ANSWER_LOST)
    assert shaky.insert(JOBS, "a", job(x=1)).version == 1
    assert sum("PUT" in request for request in faults.seen) == 2
    assert ids(made.search(JOBS, OURS, Query(), ALL)) == ["a"]


@pytest.mark.usefixtures("made")
def test_a_write_whose_answers_were_all_lost_is_seen_if_it_was_done(
    elasticsearch_url: str,
    proxy: tuple[str, FaultyProxy],
    index_prefix: str,
) -> None:
    """By another worker of the service, which knows only that there may be news."""
    freshness = Freshness(lambda: uuid.uuid4().int >> 64, now=lambda: 10**12)
    writer = store_at(proxy[0], index_prefix, freshness, timeout_seconds=60, retries=0)
    reader = store_at(elasticsearch_url, index_prefix, freshness)
    with Elasticsearch(elasticsearch_url, request_timeout=120) as client:
        client.indices.put_settings(
            index=f"{index_prefix}_jobs", settings={"refresh_interval": "-1"}
        )
    assert reader.search(JOBS, OURS, Query(), ALL) == []
    assert writer.ready()
    proxy[1].faults += [Fault.NONE, Fault.ANSWER_LOST]
    with pytest.raises(StoreUnavailable):
        writer.insert(JOBS, "a", job())
    assert ids(reader.search(JOBS, OURS, Query(), ALL)) == ["a"]
    writer.close()
    reader.close()


def test_a_repeated_insertion_does_not_claim_another_s_document(
    shaky: ElasticsearchStore, made: ElasticsearchStore, faults: FaultyProxy
) -> None:
    made.insert(JOBS, "a", job(x=1))
    faults.faults.append(Fault.ANSWER_LOST)
    with pytest.raises(DocumentExists):
        shaky.insert(JOBS, "a", job(x=1))


def test_a_repeated_replacement_knows_its_own_document(
    shaky: ElasticsearchStore, made: ElasticsearchStore, faults: FaultyProxy
) -> None:
    made.insert(JOBS, "a", job(x=1))
    faults.faults += [Fault.NONE, Fault.ANSWER_LOST]
    assert shaky.replace(JOBS, "a", job(x=2), 1).version == 2
    assert made.get(JOBS, OURS, "a").document == job(x=2)
    with pytest.raises(VersionConflict):
        shaky.replace(JOBS, "a", job(x=2), 1)


def test_what_was_read_is_not_read_again_to_be_replaced(
    shaky: ElasticsearchStore, made: ElasticsearchStore, faults: FaultyProxy
) -> None:
    made.insert(JOBS, "a", job(x=1))
    before = len(faults.seen)
    version = shaky.get(JOBS, OURS, "a").version
    assert shaky.replace(JOBS, "a", job(x=2), version).version == 2
    assert len(faults.seen) - before == 2
    assert made.get(JOBS, OURS, "a").document == job(x=2)


def test_a_replacement_of_what_was_read_knows_itself_when_its_answer_was_lost(
    shaky: ElasticsearchStore, made: ElasticsearchStore, faults: FaultyProxy
) -> None:
    made.insert(JOBS, "a", job(x=1))
    shaky.get(JOBS, OURS, "a")
    faults.faults.append(Fault.ANSWER_LOST)
    assert shaky.replace(JOBS, "a", job(x=2), 1).version == 2
    assert made.get(JOBS, OURS, "a") == shaky.get(JOBS, OURS, "a")


def test_what_changed_after_it_was_read_is_not_replaced(
    shaky: ElasticsearchStore, made: ElasticsearchStore
) -> None:
    made.insert(JOBS, "a", job(x=1))
    shaky.get(JOBS, OURS, "a")
    made.replace(JOBS, "a", job(x=2), 1)
    with pytest.raises(VersionConflict):
        shaky.replace(JOBS, "a", job(x=3), 1)
    shaky.get(JOBS, OURS, "a")
    made.delete(JOBS, OURS, "a")
    with pytest.raises(DocumentNotFound):
        shaky.replace(JOBS, "a", job(x=3), 2)
    assert ids(made.search(JOBS, OURS, Query(), ALL)) == []


def test_what_was_made_anew_after_it_was_read_counts_as_it_is(
    shaky: ElasticsearchStore, made: ElasticsearchStore
) -> None:
    """The version is the same again, so the replacement is as good as any."""
    made.insert(JOBS, "a", job(x=1))
    shaky.get(JOBS, OURS, "a")
    made.delete(JOBS, OURS, "a")
    made.insert(JOBS, "b", job())
    made.insert(JOBS, "a", job(x=2))
    assert shaky.replace(JOBS, "a", job(x=3), 1).version == 2
    assert ids(made.search(JOBS, OURS, Query(), ALL)) == ["b", "a"]


def test_a_repeated_deletion_succeeds(
    shaky: ElasticsearchStore, made: ElasticsearchStore, faults: FaultyProxy
) -> None:
    made.insert(JOBS, "a", job())
    faults.faults += [Fault.NONE, Fault.ANSWER_LOST]
    shaky.delete(JOBS, OURS, "a")
    with pytest.raises(DocumentNotFound):
        shaky.delete(JOBS, OURS, "a")


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.THROTTLED, Fault.ANSWER_LOST])
def test_tries_again_but_not_for_ever(
    shaky: ElasticsearchStore, made: ElasticsearchStore, faults: FaultyProxy, fault: Fault
) -> None:
    made.insert(JOBS, "a", job())
    faults.faulty_path = "_search"
    faults.faults += [fault] * 2
    assert ids(shaky.search(JOBS, OURS, Query(), ALL)) == ["a"]
    faults.faults += [fault] * 3
    with pytest.raises(StoreUnavailable):
        shaky.search(JOBS, OURS, Query(), ALL)
    assert not faults.faults


def test_a_silent_server_is_unavailable(
    made: ElasticsearchStore, proxy: tuple[str, FaultyProxy], index_prefix: str
) -> None:
    hasty = store_at(proxy[0], index_prefix, timeout_seconds=0.2, retries=0)
    hasty._places._known = made._indices.places()
    proxy[1].faulty_path = "_doc"
    proxy[1].faults.append(Fault.TOO_LATE)
    with pytest.raises(StoreUnavailable):
        hasty.insert(JOBS, "a", job())
    assert proxy[1].carried_out.wait(120)
    assert made.get(JOBS, OURS, "a").version == 1  # the one outcome that cannot be known
    hasty.close()


def test_an_index_without_its_shard_is_unavailable_and_comes_back(
    made: ElasticsearchStore, elasticsearch_url: str, index_prefix: str
) -> None:
    """Red, as the server calls it: the one copy is on no node."""
    index = f"{index_prefix}_jobs_v{MAPPING_VERSION}"
    assert made.ready()
    with Elasticsearch(elasticsearch_url, request_timeout=120) as client:
        client.indices.delete(index=index)
        client.indices.create(
            index=index,
            aliases={f"{index_prefix}_jobs": {"is_write_index": False}},
            settings={"index.routing.allocation.enable": "none"},
            wait_for_active_shards=0,
        )
        hasty = store_at(elasticsearch_url, index_prefix, timeout_seconds=2, retries=0)
        assert not hasty.ready()
        for call in (
            lambda: hasty.insert(JOBS, "a", job()),
            lambda: hasty.get(JOBS, OURS, "a"),
            lambda: hasty.search(JOBS, OURS, Query(), ALL),
        ):
            with pytest.raises(StoreUnavailable):
                call()
        hasty.close()
        client.indices.put_settings(
            index=index, settings={"index.routing.allocation.enable": "all"}
        )
        client.cluster.health(index=index, wait_for_status="yellow", timeout="60s")
    assert made.insert(JOBS, "b", job()).version == 1
    assert made.ready()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for 127.0.0.1, signed by itself, and the file that lets clients trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utc_now() - dt.timedelta(days=1))
        .not_valid_after(utc_now() + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "server.crt", folder / "server.key"
    public.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


def test_tls_is_verified(made: ElasticsearchStore, elasticsearch_url: str, tmp_path: Path) -> None:
    made.insert(JOBS, "a", job())
    tls, trusted = certificate(tmp_path)
    prefix = made.describe()[0].name.split("_")[0]
    with proxy_to(elasticsearch_url, tls=tls) as (url, _proxy):
        for cluster, reachable in (
            ({"ca_certs": str(trusted)}, True),
            ({"verify_certs": False}, True),
            ({}, False),
        ):
            store = store_at(url, prefix, retries=0, **cluster)
            assert store.ready() is reachable
            store.close()


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        (
            {"username": "freezer", "password": "s:cret"},
            f"Basic {base64.b64encode(b'freezer:s:cret').decode()}",
        ),
        ({"api_key": "bXkta2V5"}, "ApiKey bXkta2V5"),
    ],
    ids=["user", "api-key"],
)
def test_credentials_are_sent(
    made: ElasticsearchStore, elasticsearch_url: str, credentials: dict[str, str], header: str
) -> None:
    prefix = made.describe()[0].name.split("_")[0]
    with proxy_to(elasticsearch_url, authorization=header) as (url, _proxy):
        known = store_at(url, prefix, **credentials)
        assert known.ready()
        known.close()
        stranger = store_at(url, prefix, username="freezer", password="wr0ng")
        with pytest.raises(StoreUnavailable, match="Check the user") as refusal:
            stranger.search(JOBS, OURS, Query(), ALL)
        assert "wr0ng" not in str(refusal.value)
        stranger.close()
