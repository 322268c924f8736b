"""What a person and a program get to read: progress, tables, JSON."""

import contextlib
import io
import json
import os
from pathlib import Path

import pytest

from freezer_agent.actions.base import Report, Table
from freezer_agent.actions.info import readable_size
from freezer_agent.errors import AgentError
from freezer_agent.progress import ProgressLine
from freezer_agent.report_output import write_failure, write_report


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_line_tells_bytes_rate_files_and_time() -> None:
    terminal, seconds = io.StringIO(), Seconds()
    line = ProgressLine(terminal, seconds)
    line.follow(lambda: 7)
    line.add(1 << 20)
    assert terminal.getvalue() == ""
    seconds.now += 62
    line.add(61 << 20)
    assert terminal.getvalue() == "\r62.0 MiB  1.0 MiB/s  7 files  1:02"


def test_the_line_tells_how_long_the_rest_takes() -> None:
    terminal, seconds = io.StringIO(), Seconds()
    line = ProgressLine(terminal, seconds)
    line.expect(4 << 20)
    seconds.now += 30
    line.add(1 << 20)
    assert terminal.getvalue() == "\r1.0 MiB of 4.0 MiB (25%)  34.1 KiB/s  0:30  1:30 left"


def test_the_line_is_drawn_a_few_times_a_second_only() -> None:
    terminal, seconds = io.StringIO(), Seconds()
    line = ProgressLine(terminal, seconds)
    for _ in range(1000):
        seconds.now += 0.001
        line.add(1)
    assert 3 <= terminal.getvalue().count("\r") <= 6


def test_the_line_leaves_no_trace() -> None:
    terminal, seconds = io.StringIO(), Seconds()
    line = ProgressLine(terminal, seconds)
    line.erase()
    assert terminal.getvalue() == ""
    seconds.now += 1
    line.add(1)
    width = len(terminal.getvalue()) - 1
    line.erase()
    assert terminal.getvalue().endswith("\r" + " " * width + "\r")


def test_each_of_several_storages_has_a_line() -> None:
    terminal, seconds = io.StringIO(), Seconds()
    line = ProgressLine(terminal, seconds)
    line.stored("cloud", 1 << 20)
    line.stored("vault", 1 << 20)
    seconds.now += 2
    line.stored("cloud", 3 << 20)
    assert terminal.getvalue() == (
        "\r\x1b[J0 B  0 B/s  0:02\n  cloud  4.0 MiB  2.0 MiB/s\n  vault  1.0 MiB  512.0 KiB/s\x1b[2A\r"
    )
    line.erase()
    assert terminal.getvalue().endswith("\r\x1b[J")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (9 << 50, "9216.0 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert readable_size(size) == text


def written(report: Report, tmp_path: Path, out: str | None, *, as_json: bool = False) -> str:
    stdout = io.StringIO()
    write_report(report, out, tmp_path, stdout, as_json=as_json, quiet=False)
    return stdout.getvalue()


def test_a_table_has_no_characters_that_drive_a_terminal(tmp_path: Path) -> None:
    report = Report(document={}, table=Table(columns=("a",), rows=[("x\x1b[31m\ny\udcff",)]))
    text = written(report, tmp_path, None)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 5
    assert "\\udcff" in text


def test_properties_without_a_value_are_left_out(tmp_path: Path) -> None:
    document = {"some_name": "x", "nothing": "", "none": None, "zero": 0, "rows": [1, 2]}
    text = written(Report(document=document), tmp_path, None)
    assert "some name" in text
    assert "1, 2" in text
    assert "zero" in text
    assert "nothing" not in text


def test_exec_prints_nothing_unless_asked(tmp_path: Path) -> None:
    report = Report(document={"action": "exec"})
    assert written(report, tmp_path, None) == ""
    assert written(report, tmp_path, "-") == "{}"
    assert written(report, tmp_path, None, as_json=True) == '{"action": "exec"}\n'


def test_a_restore_prints_nothing_unless_asked_or_dry(tmp_path: Path) -> None:
    done = Report(document={"action": "restore", "level": 0, "dry_run": False})
    assert written(done, tmp_path, None) == ""
    assert json.loads(written(done, tmp_path, "-"))["level"] == 0
    dry = Report(document={"action": "restore", "level": 0, "dry_run": True})
    assert "level" in written(dry, tmp_path, None)


def test_only_a_backup_has_an_action_in_its_metadata(tmp_path: Path) -> None:
    """Schedulers of 19.0.0 post whatever has one as the record of a backup."""
    for action in ("restore", "admin", "verify"):
        report = Report(document={"action": action, "exit_code": 0})
        assert json.loads(written(report, tmp_path, "-")) == {"exit_code": 0}
        assert json.loads(written(report, tmp_path, None, as_json=True))["action"] == action
    backup = Report(document={"action": "backup"})
    assert json.loads(written(backup, tmp_path, "-")) == {"action": "backup"}


def test_a_failure_is_written_for_programs_only(tmp_path: Path) -> None:
    def told(out: str | None, *, as_json: bool = False) -> str:
        stdout = io.StringIO()
        write_failure({"exit_code": 1}, out, tmp_path, stdout, as_json=as_json)
        return stdout.getvalue()

    assert told(None) == ""
    assert told("-") == '{"exit_code": 1}'
    assert told(None, as_json=True) == '{"exit_code": 1}\n'
    assert told("missing/folder") == ""
    assert told("report") == ""
    assert json.loads((tmp_path / "report").read_text()) == {"exit_code": 1}


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        write_report(Report(document={"a": 1}), "-", tmp_path, stdout, as_json=False, quiet=False)
        stdout.write("more")


def test_a_report_that_cannot_be_printed_is_a_failure(tmp_path: Path) -> None:
    stdout = Path("/dev/full").open("w")  # noqa: SIM115  # closing it fails
    with pytest.raises(AgentError, match="cannot be printed: No space left"):
        write_report(Report(document={"a": 1}), "-", tmp_path, stdout, as_json=False, quiet=False)
    with contextlib.suppress(OSError):
        stdout.close()


def test_a_report_file_is_private(tmp_path: Path) -> None:
    assert written(Report(document={"a": 1}), tmp_path, "report") == ""
    assert json.loads((tmp_path / "report").read_text()) == {"a": 1}
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o600
