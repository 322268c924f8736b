"""The log files of what agents say: whole, bounded, private, without secrets."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from freezer_scheduler import output_logs
from freezer_scheduler.output_logs import OutputLogs
from tests.unit.scheduler.test_agent_process import run as run_agent

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def logs(folder: Path, *secrets: str) -> OutputLogs:
    return OutputLogs(folder / "output", clock=lambda: NOW, secrets=secrets)


def test_lines_are_kept_whole_however_they_come(tmp_path: Path) -> None:
    log = logs(tmp_path).of("j")
    log.begin({"action": "backup"})
    for chunk in (b"one\ntw", b"o", b"\nthree"):
        log.take(chunk)
    log.end(4)
    first, *lines, last = (tmp_path / "output/j.log").read_text().splitlines()
    assert first.endswith("backup begins")
    assert lines == ["one", "two", "three"]
    assert last.endswith("ended with 4")


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        logs(tmp_path).of("j").end(0)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "output").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "output/j.log").stat().st_mode) == 0o600


def test_secrets_are_hidden_even_if_they_come_in_two_parts(tmp_path: Path) -> None:
    log = logs(tmp_path, "of-scheduler").of("j")
    log.begin({"ssh_password": "of-action", "secret-key": 'qu"ote'})
    log.take(b"login of-sch")
    log.take(b"eduler of-ac")
    log.take(b'tion {"k": "qu\\"ote"}\n')
    text = (tmp_path / "output/j.log").read_text()
    assert 'login *** *** {"k": "***"}' in text


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = logs(tmp_path).of("j")
    for _ in range(64):
        log.take(b"x" * 65536)
    log.take(b"\nafter\n")
    text = (tmp_path / "output/j.log").read_text()
    assert len(text) < 10_000
    assert "[...]\nafter\n" in text


def test_a_file_that_has_grown_is_kept_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_logs, "MOST_BYTES", 100)
    log = logs(tmp_path).of("j")
    for number in range(50):
        log.take(f"line {number} {'x' * 30}\n".encode())
    names = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert names == ["j.log", "j.log.1"]
    assert "line 49 " in (tmp_path / "output/j.log").read_text()
    assert sum(path.stat().st_size for path in (tmp_path / "output").iterdir()) < 400


@pytest.mark.parametrize("job_id", ["../../evil", "a/b", "", "x" * 300, ".."])
def test_no_id_leads_out_of_the_directory(tmp_path: Path, job_id: str) -> None:
    logs(tmp_path).of(job_id).end(0)
    assert [path.parent.name for path in tmp_path.rglob("*.log")] == ["output"]


def test_a_link_is_not_followed_and_costs_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output/j.log").symlink_to(tmp_path / "other")
    log = logs(tmp_path).of("j")
    log.take(b"a\nb\n")
    log.take(b"c\n")
    assert not (tmp_path / "other").exists()
    assert caplog.text.count("is not kept in") == 1


def test_a_directory_that_cannot_be_made_costs_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "output").write_text("a file")
    logs(tmp_path).of("j").end(0)
    assert "No output is kept in" in caplog.text


def test_what_nobody_wrote_for_long_goes(tmp_path: Path) -> None:
    logs(tmp_path).of("old").end(0)
    logs(tmp_path).of("new").end(0)
    for name, days in (("old", 91), ("new", 89)):
        at = NOW.timestamp() - days * 86400
        os.utime(tmp_path / f"output/{name}.log", (at, at))
    logs(tmp_path).of("j")
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["new.log"]


def test_the_agents_words_are_kept_and_its_secrets_hidden_in_the_outcome(tmp_path: Path) -> None:
    action = {"say": "cannot log in with hunter2", "ssh_password": "hunter2", "exit_code": 3}
    outcome = run_agent(action, output=logs(tmp_path).of("j"))
    assert outcome.error == "cannot log in with ***"
    text = (tmp_path / "output/j.log").read_text()
    assert "cannot log in with ***\n" in text
    assert text.splitlines()[-1].endswith("ended with 3")
