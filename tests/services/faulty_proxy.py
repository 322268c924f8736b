"""An HTTP proxy on the loopback that loses answers, delays them or invents errors on request.

It stands between a client and a real server, so that what the server did is real whatever the
client hears of it. It can also speak TLS and ask for credentials, which the server behind it then
need not do.
"""

import http.client
import json
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Fault(StrEnum):
    """What happens to a request."""

    NONE = "it is answered"
    ANSWER_LOST = "the server carries it out, the client hears nothing"
    TOO_LATE = "the server carries it out, the client waits in vain"
    BUSY = "the server never hears of it, the client is told 503"
    THROTTLED = "the server never hears of it, the client is told 429"


class FaultyProxy:
    """The faults to come, in order, for requests whose path contains `faulty_path`."""

    def __init__(self, target: str, authorization: str | None = None) -> None:
        self.target = urlsplit(target)
        self.authorization = authorization
        self.faulty_path = ""
        self.faults: deque[Fault] = deque()
        self.seen: list[str] = []
        self.carried_out = threading.Event()
        """Set when the server has answered a request of which the client hears too late."""
        self.ended = threading.Event()

    def next_fault(self, path: str) -> Fault:
        if self.faults and self.faulty_path in path:
            return self.faults.popleft()
        return Fault.NONE


@contextmanager
def proxy_to(
    target: str,
    *,
    tls: ssl.SSLContext | None = None,
    authorization: str | None = None,
    port: int = 0,
) -> Iterator[tuple[str, FaultyProxy]]:
    """The proxy's URL and its faults."""
    proxy = FaultyProxy(target, authorization)
    server = _Server(proxy, port)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", proxy
    finally:
        proxy.ended.set()
        server.shutdown()
        serving.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: FaultyProxy, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.proxy = proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    server: "_Server"

    def relay(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if proxy.ended.is_set():  # a connection outlives the server that took it
            self.close_connection = True
            return
        proxy.seen.append(f"{self.command} {self.path}")
        if proxy.authorization and self.headers.get("Authorization") != proxy.authorization:
            self.answer(401, {"error": {"reason": "who are you?"}})
            return
        match proxy.next_fault(self.path):
            case Fault.BUSY:
                self.answer(503, {"error": {"reason": "busy"}})
            case Fault.THROTTLED:
                self.answer(429, {"error": {"reason": "throttled"}})
            case Fault.ANSWER_LOST:
                self.forward(body)
                self.close_connection = True
            case Fault.TOO_LATE:
                self.forward(body)
                proxy.carried_out.set()
                proxy.ended.wait()
                self.close_connection = True
            case Fault.NONE:
                status, headers, content = self.forward(body)
                self.pass_on(status, headers, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815 - http.server calls these

    def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        behind = http.client.HTTPConnection(str(self.server.proxy.target.netloc), timeout=60)
        try:
            headers = dict(self.headers.items())
            headers.pop("Authorization", None)
            behind.request(self.command, self.path, body, headers)
            answer = behind.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            behind.close()

    def answer(self, status: int, document: dict[str, object]) -> None:
        headers = [
            ("Content-Type", "application/json"),
            ("X-Elastic-Product", "Elasticsearch"),
        ]
        self.pass_on(status, headers, json.dumps(document).encode())

    def pass_on(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        # The answer to HEAD has the length of what GET would bring.
        is_kept = self.command == "HEAD"
        dropped = {"transfer-encoding"} if is_kept else {"transfer-encoding", "content-length"}
        for name, value in headers:
            if name.lower() not in dropped:
                self.send_header(name, value)
        if not is_kept:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if self.command != "HEAD" else b"")

    def log_message(self, *_arguments: object) -> None:
        pass
