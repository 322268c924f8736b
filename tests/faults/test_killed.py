"""The agent is killed at random moments; no backup is lost, and none is half.

FREEZER_FAULT_SEED chooses other moments; a failure tells seed and number of its moment. Many moments
can be tried in pieces: FREEZER_FAULT_MOMENTS of them with one seed, and as many with the next.
"""

import os
import random

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.faults.places import Place, on_disk, on_ssh, on_swift
from tests.faults.world import Deed, World, seed

DEEDS = [Deed.BACKUP, Deed.BACKUP, Deed.PRUNE, Deed.REKEY]
MANY = int(os.environ.get("FREEZER_FAULT_MOMENTS", "200"))


@pytest.fixture
def place(
    request: pytest.FixtureRequest,
    agent: AgentCommand,
    swift_user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    if request.param == "local":
        return on_disk(agent.container)
    if request.param == "ssh":
        return on_ssh(request.getfixturevalue("sshd_server"), agent.container)
    place = on_swift(request.getfixturevalue("swift_server"), swift_user)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


def killed_often(agent: AgentCommand, place: Place, moments: int) -> None:
    chance = random.Random(seed())  # noqa: S311 - a seeded test, no secret
    world = World(agent=agent, place=place, chance=chance)
    world.begin()
    for number in range(moments):
        deed = DEEDS[number % len(DEEDS)]
        world.change_source()
        killed = "not at all"
        try:

            def kill(deed: Deed = deed) -> None:
                nonlocal killed
                killed = world.kill_during(deed)

            world.disturb(deed, kill)
            world.settle(deed)
        except AssertionError as error:
            error.add_note(f"seed {seed()}, number {number}: {killed}")
            raise
    world.check()


@pytest.mark.parametrize(
    ("place", "moments"),
    [
        ("local", 6),
        pytest.param("ssh", 3, marks=pytest.mark.service),
        pytest.param("swift", 4, marks=pytest.mark.service),
    ],
    indirect=["place"],
)
def test_a_dozen_moments(agent: AgentCommand, place: Place, moments: int) -> None:
    killed_often(agent, place, moments)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("place", ["local", "ssh", "swift"], indirect=True)
def test_many_moments(agent: AgentCommand, place: Place) -> None:
    killed_often(agent, place, MANY)
