"""One node of Elasticsearch over HTTP/1.1: connections that stay open, one exchange at a time on each.

The nodes that elastic_transport brings take 0.3 ms of CPU for a call of which the exchange is 0.05:
they write headers and body apart, read the answer line by line and note each call in a log. Here a
request is one write, and the answer goes through llhttp (httptools) as it comes.
"""

import select
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import certifi
import httptools
from elastic_transport import BaseNode, ConnectionTimeout, NodeConfig, TlsError
from elastic_transport import ConnectionError as NoConnection

_CHUNK = 1 << 16


class Reply(NamedTuple):
    """What a node answered, whatever its status."""

    status: int
    is_elasticsearch: bool
    """Whether it says so. Every node does, and what stands before one may not."""
    body: bytes


class SocketNode(BaseNode):
    """As many connections to one node as threads ask at the same time. Safe for all of them.

    A node of a `NodePool`; its own `perform_request` is not offered.
    """

    def __init__(self, config: NodeConfig) -> None:
        """Raise ValueError for headers that would be no headers, OSError for a bad `ca_certs`."""
        super().__init__(config)
        self._tls = _tls_for(config) if config.scheme == "https" else None
        self._idle: deque[_Wire] = deque()
        name = f"[{config.host}]" if ":" in config.host else config.host
        self._head = head_of({"host": f"{name}:{config.port}", **self.headers})

    def exchange(self, method: str, target: str, head: bytes, body: bytes | None) -> Reply:
        """The answer to one request; `head` as `head_of` makes it.

        Raises elastic_transport's ConnectionError, ConnectionTimeout and TlsError. Even then the
        request may have been carried out.
        """
        first = f"{method} {self.path_prefix}{target} HTTP/1.1\r\n".encode("ascii")
        # Without a body GET and DELETE have no length, POST and PUT one of zero (RFC 9110, 8.6).
        if body is not None or method in {"POST", "PUT"}:
            head += b"content-length: %d\r\n" % len(body or b"")
        try:
            return self._exchanged(b"".join((first, self._head, head, b"\r\n", body or b"")))
        except TimeoutError as error:
            raise ConnectionTimeout(f"{self.base_url} did not answer", (error,)) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise NoConnection(f"{self.base_url} closed the connection", (error,)) from error
        except ssl.SSLError as error:
            raise TlsError(str(error), (error,)) from error
        except (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise NoConnection(f"{self.base_url}: {error}", (error,)) from error

    def close(self) -> None:
        """Close the connections that nobody uses at the moment."""
        while (wire := self._last_used()) is not None:
            wire.close()

    def _exchanged(self, request: bytes) -> Reply:
        wire = self._quiet() or _Wire(self.config, self._tls)
        try:
            reply = wire.exchange(request)
        except BaseException:
            wire.close()
            raise
        if wire.answers.keeps_alive:
            self._idle.append(wire)
        else:
            wire.close()
        return reply

    def _quiet(self) -> "_Wire | None":
        while (wire := self._last_used()) is not None:
            if wire.is_quiet():
                return wire
            wire.close()
        return None

    def _last_used(self) -> "_Wire | None":
        try:
            return self._idle.pop()
        except IndexError:
            return None


class _Wire:
    """One connection."""

    def __init__(self, config: NodeConfig, tls: ssl.SSLContext | None) -> None:
        address = (config.host, config.port)
        self._socket = socket.create_connection(address, timeout=config.request_timeout)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self._socket = tls.wrap_socket(self._socket, server_hostname=config.host)
        except BaseException:
            self._socket.close()
            raise
        self.answers = _Answers()
        self._news = select.poll()
        self._news.register(self._socket, select.POLLIN)

    def is_quiet(self) -> bool:
        """Whether the node has neither closed it nor said anything that nobody asked for."""
        return not self._news.poll(0)

    def exchange(self, request: bytes) -> Reply:
        self._socket.sendall(request)
        self.answers.begin()
        while not self.answers.is_whole:
            self.answers.take(self._socket.recv(_CHUNK))
        return self.answers.reply()

    def close(self) -> None:
        self._socket.close()


class _Answers:
    """The answers on one connection, as httptools tells them through the methods `on_...`."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Another answer comes."""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._has_all_headers = False
        self._says_more = False
        self.is_whole = False
        self.keeps_alive = False

    def take(self, some: bytes) -> None:
        """Go on with what has arrived. Raises OSError for an end in the middle."""
        if some:
            self._parser.feed_data(some)
            if self._says_more:
                raise ConnectionResetError("the connection brought more than one answer")
        elif self._has_all_headers and self._ends_with_the_connection():
            self.is_whole = True
        else:
            raise ConnectionResetError("the connection was closed before the answer was whole")

    def reply(self) -> Reply:
        return Reply(
            status=self._parser.get_status_code(),
            is_elasticsearch=self._headers.get(b"x-elastic-product") == b"Elasticsearch",
            body=b"".join(self._body),
        )

    def on_message_begin(self) -> None:
        self._says_more = self.is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._has_all_headers = True

    def on_body(self, some: bytes) -> None:
        self._body.append(some)

    def on_message_complete(self) -> None:
        self.keeps_alive = self._parser.should_keep_alive()
        self.is_whole = True

    def _ends_with_the_connection(self) -> bool:
        """As the answers of old proxies do, which tell no length."""
        return self._headers.keys().isdisjoint({b"content-length", b"transfer-encoding"})


def head_of(headers: Mapping[str, str]) -> bytes:
    """The headers as a request has them. Raises ValueError for a value of more than one line."""
    for name, value in headers.items():
        if not value.isprintable() or not value.isascii():
            raise ValueError(f"the header {name} would hold characters that HTTP does not know")
    lines = (f"{name}: {value}\r\n" for name, value in headers.items())
    return "".join(lines).encode("ascii")


def _tls_for(config: NodeConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # TLS 1.2 or later
    if config.verify_certs:
        context.load_verify_locations(config.ca_certs or certifi.where())
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
