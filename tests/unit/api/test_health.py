"""Whether a load balancer should send requests here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from freezer_api.resources.health import LOOK_SECONDS, RETRY_AFTER_SECONDS
from freezer_api.store.memory import MemoryStore
from tests.fakes.api_world import World, make_world


@dataclass
class FakeAway(MemoryStore):
    """The store in memory, which can be out of reach; counts the looks at it."""

    away: bool = False
    looks: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def ready(self) -> bool:
        self.looks.append(self.away)
        return not self.away


@pytest.fixture
def store() -> FakeAway:
    return FakeAway()


@pytest.fixture
def world(tmp_path: Path, store: FakeAway) -> World:
    return make_world(tmp_path, store=store)


def ask(world: World, **headers: str) -> Any:
    return testing.TestClient(world.app).simulate_get("/healthcheck/ready", headers=headers)


def test_ready(world: World) -> None:
    reply = ask(world)
    assert (reply.status_code, reply.json) == (200, {"status": "ready"})
    head = testing.TestClient(world.app).simulate_head("/healthcheck/ready")
    assert head.status_code == 200


def test_not_ready_while_the_store_is_away(world: World, store: FakeAway) -> None:
    store.away = True
    reply = ask(world)
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == str(RETRY_AFTER_SECONDS)
    assert reply.json["title"] == "Service Unavailable"
    assert "document store" in reply.json["description"]
    assert testing.TestClient(world.app).simulate_get("/healthcheck").status_code == 200

    store.away = False
    world.clock.forward(int(LOOK_SECONDS) + 1)
    assert ask(world).status_code == 200


def test_one_look_answers_a_crowd(world: World, store: FakeAway) -> None:
    assert {ask(world).status_code for _ in range(50)} == {200}
    assert store.looks == [False]


def test_out_of_service_by_file(world: World, tmp_path: Path, store: FakeAway) -> None:
    (tmp_path / "healthcheck_disable").touch()
    reply = ask(world)
    assert reply.status_code == 503
    assert "operator" in reply.json["description"]
    assert store.looks == []
