"""A relay before an API that counts requests: what a scheduler asks, seen from outside of it."""

import re
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

_REQUEST = re.compile(rb"(?:^|\n)(GET|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n")
_POLL = re.compile(rb"/jobs(\?|$)")
_CHUNK = 65536


class CountingRelay:
    """Listens on the loopback while it is entered."""

    def __init__(self, target_port: int) -> None:
        self.count = 0
        self.polls = 0
        self._lock = threading.Lock()
        relay = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", target_port)) as onward:
                    back = threading.Thread(target=_pass_on, args=(onward, self.request))
                    back.start()
                    while chunk := self.request.recv(_CHUNK):
                        relay.saw(chunk)
                        onward.sendall(chunk)
                    onward.shutdown(socket.SHUT_WR)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def saw(self, chunk: bytes) -> None:
        """Count the requests that begin in this chunk: clients send the head in one piece."""
        for method, path in _REQUEST.findall(chunk):
            with self._lock:
                self.count += 1
                self.polls += method == b"GET" and _POLL.search(path) is not None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    except OSError:
        return  # One side has gone.
