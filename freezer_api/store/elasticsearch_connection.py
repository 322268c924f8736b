"""Calls to Elasticsearch that survive the loss of a node.

A call that no node has answered, or that was told to come back later, is repeated on the next
node, a bounded number of times. It may then be carried out twice: whoever writes sees to it that
the second time changes nothing.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from elastic_transport import (
    ConnectionTimeout,
    NodeConfig,
    NodePool,
    TlsError,
    TransportError,
)
from elastic_transport.client_utils import basic_auth_to_header, url_to_node_config

from freezer_api.errors import StoreUnavailable
from freezer_api.store.elasticsearch_node import Reply, SocketNode, head_of
from freezer_api.store.elasticsearch_refusals import is_full, names_no_index, refused, type_of

log = logging.getLogger(__name__)

Sleep = Callable[[float], None]

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

_COME_BACK = frozenset({429, 502, 503, 504})
_JSON = "application/vnd.elasticsearch+json; compatible-with=8"
_LINES = "application/vnd.elasticsearch+x-ndjson; compatible-with=8"
_ANSWER = head_of({"accept": _JSON})
_BODY = head_of({"accept": _JSON, "content-type": _JSON})
_BULK = head_of({"accept": _JSON, "content-type": _LINES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where Elasticsearch is and how to be let in."""

    hosts: tuple[str, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    ca_certs: str | None = None
    verify_certs: bool = True
    timeout_seconds: float = 15
    retries: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said, if it was no failure."""

    status: int
    body: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One of many in a bulk request."""

    kind: str
    """index, create or delete."""
    target: dict[str, Any]
    """`_index`, `_id` and conditions."""
    body: dict[str, Any] | None = field(default=None, repr=False)

    def lines(self) -> bytes:
        """As the request has it."""
        action = json.dumps({self.kind: self.target}, separators=(",", ":")) + "\n"
        if self.body is None:
            return action.encode("ascii")
        return f"{action}{json.dumps(self.body, separators=(',', ':'))}\n".encode("ascii")


class Connection:
    """Connections to all nodes of a cluster, safe for several threads.

    Says once in the log that the cluster went away, and once that it is back. While it is away
    each call asks every node once and does not wait, so that callers hear of it at once.
    """

    def __init__(self, cluster: Cluster, *, sleep: Sleep) -> None:
        self._pool = _pool(cluster)
        self._nodes = len(cluster.hosts)
        self._where = ", ".join(_without_password(host) for host in cluster.hosts)
        self._retries = cluster.retries
        self._sleep = sleep
        self._is_known = False
        self._away = False

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        expected: frozenset[int] = frozenset(),
    ) -> Answer:
        """The answer: a success, or one of the `expected` statuses.

        Raises IndexGone for an index that is not there, even if 404 is expected; WriteBlocked,
        and StoreUnavailable for everything else.
        """
        target = f"{path}?{urlencode(params)}" if params else path
        if body is None:
            return self._patiently(_Request(method, target, _ANSWER, None), expected)
        # Plain ASCII: it is what documents are made of, and what every proxy leaves alone.
        text = json.dumps(body, separators=(",", ":")).encode("ascii")
        return self._patiently(_Request(method, target, _BODY, text), expected)

    def bulk(self, operations: Sequence["Operation"]) -> list[int]:
        """Carry out all operations; the status of each: a success, 404 or 409.

        Those for which the server has no room at the moment are repeated. Raises as `call` does,
        if one is refused for another reason; the others may then be done or not.
        """
        statuses: dict[int, int] = {}
        left = list(range(len(operations)))
        for attempt in range(self._retries + 1):
            if attempt:
                self._sleep(_pause_seconds(attempt - 1))
            some, left = left, []
            lines = b"".join(operations[number].lines() for number in some)
            request = _Request("POST", "/_bulk", _BULK, lines)
            items = self._patiently(request, frozenset()).body["items"]
            for number, item in zip(some, items, strict=True):
                (done,) = item.values()
                if done["status"] == 429 and type_of(done) != "cluster_block_exception":
                    left.append(number)
                    continue
                if "error" in done and done["status"] != 409:
                    raise refused(done["status"], done)
                statuses[number] = done["status"]
            if not left:
                return [statuses[number] for number in range(len(operations))]
        raise StoreUnavailable("Elasticsearch is too busy to take that many documents now")

    def close(self) -> None:
        """Close every connection."""
        for node in self._pool.all():
            node.close()

    def _patiently(self, request: "_Request", expected: frozenset[int]) -> Answer:
        attempt = silent = 0
        while True:
            try:
                answer = self._once(request)
            except TransportError as error:
                if isinstance(error, TlsError):
                    raise _distrust(error) from error
                silent += isinstance(error, ConnectionTimeout)
                if silent >= max(2, self._nodes):
                    # Each has had its time. Whoever called waits for all of it.
                    raise self._gone_away(_silence(error, self._where)) from error
                other_node = attempt + 1 < self._nodes
                self._pause(attempt, other_node=other_node, reason=_silence(error, self._where))
            else:
                status, body = answer.status, answer.body
                if _is_success(status) or (status in expected and not names_no_index(body)):
                    self._is_back()
                    return answer
                if status not in _COME_BACK or is_full(status, body):
                    self._is_back()
                    raise refused(status, body)
                self._pause(attempt, other_node=False, reason=refused(status, body))
            attempt += 1

    def _once(self, request: "_Request") -> Answer:
        """What one node answers, and the pool told whether it lives. Raises TransportError."""
        node = cast("SocketNode", self._pool.get())
        try:
            reply = node.exchange(*request)
        except TransportError:
            self._pool.mark_dead(node)
            raise
        if reply.status == 429 or reply.status >= 500:
            self._pool.mark_dead(node)
        else:
            self._pool.mark_live(node)
        self._require_elasticsearch(reply)
        return Answer(status=reply.status, body=_parsed(reply))

    def _require_elasticsearch(self, reply: Reply) -> None:
        """Raise StoreUnavailable if a success comes from something else; asked once only."""
        if self._is_known or not _is_success(reply.status):
            return
        if not reply.is_elasticsearch:
            raise StoreUnavailable(
                "What answers at [elasticsearch] hosts is no Elasticsearch 8: look at the addresses"
            )
        self._is_known = True

    def _pause(self, attempt: int, *, other_node: bool, reason: StoreUnavailable) -> None:
        """Wait before the next attempt. Raises the reason if there shall be none."""
        attempts = min(self._retries + 1, self._nodes) if self._away else self._retries + 1
        if attempt + 1 >= attempts:
            raise self._gone_away(reason)
        if not other_node and not self._away:
            self._sleep(_pause_seconds(attempt))

    def _gone_away(self, reason: StoreUnavailable) -> StoreUnavailable:
        if not self._away:
            self._away = True
            log.warning(
                "Elasticsearch is not ready: %s. Until it is, calls are answered with 503", reason
            )
        return reason

    def _is_back(self) -> None:
        if self._away:
            self._away = False
            log.warning("Elasticsearch is ready again")


