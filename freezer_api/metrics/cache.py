"""The fleet as it was read last, shared by the worker processes through a file."""

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freezer_api.errors import StoreUnavailable
from freezer_api.metrics.fleet import ClientFact, Fleet, JobFact

log = logging.getLogger(__name__)

SHARE = 50
"""Reading takes at most one part in so many of the time: a store that takes ten seconds to read is
read every ten minutes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read, when, and at what cost."""

    fleet: Fleet
    read_at: float
    seconds: float


class FleetCache:
    """Reads the fleet when it is old, in one process at a time; the others take what is there.

    `now` tells epoch seconds, which all processes share.
    """

    def __init__(
        self,
        folder: Path,
        read: Callable[[], Fleet],
        *,
        refresh_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._file = folder / "fleet.json"
        self._lock = folder / "fleet.lock"
        self._read = read
        self._refresh_seconds = refresh_seconds
        self._now = now
        self._kept: tuple[int, Reading] | None = None

    def reading(self) -> Reading | None:
        """The fleet, as fresh as is due; None if it was never read and cannot be read now."""
        kept = self._load()
        if kept is not None and not self._is_old(kept):
            return kept
        with self._turn(wait=kept is None) as ours:
            if not ours:
                return kept
            fresh = self._load()  # another process may have read while this one waited
            if fresh is not None and not self._is_old(fresh):
                return fresh
            return self._refreshed(fresh)

    def _is_old(self, reading: Reading) -> bool:
        age = self._now() - reading.read_at
        return age >= max(self._refresh_seconds, SHARE * reading.seconds)

    def _refreshed(self, kept: Reading | None) -> Reading | None:
        began = self._now()
        try:
            fleet = self._read()
        except StoreUnavailable as error:
            log.warning("The jobs and clients could not be read for the metrics: %s", error)
            return kept
        ended = self._now()
        reading = Reading(fleet=fleet, read_at=ended, seconds=max(0.0, ended - began))
        self._store(reading)
        return reading

    def _store(self, reading: Reading) -> None:
        fresh = self._file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(asdict(reading)))
        fresh.replace(self._file)

    def _load(self) -> Reading | None:
        """What the file holds, parsed once for each change."""
        try:
            changed_at = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if self._kept is None or self._kept[0] != changed_at:
            self._kept = changed_at, _reading_from(json.loads(self._file.read_text()))
        return self._kept[1]

    @contextmanager
    def _turn(self, *, wait: bool) -> Iterator[bool]:
        """Whether it is this caller's turn to read."""
        with self._lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True


def _reading_from(document: dict[str, Any]) -> Reading:
    fleet = document["fleet"]
    return Reading(
        fleet=Fleet(
            jobs_by_status=fleet["jobs_by_status"],
            jobs=tuple(JobFact(**fact) for fact in fleet["jobs"]),
            clients=tuple(ClientFact(**fact) for fact in fleet["clients"]),
            left_out=fleet["left_out"],
        ),
        read_at=document["read_at"],
        seconds=document["seconds"],
    )
