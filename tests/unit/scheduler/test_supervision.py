"""What systemd is told, and the priorities of lines that its journal reads."""

import io
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from freezer_scheduler.journald import WithPriorities, is_journal
from freezer_scheduler.supervision import Supervision


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        yield listener


def line(tmp_path: Path, **more: str) -> Supervision:
    return Supervision.from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}, 77)


def test_each_word_arrives(manager: socket.socket, tmp_path: Path) -> None:
    supervision = line(tmp_path, WATCHDOG_USEC="30000000")
    supervision.ready()
    supervision.alive()
    supervision.stopping()
    said = [manager.recv(100) for _ in range(3)]
    assert said == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert supervision.longest_silence(600) == 10
    assert supervision.longest_silence(2) == 2


def test_the_abstract_namespace_is_reached() -> None:
    name = f"freezer-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(30)
        Supervision.from_environment({"NOTIFY_SOCKET": f"@{name}"}, 1).ready()
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_of_ours(tmp_path: Path, variables: dict[str, str]) -> None:
    supervision = line(tmp_path, **variables)
    assert supervision.watchdog_seconds is None
    assert supervision.longest_silence(600) == 600


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    Supervision().ready()
    line(tmp_path).ready()


def test_each_line_has_its_priority() -> None:
    formatter = WithPriorities(logging.Formatter("%(message)s"))

    def formatted(level: int, text: str) -> str:
        return formatter.format(logging.LogRecord("n", level, "f", 1, text, None, None))

    assert formatted(logging.ERROR, "a\nb") == "<3>a\n<3>b"
    assert formatted(logging.INFO, "a") == "<6>a"
    assert formatted(logging.DEBUG, "a") == "<7>a"


def test_only_the_journals_own_stream_is_its(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        found = os.fstat(stream.fileno())
        name = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(stream, name)
        assert not is_journal(stream, {})
        assert not is_journal(stream, {"JOURNAL_STREAM": "1:1"})
        assert not is_journal(io.StringIO(), name)
