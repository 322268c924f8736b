"""Calls to Elasticsearch that survive the loss of a node. The one module that knows its client.

A call that no node has answered, or that was told to come back later, is repeated on the next
node, a bounded number of times. It may then be carried out twice: whoever writes sees to it that
the second time changes nothing.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from elasticsearch import ApiError, Elasticsearch, TransportError, UnsupportedProductError
from elasticsearch import ConnectionTimeout as NoAnswer
from elasticsearch import SSLError as NoTrust

from freezer_api.errors import StoreUnavailable

log = logging.getLogger(__name__)

Sleep = Callable[[float], None]

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

_COME_BACK = frozenset({429, 502, 503, 504})
_JSON = "application/vnd.elasticsearch+json; compatible-with=8"
_LINES = "application/vnd.elasticsearch+x-ndjson; compatible-with=8"
_ANSWER = {"accept": _JSON}
_BODY = {"accept": _JSON, "content-type": _JSON}
_BULK = {"accept": _JSON, "content-type": _LINES}


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


class IndexGone(StoreUnavailable):
    """There is no such index or alias, or not any more."""


class WriteBlocked(StoreUnavailable):
    """The index takes no writes: an upgrade is about to switch, or an operator forbade it."""


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
        self._client = _client(cluster)
        self._nodes = len(cluster.hosts)
        self._where = ", ".join(_without_password(host) for host in cluster.hosts)
        self._retries = cluster.retries
        self._sleep = sleep
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
        if body is None:
            return self._patiently(_Request(method, path, params, _ANSWER, None), expected)
        # Plain ASCII: it is what documents are made of, and what every proxy leaves alone.
        text = json.dumps(body, separators=(",", ":")).encode("ascii")
        return self._patiently(_Request(method, path, params, _BODY, text), expected)

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
            request = _Request("POST", "/_bulk", None, _BULK, lines)
            items = self._patiently(request, frozenset()).body["items"]
            for number, item in zip(some, items, strict=True):
                (done,) = item.values()
                if done["status"] == 429 and _type(done) != "cluster_block_exception":
                    left.append(number)
                    continue
                if "error" in done and done["status"] != 409:
                    raise _refused(done["status"], done)
                statuses[number] = done["status"]
            if not left:
                return [statuses[number] for number in range(len(operations))]
        raise StoreUnavailable("Elasticsearch is too busy to take that many documents now")

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _patiently(self, request: "_Request", expected: frozenset[int]) -> Answer:
        attempt = silent = 0
        while True:
            try:
                answer = self._client.perform_request(
                    request.method,
                    request.path,
                    params=request.params,
                    headers=request.headers,
                    body=request.body,
                )
            except ApiError as error:
                status = error.status_code
                if status in expected and not _names_no_index(error):
                    self._is_back()
                    return Answer(status=status, body=error.body)
                if status not in _COME_BACK or _is_full(error):
                    self._is_back()
                    raise _refusal(error) from error
                self._pause(attempt, other_node=False, error=error)
            except TransportError as error:
                if isinstance(error, NoTrust):
                    raise _distrust(error) from error
                silent += isinstance(error, NoAnswer)
                if silent >= max(2, self._nodes):
                    # Each has had its time. Whoever called waits for all of it.
                    raise self._gone_away(error) from error
                self._pause(attempt, other_node=attempt + 1 < self._nodes, error=error)
            else:
                self._is_back()
                return Answer(status=answer.meta.status, body=answer.body or {})
            attempt += 1

    def _pause(self, attempt: int, *, other_node: bool, error: ApiError | TransportError) -> None:
        """Wait before the next attempt. Raises StoreUnavailable if there shall be none."""
        attempts = min(self._retries + 1, self._nodes) if self._away else self._retries + 1
        if attempt + 1 >= attempts:
            raise self._gone_away(error) from error
        if not other_node and not self._away:
            self._sleep(_pause_seconds(attempt))

    def _gone_away(self, error: ApiError | TransportError) -> StoreUnavailable:
        where = self._where
        reason = _refusal(error) if isinstance(error, ApiError) else _silence(error, where)
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
    path: str
    params: Mapping[str, str] | None
    headers: dict[str, str]
    body: bytes | None


def _client(cluster: Cluster) -> Elasticsearch:
    options: dict[str, Any] = {
        "request_timeout": cluster.timeout_seconds,
        "max_retries": 0,  # Connection repeats, with pauses, which the library does not know
        "retry_on_status": (),
        "dead_node_backoff_factor": 0.5,
        "max_dead_node_backoff": 10,
    }
    if cluster.username:
        options["basic_auth"] = (cluster.username, cluster.password or "")
    if cluster.api_key:
        options["api_key"] = cluster.api_key
    if any(host.startswith("https:") for host in cluster.hosts):
        options["verify_certs"] = cluster.verify_certs
        options["ssl_show_warn"] = False
        if cluster.ca_certs:
            options["ca_certs"] = _readable(cluster.ca_certs)
        if not cluster.verify_certs:
            log.warning("The certificates of Elasticsearch are not verified")
    try:
        return Elasticsearch([with_port(host) for host in cluster.hosts], **options)
    except (ValueError, OSError) as error:
        raise StoreUnavailable(f"[elasticsearch] cannot be used as configured: {error}") from error


def _readable(path: str) -> str:
    # The client would notice at the first call, and call it a failed connection.
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise StoreUnavailable(
            f"[elasticsearch] ca_certs: {path} cannot be read: {error.strerror}"
        ) from error
    return path


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


def _names_no_index(error: ApiError) -> bool:
    """Whether it is no answer about a document, since the index itself is not there."""
    return not isinstance(error.body, dict) or _type(error.body) == "index_not_found_exception"


def _is_full(error: ApiError) -> bool:
    """Whether it says "later", but means that an operator must make room first."""
    return error.status_code == 429 and _type(error.body) == "cluster_block_exception"


def _refusal(error: ApiError) -> StoreUnavailable:
    if isinstance(error, UnsupportedProductError):
        return StoreUnavailable(
            "What answers at [elasticsearch] hosts is no Elasticsearch 8: look at the addresses"
        )
    return _refused(error.status_code, error.body)


def _refused(status: int, body: Any) -> StoreUnavailable:
    kind = StoreUnavailable
    advice = ""
    match status, _type(body):
        case 404, "index_not_found_exception":
            kind = IndexGone
            advice = ". `freezer-manage db sync` makes the indices"
        case 403, "cluster_block_exception":
            kind = WriteBlocked
            advice = ". If no upgrade runs, lift the block index.blocks.write or read_only"
        case 429, "cluster_block_exception":
            advice = (
                ". The index is read-only because a disk is too full: make room, and Elasticsearch "
                "lifts the block by itself"
            )
        case 401 | 403, _:
            advice = (
                ". Check the user, the password or the API key of [elasticsearch], and its "
                "privileges"
            )
    return kind(f"Elasticsearch refused ({status}): {_reason(body)}{advice}")


def _pause_seconds(attempt: int) -> float:
    return float(min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS))


def _silence(error: TransportError, where: str) -> StoreUnavailable:
    what = "did not answer in time" if isinstance(error, NoAnswer) else "cannot be reached now"
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


def _type(body: Any) -> str | None:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("type") if isinstance(error, dict) else None


def _reason(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return str(error.get("reason") or error.get("type"))
    return str(error or "no reason given")
