"""The agent without the environment of whoever runs the tests."""

import os
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand


@pytest.fixture
def agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AgentCommand:
    for name in [name for name in os.environ if name.startswith(("OS_", "ST_", "AWS_"))]:
        monkeypatch.delenv(name)
    command = AgentCommand(tmp_path, capsys)
    monkeypatch.setenv("HOME", str(command.home))
    return command
