"""Tags: what tells two states of a document apart, and what a caller expects a document to be."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from freezer_api.errors import PreconditionFailed
from freezer_api.store.base import Stored

# Plain ASCII, since texts may hold lone surrogates, which UTF-8 cannot express.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=dict)


def text_of(value: Any) -> bytes:
    """The JSON text of an answer. Equal documents of equal history have equal texts."""
    return _ENCODER.encode(value).encode("ascii")


def tag_of_bytes(body: bytes, *more: object) -> str:
    """The tag of whatever the bytes and the other values together say."""
    parts = [*(repr(one).encode("ascii", "backslashreplace") for one in more), body]
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


def tag_of(document: Mapping[str, Any], version: int) -> str:
    """The tag of one state of a document, as it is shown."""
    return tag_of_bytes(text_of(document), version)


def without_process(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job as it is shown to projects that its client does not belong to."""
    schedule = {key: value for key, value in job["job_schedule"].items() if key != "current_pid"}
    return {**job, "job_schedule": schedule}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The states in which a caller wants to find a document that he is about to change."""

    tags: frozenset[str] | None = None
    """One of these, where any are given."""
    must_exist: bool = False
    must_be_new: bool = False

    @property
    def is_anything(self) -> bool:
        """Whether the caller does not care."""
        return self.tags is None and not self.must_exist and not self.must_be_new

    def check(self, stored: Stored) -> None:
        """Raise PreconditionFailed if the document is none of those."""
        if self.must_be_new:
            raise PreconditionFailed("The document exists already")
        if self.tags is None:
            return
        shown = (tag_of(view, stored.version) for view in _views(stored.document))
        if self.tags.isdisjoint(shown):
            raise PreconditionFailed(
                "The document was changed since you read it. Read it again, then repeat the change"
            )

    def check_absent(self) -> None:
        """Raise PreconditionFailed if a document is expected that is not there."""
        if self.must_exist or self.tags is not None:
            raise PreconditionFailed("There is no such document")


ANYTHING = Expected()


def _views(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The document as callers are shown it: of a job, some do not see all."""
    views = [document]
    if "user_credentials" in document:
        views.append({key: document[key] for key in document if key != "user_credentials"})
    yield from views
    schedule = document.get("job_schedule")
    if isinstance(schedule, Mapping) and "current_pid" in schedule:
        yield from map(without_process, views)
