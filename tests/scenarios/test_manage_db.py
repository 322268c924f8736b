"""freezer-manage db, from its arguments to its exit code, on a real SQLite file."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from freezer_api.cli.manage import main
from freezer_api.store.base import Collection, Scope
from freezer_api.store.sql import SqlStore
from freezer_api.store.sql_schema import SCHEMA_VERSION


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "freezer.sqlite"


@pytest.fixture
def manage(tmp_path: Path, database: Path) -> Callable[..., int]:
    """Runs the program with a configuration file; asked, it answers `answer`."""
    config = tmp_path / "freezer-api.conf"
    config.write_text(f"[storage]\nbackend = sql\n[sql]\nconnection = sqlite:///{database}\n")

    def run(*arguments: str, answer: str | None = None) -> int:
        def ask(question: str) -> str:
            if answer is None:
                raise EOFError
            assert "2 documents" in question
            return answer

        return main(["--config-file", str(config), *arguments], ask=ask)

    return run


def fill(database: Path) -> None:
    with closing(SqlStore(f"sqlite:///{database}")) as store:
        for name in ("a", "b"):
            store.insert(Collection.JOBS, name, {"project_id": "ours"})


@pytest.mark.parametrize("command", ["sync", "update", "upgrade"])
def test_makes_the_store_and_keeps_what_is_there(
    manage: Callable[..., int], database: Path, command: str
) -> None:
    assert manage("db", command) == 0
    fill(database)
    assert manage("db", command) == 0
    with closing(SqlStore(f"sqlite:///{database}")) as store:
        assert store.ready()
        assert store.get(Collection.JOBS, Scope(project_id="ours"), "a").version == 1


def test_shows_what_there_is(
    manage: Callable[..., int], database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage("db", "sync")
    fill(database)
    capsys.readouterr()
    assert manage("db", "show") == 0
    heading, jobs, *others = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "version", "documents"]
    assert jobs.split() == ["jobs", str(SCHEMA_VERSION), "2"]
    assert [line.split()[0] for line in others] == [
        "actions",
        "sessions",
        "clients",
        "backups",
        "runs",
        "leases",
    ]


def test_shows_json(
    manage: Callable[..., int], database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage("db", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    manage("db", "sync")
    fill(database)
    capsys.readouterr()
    assert manage("db", "show", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {"name": "jobs", "version": SCHEMA_VERSION, "documents": 2}


def test_shows_that_nothing_was_made(
    manage: Callable[..., int], database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage("db", "show") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "freezer-manage db sync" in captured.err
    assert not database.exists()


@pytest.mark.parametrize(
    ("options", "answer", "code"),
    [
        ((), "yes", 0),
        ((), " Y\n", 0),
        ((), "no", 3),
        ((), "", 3),
        ((), None, 3),
        (("--yes",), None, 0),
    ],
)
def test_removes_only_when_told_twice(
    manage: Callable[..., int],
    database: Path,
    options: tuple[str, ...],
    answer: str | None,
    code: int,
) -> None:
    manage("db", "sync")
    fill(database)
    assert manage("db", "remove", *options, answer=answer) == code
    with closing(SqlStore(f"sqlite:///{database}")) as store:
        assert store.ready() is (code != 0)


@pytest.mark.parametrize("command", ["sync", "show", "remove"])
def test_a_store_that_cannot_be_used_is_code_1(
    manage: Callable[..., int], database: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database.write_bytes(b"no database" * 1000)
    assert manage("db", command) == 1
    assert "not a database" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["db"], ["db", "destroy"], ["db", "remove", "--maybe"], ["cache", "sync"]],
)
def test_wrong_arguments_are_code_2(manage: Callable[..., int], arguments: list[str]) -> None:
    assert manage(*arguments) == 2


@pytest.mark.parametrize("amount", ["-5", "x", "1.5", ""])
def test_a_wrong_amount_is_told_in_words(
    manage: Callable[..., int], amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage("db", "load", f"--jobs={amount}") == 2
    assert f"--jobs: {amount!r} is no whole number of 0 or more" in capsys.readouterr().err


def test_a_wrong_configuration_is_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bad.conf"
    config.write_text("[storage]\nbackend = papyrus\n")
    assert main(["--config-file", str(config), "db", "sync"]) == 2
    assert main(["--config-file", str(tmp_path / "absent.conf"), "db", "sync"]) == 2
    assert "papyrus" in capsys.readouterr().err


def test_help_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "--help"]) == 0
    assert "sync" in capsys.readouterr().out


def test_runs_as_a_program(manage: Callable[..., int], tmp_path: Path) -> None:
    program = "import sys; from freezer_api.cli.manage import main; sys.exit(main())"
    arguments = ["--config-file", str(tmp_path / "freezer-api.conf"), "db"]
    assert manage("db", "sync") == 0
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "remove"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "--yes" in done.stderr
