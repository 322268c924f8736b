"""The main loop: it goes on, and whatever ends it closes all."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from freezer_scheduler.errors import BoardUnavailable, JournalUnusable
from freezer_scheduler.job_boards.memory import MemoryBoard
from freezer_scheduler.journal import Journal
from freezer_scheduler.reports import Reports
from freezer_scheduler.service import Scheduler

if TYPE_CHECKING:
    from freezer_scheduler.poller import Poller


class ScriptedPoller:
    """Notes what it is told; raises what the script says."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def tick(self) -> None:
        self.told.append("tick")
        if (error := self.errors.pop(0)) is not None:
            raise error

    def close(self, *, grace_seconds: float) -> None:
        assert grace_seconds > 0
        self.told.append("close")


class CountedSignals:
    """Stops after so many waits, and asks for a reload after each."""

    def __init__(self, waits: int) -> None:
        self.waits = waits

    def is_stopping(self) -> bool:
        return self.waits <= 0

    def wake(self) -> None:
        """Nobody sleeps."""

    def take_reload(self) -> bool:
        return True

    def wait(self, seconds: float) -> None:
        assert 0 < seconds <= 60
        self.waits -= 1


def scheduler(poller: ScriptedPoller, path: Path) -> Scheduler:
    journal = Journal(path)
    return Scheduler(
        poller=cast("Poller", poller),
        journal=journal,
        reports=Reports(MemoryBoard(), journal),
        interval_seconds=60,
        close=lambda: poller.told.append("end"),
    )


def test_no_error_of_one_look_ends_it(tmp_path: Path) -> None:
    poller = ScriptedPoller(BoardUnavailable("away"), ZeroDivisionError("a defect"), None)
    scheduler(poller, tmp_path / "journal").run(CountedSignals(3))
    assert poller.told == ["start", "tick", "tick", "tick", "close", "end"]


def test_an_interrupt_still_ends_the_agents(tmp_path: Path) -> None:
    poller = ScriptedPoller(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        scheduler(poller, tmp_path / "journal").run(CountedSignals(3))
    assert poller.told == ["start", "tick", "close", "end"]


def test_without_a_journal_nothing_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    poller = ScriptedPoller()
    with pytest.raises(JournalUnusable):
        scheduler(poller, tmp_path / "file" / "journal").run(CountedSignals(3))
    assert poller.told == ["end"]
