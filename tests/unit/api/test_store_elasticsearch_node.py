"""Connections to one node, against a server that says whatever it is told to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pytest
from elastic_transport import ConnectionError as NoConnection
from elastic_transport import ConnectionTimeout, NodeConfig

from freezer_api.store.elasticsearch_node import SocketNode, head_of

JSON = b"HTTP/1.1 200 OK\r\nX-Elastic-Product: Elasticsearch\r\nContent-Length: 2\r\n\r\n{}"
NO_HEADERS = head_of({})


@dataclass
class Scripted:
    """Answers of a server: of each connection those to one request after the other, then its end."""

    connections: list[list[bytes]]
    port: int = 0
    seen: list[bytes] = field(default_factory=list)
    ended: list[threading.Event] = field(default_factory=list)


@contextmanager
def scripted(*connections: list[bytes]) -> Iterator[Scripted]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = Scripted(list(connections), port=listener.getsockname()[1])
        script.ended = [threading.Event() for _ in connections]
        serving = threading.Thread(target=_serve, args=(listener, script))
        serving.start()
        yield script
        serving.join(30)
        assert not serving.is_alive()


def _serve(listener: socket.socket, script: Scripted) -> None:
    for answers, ended in zip(script.connections, script.ended, strict=True):
        wire, _ = listener.accept()
        with wire:
            for answer in answers:
                script.seen.append(_request(wire))
                wire.sendall(answer)
        ended.set()


def _request(wire: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += wire.recv(1 << 16)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
    wanted = int(lengths[0].split(b" ")[1]) if lengths else 0
    while len(body) < wanted:
        body += wire.recv(1 << 16)
    return head + b"\r\n\r\n" + body


def node_at(script: Scripted, **options: object) -> SocketNode:
    return SocketNode(NodeConfig("http", "127.0.0.1", script.port, **options))  # type: ignore[arg-type]


def test_one_connection_serves_one_request_after_the_other() -> None:
    with scripted([JSON, JSON]) as script, closing(node_at(script, path_prefix="/es")) as node:
        head = head_of({"accept": "application/json"})
        assert node.exchange("GET", "/a", head, None) == (200, True, b"{}")
        assert node.exchange("POST", "/b", head, b'{"x":1}') == (200, True, b"{}")
    got, posted = script.seen
    assert got.startswith(b"GET /es/a HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\naccept: application/json\r\n" in got
    assert b"content-length" not in got
    assert posted.endswith(b'content-length: 7\r\n\r\n{"x":1}')


def test_a_post_of_nothing_says_so() -> None:
    with scripted([JSON]) as script, closing(node_at(script)) as node:
        node.exchange("POST", "/_refresh", NO_HEADERS, None)
    assert b"\r\ncontent-length: 0\r\n" in script.seen[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-length:5\r\nx: y\r\n\r\nabcde",
        b"HTTP/1.0 404 Not Found\r\n\r\nabcde",
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nabcde",
    ],
    ids=["chunked", "measured", "old", "until-the-end"],
)
def test_answers_come_in_every_form(answer: bytes) -> None:
    with scripted([answer], [JSON]) as script, closing(node_at(script)) as node:
        assert node.exchange("GET", "/", NO_HEADERS, None) == (404, False, b"abcde")
        script.ended[0].wait(30)
        assert node.exchange("GET", "/", NO_HEADERS, None).status == 200


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    with scripted([JSON], [JSON]) as script, closing(node_at(script)) as node:
        node.exchange("GET", "/", NO_HEADERS, None)
        script.ended[0].wait(30)
        assert node.exchange("GET", "/", NO_HEADERS, None).status == 200


def test_a_connection_on_which_more_came_than_was_asked_for_is_not_used() -> None:
    """What came too much would be taken for the next answer."""
    twice = JSON + JSON.replace(b"200", b"500")
    with scripted([twice], [JSON]) as script, closing(node_at(script)) as node:
        with pytest.raises(NoConnection, match="more than one"):
            node.exchange("GET", "/", NO_HEADERS, None)
        assert node.exchange("GET", "/", NO_HEADERS, None).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["nothing", "half-a-head", "half-a-body", "half-a-chunk", "no-http", "upgrade"],
)
def test_half_an_answer_is_none(answer: bytes) -> None:
    with (
        scripted([answer]) as script,
        closing(node_at(script)) as node,
        pytest.raises(NoConnection),
    ):
        node.exchange("GET", "/", NO_HEADERS, None)


def test_silence_is_told_from_absence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = Scripted([], port=listener.getsockname()[1])
        node = node_at(script, request_timeout=0.05)
        with closing(node), pytest.raises(ConnectionTimeout):
            node.exchange("GET", "/", NO_HEADERS, None)
    with closing(node_at(script)) as node, pytest.raises(NoConnection, match="refused"):
        node.exchange("GET", "/", NO_HEADERS, None)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "ä", "a\0"])
def test_a_header_cannot_become_two(value: str) -> None:
    with pytest.raises(ValueError, match="authorization"):
        head_of({"authorization": value})
