"""Connections are reset, servers answer 503 or are slow, storages are full: the same must hold."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.faults.places import Place, on_disk, on_ssh, on_swift, set_quota
from tests.faults.world import Deed, World, seed
from tests.services.cutting_proxy import CuttingProxy, cutting_proxy
from tests.services.faulty_proxy import Fault, proxy_to
from tests.services.sshd import Sshd
from tests.services.swift import SwiftServer

pytestmark = [pytest.mark.faults, pytest.mark.service, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("FREEZER_FAULT_ROUNDS", "12"))
DEEDS = [Deed.BACKUP, Deed.BACKUP, Deed.PRUNE, Deed.REKEY]
Way = Callable[[int], Place]


def rounds(
    agent: AgentCommand, place: Place, fault: Callable[[World, Deed], object]
) -> list[object]:
    """Let the fault happen to deed after deed; gives what each of them said."""
    chance = random.Random(seed())  # noqa: S311 - a seeded test, no secret
    world = World(agent=agent, place=place, chance=chance)
    world.begin()
    said: list[object] = []
    for number in range(ROUNDS):
        deed = DEEDS[number % len(DEEDS)]
        world.change_source()
        try:
            world.disturb(deed, lambda deed=deed: said.append(fault(world, deed)))
            world.settle(deed)
        except AssertionError as error:
            error.add_note(f"seed {seed()}, number {number}: {deed}, which said {said[-1:]}")
            raise
    return said


@pytest.fixture(params=["ssh", "swift"])
def remote(
    request: pytest.FixtureRequest,
    agent: AgentCommand,
    swift_user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Way:
    """From a port to the place behind it; 0 is the server's own."""
    if request.param == "ssh":
        sshd: Sshd = request.getfixturevalue("sshd_server")
        return lambda port: on_ssh(sshd, agent.container, port or None)
    swift: SwiftServer = request.getfixturevalue("swift_server")
    for name, value in on_swift(swift, swift_user).environment.items():
        monkeypatch.setenv(name, value)

    def behind(port: int) -> Place:
        url = swift.auth_url.replace(str(swift.port), str(port)) if port else None
        return on_swift(swift, swift_user, url)

    return behind


def by_proxy(
    remote: Way, prepare: Callable[[World, CuttingProxy], None], world: World, deed: Deed
) -> str:
    assert world.place.port
    with cutting_proxy(world.place.port) as proxy:
        prepare(world, proxy)
        return world.attempt(deed, remote(proxy.port))


def test_connections_are_reset(agent: AgentCommand, remote: Way) -> None:
    def prepare(world: World, proxy: CuttingProxy) -> None:
        up, down = world.chance.randrange(3_000_000), world.chance.randrange(40_000)
        if world.chance.randrange(2):
            proxy.cut_after(up=up) if world.chance.randrange(2) else proxy.cut_after(down=down)
        else:
            proxy.close_after(up=up)

    said = rounds(agent, remote(0), partial(by_proxy, remote, prepare))
    assert any(said), "no cut was noticed"


def test_a_slow_line(agent: AgentCommand, remote: Way) -> None:
    def prepare(_world: World, proxy: CuttingProxy) -> None:
        proxy.pause_seconds = 0.003

    said = rounds(agent, remote(0), partial(by_proxy, remote, prepare))
    assert not any("Critical" in str(one) for one in said)


def test_a_server_that_is_busy_now_and_then(
    agent: AgentCommand,
    swift_server: SwiftServer,
    swift_user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = on_swift(swift_server, swift_user)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)

    def busy(world: World, deed: Deed) -> str:
        with proxy_to(swift_server.url) as (url, proxy):
            before = [Fault.NONE] * world.chance.randrange(30)
            kinds = [Fault.BUSY, Fault.THROTTLED, Fault.ANSWER_LOST]
            fault = world.chance.choice(kinds)
            proxy.faults.extend([*before, *[fault] * world.chance.randrange(1, 4)])
            auth_url = swift_server.auth_url.replace(swift_server.url, url)
            return world.attempt(deed, on_swift(swift_server, swift_user, auth_url))

    said = rounds(agent, place, busy)
    assert any(said), "no fault was noticed"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not everywhere")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a session may still end


@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_a_full_disk(agent: AgentCommand, sshd_server: Sshd, tmp_path: Path, kind: str) -> None:
    with small_disk(tmp_path / "disk", "24m") as disk:
        container = disk / "container"
        place = on_disk(container) if kind == "local" else on_ssh(sshd_server, container)

        def fill(world: World, deed: Deed) -> str:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filling = disk / "filling"
            left = world.chance.randrange(3_000_000)
            filling.write_bytes(bytes(max(0, free - left)))
            try:
                return world.attempt(deed, world.place)
            finally:
                filling.unlink()

        said = rounds(agent, place, fill)
        assert any("room" in str(one) or "No space" in str(one) for one in said)


def test_a_quota(
    agent: AgentCommand,
    swift_server: SwiftServer,
    swift_user: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = on_swift(swift_server, swift_user)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)

    def limit(world: World, deed: Deed) -> str:
        set_quota(swift_server, swift_user, world.chance.randrange(1, 6_000_000))
        try:
            return world.attempt(deed, world.place)
        finally:
            set_quota(swift_server, swift_user, None)

    said = rounds(agent, place, limit)
    assert any("quota" in str(one).lower() or "room" in str(one) for one in said)
