"""One collection of documents of the API: the calls that all five have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from freezer_client.calls import Calls
from freezer_client.errors import ApiUnavailable, Conflict, NotFound, refusal
from freezer_client.listing import PAGE_DOCUMENTS, SMALLEST_SERVER_LIMIT, Document, read_all

COVERS_HEADER = "X-Tag-Covers"
"""With `query` as its value, the tag of a page is that of the whole search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a poll found. `tag` stands for all of it; None if it cannot be asked for again."""

    documents: list[Document]
    tag: str | None


NOTHING_KNOWN = Listing(documents=[], tag=None)

Criteria = Sequence[Mapping[str, Any]]
"""Search conditions `{field: value}`: all must hold (match), or none may (match_not)."""


class Documents:
    """What the five collections have in common. `name` is path and key of the list at once."""

    def __init__(self, calls: Calls, name: str, identity: Callable[[Document], str]) -> None:
        """`identity` tells two documents of one list apart."""
        self._calls = calls
        self._name = name
        self._identity = identity
        self._id_key = f"{name.removesuffix('s')}_id"

    def path(self, document_id: str) -> str:
        """The path of one document below the project."""
        return f"{self._name}/{id_segment(self._name, document_id)}"

    def read(
        self,
        criteria: Mapping[str, Any],
        limit: int | None,
        offset: int,
        query: Mapping[str, str] | None = None,
    ) -> list[Document]:
        """One page, or without `limit` all documents that fit, in order of creation."""

        def read_page(start: int, most: int) -> list[Document]:
            window = {"limit": str(most), "offset": str(start), **(query or {})}
            answer = self._calls.send("GET", self._name, body=criteria or None, query=window)
            return self._entries(answer)

        if limit is not None:
            return read_page(offset, limit) if limit > 0 else []
        return read_all(read_page, self._identity, offset=offset)

    def poll(
        self, criteria: Mapping[str, Any], query: Mapping[str, str], known: Listing
    ) -> Listing:
        """All documents that fit: `known` itself if nothing changed, which takes one request.

        Servers that know no tags are asked for everything each time.
        """
        window = {"limit": str(PAGE_DOCUMENTS), "offset": "0", **query}
        first = self._calls.fetch(
            self._name, body=criteria or None, query=window, known_tag=known.tag
        )
        if first.status == 304:
            return known
        page = self._entries(first.document())
        unread = [page]

        def read_page(start: int, most: int) -> list[Document]:
            if start == 0 and unread:
                return unread.pop()
            return self.read(criteria, most, start, query)

        documents = read_all(read_page, self._identity)
        # A change on a later page is none of the first one's, unless the server says so.
        is_whole = len(page) < SMALLEST_SERVER_LIMIT
        covers = is_whole or first.header(COVERS_HEADER) == "query"
        return Listing(documents=documents, tag=first.header("ETag") or None if covers else None)

    def get(self, document_id: str) -> Document | None:
        """The document, None if there is none."""
        try:
            path = self.path(document_id)
            return as_object(path, self._calls.send("GET", path))
        except NotFound:
            return None

    def create(
        self,
        document: Mapping[str, Any],
        document_id: str | None,
        new_id: Callable[[], str] | None,
    ) -> str:
        """Create, or with `document_id` create or replace; return the id.

        With `new_id` the document gets its id here unless it has one, so that the call may be
        repeated: a conflict after a lost answer is with ourselves.
        """
        if document_id:
            answer = self._calls.send("POST", self.path(document_id), body=dict(document))
            return self._answered_id(answer)
        if new_id is None or document.get(self._id_key):
            answer = self._calls.send("POST", self._name, body=dict(document), repeatable=False)
            return self._answered_id(answer)
        own_id = new_id()
        try:
            body = {**document, self._id_key: own_id}
            return self._answered_id(self._calls.send("POST", self._name, body=body))
        except Conflict as error:
            if error.after_lost_answer:
                return own_id
            raise

    def update(self, document_id: str, document: Mapping[str, Any]) -> int:
        """Change the given fields; return the version."""
        path = self.path(document_id)
        answer = as_object(path, self._calls.send("PATCH", path, body=dict(document)))
        return as_number(answer.get("version"))

    def delete(self, document_id: str) -> None:
        """Remove the document; raises NotFound if there was none."""
        delete(self._calls, self.path(document_id))

    def _answered_id(self, answer: Any) -> str:
        answered = as_object(self._name, answer).get(self._id_key)
        if not isinstance(answered, str) or not answered:
            raise _unreadable(self._name, f"no {self._id_key}")
        return answered

    def _entries(self, answer: Any) -> list[Document]:
        return as_objects(self._name, self._name, as_object(self._name, answer))


def delete(calls: Calls, path: str) -> None:
    """DELETE what is at the path; raises NotFound if there was nothing."""
    try:
        calls.send("DELETE", path)
    except NotFound as error:
        # The try whose answer was lost has removed it.
        if not error.after_lost_answer:
            raise


def as_criteria(match: Criteria, match_not: Criteria, search: str | None) -> dict[str, Any]:
    """The body of a search, empty if it asks for everything."""
    wanted = [dict(item) for item in match]
    if search:
        wanted.append({"_all": search})
    body: dict[str, Any] = {"match": wanted} if wanted else {}
    if match_not:
        body["match_not"] = [dict(item) for item in match_not]
    return body


def id_segment(collection: str, document_id: str) -> str:
    """The id as part of a path. Raises NotFound for one that no document can have."""
    # "." and ".." would be taken out of the path on the way, and name the collection instead.
    if not document_id or document_id in {".", ".."}:
        raise refusal(collection, 404, "Not Found", f"{document_id!r} is no id")
    return quote(document_id, safe="")


def as_object(path: str, answer: Any) -> Document:
    """The answer, which must be an object, or ApiUnavailable."""
    if not isinstance(answer, dict):
        raise _unreadable(path, "no object")
    return answer


def as_objects(path: str, name: str, answer: Document) -> list[Document]:
    """The list of objects that the answer holds under `name`, or ApiUnavailable."""
    entries = answer.get(name)
    if not isinstance(entries, list) or not all(isinstance(item, dict) for item in entries):
        raise _unreadable(path, f"no list of {name}")
    return entries


def _unreadable(path: str, reason: str) -> ApiUnavailable:
    return ApiUnavailable(path, f"its answer holds {reason}; check its URL", may_pass=False)


def as_number(value: Any) -> int:
    """A version or tag; older servers put other things there, which nobody compares."""
    return value if isinstance(value, int) else 0


def by_key(key: str) -> Callable[[Document], str]:
    """Tells documents apart by one key."""
    return lambda document: str(document.get(key))
