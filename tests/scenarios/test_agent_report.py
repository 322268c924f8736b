"""What a run tells: events for programs, and the record at a real API (--report)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.fakes.api_server import Server, running, write_config


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_bytes(b"content\n" * 10000)
    return folder


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Server]:
    with running(write_config(tmp_path)) as server:
        yield server


def test_standard_error_is_events_and_standard_output_the_report(
    agent: AgentCommand, source: Path
) -> None:
    words = ("-N", "name", "-F", source, "--nosync", "--json")
    ended = agent.run(*agent.storage, *words)
    found = [json.loads(line) for line in ended.stderr.splitlines()]
    # There is a progress for every second that it takes, and one in the end.
    assert [one["event"] for one in (found[0], found[-1])] == ["started", "finished"]
    assert {one["event"] for one in found[1:-1]} == {"progress"}
    assert found[-2]["files"] == 1
    assert found[-2]["bytes"] > 80000
    assert found[-1]["exit_code"] == 0
    assert ended.report["level"] == 0
    ended = agent.restore(agent.folder / "out", "--json")
    progress = json.loads(ended.stderr.splitlines()[-2])
    assert progress["bytes"] == progress["expected_bytes"] > 0
    assert progress["seconds_left"] == 0


def test_sizes_before_and_after_each_stage(agent: AgentCommand, source: Path) -> None:
    key = agent.folder / "key"
    key.write_text("pass phrase\n")
    key.chmod(0o600)
    words = ("--compression", "zstd", "--encrypt-pass-file", key)
    report = agent.backup(source, *words)
    sizes = report["stage_sizes"]
    assert {*sizes} == {"tar", "zstd", "seal"}
    assert sizes["tar"] == report["backup_size_uncompressed"] > report["source_size"] == 80000
    assert sizes["tar"] > sizes["zstd"] > 0
    assert sizes["seal"] == report["backup_size_compressed"] > sizes["zstd"]
    dry = agent.backup(source, *words, "--dry-run")
    assert dry["stage_sizes"]["tar"] == sizes["tar"]


def test_an_error_is_an_event_too(agent: AgentCommand, source: Path) -> None:
    ended = agent.restore(agent.folder / "out", "--json", "--notaword")
    assert ended.status == 2
    ended = agent.restore(agent.folder / "out", "--json")
    found = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [one["event"] for one in found] == ["started", "error", "finished"]
    assert "No matching backup name" in found[1]["text"]
    assert found[-1]["exit_code"] == ended.status == 1
    ended = agent.run(*agent.storage, "-F", source / "nowhere", "--json")
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()][-1] == "finished"
    assert agent.restore(agent.folder / "out", "--json", "--quiet").stderr == ""


def test_the_record_is_at_the_api(
    agent: AgentCommand, source: Path, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_AUTH_TYPE", "none")
    monkeypatch.setenv("OS_BACKUP_URL", f"http://{api.host}:{api.port}")
    monkeypatch.setenv("OS_PROJECT_ID", "demo")
    report = agent.backup(source, "--report", "--max-level", "3")
    status, answer = api.send("GET", "/v2/demo/backups")
    assert status == 200
    (record,) = answer["backups"]
    assert record["backup_id"] == report["backup_id"]
    kept = record["backup_metadata"]
    assert (kept["backup_name"], kept["level"], kept["total_fs_files"]) == ("name", 0, 1)
    assert kept["time_stamp"] == report["time_stamp"]
    assert "backup_id" not in agent.backup(source, "--report", "--dry-run")
    assert len(api.send("GET", "/v2/demo/backups")[1]["backups"]) == 1


def test_an_api_that_refuses_is_a_warning(
    agent: AgentCommand, source: Path, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_AUTH_TYPE", "none")
    monkeypatch.setenv("OS_BACKUP_URL", f"http://{api.host}:{api.port}/nowhere")
    monkeypatch.setenv("OS_PROJECT_ID", "demo")
    report = agent.backup(source, "--report")
    assert "the backup is complete, but the API has no record of it" in report["warnings"][-1]
    assert len(agent.listed()) == 1


def test_missing_credentials_are_told_before_the_backup(
    agent: AgentCommand, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OS_AUTH_URL", raising=False)
    ended = agent.run(*agent.storage, "-N", "name", "-F", source, "--report")
    assert ended.status == 1
    assert "--report cannot reach the API" in ended.stderr
    assert "OS_AUTH_URL" in ended.stderr
    assert not agent.container.exists()
