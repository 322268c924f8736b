"""Say what is wrong with where the containers of a request are: in the way, or in one place."""

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from freezer_agent.storage_choices import NamedStorage, StorageChoice, local_directories


def refuse_target(
    target: Path, storages: Iterable[StorageChoice], reasons: list[str], *, aside: bool
) -> None:
    """A restore that would write among the backups, or put them away with the former target."""
    place = Path(os.path.realpath(target))
    for container in local_directories(storages):
        among = any(place.is_relative_to(container / one) for one in ("data", "metadata"))
        if place == container or among:
            reasons.append(f"--restore-abs-path {str(target)!r} is where the backups are kept")
        elif aside and container.is_relative_to(place):
            reasons.append(
                f"--restore-aside would put the backups in {str(container)!r} away with the "
                "former --restore-abs-path: leave it out, or restore to another directory"
            )


def refuse_twins(storages: Sequence[NamedStorage], reasons: list[str]) -> None:
    """Two copies in one place would be none more, and wait for each other's lock."""
    for one, other in itertools.combinations(storages, 2):
        if one.choice == other.choice:
            reasons.append(
                f"storage:{one.name} and storage:{other.name} are the same place: "
                "give each its own container, or leave one out",
            )
