"""What most scenarios of the agent begin with."""

import os
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand


@pytest.fixture
def agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AgentCommand:
    """The command line of the agent, with a home and a container of its own.

    Nothing of the credentials of whoever runs the tests is in its environment.
    """
    for name in [name for name in os.environ if name.startswith(("OS_", "ST_", "AWS_"))]:
        monkeypatch.delenv(name)
    command = AgentCommand(tmp_path, capsys)
    monkeypatch.setenv("HOME", str(command.home))
    return command
