"""Documents in Elasticsearch 8, for many API processes and many nodes.

One index per collection, used through an alias. Only the core of the server is asked for: no
scripts, no update or delete by query. The one module that knows the client library.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elasticsearch import (
    ApiError,
    BadRequestError,
    ConflictError,
    Elasticsearch,
    NotFoundError,
    TransportError,
)

from freezer_api.errors import DocumentExists, DocumentNotFound, StoreUnavailable, VersionConflict
from freezer_api.store.base import (
    COUNTED,
    Collection,
    Contents,
    Document,
    Found,
    Page,
    Query,
    Scope,
    Stored,
)
from freezer_api.store.entries import check_id, document_of, entry_of
from freezer_api.store.leaves import conditions_of, exists_for, is_watched
from freezer_api.store.mappings import (
    FINGERPRINT,
    MAPPING,
    MAPPING_VERSION,
    body_of,
    fingerprint_of,
    key_of,
    query_of,
    settings,
    sort_of,
    stamp_of,
)
from freezer_api.store.windows import Hit, hits_of
from freezer_model.clock import Clock

log = logging.getLogger(__name__)

WINDOW = 10_000
"""What the server's `max_result_window` allows in one answer, unless an operator changes it."""
DELETE_ATTEMPTS = 20
"""How often a deletion meets a document that was just replaced before it gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where Elasticsearch is and how to be let in."""

    hosts: tuple[str, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    ca_certs: str | None = None
    verify_certs: bool = True
    timeout_seconds: float = 60
    retries: int = 3


class ElasticsearchStore:
    """A DocumentStore and ManagedStore in the indices `PREFIX_COLLECTION_vN`.

    A search sees every write that was acknowledged to anybody, since it refreshes the index first.
    Measured with 100,000 jobs on a busy machine of two cores: a refresh without news takes 3 ms;
    a write that refreshes takes 59 ms instead of 7, and one that waits for the next refresh takes
    a second. So many writes in a row share one refresh, and nobody pays who does not search.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        index_prefix: str,
        clock: Clock,
        new_id: Callable[[], str],
        replicas: int | None = None,
        window: int = WINDOW,
    ) -> None:
        self._client = _client(cluster)
        self._prefix = index_prefix
        self._new_id = new_id
        self._replicas = replicas
        self._window = window
        self._instants = _Instants(clock)

    def get(self, collection: Collection, scope: Scope, document_id: str) -> Stored:
        """Read the document by its id, which needs no refresh."""
        return _stored(self._hit_in_scope(collection, scope, document_id))

    def insert(self, collection: Collection, document_id: str, document: Document) -> Stored:
        """Create the document; two creations of one id collide in the server."""
        check_id(document_id)
        body = body_of(collection, document_id, entry_of(document))
        body |= {"version": 1, "created": self._instants.next(), **self._write_marks()}
        try:
            self._write(collection, document_id, body, op_type="create")
        except ConflictError as error:
            if not self._is_mine(collection, document_id, body):
                raise DocumentExists(collection, document_id) from error
        return _written(body)

    def replace(
        self, collection: Collection, document_id: str, document: Document, version: int
    ) -> Stored:
        """Replace the document if the server still holds the very state that had the version."""
        body = body_of(collection, document_id, entry_of(document))
        hit = self._hit(collection, document_id)
        if hit["_source"]["version"] != version:
            raise VersionConflict(collection, document_id)
        created = hit["_source"]["created"]
        body |= {"version": version + 1, "created": created, **self._write_marks()}
        try:
            self._write(collection, document_id, body, **_unchanged(hit))
        except ConflictError as error:
            if not self._is_mine(collection, document_id, body):
                self._hit(collection, document_id)
                raise VersionConflict(collection, document_id) from error
        return _written(body)

    def delete(
        self, collection: Collection, scope: Scope, document_id: str, version: int | None = None
    ) -> None:
        """Remove the document as it was when its scope was judged, else judge again."""
        hit = self._hit_in_scope(collection, scope, document_id)
        for _attempt in range(DELETE_ATTEMPTS):
            if version not in {None, hit["_source"]["version"]}:
                raise VersionConflict(collection, document_id)
            try:
                self._erase(collection, document_id, hit)
            except ConflictError:
                try:
                    hit = self._hit_in_scope(collection, scope, document_id)
                except DocumentNotFound:
                    # It was there when we came: our own deletion, repeated after a lost answer,
                    # or somebody else's at the same time. It is gone, as was asked.
                    return
            else:
                return
        raise VersionConflict(collection, document_id)

    def search(
        self, collection: Collection, scope: Scope, query: Query, page: Page
    ) -> list[Stored]:
        """Refresh, so that everybody's acknowledged writes are seen, then ask for the page."""
        return self._found(collection, scope, query, page, known={}).documents

    def find(self, collection: Collection, scope: Scope, query: Query, page: Page) -> Found:
        """The same request. Total and fingerprint are those of the very copy that answers.

        Two requests may meet two copies, of which one knows a write that the other does not yet:
        an older answer with a younger fingerprint would be kept for ever.
        """
        # A project's documents are counted however many there are: one list of one term.
        heard = query == Query() and scope.project_id is not None and not scope.or_match
        known: dict[str, Any] = {"track_total_hits": True if heard else COUNTED + 1}
        if is_watched(collection, query):
            known["aggregations"] = FINGERPRINT
        return self._found(collection, scope, query, page, known=known)

    def count(self, collection: Collection, scope: Scope, query: Query) -> int:
        """Refresh and count."""
        wanted = query_of(collection, scope, conditions_of(query))
        with self._translated():
            self._refresh(collection)
            return int(self._client.count(index=self._alias(collection), query=wanted)["count"])

    def fingerprint(self, collection: Collection, scope: Scope, query: Query) -> str | None:
        """Refresh, and sum up what the writes left: no document is read."""
        if not is_watched(collection, query):
            return None
        with self._translated():
            self._refresh(collection)
            answer = self._client.search(
                index=self._alias(collection),
                query=query_of(collection, scope, conditions_of(query)),
                aggregations=FINGERPRINT,
                size=0,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
            return fingerprint_of(answer["aggregations"])

    def _found(
        self,
        collection: Collection,
        scope: Scope,
        query: Query,
        page: Page,
        *,
        known: dict[str, Any],
    ) -> Found:
        """The page; `known` asks for more, of which the last request's answer counts."""
        wanted = query_of(collection, scope, conditions_of(query))
        last: dict[str, Any] = {}

        def ask(
            *, size: int, start: int = 0, after: list[Any] | None = None, bare: bool = False
        ) -> list[Hit]:
            answer = self._client.search(
                index=self._alias(collection),
                query=wanted,
                sort=sort_of(page.order),
                size=size,
                from_=start,
                search_after=after,
                source=False if bare else None,
                source_excludes=None if bare else ["terms"],
                filter_path="hits.hits.sort" if bare else None,
                allow_partial_search_results=False,
                **({"track_total_hits": False} | known if not bare else {}),
            )
            if not bare:
                last.update(answer.body)
            hits: list[Hit] = answer.get("hits", {}).get("hits", [])
            return hits

        with self._translated():
            self._refresh(collection)
            documents = [_stored(hit) for hit in hits_of(page, ask, self._window)]
            if known and not last:  # the walk ended before the page
                ask(size=0)
        return Found(documents=documents, total=_total(last), fingerprint=_fingerprint(last))

    def ready(self) -> bool:
        """Whether every index is there, in this program's version."""
        try:
            return len(self._present()) == len(Collection)
        except StoreUnavailable:
            return False

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def prepare(self) -> None:
        """Make the indices and aliases that are missing, and wait until they can be used."""
        present = self._present()
        with self._translated():
            for collection in Collection:
                if collection not in present:
                    self._create_index(collection)
            aliases = [self._alias(collection) for collection in Collection]
            health = self._client.cluster.health(
                index=aliases, wait_for_status="yellow", timeout="30s"
            )
        if health["timed_out"]:
            raise StoreUnavailable("The indices exist, but Elasticsearch does not serve them yet")
        self._present()

    def describe(self) -> list[Contents]:
        """Count each index that is there."""
        present = self._present()
        with self._translated():
            return [
                Contents(name=index, version=MAPPING_VERSION, documents=self._count(collection))
                for collection, index in present.items()
            ]

    def remove(self) -> None:
        """Delete the indices."""
        present = self._present()
        with self._translated():
            for index in present.values():
                self._client.indices.delete(index=index, ignore_unavailable=True)

    def _present(self) -> dict[Collection, str]:
        """The index of each collection that has one. Raises StoreUnavailable for strange ones."""
        by_alias = {self._alias(collection): collection for collection in Collection}
        present = {}
        with self._translated():
            answer = self._client.options(ignore_status=404).indices.get_alias(name=list(by_alias))
        for index, details in answer.body.items():
            if not isinstance(details, dict) or "aliases" not in details:
                continue  # of a 404: which aliases are missing
            for alias in details["aliases"]:
                collection = by_alias[alias]
                if index != self._index(collection):
                    raise StoreUnavailable(
                        f"The alias {alias} leads to the index {index}; this program needs "
                        f"{self._index(collection)}"
                    )
                present[collection] = index
        return present

    def _create_index(self, collection: Collection) -> None:
        try:
            self._client.indices.create(
                index=self._index(collection),
                aliases={self._alias(collection): {"is_write_index": True}},
                mappings=MAPPING,
                settings=settings(self._replicas),
            )
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            # Another process was faster.

    def _count(self, collection: Collection) -> int:
        self._refresh(collection)
        return int(self._client.count(index=self._alias(collection))["count"])

    def _refresh(self, collection: Collection) -> None:
        self._client.indices.refresh(index=self._alias(collection))

    def _hit(self, collection: Collection, document_id: str) -> Hit:
        with self._translated():
            answer = self._client.options(ignore_status=404).get(
                index=self._alias(collection),
                id=key_of(collection, document_id),
                source_excludes=["terms"],
            )
            hit: Hit = answer.body
            if answer.meta.status == 404 and "error" in hit:
                raise NotFoundError(_reason(hit), answer.meta, hit)
        if not hit["found"]:
            raise DocumentNotFound(collection, document_id)
        return hit

    def _hit_in_scope(self, collection: Collection, scope: Scope, document_id: str) -> Hit:
        hit = self._hit(collection, document_id)
        if not exists_for(scope, document_of(hit["_source"]["document"])):
            raise DocumentNotFound(collection, document_id)
        return hit

    def _write(
        self, collection: Collection, document_id: str, body: dict[str, Any], **conditions: Any
    ) -> None:
        with self._translated():
            self._client.index(
                index=self._alias(collection),
                id=key_of(collection, document_id),
                document=body,
                require_alias=True,
                **conditions,
            )

    def _erase(self, collection: Collection, document_id: str, hit: Hit) -> None:
        with self._translated():
            self._client.delete(
                index=self._alias(collection),
                id=key_of(collection, document_id),
                **_unchanged(hit),
            )

    def _write_marks(self) -> dict[str, Any]:
        write_id = self._new_id()
        return {"write_id": write_id, "stamp": stamp_of(write_id)}

    def _is_mine(self, collection: Collection, document_id: str, body: dict[str, Any]) -> bool:
        try:
            hit = self._hit(collection, document_id)
        except DocumentNotFound:
            return False
        return bool(hit["_source"]["write_id"] == body["write_id"])

    def _alias(self, collection: Collection) -> str:
        return f"{self._prefix}_{collection}"

    def _index(self, collection: Collection) -> str:
        return f"{self._prefix}_{collection}_v{MAPPING_VERSION}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the client become StoreUnavailable, but for conflicts."""
        try:
            yield
        except ConflictError:
            raise
        except ApiError as error:
            raise StoreUnavailable(
                f"Elasticsearch refused ({error.status_code}): {_reason(error.body)}"
                f"{_advice(error)}"
            ) from error
        except TransportError as error:
            raise StoreUnavailable(
                f"Elasticsearch cannot be reached now: {type(error).__name__}"
            ) from error


class _Instants:
    """Microseconds of creation, each later than the one before in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        now = int(self._clock().timestamp() * 1_000_000)
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last


def _client(cluster: Cluster) -> Elasticsearch:
    options: dict[str, Any] = {
        "request_timeout": cluster.timeout_seconds,
        "max_retries": cluster.retries,
        "retry_on_timeout": True,
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
        return Elasticsearch([_with_port(host) for host in cluster.hosts], **options)
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


def _with_port(host: str) -> str:
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


def _written(body: dict[str, Any]) -> Stored:
    return _stored({"_source": body})


def _stored(hit: Hit) -> Stored:
    source = hit["_source"]
    return Stored(
        document_id=source["document_id"],
        document=document_of(source["document"]),
        version=source["version"],
    )


def _total(answer: dict[str, Any]) -> int | None:
    total = answer.get("hits", {}).get("total")
    return None if total is None or total["relation"] != "eq" else int(total["value"])


def _fingerprint(answer: dict[str, Any]) -> str | None:
    aggregations = answer.get("aggregations")
    return None if aggregations is None else fingerprint_of(aggregations)


def _unchanged(hit: Hit) -> dict[str, Any]:
    return {"if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}


def _reason(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return str(error.get("reason") or error.get("type"))
    return str(error or "no reason given")


def _advice(error: ApiError) -> str:
    if error.status_code == 404:
        return ". `freezer-manage db sync` makes the indices"
    if error.status_code in {401, 403}:
        return ". Check the user, the password or the API key of [elasticsearch]"
    return ""
