"""The Elasticsearch store without a server."""

import datetime as dt
import socket
from typing import Any

import pytest

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import Collection, Page, Query, Scope
from freezer_api.store.elasticsearch import Cluster, ElasticsearchStore, _Instants
from freezer_api.store.elasticsearch_connection import with_port
from freezer_api.store.mappings import index_template

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def store_at(*hosts: str, **cluster: Any) -> ElasticsearchStore:
    return ElasticsearchStore(
        Cluster(hosts=hosts, retries=1, timeout_seconds=2, **cluster),
        index_prefix="freezer",
        clock=lambda: NOON,
        new_id=lambda: "id",
        sleep=lambda _seconds: None,
    )


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_server_that_is_away_makes_the_store_unavailable(closed_port: int) -> None:
    store = store_at(f"http://127.0.0.1:{closed_port}", f"http://127.0.0.1:{closed_port}/es")
    ours = Scope(project_id="ours")
    calls = [
        lambda: store.get(Collection.JOBS, ours, "a"),
        lambda: store.insert(Collection.JOBS, "a", {"project_id": "ours"}),
        lambda: store.replace(Collection.JOBS, "a", {"project_id": "ours"}, 1),
        lambda: store.delete(Collection.JOBS, ours, "a"),
        lambda: store.search(Collection.JOBS, ours, Query(), Page()),
        store.prepare,
        store.describe,
        store.remove,
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            call()
    assert not store.ready()
    store.close()


def test_a_server_that_is_away_is_named_without_its_password(closed_port: int) -> None:
    store = store_at(f"http://user:sesame@127.0.0.1:{closed_port}")
    with pytest.raises(StoreUnavailable) as caught:
        store.describe()
    assert f"at http://127.0.0.1:{closed_port} cannot be reached" in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("http://es", "http://es:9200"),
        ("es", "http://es:9200"),
        ("es:9201", "http://es:9201"),
        ("https://es.example.org/prefix", "https://es.example.org:9200/prefix"),
        ("https://es:443", "https://es:443"),
        ("http://[::1]", "http://[::1]:9200"),
        ("http://[::1]:9201", "http://[::1]:9201"),
    ],
)
def test_hosts_get_the_usual_port(host: str, expected: str) -> None:
    assert with_port(host) == expected


@pytest.mark.parametrize(
    ("hosts", "cluster"),
    [
        ((), {}),
        (("ftp://es",), {}),
        (("https://es",), {"ca_certs": "/nonexistent/ca.pem"}),
        (("http://es",), {"username": "me", "password": "s3cret", "api_key": "key"}),
    ],
    ids=["no-host", "scheme", "no-such-file", "two-credentials"],
)
def test_a_useless_configuration_is_refused(hosts: tuple[str, ...], cluster: Any) -> None:
    with pytest.raises(StoreUnavailable, match=r"\[elasticsearch\]") as refusal:
        store_at(*hosts, **cluster)
    assert "s3cret" not in str(refusal.value)


def test_instants_grow_even_if_the_clock_does_not() -> None:
    times = iter([NOON, NOON, NOON - dt.timedelta(hours=1), NOON + dt.timedelta(seconds=1)])
    instants = _Instants(lambda: next(times))
    first, second, third, fourth = (instants.next() for _ in range(4))
    assert (second, third) == (first + 1, first + 2)
    assert fourth == first + 1_000_000


def test_secrets_are_not_shown() -> None:
    shown = repr(Cluster(hosts=("http://es",), username="me", password="s3cret", api_key="k3y"))
    assert "s3cret" not in shown
    assert "k3y" not in shown


def test_replicas_are_a_number_or_as_many_as_fit() -> None:
    def settings(replicas: int | None) -> dict[str, Any]:
        template = index_template(["x_v*"], replicas=replicas, custom="x@custom")["template"]
        return dict(template["settings"])

    assert settings(None)["auto_expand_replicas"] == "0-1"
    assert settings(2)["number_of_replicas"] == 2
