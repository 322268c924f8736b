"""python-freezerclient 6.5.0 on our API behind Keystone: each of its commands."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from freezer_client.api import Freezer
from tests.peers.conftest import Service, installed
from tests.services import peers

pytestmark = pytest.mark.service

DRIVER = Path(__file__).parent / "drive_commands.py"
FILES: dict[str, Any] = {
    "client": {"client_id": "node", "hostname": "node", "supported_modes": ["fs", "mysql"]},
    "action": {"freezer_action": {"action": "backup", "backup_name": "etc", "mode": "fs"}},
    "action-update": {"freezer_action": {"path_to_backup": "/etc"}, "max_retries": 3},
    "job": {
        "description": "nightly",
        "job_actions": [{"freezer_action": {"action": "backup", "backup_name": "etc"}}],
        "job_schedule": {"schedule_interval": "2 hours"},
    },
    "job-update": {"description": "daily"},
    "session": {"description": "all", "schedule": {"schedule_interval": "1 days"}},
    "session-update": {"description": "some"},
    "backup": {"container": "c", "hostname": "h", "backup_name": "etc", "time_stamp": 1700000000},
}


class Shell:
    """The `freezer` command in a folder with the files above."""

    def __init__(self, service: Service, folder: Path) -> None:
        self._python = str(installed(peers.CLIENT) / "bin/python")
        self._environment = service.environment() | {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
        self._folder = folder
        for name, document in FILES.items():
            (folder / f"{name}.json").write_text(json.dumps(document))

    def run(self, *commands: str) -> list[dict[str, Any]]:
        """What each command line ended with and said."""
        done = subprocess.run(
            [self._python, str(DRIVER)],
            input=json.dumps([command.split() for command in commands]),
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers


@pytest.fixture
def shell(service: Service, tmp_path: Path) -> Shell:
    return Shell(service, tmp_path)


def id_in(answer: dict[str, Any]) -> str:
    """The id in the table that a create command prints."""
    found = re.search(r"\| (?:Job|Action|Session) ID +\| (\w+)", answer["out"])
    assert found, answer
    return found[1]


def test_a_job_is_made_and_shown(shell: Shell, freezer: Freezer) -> None:
    answers = shell.run(
        "client-register --file client.json",
        "job-create --client node --file job.json",
        "job-list --client node",
    )
    assert [answer["code"] for answer in answers] == [0, 0, 0], answers
    (job,) = freezer.jobs.list()
    assert job["job_id"] == id_in(answers[1])
    assert job["job_id"] in answers[2]["out"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_works(shell: Shell, freezer: Freezer) -> None:
    made = shell.run(
        "client-register --file client.json",
        "action-create --file action.json",
        "job-create --client node --file job.json",
        "session-create --file session.json",
        "backup-create --file backup.json",
    )
    assert [answer["code"] for answer in made] == [0] * 5, made
    action, job, session = (id_in(answer) for answer in made[1:4])
    (backup,) = (each["backup_id"] for each in freezer.backups.list())

    expected = {
        "client-list": "node",
        "client-list --search node": "node",
        "client-show node": "node",
        "client-register --file client.json": "node",
        "action-list": action,
        f"action-show {action}": "etc",
        f"action-update {action} action-update.json": "/etc",
        "job-list": job,
        "job-list --client node": job,
        "job-list --search nightly": job,
        f"job-show {job}": "nightly",
        f"job-get {job} --no-format": "schedule_interval",
        f"job-update {job} job-update.json": "daily",
        f"job-start {job}": "",
        f"job-stop {job}": "",
        f"job-abort {job}": "",
        f"session-add-job --session-id {session} --job-id {job}": "",
        "session-list": session,
        f"session-show {session}": job,
        f"session-update {session} session-update.json": "some",
        f"session-start --session-id {session} --job-id {job} --job-tag 0": "",
        f"session-remove-job --session-id {session} --job-id {job}": "",
        "backup-list": "2023-11-14",
        f"backup-show {backup}": "available",
    }
    answers = shell.run(*expected)
    for (command, text), answer in zip(expected.items(), answers, strict=True):
        assert answer["code"] == 0, (command, answer)
        assert text in answer["out"], (command, answer)

    document = freezer.jobs.get(job)
    assert document is not None
    assert document["job_schedule"]["event"] == "stop"
    # The update named a description only: the schedule is the one that the session brought.
    assert document["job_schedule"]["schedule_interval"] == "1 days"
    assert document["session_id"] == ""
    stored = freezer.sessions.get(session)
    assert stored is not None
    assert (stored["session_tag"], stored["jobs"]) == (1, {})

    gone = shell.run(
        f"session-delete {session}",
        f"job-delete {job}",
        f"action-delete {action}",
        f"backup-delete {backup}",
        "client-delete node",
        f"job-show {job}",
        f"backup-delete {backup}",
    )
    assert [answer["code"] for answer in gone] == [0, 0, 0, 0, 0, 1, 1]
    assert "No document found" in gone[-1]["err"]
    assert freezer.jobs.list() == freezer.backups.list() == freezer.sessions.list() == []
