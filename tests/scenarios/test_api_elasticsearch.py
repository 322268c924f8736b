"""freezer-api on Elasticsearch that comes late, goes and comes back."""

import http.client
import json
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from freezer_api.cli import manage
from tests.fakes.api_server import Server, running
from tests.services.faulty_proxy import Fault, proxy_to
from tests.services.launching import free_ports

pytestmark = pytest.mark.service


def retry_after(server: Server, path: str) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert json.loads(answer.read())["title"] == "Service Unavailable"
        return answer.status, answer.getheader("Retry-After")
    finally:
        connection.close()


def test_waits_for_elasticsearch_and_says_so(
    elasticsearch_url: str, index_prefix: str, tmp_path: Path
) -> None:
    """Not there, there without indices, ready, busy, away and back: never a 500, no restart."""
    (port,) = free_ports(1)
    config = tmp_path / "freezer-api.conf"
    config.write_text(
        "[DEFAULT]\nauth_strategy = noauth\n[storage]\nbackend = elasticsearch\n[elasticsearch]\n"
        f"hosts = http://127.0.0.1:{port}\nindex_prefix = {index_prefix}\nretries = 1\n"
        "timeout = 60\n"
    )
    arguments = ["--config-file", str(config), "db"]
    jobs = "/v2/p/jobs"
    with running(config, "--workers", "1", sync=False) as server:
        assert retry_after(server, jobs) == (503, "5")
        with proxy_to(elasticsearch_url, port=port) as (_url, proxy):
            assert retry_after(server, jobs) == (503, "5")
            assert manage.main([*arguments, "sync"]) == 0
            assert server.send("GET", jobs) == (200, {"jobs": []})
            assert server.send("POST", "/v2/p/clients", {"client_id": "node"})[0] == 201
            proxy.faults += [Fault.THROTTLED, Fault.BUSY] * 2
            assert retry_after(server, jobs) == (503, "5")
            proxy.faults.clear()
            assert server.send("GET", jobs) == (200, {"jobs": []})
        assert retry_after(server, jobs) == (503, "5")
        with proxy_to(elasticsearch_url, port=port):
            assert server.send("GET", jobs) == (200, {"jobs": []})
            assert manage.main([*arguments, "remove", "--yes"]) == 0
        code, _, log = server.stop()
    assert code == 0
    assert "The service starts and waits" in log
    assert "`freezer-manage db sync` makes the indices" in log
    assert log.count("Elasticsearch is not ready: ") >= 3
    assert log.count("Elasticsearch is ready again") >= 3
    assert "Traceback" not in log


def test_every_worker_lists_what_another_has_just_made(
    elasticsearch_url: str, index_prefix: str, tmp_path: Path
) -> None:
    """The index does not refresh itself: workers know of each other's writes."""
    config = tmp_path / "freezer-api.conf"
    config.write_text(
        "[DEFAULT]\nauth_strategy = noauth\n[storage]\nbackend = elasticsearch\n[elasticsearch]\n"
        f"hosts = {elasticsearch_url}\nindex_prefix = {index_prefix}\n"
    )
    with running(config, "--workers", "3") as server:
        with Elasticsearch(elasticsearch_url, request_timeout=120) as client:
            client.indices.put_settings(
                index=f"{index_prefix}_sessions", settings={"refresh_interval": "-1"}
            )
        session = {"description": "s", "hold_off": 60, "schedule": {}}
        for number in range(1, 16):
            assert server.send("POST", "/v2/p/sessions", session)[0] == 201
            for _worker in range(3):
                status, found = server.send("GET", "/v2/p/sessions?limit=100")
                assert (status, len(found["sessions"])) == (200, number)
        # A line for each request to the store would fill the log, and a pipe that nobody reads.
        assert server.stop() == (0, "", "")
        assert manage.main(["--config-file", str(config), "db", "remove", "--yes"]) == 0
