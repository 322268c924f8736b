"""The Horizon plugin freezer-web-ui 19.0.0 on our API behind Keystone: what its pages do."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from freezer_client.api import Freezer
from tests.peers.conftest import Service, installed
from tests.services import peers

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]

DRIVER = Path(__file__).parent / "drive_dashboard.py"


@pytest.fixture
def seen(service: Service, freezer: Freezer, tmp_path: Path) -> dict[str, Any]:
    """What the pages showed, one after the other."""
    python = installed(peers.DASHBOARD) / "bin/python"
    client_id = f"{service.tenancy.project_id}_host"
    freezer.clients.register({"client_id": client_id, "hostname": "host"})
    backup = {"container": "c", "hostname": "h", "backup_name": "etc", "time_stamp": 1700000000}
    given = {
        "token": service.token(),
        "project_id": service.tenancy.project_id,
        "auth_url": service.tenancy.keystone.url,
        "api_url": service.url,
        "client_id": client_id,
        "backup_id": freezer.backups.create({**backup, "storage": "ssh", "ssh_host": "s"}),
    }
    done = subprocess.run(
        [str(python), str(DRIVER)],
        input=json.dumps(given),
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages: dict[str, Any] = json.loads(done.stdout)
    return pages


def test_the_pages_work(seen: dict[str, Any]) -> None:
    (client,) = seen["clients"]
    assert client["hostname"] == "host"
    assert seen["client"] == client
    assert seen["client by uuid"] == [client]
    assert seen["clients by part of a word"] == []

    assert [action["backup_name"] for action in seen["actions"]] == ["my_files", "second"]
    assert seen["action"]["max_retries"] == 7
    assert seen["action"]["path_to_backup"] == "/home"

    new, edited = seen["new job"]["job_schedule"], seen["edited job"]["job_schedule"]
    assert (new["schedule_interval"], new["event"]) == ("2 hours", "stop")
    assert edited["schedule_interval"] == "1 days"
    # Editing a job keeps its event and its times.
    for kept in ("event", "time_created", "time_started", "time_ended"):
        assert edited[kept] == new[kept], kept
    assert seen["edited job"]["job_actions"] == seen["new job"]["job_actions"]

    assert [action["backup_name"] for action in seen["actions of the job"]] == [
        "second",
        "my_files",
    ]
    assert len(seen["job with one action"]["job_actions"]) == 1
    assert seen["job with two actions"]["job_schedule"] == edited
    assert seen["started job"]["job_schedule"]["event"] == "start"
    assert [job["description"] for job in seen["jobs"]] == ["daily", "daily_clone"]
    assert [job["description"] for job in seen["jobs by word"]] == ["daily_clone"]
    assert seen["clone"]["job_schedule"]["event"] == "stop"

    assert seen["session"]["schedule_interval"] == "3 days"
    assert len(seen["jobs of the session"]) == 1
    assert seen["edited session"]["description"] == "some nodes"
    assert seen["edited session"]["schedule"]["schedule_interval"] == "4 days"
    assert len(seen["edited session"]["jobs"]) == 1
    assert seen["session without jobs"]["jobs"] == {}

    (backup,) = seen["backups"]
    assert backup["time_stamp"] == 1700000000
    assert seen["backup"] == backup
    assert seen["backups by word"] == [backup]
    (restore,) = seen["restore"]
    assert restore["job_schedule"]["event"] == "start"
    (entry,) = restore["job_actions"]
    assert entry["freezer_action"]["restore_abs_path"] == "/restored"
    assert seen["backups left"] == []
    assert len(seen["jobs at the end"]) == 2
