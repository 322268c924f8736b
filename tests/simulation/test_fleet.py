"""Fleets over many days in a simulated world: whatever befalls them, nothing is lost or run twice."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.fleet import Figures, Fleet, Size

SMALL = Size(nodes=6, days=6, poll_seconds=1800)
LARGE = Size(nodes=20, days=30, poll_seconds=3600)
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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_small_fleet(seed: int, memory: Path) -> None:
    figures = lived(SMALL, seed, memory)
    assert figures.crashes > 0
    assert figures.runs > 100
