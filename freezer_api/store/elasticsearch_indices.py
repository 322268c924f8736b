"""The indices of the Elasticsearch store: their names, their making, and which one is in use.

A collection lives in the index `PREFIX_COLLECTION_vN`, N being the version of its mapping. The
alias `PREFIX_COLLECTION` says which index that is; it is there to be asked, never to write through,
so that nobody writes into an index whose mapping he does not know.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any

from freezer_api.errors import StoreUnavailable
from freezer_api.store.base import Collection
from freezer_api.store.elasticsearch_connection import Connection
from freezer_api.store.mappings import (
    LAYOUTS,
    MAPPING_VERSION,
    Layout,
    guard_template,
    index_template,
)

log = logging.getLogger(__name__)

HEALTH_SECONDS = 30
_MISSING = frozenset({404})
_EXISTS = frozenset({400})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a collection is, and how its documents are laid out there."""

    index: str
    layout: Layout


class Indices:
    """The indices with one prefix."""

    def __init__(self, connection: Connection, prefix: str, replicas: int | None) -> None:
        self._connection = connection
        self._prefix = prefix
        self._replicas = replicas

    def alias(self, collection: Collection) -> str:
        """The name that says which index is in use."""
        return f"{self._prefix}_{collection}"

    def name(self, collection: Collection, version: int = MAPPING_VERSION) -> str:
        """The name of the index with a version of the mapping."""
        return f"{self.alias(collection)}_v{version}"

    def places(self) -> dict[Collection, Place]:
        """The place of each collection that has one. Raises StoreUnavailable for strange ones."""
        by_alias = {self.alias(collection): collection for collection in Collection}
        answer = self._connection.call("GET", f"/_alias/{','.join(by_alias)}", expected=_MISSING)
        found = {}
        for index, details in answer.body.items():
            if not isinstance(details, dict) or "aliases" not in details:
                continue  # of a 404: which aliases are missing
            for alias in details["aliases"]:
                collection = by_alias[alias]
                found[collection] = Place(index=index, layout=self._layout(collection, index))
        return found

    def make_templates(self) -> None:
        """Tell the cluster what new indices look like, and to make none by itself."""
        every = [self.alias(collection) for collection in Collection]
        templates = {
            f"{self._prefix}_guard": guard_template([f"{alias}_v*" for alias in every]),
            f"{self._prefix}_v{MAPPING_VERSION}": index_template(
                [f"{alias}_v{MAPPING_VERSION}" for alias in every],
                replicas=self._replicas,
                custom=f"{self._prefix}@custom",
            ),
        }
        for name, template in templates.items():
            self._connection.call("PUT", f"/_index_template/{name}", template)

    def make(self, collection: Collection, aliases: dict[str, Any]) -> str:
        """Make the index as its template says, unless it is there; return its name."""
        index = self.name(collection)
        answer = self._connection.call("PUT", f"/{index}", {"aliases": aliases}, expected=_EXISTS)
        if answer.status == 400 and _error_type(answer.body) != "resource_already_exists_exception":
            raise StoreUnavailable(f"Elasticsearch cannot make the index {index}: {answer.body}")
        return index

    def prepare(self) -> None:
        """Make what is missing, and wait until all of it can be used."""
        for place in self.make_missing().values():
            if place.layout.version != MAPPING_VERSION:
                log.warning(
                    "The index %s has version %d of the mapping, and serves on. "
                    "`freezer-manage db upgrade` moves it to version %d while the service runs",
                    place.index,
                    place.layout.version,
                    MAPPING_VERSION,
                )
        self.wait_until_usable([self.alias(collection) for collection in Collection])
        self.places()

    def make_missing(self) -> dict[Collection, Place]:
        """Make templates and missing indices; what was there before."""
        self.make_templates()
        present = self.places()
        for collection in Collection:
            if collection not in present:
                self.make(collection, {self.alias(collection): NOT_FOR_WRITING})
        return present

    def wait_until_usable(self, names: list[str]) -> None:
        """Wait for the primary shards. Raises StoreUnavailable if they do not come."""
        answer = self._connection.call(
            "GET",
            f"/_cluster/health/{','.join(names)}",
            params={"wait_for_status": "yellow", "timeout": f"{HEALTH_SECONDS}s"},
            expected=frozenset({408}),
        )
        if answer.status == 408 or answer.body["timed_out"]:
            raise StoreUnavailable("The indices exist, but Elasticsearch does not serve them yet")

    def remove(self) -> None:
        """Delete the indices, also those of an unfinished upgrade, and the templates."""
        for index in self._every_index():
            self._connection.call(
                "DELETE", f"/{index}", params={"ignore_unavailable": "true"}, expected=_MISSING
            )
        for name in (f"{self._prefix}_guard", f"{self._prefix}_v{MAPPING_VERSION}"):
            self._connection.call("DELETE", f"/_index_template/{name}", expected=_MISSING)

    def _every_index(self) -> list[str]:
        """Every index that is ours by its name, in use or not."""
        ours = re.compile(rf"{re.escape(self._prefix)}_({'|'.join(Collection)})_v[0-9]+")
        patterns = ",".join(f"{self.alias(collection)}_v*" for collection in Collection)
        answer = self._connection.call("GET", f"/{patterns}/_alias")
        return sorted(index for index in answer.body if ours.fullmatch(index))

    def _layout(self, collection: Collection, index: str) -> Layout:
        for version, layout in LAYOUTS.items():
            if index == self.name(collection, version):
                return layout
        known = " or ".join(self.name(collection, version) for version in sorted(LAYOUTS))
        raise StoreUnavailable(
            f"The alias {self.alias(collection)} leads to the index {index}; this program needs "
            f"{known}. A newer release of Freezer or somebody else has made it"
        )


NOT_FOR_WRITING = {"is_write_index": False}


def _error_type(body: dict[str, Any]) -> Any:
    return body.get("error", {}).get("type")
