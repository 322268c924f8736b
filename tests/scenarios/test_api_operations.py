"""freezer-api as its operator sees it: metrics of several workers, reloads under load, its log."""

import http.client
import json
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from freezer_api.cli import manage
from freezer_api.cli.serve import CannotStart, _load, _reloaded
from tests.fakes.api_server import Server, running, start_process, write_config
from tests.services.launching import free_ports

WAIT_SECONDS = 60
POLL = {"match": [{"client_id": "node"}], "match_not": [{"status": "completed"}]}


def read(port: int, path: str = "/metrics") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()
    finally:
        connection.close()


def value(text: str, series: str) -> float:
    found = re.search(rf"(?m)^{re.escape(series)} (\S+)$", text)
    assert found, f"{series} is not in:\n{text}"
    return float(found[1])


def series(name: str, **labels: str) -> str:
    pairs = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return f"{name}{{{pairs}}}"


def test_metrics_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever worker answers, it tells of all; the folder of the numbers ends with the service."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    left = tmp_path / "freezer-api-metrics-killed"
    left.mkdir()
    (port,) = free_ports(1)
    config = write_config(tmp_path)
    with config.open("a") as file:
        file.write(f"[metrics]\nbind_port = {port}\nrefresh_seconds = 1\n")
    with running(config, "--workers", "3", "--threads", "1") as server:
        assert f"metrics at http://127.0.0.1:{port}/metrics" in server.ready_line
        assert not left.exists()
        server.send("POST", "/v2/p/clients", {"client_id": "node"})
        _, made = server.send("POST", "/v2/p/jobs", {"client_id": "node", "job_actions": []})
        for _ in range(30):
            assert server.send("GET", "/v2/p/jobs", POLL)[0] == 200
        assert server.send("GET", "/metrics")[0] == 404, "not on the port of the API"
        polls = series(
            "freezer_api_requests_total",
            method="GET",
            route="/v2/{project_id}/jobs",
            status="200",
        )
        pages = [read(port) for _ in range(5)]
        assert [value(page, polls) for page in pages] == [30.0] * 5
        page = pages[-1]
        assert value(page, series("freezer_jobs", status="new")) == 1
        seen = series("freezer_client_seconds_since_seen", project_id="p", client_id="node")
        assert 0 <= value(page, seen) < WAIT_SECONDS
        job = series(
            "freezer_job_has_succeeded", project_id="p", client_id="node", job_id=made["job_id"]
        )
        assert value(page, job) == 0
        assert server.stop() == (0, "", "")
    assert not list(tmp_path.glob("freezer-api-metrics-*"))


def test_metrics_on_a_taken_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = write_config(tmp_path)
        with config.open("a") as file:
            file.write(f"[metrics]\nbind_port = {port}\n")
        assert manage.main(["--config-file", str(config), "db", "sync"]) == 0
        process = start_process(config)
        out, err = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, out) == (1, "")
    assert f"Cannot listen on 127.0.0.1 port {port}" in err
    assert "[metrics]" in err
    assert not list(tmp_path.glob("freezer-api-metrics-*"))


@dataclass
class Load:
    """Callers that ask without a pause, and what they were answered."""

    answers: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)

    def call(self, server: Server, *, keep: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.ended.is_set():
            reused = connection is not None
            connection = connection or http.client.HTTPConnection(
                server.host, server.port, timeout=WAIT_SECONDS
            )
            try:
                connection.request("GET", "/v2/p/jobs")
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection = None
                # A server may close a connection on which nothing runs just as a request is sent;
                # HTTP has every client try that again on a new one. Anything else is a loss.
                if not reused:
                    self.answers[repr(error)] += 1
                continue
            self.answers[str(answer.status)] += 1
            if not keep or answer.getheader("Connection") == "close":
                connection.close()
                connection = None
        if connection is not None:
            connection.close()


@contextmanager
def under_load(server: Server) -> Iterator[Load]:
    load = Load()
    threads = [
        threading.Thread(target=load.call, args=(server,), kwargs={"keep": bool(number % 2)})
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.ended.set()
        for thread in threads:
            thread.join()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_reload_takes_new_settings_and_drops_no_request(tmp_path: Path) -> None:
    config = write_config(tmp_path, "workers = 2\nmax_body_bytes = 1024")
    body = {"client_id": "node", "description": "x" * 2000}
    with running(config) as server:
        before = set(server.workers(2))
        assert server.send("POST", "/v2/p/clients", body)[0] == 413
        with under_load(server) as load:
            config.write_text(config.read_text().replace("= 1024", "= 4096"))
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: not before & set(children(server)), "the old workers ended")
            answered = load.answers.total()
            wait_for(lambda: load.answers.total() > answered + 20, "the new workers answer")
        assert set(load.answers) == {"200"}
        assert server.send("POST", "/v2/p/clients", body)[0] == 201
        code, _, err = server.stop()
        assert code == 0
        assert "the configuration was read again" in err


def children(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_reload_of_nonsense_changes_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path, "workers = 2")
    with running(config) as server:
        before = set(server.workers(2))
        config.write_text(config.read_text().replace("workers = 2", "workers = many"))
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not before & set(children(server)), "the old workers ended")
        assert server.send("GET", "/v2/p/jobs")[0] == 200
        assert len(server.workers(2)) == 2
        _, _, err = server.stop()
        assert "goes on with the configuration it had" in err
        assert "workers" in err


