"""When clients were last seen: a scheduler that polls is one that lives."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Sightings(Protocol):
    """Takes note of polls. Cheap: it happens with every one, and writes nothing to the store."""

    def note(self, project_id: str, criteria: Mapping[str, Any]) -> None:
        """Somebody asked for jobs by these criteria. Never raises."""
        ...


class NoSightings:
    """Where nobody asks for them."""

    def note(self, project_id: str, criteria: Mapping[str, Any]) -> None:
        """Do nothing."""


def polling_client(criteria: Mapping[str, Any]) -> str | None:
    """The client whose scheduler polls with these criteria; None if this is no poll.

    A poll asks for the jobs of one client that are not completed. A dashboard that lists the jobs
    of a client does not leave the completed ones out.
    """
    wanted = dict(_pairs(criteria.get("match")))
    unwanted = dict(_pairs(criteria.get("match_not")))
    client_id = wanted.get("client_id")
    if unwanted.get("status") != "completed" or not isinstance(client_id, str):
        return None
    return client_id


def _pairs(entries: Any) -> Iterator[tuple[str, Any]]:
    """What the conditions say; shapes that a search would refuse say nothing."""
    for entry in [entries] if isinstance(entries, dict) else entries or ():
        if isinstance(entry, dict):
            yield from entry.items()
