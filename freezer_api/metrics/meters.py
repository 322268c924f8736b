"""The counters and histograms of all worker processes, and their text for Prometheus.

Workers write into files of one directory, whose text any of them can make; that is the library's
affair. It looks once, when it is imported, at PROMETHEUS_MULTIPROC_DIR: `activate` comes first.
The number of series is bounded, whatever is requested: routes are templates, unknown methods are
"other".
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from freezer_api.metrics.base import Family

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

UNROUTED = "none"
"""The route of requests that had none: refused before, or to an unknown path."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def activate(directory: Path) -> None:
    """Make this process and its children keep their numbers in the directory."""
    os.environ[DIRECTORY_VARIABLE] = str(directory)


class Meters:
    """Counts requests and calls of the store. Make one per process, after `activate`."""

    def __init__(self) -> None:
        from prometheus_client import (  # noqa: PLC0415 - only after `activate`, see above
            CollectorRegistry,
            Counter,
            Histogram,
        )

        registry = CollectorRegistry()
        self._requests = Counter(
            "freezer_api_requests",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._latency = Histogram(
            "freezer_api_request_seconds",
            "Seconds from the start of a request to its answer.",
            ["method", "route"],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._store_latency = Histogram(
            "freezer_api_store_seconds",
            "Seconds that calls of the document store take.",
            ["operation", "collection"],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._store_failures = Counter(
            "freezer_api_store_failures",
            "Calls of the document store that ended because it was not available.",
            ["operation", "collection"],
            registry=registry,
        )

    def request(self, method: str, route: str | None, status: str, seconds: float) -> None:
        """A request was answered."""
        known = method if method in _METHODS else "other"
        template = route or UNROUTED
        self._requests.labels(known, template, status).inc()
        self._latency.labels(known, template).observe(seconds)

    def observe(self, operation: str, collection: str, seconds: float, *, failed: bool) -> None:
        """A call of the store has ended (see `store.measured.StoreMeter`)."""
        self._store_latency.labels(operation, str(collection)).observe(seconds)
        if failed:
            self._store_failures.labels(operation, str(collection)).inc()


def exposition(families: Iterable[Family]) -> bytes:
    """The text of what all workers have counted, and of the families."""
    from prometheus_client import (  # noqa: PLC0415 - only after `activate`, see above
        CollectorRegistry,
        generate_latest,
    )
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the library's
    return generate_latest(registry) + _text(families, CollectorRegistry())


def worker_ended(pid: int) -> None:
    """Forget what holds only while a worker lives. What it counted stays counted."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(pid)  # type: ignore[no-untyped-call] # the library's


def _text(families: Iterable[Family], registry: "CollectorRegistry") -> bytes:
    from prometheus_client import generate_latest  # noqa: PLC0415
    from prometheus_client.core import GaugeMetricFamily, Metric  # noqa: PLC0415

    class Once:
        def collect(self) -> Iterable[Metric]:
            for family in families:
                gauge = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
                for sample in family.samples:
                    gauge.add_metric(sample.labels, sample.value)
                yield gauge

        def describe(self) -> Iterable[Metric]:
            return ()

    registry.register(Once())
    return generate_latest(registry)