def test_a_reload_cannot_open_the_service_to_everybody(tmp_path: Path) -> None:
    """The address was chosen while tokens were asked for."""
    config = tmp_path / "some.conf"
    login = "auth_type = password\nauth_url = http://127.0.0.1:1/v3\nusername = u\npassword = p\n"
    config.write_text(f"[DEFAULT]\nauth_strategy = keystone\n[keystone_authtoken]\n{login}")
    arguments = ["--config-file", str(config)]
    conf = _load(arguments)
    assert _reloaded(conf, arguments).auth_strategy == "keystone"
    config.write_text("[DEFAULT]\nauth_strategy = noauth\n")
    with pytest.raises(CannotStart, match="needs a restart"):
        _reloaded(conf, arguments)


def test_the_policy_file_is_read_again(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{}\n")
    config = write_config(tmp_path, "workers = 1")
    with config.open("a") as file:
        file.write(f"[oslo_policy]\npolicy_file = {policy}\n")
    with running(config) as server:
        assert server.send("GET", "/v2/p/jobs")[0] == 200
        policy.write_text('"jobs:get_all": "!"\n')
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.send("GET", "/v2/p/jobs")[0] == 403, "the new rule holds")


def test_the_log_is_json_when_it_is_wanted(tmp_path: Path) -> None:
    request_id = "req-00000000-0000-4000-8000-000000000001"
    config = write_config(tmp_path, "workers = 1\nuse_json = true\naccess_log = true")
    with running(config) as server:
        headers = {"x-openstack-request-id": request_id}
        assert server.send("GET", "/v2/p/jobs?x=secret", **headers)[0] == 200
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.send("GET", "/healthcheck/ready")[0] == 200, "it answers")
        code, out, err = server.stop()
    assert code == 0
    requests = [json.loads(line) for line in out.splitlines()]
    (ours,) = (line for line in requests if line["path"] == "/v2/p/jobs")
    assert (ours["method"], ours["status"], ours["request_id"]) == ("GET", 200, request_id)
    assert "secret" not in out
    messages = [json.loads(line)["message"] for line in err.splitlines()]
    assert any("read again" in message for message in messages)


def test_a_line_for_each_request_has_its_id_and_no_query(tmp_path: Path) -> None:
    request_id = "req-00000000-0000-4000-8000-000000000002"
    config = write_config(tmp_path, "workers = 1\naccess_log = true")
    with running(config) as server:
        headers = {"x-openstack-request-id": request_id}
        assert server.send("GET", "/v2/p/jobs%0Aforged?x=secret", **headers)[0] == 404
        code, out, _ = server.stop()
    assert code == 0
    (line,) = out.splitlines()
    assert '"GET /v2/p/jobs%0Aforged" 404' in line
    assert line.endswith(request_id)
    assert "secret" not in line


def test_systemd_is_told_when_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a unit of Type=notify waits for; told once the store is known to be ready."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(WAIT_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        with running(write_config(tmp_path), "--workers", "1") as server:
            assert systemd.recv(4096).startswith(b"READY=1")
            assert server.send("GET", "/healthcheck/ready")[0] == 200
