"""What a node refuses, by the values that the agent would take."""

from typing import Any

import pytest

from freezer_agent import conf as agent_conf
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


class TestCentral:
    def refused(self, action: dict[str, Any], trust_id: str = "t") -> str | None:
        document = {
            "user_credentials": {"trust_id": trust_id},
            "job_actions": [{"freezer_action": action}],
        }
        return refusal(Job.from_document(document), ALL, disable_exec=False, central=True)

    def test_a_job_with_a_trust_is_run(self) -> None:
        assert self.refused({"mode": "nova", "nova_inst_id": "i", "storage": "swift"}) is None

    @pytest.mark.parametrize("trust_id", ["", None])
    def test_a_job_without_one_is_not(self, trust_id: Any) -> None:
        assert "no trust of its user" in str(self.refused({"mode": "nova"}, trust_id))

    @pytest.mark.parametrize(
        "key", ["log_file", "log-file", "LOG_FILE", "metadata_out", "ssh_key", "encrypt_pass_file"]
    )
    def test_files_of_the_host_are_not_the_users(self, key: str) -> None:
        reason = str(self.refused({"mode": "nova", key: "/etc/shadow"}))
        assert key.lower().replace("-", "_") in reason
        assert "/etc/shadow" not in reason

    def test_no_option_of_the_agent_that_names_a_file_is_forgotten(self) -> None:
        options = [option for option in agent_conf.all_options() if option.metavar == "FILE"]
        assert len(options) > 10
        for option in options:
            name = option.name.replace("-", "_")
            assert name in str(self.refused({"mode": "nova", name: "/etc/shadow"})), name

    def test_neither_in_a_command(self) -> None:
        assert "log_file" in str(self.refused({"action": "exec", "log_file": "/etc/x"}))

    def test_another_users_trust_is_not_theirs_either(self) -> None:
        assert "os_trust_id" in str(self.refused({"mode": "nova", "os_trust_id": "guessed"}))

    @pytest.mark.parametrize("value", [None, "", []])
    def test_an_option_that_says_nothing_is_none(self, value: Any) -> None:
        assert self.refused({"mode": "nova", "log_file": value}) is None

    def test_on_ones_own_node_all_of_it_is_allowed(self) -> None:
        found = job({"log_file": "/var/log/x", "os_trust_id": "mine"})
        assert refusal(found, ALL, disable_exec=False) is None
