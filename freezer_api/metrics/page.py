"""/metrics: the page that Prometheus reads."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from freezer_api.metrics.base import Family, Sample
from freezer_api.metrics.cache import FleetCache, Reading
from freezer_api.metrics.meters import CONTENT_TYPE, exposition
from freezer_api.metrics.sightings import SharedSightings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_CLIENT = ("project_id", "client_id")
_JOB = (*_CLIENT, "job_id")


class MetricsPage:
    """A WSGI application. It answers also while the store is away, with what it knew last.

    `started_at` and `now` are epoch seconds.
    """

    def __init__(
        self,
        *,
        cache: FleetCache,
        sightings: SharedSightings,
        store_is_ready: Callable[[], bool],
        started_at: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._sightings = sightings
        self._store_is_ready = store_is_ready
        self._started_at = started_at
        self._now = now

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer GET /metrics; everything else is 404."""
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if path.rstrip("/") != "/metrics" or method not in {"GET", "HEAD"}:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There is nothing but /metrics here\n"]
        body = exposition(self._families())
        headers = [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body] if method == "GET" else []

    def _families(self) -> Iterator[Family]:
        ready = self._store_is_ready()
        yield _single("freezer_store_up", "Whether the document store can be used.", ready)
        reading = self._cache.reading()
        if reading is None:
            return
        now = self._now()
        yield from _about(reading, now)
        yield from _jobs(reading, now)
        yield from self._clients(reading, now)

    def _clients(self, reading: Reading, now: float) -> Iterator[Family]:
        samples = []
        for client in reading.fleet.clients:
            seen = self._sightings.last_seen(client.project_id, client.client_id)
            # Before the first poll after a start nothing is known but that it was not since then.
            age = max(0.0, now - (self._started_at if seen is None else seen))
            samples.append(Sample(labels=(client.project_id, client.client_id), value=age))
        yield Family(
            name="freezer_client_seconds_since_seen",
            meaning="Seconds since a scheduler last polled for the jobs of the client; since the "
            "start of the service if it has not polled after that.",
            labels=_CLIENT,
            samples=samples,
        )


def _single(name: str, meaning: str, value: float) -> Family:
    return Family(name=name, meaning=meaning, samples=[Sample(value=float(value))])


def _about(reading: Reading, now: float) -> Iterator[Family]:
    yield _single(
        "freezer_fleet_age_seconds",
        "Seconds since jobs and clients were read from the document store.",
        max(0.0, now - reading.read_at),
    )
    yield _single("freezer_fleet_read_seconds", "Seconds that reading them took.", reading.seconds)
    yield _single(
        "freezer_series_left_out",
        "Jobs and clients without series of their own: those beyond [metrics] max_series.",
        reading.fleet.left_out,
    )


def _jobs(reading: Reading, now: float) -> Iterator[Family]:
    yield Family(
        name="freezer_jobs",
        meaning="Jobs of all projects by status.",
        labels=("status",),
        samples=[
            Sample(labels=(status,), value=count)
            for status, count in reading.fleet.jobs_by_status.items()
        ],
    )
    jobs = [(job, (job.project_id, job.client_id, job.job_id)) for job in reading.fleet.jobs]
    yield Family(
        name="freezer_job_seconds_since_success",
        meaning="Seconds since the last run of the job that succeeded; since its creation if none "
        "has. Completed jobs, which do not run again, have none.",
        labels=_JOB,
        samples=[
            Sample(labels=labels, value=max(0.0, now - job.succeeded_at)) for job, labels in jobs
        ],
    )
    yield Family(
        name="freezer_job_has_succeeded",
        meaning="Whether any run of the job has succeeded.",
        labels=_JOB,
        samples=[Sample(labels=labels, value=job.has_succeeded) for job, labels in jobs],
    )
    yield Family(
        name="freezer_job_interval_seconds",
        meaning="The interval of jobs that have one.",
        labels=_JOB,
        samples=[
            Sample(labels=labels, value=job.interval_seconds)
            for job, labels in jobs
            if job.interval_seconds
        ],
    )
