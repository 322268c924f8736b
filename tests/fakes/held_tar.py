"""GNU tar that does all its work, and then waits for a word before it ends.

A run that uses it is surely in the midst of its stream, on a fast machine as on a busy one.
"""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from freezer_agent.engines.tar import PROGRAMS, find_gnu_tar
from tests.fakes.agent_command import AgentCommand

if TYPE_CHECKING:
    import subprocess

# Whoever opens a FIFO to read waits until somebody opens it to write.
_SCRIPT = """\
#!/bin/sh
{tar} "$@"
status=$?
case " $* " in *" --listed-incremental="* | *" --extract "*) : < {gate} ;; esac
exit $status
"""


class HeldTar:
    """A program in tar's place, for the agents that it starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gate = folder / "gate"
        self._open: int | None = None
        folder.mkdir()
        os.mkfifo(self._gate)
        program = folder / PROGRAMS[0]
        tar, gate = shlex.quote(str(find_gnu_tar())), shlex.quote(str(self._gate))
        program.write_text(_SCRIPT.format(tar=tar, gate=gate))
        program.chmod(0o755)

    def start(self, agent: AgentCommand, *words: str | Path) -> "subprocess.Popen[bytes]":
        """Start the real program; its tar does not end before `release`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{self._folder}:{os.environ['PATH']}")
            return agent.start(*words)

    def release(self) -> None:
        """Let tar end."""
        if self._open is None:
            self._open = os.open(self._gate, os.O_RDWR)

    def close(self) -> None:
        """Let those end as well that a killed agent has left behind."""
        self.release()
        self._gate.unlink()
        if self._open is not None:
            os.close(self._open)


@contextmanager
def held_tar(folder: Path) -> Iterator[HeldTar]:
    """One that leaves no program waiting."""
    held = HeldTar(folder)
    try:
        yield held
    finally:
        held.close()
