"""freezer-api as operators run it: several worker processes over one SQLite file."""

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from freezer_api.cli import manage
from tests.fakes.api_server import ANSWER_SECONDS, Server, running, start_process, write_config

CROWD = 32
ANYWHERE = "0.0.0.0"  # noqa: S104 - the very thing that is refused


def job(job_id: str) -> dict[str, Any]:
    return {"job_id": job_id, "client_id": "node", "job_actions": []}


def all_at_once(calls: list[Any]) -> list[Any]:
    """The results of the calls, which start together, in their order."""
    gate = threading.Barrier(len(calls))

    def passed(call: Any) -> Any:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(passed, call) for call in calls]]


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with running(write_config(tmp_path), "--workers", "3") as server:
        assert server.send("POST", "/v2/p/clients", {"client_id": "node"})[0] == 201
        yield server


def test_says_where_it_is_and_ends_quietly(tmp_path: Path) -> None:
    with running(write_config(tmp_path), "--workers", "2") as server:
        assert server.ready_line == (
            f"freezer-api serves http://127.0.0.1:{server.port} from sql (2 workers, noauth)\n"
        )
        assert server.send("GET", "/v2/p/jobs") == (200, {"jobs": []})
        workers = server.workers(2)
        assert server.stop() == (0, "", "")
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_interrupt_ends_quietly_too(tmp_path: Path) -> None:
    with running(write_config(tmp_path)) as server:
        assert server.stop(signal.SIGINT) == (0, "", "")


