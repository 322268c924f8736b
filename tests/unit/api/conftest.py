"""Who calls the API in these tests."""

from pathlib import Path

import pytest

from tests.fakes.api_world import Caller, World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def member(world: World) -> Caller:
    return world.caller()


@pytest.fixture
def admin(world: World) -> Caller:
    return world.caller(roles="admin", user="root")


@pytest.fixture
def stranger(world: World) -> Caller:
    """A member of another project."""
    return world.caller(project="q", user="v")
