"""The sample of alert rules names only metrics that the service tells."""

import re
from pathlib import Path

import yaml

from freezer_api.metrics.cache import FleetCache, Reading
from freezer_api.metrics.fleet import ClientFact, Fleet, JobFact
from freezer_api.metrics.page import MetricsPage
from freezer_api.metrics.sightings import SharedSightings

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "etc/prometheus-alerts.yaml.sample"
COUNTED = {"freezer_api_requests_total", "freezer_api_request_seconds_bucket"}
"""Of meters, which tests/unit/api/test_metrics.py reads from the page itself."""


def told(folder: Path) -> dict[str, tuple[str, ...]]:
    """The gauges of the page and their labels."""
    job = JobFact(
        project_id="p",
        client_id="c",
        job_id="j",
        succeeded_at=1,
        has_succeeded=True,
        interval_seconds=1,
    )
    fleet = Fleet(
        jobs_by_status={"new": 1},
        jobs=(job,),
        clients=(ClientFact(project_id="p", client_id="c"),),
        left_out=0,
    )
    cache = FleetCache(folder, lambda: fleet, refresh_seconds=60)
    assert isinstance(cache.reading(), Reading)
    page = MetricsPage(
        cache=cache,
        sightings=SharedSightings(folder / "s"),
        store_is_ready=lambda: True,
        started_at=0,
    )
    return {family.name: tuple(family.labels) for family in page._families()}


def test_every_rule_watches_something_that_is_told(tmp_path: Path) -> None:
    gauges = told(tmp_path)
    rules = [
        rule for group in yaml.safe_load(SAMPLE.read_text())["groups"] for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["annotations"]["summary"]
        names = set(re.findall(r"freezer_\w+", rule["expr"]))
        assert names, rule["alert"]
        assert names <= gauges.keys() | COUNTED, rule["alert"]
        labels = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        known = {label for name in names for label in gauges.get(name, ())} | {"instance"}
        assert labels <= known, rule["alert"]


def test_a_missing_backup_and_a_silent_client_raise_an_alarm(tmp_path: Path) -> None:
    watched = set(re.findall(r"freezer_\w+", SAMPLE.read_text()))
    assert {"freezer_job_seconds_since_success", "freezer_client_seconds_since_seen"} <= watched
    assert watched & told(tmp_path).keys() == watched - COUNTED
