"""The benchmark of the API runs, and none of its requests is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_operation_is_measured(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/api.py", "--servers", "ours-sqlite"]
    command += ["--seconds", "0.3", "--concurrency", "2", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(figures.read_text())["rows"]
    assert {row["server"] for row in rows} == {"ceiling", "ours-sqlite"}
    assert len({row["operation"] for row in rows}) == 9
    for row in rows:
        assert row["errors"] == {}, row
        assert row["requests"] > 0, row


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_schedulers_poll(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/api.py", "polling", "--schedulers", "40"]
    command += ["--interval", "1", "--seconds", "2", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(figures.read_text())["rows"]
    assert row["errors"] == {}
    assert row["polls"] >= 40


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_growth_is_measured(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/api.py", "growth", "--sizes", "200", "400"]
    command += ["--jobs", "50", "--seconds", "0.3", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(figures.read_text())["rows"]
    assert [row["backups"] for row in rows] == [200] * 6 + [400] * 6
    assert all(row["errors"] == {} for row in rows), rows