class _Request(NamedTuple):
    method: str
    target: str
    head: bytes
    body: bytes | None


def _pool(cluster: Cluster) -> NodePool:
    """The nodes. One that fails is left alone for half a second, then longer, unless all do."""
    if cluster.username and cluster.api_key:
        raise StoreUnavailable("[elasticsearch] holds both an api_key and a username: give one")
    if any(host.startswith("https:") for host in cluster.hosts):
        if cluster.ca_certs:
            _require_readable(cluster.ca_certs)
        if not cluster.verify_certs:
            log.warning("The certificates of Elasticsearch are not verified")
    try:
        return NodePool(
            [_node_config(with_port(host), cluster) for host in cluster.hosts],
            SocketNode,
            dead_node_backoff_factor=0.5,
            max_dead_node_backoff=10,
        )
    except (ValueError, OSError) as error:
        raise StoreUnavailable(f"[elasticsearch] cannot be used as configured: {error}") from error


def _node_config(url: str, cluster: Cluster) -> NodeConfig:
    config = url_to_node_config(url)
    headers = dict(config.headers)
    if cluster.username:
        credentials = (cluster.username, cluster.password or "")
        headers["authorization"] = basic_auth_to_header(credentials)
    if cluster.api_key:
        headers["authorization"] = f"ApiKey {cluster.api_key}"
    return config.replace(
        headers=headers,
        request_timeout=cluster.timeout_seconds,
        verify_certs=cluster.verify_certs,
        ca_certs=cluster.ca_certs if config.scheme == "https" else None,
    )


def _require_readable(path: str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise StoreUnavailable(
            f"[elasticsearch] ca_certs: {path} cannot be read: {error.strerror}"
        ) from error


def with_port(host: str) -> str:
    """The URL with the port of Elasticsearch if it names none: the client demands one."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "http", host
    if scheme not in {"http", "https"}:
        raise StoreUnavailable(f"[elasticsearch] hosts: {scheme} is neither http nor https")
    authority, slash, path = rest.partition("/")
    if not authority.rpartition(":")[2].isdigit():
        authority += ":9200"
    return f"{scheme}://{authority}{slash}{path}"


def _is_success(status: int) -> bool:
    return 200 <= status < 300


def _parsed(reply: Reply) -> Any:
    """The JSON of the answer; None for an error of somebody who speaks none."""
    try:
        body = json.loads(reply.body.decode()) if reply.body else {}
    except ValueError:
        body = None
    if not isinstance(body, dict) and _is_success(reply.status):
        raise StoreUnavailable(
            "An answer of Elasticsearch is no JSON object: something on the way has changed it"
        )
    return body


def _pause_seconds(attempt: int) -> float:
    return float(min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS))


def _silence(error: TransportError, where: str) -> StoreUnavailable:
    is_slow = isinstance(error, ConnectionTimeout)
    what = "did not answer in time" if is_slow else "cannot be reached now"
    return StoreUnavailable(
        f"Elasticsearch at {where} {what}: {type(error).__name__}. See whether it runs there, and "
        "that [elasticsearch] hosts has its addresses"
    )


def _without_password(host: str) -> str:
    scheme, separator, rest = host.rpartition("//")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _distrust(error: TransportError) -> StoreUnavailable:
    return StoreUnavailable(
        "Elasticsearch cannot be reached now: TLS failed "
        f"({error.message}). Check [elasticsearch] ca_certs against the authority "
        "that signed the nodes' certificates, and the names in hosts against those in them"
    )
