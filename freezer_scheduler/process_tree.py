"""End all that an agent started, also what left its process group.

An exec action runs its command in a session of its own, where a signal to the agent's group does not
reach it. So each call of the agent carries a mark in its environment, which everything below it
inherits and which stays when parents die; /proc shows it. A program that clears its environment
escapes.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "FREEZER_AGENT_CALL"
"""The name of the mark in the environment."""
REMNANT_GRACE_SECONDS = 5.0
"""How long what an ended agent left behind may clean up after SIGTERM before it is killed."""

_LOOK_SECONDS = 0.05
_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process, told from a later one of the same pid by the kernel's word on its start."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        """Whether it still runs; one that only waits to be reaped does not."""
        return process_start(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send it the signal, and to nobody who has come to its pid meanwhile."""
        with suppress(ProcessLookupError, PermissionError):
            handle = os.pidfd_open(self.pid)
            try:
                if self.is_alive():
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)


class HostProcesses:
    """The processes of this host; a simulation has others."""

    def started(self, pid: int) -> str | None:
        """What tells the process from a later one of the same pid; None if there is none."""
        return process_start(pid)

    def alive(self, agents: Sequence[Process]) -> list[Process]:
        """Those that still run."""
        return [agent for agent in agents if agent.is_alive()]

    def end(self, agents: Sequence[Process], *, grace_seconds: float) -> None:
        """End agents as `end_agents` does."""
        end_agents(agents, grace_seconds=grace_seconds)


def process_start(pid: int) -> str | None:
    """What the kernel says of the process's start: tells it from a later one of the same pid."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if len(fields) < 20 or fields[0] == "Z" else fields[19]


def mark_of(pid: int) -> str:
    """The mark that the process carries; empty if there is none to be seen."""
    prefix = f"{VARIABLE}=".encode()
    found = (entry for entry in _environment(pid) if entry.startswith(prefix))
    return next(found, b"").removeprefix(prefix).decode("ascii", "replace")


def marked(mark: str) -> list[Process]:
    """The processes that carry it and that we may see."""
    wanted = f"{VARIABLE}={mark}".encode()
    return [
        Process(pid=pid, started=started)
        for pid in _pids()
        if wanted in _environment(pid) and (started := process_start(pid)) is not None
    ]


def end_marked(
    mark: str,
    *,
    grace_seconds: float = REMNANT_GRACE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """End all that carries the mark: SIGTERM, and SIGKILL after the grace time. How many there were."""
    if not mark or not (found := marked(mark)):
        return 0
    for process in found:
        process.signal(signal.SIGTERM)
    _wait_for_end(found, monotonic() + grace_seconds, sleep, monotonic)
    for _ in range(_MOST_ROUNDS):
        # Again until there is none: they may have started others meanwhile.
        if not (left := marked(mark)):
            break
        for process in left:
            process.signal(signal.SIGKILL)
        sleep(_LOOK_SECONDS)
    return len(found)


def end_agents(
    agents: Sequence[Process],
    *,
    grace_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """End agents whose scheduler has died, each with its group and all that carries its mark.

    All get SIGTERM at once, and share one grace time before SIGKILL.
    """
    alive = [agent for agent in agents if agent.is_alive()]
    marks = [mark_of(agent.pid) for agent in alive]
    for agent in alive:
        _signal_group(agent, signal.SIGTERM)
    _wait_for_end(alive, monotonic() + grace_seconds, sleep, monotonic)
    for agent in alive:
        _signal_group(agent, signal.SIGKILL)
    for mark in marks:
        end_marked(mark, sleep=sleep, monotonic=monotonic)


def _wait_for_end(
    processes: Sequence[Process],
    deadline: float,
    sleep: Callable[[float], None],
    monotonic: Callable[[], float],
) -> None:
    while any(process.is_alive() for process in processes) and monotonic() < deadline:
        sleep(_LOOK_SECONDS)


def _signal_group(agent: Process, number: signal.Signals) -> None:
    if agent.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(agent.pid, number)


def _pids() -> Iterator[int]:
    with suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208  # names are all that is wanted
            if name.isdecimal() and int(name) != os.getpid():
                yield int(name)


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
