"""A TCP proxy on the loopback that loses connections, or is slow, when it is told to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BLOCK_BYTES = 16 * 1024


class CuttingProxy:
    """Passes bytes to and from a port until a budget is used up or `cut` is called."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._budget: dict[str, int | None] = {"up": None, "down": None}
        self._is_last = self._is_closed = False
        self._never = threading.Event()
        self.pause_seconds = 0.0
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, *, up: int | None = None, down: int | None = None) -> None:
        """Lose every connection once so many more bytes have gone one way; then pass again."""
        with self._lock:
            self._budget = {"up": up, "down": down}

    def close_after(self, up: int) -> None:
        """Be gone for good once so many more bytes have gone up."""
        self._is_last = True
        self.cut_after(up=up)

    def cut(self) -> None:
        """Lose every connection now."""
        with self._lock:
            lost, self._open = self._open, []
            self._budget = {"up": None, "down": None}
        for one in lost:
            _close(one)

    def close(self) -> None:
        """Accept nothing any more and lose every connection."""
        with self._lock:
            self._is_closed = True
        _close(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                _close(client)
                continue
            with self._lock:
                is_late = self._is_closed
                if not is_late:
                    self.connections += 1
                    self._open += [client, server]
            if is_late:  # it was accepted just before
                _close(client)
                _close(server)
                return
            for source, sink, way in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pump, args=(source, sink, way), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with suppress(OSError):
            while block := source.recv(_BLOCK_BYTES):
                if self.pause_seconds:  # a slow line
                    self._never.wait(self.pause_seconds)
                if self._spend(way, len(block)):
                    if self._is_last:
                        self.close()
                    self.cut()
                    return
                sink.sendall(block)
        for one in (source, sink):
            _close(one)

    def _spend(self, way: str, size: int) -> bool:
        with self._lock:
            left = self._budget[way]
            if left is None:
                return False
            self._budget[way] = left - size
            if left > size:
                return False
            # Of several connections only one does it: another would cut, a moment later, what the
            # client has connected anew.
            self._budget = {"up": None, "down": None}
            return True


@contextmanager
def cutting_proxy(target_port: int) -> Iterator[CuttingProxy]:
    """A proxy that is gone afterwards."""
    proxy = CuttingProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
