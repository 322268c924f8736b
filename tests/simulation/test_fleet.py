"""Fleets over many days in a simulated world: whatever befalls them, nothing is lost or run twice."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.fleet import Figures, Fleet, Size

SMALL = Size(nodes=3, pairs=1, days=6, poll_seconds=3600, crashes_a_week=3.0)
LARGE = Size(nodes=18, pairs=1, days=30, poll_seconds=3600)
FLEETS = 50


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: journals are written a lot."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def lived(size: Size, seed: int, folder: Path) -> Figures:
    place = folder / str(seed)
    place.mkdir()
    return Fleet(size, seed, place).live()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_small_fleet(seed: int, memory: Path) -> None:
    figures = lived(SMALL, seed, memory)
    assert figures.crashes > 0
    assert figures.runs > 100


def test_the_same_seed_is_the_same_fleet(memory: Path) -> None:
    size = replace(SMALL, days=2)
    first = lived(size, 7, memory)
    (memory / "again").mkdir()
    assert lived(size, 7, memory / "again") == first


@pytest.mark.simulation
@pytest.mark.timeout(7200)
def test_a_thousand_machines_for_a_month(memory: Path) -> None:
    """Fifty fleets with an API each: machines only meet at it, and its store in memory is plain."""
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        seeds = range(100, 100 + FLEETS)
        figures = list(
            processes.map(lived, [LARGE] * FLEETS, seeds, [memory] * FLEETS, chunksize=1)
        )
    for name in Figures.__dataclass_fields__:
        print(name, sum(getattr(one, name) for one in figures))  # noqa: T201 - for who ran it
    assert sum(one.runs for one in figures) > 200_000
