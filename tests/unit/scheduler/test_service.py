"""The main loop: it goes on, and whatever ends it closes all."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from freezer_scheduler.errors import BoardUnavailable, JournalUnusable
from freezer_scheduler.job_boards.memory import MemoryBoard
from freezer_scheduler.journal import Journal
from freezer_scheduler.pace import Pace
from freezer_scheduler.reports import Reports
from freezer_scheduler.service import Scheduler
from freezer_scheduler.supervision import Supervision

if TYPE_CHECKING:
    from freezer_scheduler.poller import Poller


class ScriptedPoller:
    """Notes what it is told; raises what the script says."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.retry_after: float | None = None
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def tick(self) -> float | None:
        self.told.append("tick")
        if (error := self.errors.pop(0)) is not None:
            raise error
        return self.retry_after

    def close(self, *, grace_seconds: float) -> None:
        assert grace_seconds > 0
        self.told.append("close")


class CountedSignals:
    """Stops after so many waits, and asks for a reload after each."""

    def __init__(self, waits: int) -> None:
        self.waits = waits
        self.seconds: list[float] = []

    def is_stopping(self) -> bool:
        return self.waits <= 0

    def wake(self) -> None:
        """Nobody sleeps."""

    def take_reload(self) -> bool:
        return True

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.waits -= 1


def scheduler(poller: ScriptedPoller, path: Path, **parts: Any) -> Scheduler:
    journal = Journal(path)
    return Scheduler(
        poller=cast("Poller", poller),
        journal=journal,
        reports=Reports(MemoryBoard(), journal),
        interval_seconds=60,
        close=lambda: poller.told.append("end"),
        monotonic=lambda: 0.0,
        **parts,
    )


def test_no_error_of_one_look_ends_it(tmp_path: Path) -> None:
    poller = ScriptedPoller(BoardUnavailable("away"), ZeroDivisionError("a defect"), None)
    scheduler(poller, tmp_path / "journal").run(CountedSignals(3))
    assert poller.told == ["start", "tick", "tick", "tick", "close", "end"]


def test_the_first_look_is_put_off_and_the_server_heeded(tmp_path: Path) -> None:
    poller = ScriptedPoller(None)
    poller.retry_after = 500.0
    signals = CountedSignals(2)
    scheduler(poller, tmp_path / "journal", pace=Pace(jitter=lambda: 1.0)).run(signals)
    assert signals.seconds == [pytest.approx(15), pytest.approx(550)]


def test_systemd_is_told_and_woken_for(tmp_path: Path) -> None:
    class Line(Supervision):
        def _say(self, state: str) -> None:
            poller.told.append(state)

    poller = ScriptedPoller(None, None)
    signals = CountedSignals(2)
    line = Line(address="@x", watchdog_seconds=30)
    scheduler(poller, tmp_path / "journal", supervision=line).run(signals)
    said = [word for word in poller.told if word != "WATCHDOG=1"]
    assert said == ["start", "READY=1", "tick", "tick", "STOPPING=1", "close", "end"]
    assert poller.told.count("WATCHDOG=1") == 3
    assert signals.seconds == [10.0, 10.0], "a third of the watchdog's time"


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
