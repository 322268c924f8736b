"""What survives: on real files, opened again."""

import sqlite3
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from freezer_scheduler.errors import JournalUnusable
from freezer_scheduler.journal import Journal, Letter, UnfinishedRun

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def joined(former: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    return {**former, **later}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "a.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    one = Journal(path)
    one.open()
    yield one
    one.close()


def test_private(journal: Journal, path: Path) -> None:
    journal.begin("a", "run", AT)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_runs_survive(journal: Journal) -> None:
    journal.begin("done", "run", AT)
    journal.end("done")
    journal.begin("cut", "run", AT)
    journal.agent_started("cut", 4711, "99")
    journal.close()
    journal.open()
    assert journal.unfinished() == [
        UnfinishedRun(job_id="cut", run_id="run", started_at=AT, pid=4711, pid_started="99")
    ]
    assert journal.last_run_at("done") == AT
    journal.forget("done")
    assert journal.last_run_at("done") is None


def test_letters_survive_in_order(journal: Journal) -> None:
    numbers = [journal.post("backup", job_id, {"n": job_id}) for job_id in "ba"]
    assert journal.tried(numbers[0])
    journal.close()
    journal.open()
    assert journal.letters() == [
        Letter(number=numbers[0], kind="backup", job_id="b", content={"n": "b"}, tried=True),
        Letter(number=numbers[1], kind="backup", job_id="a", content={"n": "a"}, tried=False),
    ]
    journal.delivered(numbers[0])
    assert [letter.number for letter in journal.letters()] == numbers[1:]


def test_the_latest_takes_the_place_of_the_former(journal: Journal) -> None:
    first = journal.post_latest("state", "a", {"event": "", "status": "stop"}, joined)
    journal.post("state", "b", {})
    journal.post("backup", "a", {})
    second = journal.post_latest("state", "a", {"status": "running"}, joined)
    assert [letter.number for letter in journal.letters()] == [2, 3, second]
    assert journal.letters()[-1].content == {"event": "", "status": "running"}
    assert journal.undelivered_jobs() == {"a", "b"}
    assert not journal.tried(first)


def test_numbers_are_never_used_twice(journal: Journal) -> None:
    first = journal.post("state", "a", {})
    journal.delivered(first)
    assert journal.post("state", "a", {}) > first


def test_a_failing_join_changes_nothing(journal: Journal) -> None:
    journal.post("state", "a", {"status": "stop"})

    def broken(former: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError(former, later)

    with pytest.raises(ZeroDivisionError):
        journal.post_latest("state", "a", {}, broken)
    assert [letter.content for letter in journal.letters()] == [{"status": "stop"}]


def test_a_closed_journal(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalUnusable, match="closed"):
        journal.letters()


@pytest.mark.parametrize("text", [b"no database" * 500, b"\0" * 5000])
def test_a_broken_file(path: Path, text: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(JournalUnusable, match="--state-dir"):
        Journal(path).open()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalUnusable, match="--state-dir"):
        Journal(tmp_path / "file" / "a.journal").open()


def test_the_report_of_an_end_and_the_end_are_one(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.open()
    journal.begin("a", "run", datetime(2026, 11, 23, tzinfo=UTC))
    journal.begin("b", "run", datetime(2026, 11, 23, tzinfo=UTC))

    journal.post_latest("state", "a", {}, joined, run_end=("run-end", {"run_id": "run"}))

    assert [run.job_id for run in journal.unfinished()] == ["b"]
    assert [(letter.kind, letter.job_id) for letter in journal.letters()] == [
        ("run-end", "a"),
        ("state", "a"),
    ]
    journal.close()


def test_the_journal_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE runs (job_id TEXT PRIMARY KEY, started_at REAL NOT NULL, "
            "unfinished INTEGER NOT NULL, pid INTEGER, pid_started TEXT)"
        )
        old.execute("INSERT INTO runs VALUES ('a', 1000, 1, 7, '9')")
    old.close()
    for _ in range(2):
        journal = Journal(path)
        journal.open()
        (run,) = journal.unfinished()
        assert (run.job_id, run.run_id, run.pid) == ("a", "", 7)
        assert journal.last_run_at("a") == datetime.fromtimestamp(1000, UTC)
        journal.close()
    journal.open()
    journal.begin("a", "run", AT)
    assert journal.unfinished()[0].run_id == "run"
    journal.close()
