"""What systemd is told of the scheduler: that it is ready, that it lives, that it stops.

The protocol of sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. Twenty lines here,
as a library for it would be no shorter to use. Without systemd nothing is sent.
"""

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

log = logging.getLogger(__name__)

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""They are for the scheduler alone: an agent that had them could speak in its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """The line to systemd. `address` empty: there is none. Never raises."""

    address: str = ""
    watchdog_seconds: float | None = None
    """Within this time `alive` must be said again, or the service is ended and started anew."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int) -> Self:
        """The line that systemd gave to the process `pid`; a watchdog for another is not ours."""
        address = environment.get("NOTIFY_SOCKET", "")
        limit = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watched = bool(address) and is_ours and limit.isdecimal() and int(limit) > 0
        return cls(address=address, watchdog_seconds=int(limit) / 1e6 if watched else None)

    def ready(self) -> None:
        """The scheduler works: units that wait for it may start."""
        self._say("READY=1")

    def alive(self) -> None:
        """The main loop goes on."""
        if self.watchdog_seconds is not None:
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """No new work is begun; running agents end."""
        self._say("STOPPING=1")

    def longest_silence(self, seconds: float) -> float:
        """How long the main loop may sleep that wants to sleep so long."""
        return seconds if self.watchdog_seconds is None else min(seconds, self.watchdog_seconds / 3)

    def _say(self, state: str) -> None:
        if not self.address:
            return
        # A name that begins with @ lies in the abstract namespace of Linux.
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.sendto(state.encode(), address)
        except OSError as error:
            log.debug("systemd could not be told %s: %s", state, error)


def of_process() -> Supervision:
    """That of this process."""
    return Supervision.from_environment(os.environ, os.getpid())
