"""What can be done with clients, the schedulers that have registered.

A client's document has an id that follows from project and client_id, or from the client_id alone
for a central client. So a client exists once however many register at the same time.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from freezer_api.errors import AccessForbidden, DocumentExists, DocumentNotFound
from freezer_api.identity.context import Context
from freezer_api.services.changes import Changes
from freezer_api.services.documents import own_scope, present
from freezer_api.services.search import query_from
from freezer_api.services.tags import ANYTHING, Expected
from freezer_api.store.base import (
    EVERYWHERE,
    Collection,
    DocumentStore,
    Found,
    Page,
    Query,
    Scope,
    Stored,
)
from freezer_model.client import CAPABILITIES
from freezer_model.errors import InvalidDocument

_CLIENTS = Collection.CLIENTS
_CENTRAL_MARK = "client.is_central"
_KEPT = ("client_id", "uuid", "hostname", "is_central")
"""What a client keeps when it registers again."""


class ClientService:
    """Clients of a project, and the central ones that every project sees."""

    def __init__(
        self, *, store: DocumentStore, changes: Changes, new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._changes = changes
        self._new_id = new_id

    def register(self, context: Context, body: Mapping[str, Any]) -> str:
        """Register a client, or what it can do now; return its client_id.

        Raises DocumentExists where the id is a central client of another project, or where a
        central client wants an id that another project uses.
        """
        fields = _fields(body)
        client_id: str = fields["client_id"]
        known = self._registered(context, client_id)
        if known is not None:
            self._changes.apply(_CLIENTS, own_scope(context), known.document_id, _refreshed(fields))
        elif fields["is_central"]:
            self._insert_central(context, fields)
        else:
            self._insert_own(context, fields)
        return client_id

    def get(self, context: Context, client_id: str) -> Stored:
        """One client that the project sees: its own, else a central one. DocumentNotFound."""
        found = self._own(context.project_id, client_id) or self._central(client_id)
        if found is None:
            raise DocumentNotFound(_CLIENTS, client_id)
        return found

    def search(self, context: Context, criteria: dict[str, Any], page: Page) -> Found:
        """The project's and all central ones that the criteria want."""
        scope = Scope(project_id=context.project_id, or_match=(_CENTRAL_MARK, True))
        return self._store.find(_CLIENTS, scope, query_from(criteria, within="client"), page)

    def delete(self, context: Context, client_id: str, expected: Expected = ANYTHING) -> None:
        """Forget a client of the project; its jobs stay.

        Raises DocumentNotFound, and AccessForbidden for another project's central client.
        """
        client = self.get(context, client_id)
        if client.document["project_id"] != context.project_id:
            raise AccessForbidden("A central client can be removed by the project it belongs to")
        self._changes.remove(_CLIENTS, own_scope(context), client.document_id, expected)

    def is_foreign(self, project_id: str, client_id: str) -> bool:
        """Whether the client that the project means by the id is another project's."""
        if self._own(project_id, client_id) is not None:
            return False
        central = self._central(client_id)
        return central is not None and central.document["project_id"] != project_id

    def _registered(self, context: Context, client_id: str) -> Stored | None:
        own = self._own(context.project_id, client_id)
        if own is not None:
            return own
        central = self._central(client_id)
        if central is not None and central.document["project_id"] != context.project_id:
            raise DocumentExists(_CLIENTS, client_id)
        return central

    # Two projects may register the same id at the same moment, one of them as central. Each
    # writes first and looks then, so that at least one of them sees the other and withdraws.

    def _insert_own(self, context: Context, fields: dict[str, Any]) -> None:
        client_id = fields["client_id"]
        document_id = _own_id(context.project_id, client_id)
        self._insert_once(context, document_id, fields)
        if self._central(client_id) is not None:
            self._store.delete(_CLIENTS, own_scope(context), document_id)
            raise DocumentExists(_CLIENTS, client_id)

    def _insert_central(self, context: Context, fields: dict[str, Any]) -> None:
        client_id = fields["client_id"]
        document_id = _central_id(client_id)
        self._insert_once(context, document_id, fields)
        query = Query(match=(("client.client_id", client_id),))
        same = self._store.search(_CLIENTS, EVERYWHERE, query, Page(limit=2))
        if any(client.document_id != document_id for client in same):
            self._store.delete(_CLIENTS, own_scope(context), document_id)
            raise DocumentExists(_CLIENTS, client_id)

    def _insert_once(self, context: Context, document_id: str, fields: dict[str, Any]) -> None:
        client = {"uuid": self._new_id(), **fields}
        document = {
            "client": client,
            "user_id": context.user_id,
            "project_id": context.project_id,
        }
        try:
            self._store.insert(_CLIENTS, document_id, document)
        except DocumentExists:
            # Registered a moment ago: by this project, which is as good, or by another.
            if self._find(own_scope(context), document_id) is None:
                raise DocumentExists(_CLIENTS, fields["client_id"]) from None

    def _own(self, project_id: str, client_id: str) -> Stored | None:
        return self._find(Scope(project_id=project_id), _own_id(project_id, client_id))

    def _central(self, client_id: str) -> Stored | None:
        return self._find(EVERYWHERE, _central_id(client_id))

    def _find(self, scope: Scope, document_id: str) -> Stored | None:
        try:
            return self._store.get(_CLIENTS, scope, document_id)
        except DocumentNotFound:
            return None


def document_id_of(project_id: str, client_id: str, *, is_central: bool) -> str:
    """The id of the document that holds this client."""
    return _central_id(client_id) if is_central else _own_id(project_id, client_id)


def _own_id(project_id: str, client_id: str) -> str:
    return _digest(f"own\0{project_id}\0{client_id}")


def _central_id(client_id: str) -> str:
    return _digest(f"central\0{client_id}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _fields(body: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_mark(body)
    fields = present(body)
    return {
        **fields,
        "description": fields.get("description"),
        "is_central": fields.get("is_central", False),
        **{name: fields.get(name) for name in CAPABILITIES},
    }


def _refreshed(fields: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(document: dict[str, Any]) -> dict[str, Any]:
        client = document["client"]
        kept = {key: client[key] for key in _KEPT if key in client}
        return document | {"client": {**client, **fields, **kept}}

    return change


def _refuse_mark(value: Any) -> None:
    """Refuse a body in which a field of the caller's own looks like the mark of central clients."""
    if isinstance(value, dict):
        if _CENTRAL_MARK in value:
            raise InvalidDocument(_CENTRAL_MARK, "is not a name that a field may have")
        for inner in value.values():
            _refuse_mark(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_mark(inner)
