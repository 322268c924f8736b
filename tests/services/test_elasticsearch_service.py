"""The test server ends with whoever started it, however that ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import signal
from tests.services import elasticsearch
with elasticsearch.running() as node:
    print(node.folder, flush=True)
    signal.pause()
"""


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.usefixtures("elasticsearch_url")  # skips where there is none
def test_nothing_outlives_a_killed_test_run() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as owner:
        assert owner.stdout
        folder = Path(owner.stdout.readline().strip())
        owner.send_signal(signal.SIGKILL)
    assert folder.name.startswith("freezer-elasticsearch-")
    deadline = time.monotonic() + 60
    while (folder.exists() or commands_with(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not folder.exists()
    assert commands_with(folder) == []


def commands_with(folder: Path) -> list[bytes]:
    """The command lines of all processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if str(folder).encode() in command:
            found.append(command)
    return found
