"""The wait between two looks at the API: spread, stretched, as the server asks."""

import pytest

from freezer_scheduler.pace import Pace
from freezer_scheduler.run_records import lease_seconds

INTERVALS = [1, 15, 60, 600, 86400]


def paced(share: float) -> Pace:
    return Pace(jitter=lambda: share)


def test_without_jitter_the_interval_is_kept_to_the_letter() -> None:
    pace = Pace()
    assert pace.first(60) == 0
    assert pace.next(60, took_seconds=500, retry_after_seconds=900) == 60


@pytest.mark.parametrize(("share", "first", "later"), [(0, 0, 54), (0.5, 7.5, 60), (1, 15, 66)])
def test_nodes_spread(share: float, first: float, later: float) -> None:
    pace = paced(share)
    assert pace.first(60) == pytest.approx(first)
    assert pace.next(60, took_seconds=0.1, retry_after_seconds=None) == pytest.approx(later)


@pytest.mark.parametrize(("took", "pause"), [(6, 60), (9, 90), (15, 150), (1000, 150)])
def test_a_slow_api_is_asked_less_often(took: float, pause: float) -> None:
    found = paced(0.5).next(60, took_seconds=took, retry_after_seconds=None)
    assert found == pytest.approx(pause)


@pytest.mark.parametrize(("asked", "least"), [(10, 60), (300, 300), (10**9, 3600)])
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_nobody_comes_back_before_the_server_wants(
    asked: float, least: float, share: float
) -> None:
    found = paced(share).next(60, took_seconds=0, retry_after_seconds=asked)
    assert least * (1 if asked > 60 else 0.9) <= found <= least * 1.1 + 1e-9


@pytest.mark.parametrize("interval", INTERVALS)
def test_no_run_is_lost_for_the_stretching(interval: float) -> None:
    longest = paced(1).next(interval, took_seconds=1e9, retry_after_seconds=None)
    assert longest < lease_seconds(interval)
