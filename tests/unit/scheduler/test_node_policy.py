"""The allow-lists of a node: commands and paths."""

from pathlib import Path
from typing import Any

import pytest

from freezer_agent import conf as agent_conf
from freezer_model.job import Job
from freezer_scheduler.capabilities import refusal
from freezer_scheduler.conf import SettingsInvalid, Surroundings, load
from freezer_scheduler.errors import JobNotSupported
from freezer_scheduler.node_policy import NodePolicy
from tests.unit.scheduler.test_agent_process import run as run_agent

COMMANDS = NodePolicy(allowed_commands=["systemctl stop db", "/opt/dump *"])


@pytest.mark.parametrize(
    ("command", "is_allowed"),
    [
        ("systemctl stop db", True),
        ("systemctl  'stop' db", True),
        ("systemctl stop db now", False),
        ("systemctl stop", False),
        ("/opt/dump", True),
        ("/opt/dump --all -v", True),
        ("/opt/dump x | sh", False),
        ("/opt/dump x|sh", False),
        ("/opt/../opt/dump", False),
        ("/opt/dumper", False),
        ("'unfinished", False),
        ("", False),
        (None, False),
    ],
)
def test_commands(command: Any, *, is_allowed: bool) -> None:
    said = COMMANDS.refusal({"Action": "exec", "command": command})
    assert (said is None) == is_allowed
    assert is_allowed or "allowed_commands" in str(said)


def test_without_a_list_everything_is_allowed_and_an_empty_one_allows_nothing() -> None:
    action = {"action": "exec", "command": "rm -r /"}
    assert NodePolicy().refusal(action) is None
    assert NodePolicy(allowed_commands=[]).refusal(action) is not None
    assert NodePolicy().refusal({"path_to_backup": "/etc"}) is None
    assert NodePolicy(allowed_paths=[]).refusal({"path_to_backup": "/etc"}) is not None


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    """A directory that is allowed, beside one that is not, with links between them."""
    (tmp_path / "srv/data").mkdir(parents=True)
    (tmp_path / "srv-other").mkdir()
    (tmp_path / "srv/out").symlink_to(tmp_path / "srv-other")
    (tmp_path / "srv-other/in").symlink_to(tmp_path / "srv/data")
    return tmp_path / "srv"


@pytest.mark.parametrize(
    ("path", "is_allowed"),
    [
        ("srv", True),
        ("srv/data", True),
        ("srv/data/new/one", True),
        ("srv-other/in", True),
        ("srv-other", False),
        ("srv/../srv-other", False),
        ("srv/out", False),
        ("srv/out/new", False),
        ("srv/data/../../srv-other", False),
    ],
)
@pytest.mark.parametrize("name", ["path_to_backup", "Restore-Abs-Path", "file_to_backup"])
def test_paths(srv: Path, path: str, name: str, *, is_allowed: bool) -> None:
    policy = NodePolicy(allowed_paths=[str(srv)])
    said = policy.refusal({name: f"{srv.parent}/{path}"})
    assert (said is None) == is_allowed


@pytest.mark.parametrize(
    "action",
    [
        {"path_to_backup": "relative"},
        {"path_to_backup": "~/x"},
        {"path_to_backup": ["/", "/"]},
        {"path_to_backup": "{srv}\n/etc"},
        {"path_to_backup": " {srv}"},
        {"path_to_backup": "{srv}", "dereference_symlink": "soft"},
        {"path_to_backup": "{srv}", "config": "/tmp/options"},
        {"path_to_backup": "{srv}", "storage": "local", "container": "/etc"},
        {"path_to_backup": "{srv}", "log_file": "/etc/cron.d/x"},
    ],
)
def test_ways_around_are_closed(srv: Path, action: dict[str, Any]) -> None:
    filled = {
        key: value.replace("{srv}", str(srv)) if isinstance(value, str) else value
        for key, value in action.items()
    }
    assert NodePolicy(allowed_paths=[str(srv)]).refusal(filled) is not None


def test_a_remote_container_is_no_path_of_this_node(srv: Path) -> None:
    action = {"path_to_backup": str(srv), "storage": "ssh", "container": "/far/away"}
    assert NodePolicy(allowed_paths=[str(srv)]).refusal(action) is None


def test_no_name_of_the_agents_paths_is_forgotten() -> None:
    policy = NodePolicy(allowed_paths=["/srv"])
    for option in agent_conf.all_options():
        if option.dest in {"path_to_backup", "restore_abs_path"}:
            names = [option.name, *(str(old.name) for old in option.deprecated_opts)]
            assert all(policy.refusal({name: "/etc"}) for name in names)


def test_the_job_is_told_why(srv: Path) -> None:
    job = Job.from_document({"job_actions": [{"freezer_action": {"path_to_backup": "/etc"}}]})
    policy = NodePolicy(allowed_paths=[str(srv)])
    said = refusal(job, {}, disable_exec=False, policy=policy)
    assert said == "this node does not allow path_to_backup to be '/etc' (allowed_paths)"


def test_a_link_that_changes_after_the_job_was_taken_is_seen(srv: Path, tmp_path: Path) -> None:
    policy = NodePolicy(allowed_paths=[str(srv)])
    link = srv / "link"
    link.symlink_to(srv / "data")
    action = {"path_to_backup": str(link), "copy": str(tmp_path / "copy")}
    assert policy.refusal(action) is None
    link.unlink()
    link.symlink_to(tmp_path / "srv-other")
    with pytest.raises(JobNotSupported, match="allowed_paths"):
        run_agent(action, refusal=policy.refusal)
    assert not (tmp_path / "copy").exists()


def settings(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "scheduler.conf"
    file.write_text(f"[scheduler]\n{text}")
    around = Surroundings(environment={}, start=tmp_path, home=tmp_path, is_root=False)
    return load(["--config-file", str(file), "start"], around)[1]


def test_the_lists_come_from_the_file(tmp_path: Path) -> None:
    found = settings(tmp_path, "allowed_commands = a b,c *\nallowed_paths =\n")
    assert found.allowed_commands == ("a b", "c *")
    assert found.allowed_paths == ()
    assert settings(tmp_path, "").allowed_paths is None


@pytest.mark.parametrize(
    "text", ["allowed_paths = srv", "allowed_commands = *", "allowed_commands = 'a"]
)
def test_a_list_that_says_something_else_than_meant_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsInvalid, match="--allowed-"):
        settings(tmp_path, text)
