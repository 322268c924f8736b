"""Run a command to its end and measure its whole process tree: time, processor, peak memory."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_GLANCE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one command took: of itself and all processes that it started and waited for."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def watched(
    argv: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float,
) -> Run:
    """Run it; a command that fails or takes longer than allowed ends the benchmark.

    The memory is the largest sum of resident sets that a glance every 50 ms saw. What processes
    share counts once for each of them.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    memory = _Memory(process.pid, timeout_seconds)
    memory.start()
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    memory.stop()
    if process.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {process.returncode}: {said[-2000:].decode()}")
    return Run(
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=memory.peak_bytes,
    )


class _Memory(threading.Thread):
    """Looks at the processes of a tree now and then, and ends them when their time is over."""

    def __init__(self, pid: int, timeout_seconds: float) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._pid = pid
        self._ends_at = time.perf_counter() + timeout_seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(_GLANCE_SECONDS):
            tree = _descendants(self._pid)
            self.peak_bytes = max(self.peak_bytes, sum(map(_resident_bytes, tree)))
            if time.perf_counter() > self._ends_at:
                for pid in tree:
                    os.kill(pid, 9)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
