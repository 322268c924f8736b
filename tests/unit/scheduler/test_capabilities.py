"""What a node refuses, by the values that the agent would take."""

from typing import Any

import pytest

from freezer_model.job import Job
from freezer_scheduler.capabilities import refusal

ALL: dict[str, list[str]] = {}


def job(*actions: dict[str, Any]) -> Job:
    return Job.from_document({"job_actions": [{"freezer_action": action} for action in actions]})


@pytest.mark.parametrize(
    ("capabilities", "action", "named"),
    [
        ({"supported_storages": ["local"]}, {}, "storage: swift"),
        ({"supported_storages": ["local"]}, {"storage": None}, "storage: swift"),
        ({"supported_storages": ["local"]}, {"storage": ""}, "storage: swift"),
        ({"supported_engines": ["rsync"]}, {}, "engine: tar"),
        ({"supported_engines": ["tar"]}, {"engine": "rsync"}, "engine: rsync"),
        ({"supported_engines": ["tar"]}, {"engine_name": "rsync"}, "engine: rsync"),
        ({"supported_modes": ["mysql"]}, {}, "mode: fs"),
        ({"supported_actions": ["restore"]}, {}, "action: backup"),
        ({"supported_actions": ["backup"]}, {"action": "exec"}, "action: exec"),
    ],
)
def test_refused(capabilities: dict[str, list[str]], action: dict[str, Any], named: str) -> None:
    reason = refusal(job(action), capabilities, disable_exec=False)
    assert reason is not None
    assert named in reason


@pytest.mark.parametrize(
    ("capabilities", "action"),
    [
        (ALL, {}),
        ({"supported_storages": ["local"]}, {"storage": "local"}),
        ({"supported_storages": ["local"]}, {"action": "exec", "command": "true"}),
        ({"supported_modes": ["mysql"]}, {"action": "exec", "command": "true"}),
        ({"supported_engines": ["rsync"]}, {"engine": "rsync"}),
    ],
)
def test_allowed(capabilities: dict[str, list[str]], action: dict[str, Any]) -> None:
    assert refusal(job(action), capabilities, disable_exec=False) is None


@pytest.mark.parametrize(
    "action",
    [
        {"action": "exec"},
        {"action": " exec "},
        {"action": ["exec"]},
        {"ACTION": "exec"},
        {"action": "backup", "Action": "exec"},
        {"action": "EXEC"},
    ],
)
def test_no_spelling_of_exec_passes(action: dict[str, Any]) -> None:
    reason = refusal(job({}, action), ALL, disable_exec=True)
    assert reason is not None
    assert "exec" in reason


def test_every_action_counts() -> None:
    found = refusal(
        job({"storage": "local"}, {"storage": "s3"}),
        {"supported_storages": ["local"]},
        disable_exec=False,
    )
    assert found == "this node does not support storage: s3"
