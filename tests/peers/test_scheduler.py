"""The scheduler of freezer 19.0.0 with its own agent, on our API behind Keystone."""

import time
from pathlib import Path

import pytest

from freezer_client.api import Freezer
from tests.peers.conftest import Service, installed
from tests.services import peers
from tests.services.launching import Server

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE_SECONDS = 240


def write_config(folder: Path) -> Path:
    (folder / "jobs").mkdir()
    config = folder / "scheduler.conf"
    config.write_text(
        f"[DEFAULT]\nlog_file = {folder}/scheduler.log\n"
        f"[scheduler]\nclient_id = peer\ninterval = 1\njobs_dir = {folder}/jobs\nno_daemon = true\n"
    )
    return config


def job_state(freezer: Freezer, job_id: str) -> str:
    job = freezer.jobs.get(job_id)
    assert job is not None
    return str(job["job_schedule"]["status"])


def test_it_registers_polls_runs_and_reports(
    service: Service, freezer: Freezer, tmp_path: Path
) -> None:
    programs = installed(peers.SCHEDULER) / "bin"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("hello")
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [str(programs / "freezer-scheduler"), "--config-file", str(write_config(tmp_path))]
    scheduler = Server(
        [*command, "start"], tmp_path / "output", service.environment() | environment
    )
    try:
        wait_for(lambda: freezer.clients.get("peer") is not None, tmp_path)
        session_id = freezer.sessions.create({"description": "s", "schedule": {}})
        action = {
            "action": "backup",
            "mode": "fs",
            "storage": "local",
            "container": str(tmp_path / "store"),
            "path_to_backup": str(tmp_path / "data"),
            "backup_name": "peer",
        }
        job_id = freezer.jobs.create(
            {"client_id": "peer", "job_actions": [{"freezer_action": action}]}
        )
        freezer.sessions.add_job(session_id, job_id)
        wait_for(lambda: job_state(freezer, job_id) == "completed", tmp_path)
    finally:
        scheduler.stop()
    job = freezer.jobs.get(job_id)
    session = freezer.sessions.get(session_id)
    assert job is not None
    assert session is not None
    assert job["job_schedule"]["result"] == "success"
    assert job["job_schedule"]["current_pid"] > 0
    assert job["session_tag"] == session["session_tag"] == 1
    assert (session["status"], session["result"]) == ("completed", "success")
    (backup,) = freezer.backups.list()
    metadata = backup["backup_metadata"]
    assert (metadata["job_id"], metadata["backup_name"]) == (job_id, "peer")
    assert isinstance(metadata["time_stamp"], int)
    assert list((tmp_path / "store").rglob("metadata"))
    client = freezer.clients.get("peer")
    assert client is not None
    assert "fs" in client["client"]["supported_modes"]


def wait_for(is_so: object, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    assert callable(is_so)
    while not is_so():
        log = folder / "scheduler.log"
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "no log"
        time.sleep(0.2)