SIGNALLED_AT_BIRTH = """
import os, signal, sys
from pathlib import Path
from gunicorn import util
from freezer_api.cli import serve
number, note, *arguments = sys.argv[1:]
entitle = util._setproctitle
def entitle_and_signal(title):
    entitle(title)
    if title.startswith("worker") and not Path(note).exists():
        Path(note).write_text(str(os.getpid()))
        os.kill(os.getpid(), int(number))
util._setproctitle = entitle_and_signal
sys.exit(serve.main(arguments))
"""
"""The service, whose first worker gets a signal in the first thing that it does after the fork."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_that_was_just_forked_can_be_ended(tmp_path: Path, number: int) -> None:
    config, note = write_config(tmp_path), tmp_path / "note"
    assert manage.main(["--config-file", str(config), "db", "sync"]) == 0
    arguments = [str(int(number)), str(note), "--config-file", str(config), "--bind-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", SIGNALLED_AT_BIRTH, *arguments, "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    try:
        # Another one takes its place, and nothing is said of either.
        while not note.exists() or not note.read_text() or _alive(int(note.read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_starts_of_a_session_are_all_counted(server: Server) -> None:
    names = [f"job{number}" for number in range(CROWD)]
    _, made = server.send("POST", "/v2/p/sessions", {"schedule": {}, "hold_off": 600})
    session = f"/v2/p/sessions/{made['session_id']}"
    for name in names:
        assert server.send("POST", "/v2/p/jobs", job(name))[0] == 201
        assert server.send("PUT", f"{session}/jobs/{name}")[0] == 204

    def start(name: str) -> Any:
        body = {"start": {"job_id": name, "current_tag": 0}}
        return lambda: server.send("POST", f"{session}/action", body)

    def end(name: str) -> Any:
        body = {"end": {"job_id": name, "current_tag": 1, "result": "success"}}
        return lambda: server.send("POST", f"{session}/action", body)

    answers = all_at_once([start(name) for name in names])
    assert answers == [(202, {"result": "success", "session_tag": 1})] * CROWD
    _, document = server.send("GET", session)
    assert document["session_tag"] == 1
    assert {member["status"] for member in document["jobs"].values()} == {"running"}

    answers = all_at_once([end(name) for name in names])
    assert {status for status, _ in answers} == {202}
    _, document = server.send("GET", session)
    assert (document["status"], document["result"]) == ("completed", "success")
    assert {member["status"] for member in document["jobs"].values()} == {"completed"}


def test_joins_of_a_session_are_all_kept(server: Server) -> None:
    names = [f"job{number}" for number in range(CROWD)]
    _, made = server.send("POST", "/v2/p/sessions", {"schedule": {}})
    session = f"/v2/p/sessions/{made['session_id']}"
    for name in names:
        server.send("POST", "/v2/p/jobs", job(name))
    answers = all_at_once(
        [lambda name=name: server.send("PUT", f"{session}/jobs/{name}") for name in names]
    )
    assert answers == [(204, None)] * CROWD
    assert set(server.send("GET", session)[1]["jobs"]) == set(names)


def test_events_and_reports_lose_nothing_of_each_other(server: Server) -> None:
    """Users ask for events while the scheduler reports: no field is taken back, no call fails."""
    server.send("POST", "/v2/p/jobs", job("one"))
    path = "/v2/p/jobs/one"

    def report(number: int) -> Any:
        body = {"job_schedule": {"exit_code": number}, "session_tag": number}
        return lambda: server.send("PATCH", path, body)

    calls: list[Any] = [report(number) for number in range(CROWD // 2)]
    calls += [lambda: server.send("POST", f"{path}/event", {"stop": None})] * (CROWD // 2)
    answers = all_at_once(calls)
    reports, events = answers[: CROWD // 2], answers[CROWD // 2 :]
    assert {status for status, _ in reports} == {200}
    assert sorted(answer["result"] for _, answer in events) == sorted(
        ["success"] + ["stop already requested"] * (CROWD // 2 - 1)
    )
    versions = [answer["version"] for _, answer in reports]
    assert len(set(versions)) == len(versions)
    _, document = server.send("GET", path)
    assert document["job_schedule"]["event"] == "stop"
    assert document["job_schedule"]["exit_code"] == document["session_tag"]


def test_one_client_however_many_register(server: Server) -> None:
    body = {"client_id": "crowd"}
    answers = all_at_once([lambda: server.send("POST", "/v2/p/clients", body)] * CROWD)
    assert answers == [(201, {"client_id": "crowd"})] * CROWD
    _, found = server.send("GET", "/v2/p/clients", {"match": [{"client_id": "crowd"}]})
    assert len(found["clients"]) == 1


def test_one_winner_of_an_id(server: Server) -> None:
    answers = all_at_once([lambda: server.send("POST", "/v2/p/jobs", job("same"))] * CROWD)
    assert sorted(status for status, _ in answers) == [201] + [409] * (CROWD - 1)


def test_what_was_acknowledged_survives_kill(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    acknowledged: list[str] = []
    body = {"container": "c", "hostname": "h", "backup_name": "b"}
    with running(config, "--workers", "2") as server:
        enough = threading.Event()

        def write() -> None:
            while True:
                try:
                    status, made = server.send("POST", "/v2/p/backups", body)
                except (OSError, http.client.HTTPException):  # Killed before or in its answer.
                    return
                if status == 201:
                    acknowledged.append(made["backup_id"])
                if len(acknowledged) >= 40:
                    enough.set()

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        assert enough.wait(60)
        workers = server.workers(2)
        server.process.kill()
        for pid in workers:
            # One that has noticed already that its master is gone ends by itself.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for writer in writers:
            writer.join(60)
    with running(config) as server:
        _, found = server.send("GET", "/v2/p/backups?limit=10000")
        kept = {backup["backup_id"] for backup in found["backups"]}
        assert set(acknowledged) <= kept
    database = sqlite3.connect(tmp_path / "freezer.sqlite")
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        database.close()


def test_workers_end_with_a_killed_master(tmp_path: Path) -> None:
    with running(write_config(tmp_path), "--workers", "2") as server:
        workers = server.workers(2)
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 60
        while any(_alive(pid) for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_chunked_body_over_the_wire(server: Server) -> None:
    request = (
        b"POST /v2/p/clients HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b'Connection: close\r\n\r\n9\r\n{"client_\r\n9\r\nid": "n"}\r\n0\r\n\r\n'
    )
    with socket.create_connection((server.host, server.port), timeout=ANSWER_SECONDS) as wire:
        wire.sendall(request)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 201")
    assert server.send("GET", "/v2/p/clients/n")[0] == 200


@pytest.mark.parametrize("rest", [b"ZZ\r\n", b'9\r\n{"client_XX\r\n', b'9\r\n{"cli'])
def test_broken_chunks(server: Server, rest: bytes) -> None:
    head = b"POST /v2/p/clients HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    with socket.create_connection((server.host, server.port), timeout=30) as wire:
        wire.sendall(head + b"Connection: close\r\n\r\n" + rest)
        wire.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b"Bad request format" in answer


def test_nothing_is_believed_of_a_proxy_unless_told_so(server: Server) -> None:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=ANSWER_SECONDS)
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Ssl": "on",
        "Script-Name": "/x",
        "Path-Info": "/v2",
    }
    with contextlib.closing(connection):
        connection.request("GET", "/", headers=headers)
        answer = json.loads(connection.getresponse().read())
    link = answer["versions"][0]["links"][0]["href"]
    assert link == f"http://{server.host}:{server.port}/v2/"


def test_a_poll_without_news_is_an_empty_answer(server: Server) -> None:
    """Whichever worker is asked: what changed is known to the store, not to a process."""
    server.send("POST", "/v2/p/jobs", job("a"))
    poll = {"match": [{"client_id": "node"}], "match_not": [{"status": "completed"}]}
    status, headers, body = whole_answer(server, poll)
    assert (status, len(body["jobs"])) == (200, 1)
    for _worker in range(6):
        again = whole_answer(server, poll, **{"If-None-Match": headers["etag"]})
        assert (again[0], again[2]) == (304, None)
    server.send("POST", "/v2/p/jobs/a/event", {"start": None})
    for _worker in range(6):
        status, _, body = whole_answer(server, poll, **{"If-None-Match": headers["etag"]})
        assert (status, body["jobs"][0]["job_schedule"]["event"]) == (200, "start")


def test_one_of_many_updates_of_a_state_wins(server: Server) -> None:
    server.send("POST", "/v2/p/jobs", job("a"))
    tag = whole_answer(server, None, "/v2/p/jobs/a")[1]["etag"]
    known = {"If-Match": tag}
    answers = all_at_once(
        [
            partial(server.send, "PATCH", "/v2/p/jobs/a", {"description": str(number)}, **known)
            for number in range(CROWD)
        ]
    )
    assert sorted(status for status, _ in answers) == [200] + [412] * (CROWD - 1)
    winner = next(str(number) for number, (status, _) in enumerate(answers) if status == 200)
    assert server.send("GET", "/v2/p/jobs/a")[1]["description"] == winner


def whole_answer(
    server: Server, body: Any, path: str = "/v2/p/jobs", **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Status, headers by their names in small letters, and the decoded body of a GET."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=ANSWER_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
    named = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, named, json.loads(text) if text else None


def test_a_body_that_is_too_large_is_refused_however_it_comes(server: Server) -> None:
    piece = b"x" * 65536
    sent = [
        (b"Content-Length: 1200000", [b'{"client_id": "' + b"x" * 1199985]),
        (b"Transfer-Encoding: chunked", [b"10000\r\n" + piece + b"\r\n"] * 20 + [b"0\r\n\r\n"]),
    ]
    for header, pieces in sent:
        with socket.create_connection((server.host, server.port), timeout=ANSWER_SECONDS) as wire:
            wire.sendall(
                b"POST /v2/p/clients HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header
            )
            wire.sendall(b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):  # it need not read to the end
                for one in pieces:
                    wire.sendall(one)
            answer = wire.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413"), answer[:80]
    assert server.send("GET", "/v2/p/clients")[0] == 200


class TestCannotStart:
    def ended(self, config: Path, *arguments: str) -> tuple[int, str]:
        process = start_process(config, *arguments)
        out, err = process.communicate(timeout=60)
        assert out == ""
        return process.returncode, err

    def test_without_a_store(self, tmp_path: Path) -> None:
        code, message = self.ended(write_config(tmp_path))
        assert code == 1
        assert "`freezer-manage db sync`" in message
        assert not (tmp_path / "freezer.sqlite").exists()

    def test_on_a_taken_port(self, tmp_path: Path) -> None:
        with running(write_config(tmp_path)) as server:
            code, message = self.ended(
                tmp_path / "freezer-api.conf", "--bind-port", str(server.port)
            )
            assert code == 1
            assert f"Cannot listen on 127.0.0.1 port {server.port}: Address already" in message
            assert len(message.splitlines()) == 1

    def test_open_to_everybody(self, tmp_path: Path) -> None:
        code, message = self.ended(write_config(tmp_path), "--bind-host", ANYWHERE)
        assert code == 1
        assert "--allow-open-noauth" in message

    @pytest.mark.parametrize("extra", ["auth_strategy = trust-me", "threads = x", "max_limit = x"])
    def test_with_wrong_options(self, tmp_path: Path, extra: str) -> None:
        code, message = self.ended(write_config(tmp_path, extra))
        assert code == 2
        name, _, value = extra.partition(" = ")
        assert name in message
        assert value in message
        assert len(message.splitlines()) == 1

    def test_without_its_file(self, tmp_path: Path) -> None:
        code, message = self.ended(tmp_path / "missing.conf")
        assert code == 2
        assert "missing.conf" in message


def test_open_when_told_so(tmp_path: Path) -> None:
    config = write_config(tmp_path, "bind_host = 0.0.0.0")
    with running(config, "--allow-open-noauth") as server:
        assert server.ready_line.startswith("freezer-api serves http://0.0.0.0:")
