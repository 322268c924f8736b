"""session-restore, where it is asked for what makes no sense."""

import pytest

from tests.fakes.scripted_api import reply
from tests.unit.scheduler.test_cli import NOAUTH, Terminal, terminal

__all__ = ["terminal"]

RUN = ["-s", "x", "--session-tag", "1"]
PLACE = ["--restore-abs-path", "/r"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-s", "x", *PLACE], "--session-tag required"),
        (RUN, "--restore-abs-path required"),
        (["--session-tag", "1", *PLACE], "--session required"),
        ([*RUN, *PLACE, "--action", "backup"], "--action: this command restores"),
        ([*RUN, *PLACE, "--session-id", "y"], "--session-id: the session is named by -s"),
        (
            [*RUN, *PLACE, "--hostname", "h"],
            "--hostname: each node restores what itself backed up",
        ),
        (
            [*RUN, *PLACE, "--restore-from-date", "2026-01-01T00:00:00"],
            "--restore-from-date: the run says what is restored",
        ),
    ],
)
def test_what_is_missing_or_makes_no_sense(terminal: Terminal, words: list[str], said: str) -> None:
    terminal.environment.update(NOAUTH)
    assert terminal.run("-c", "node12", "session-restore", *words) == 70
    assert said in terminal.err
    assert terminal.api.asked == []


def test_a_session_that_is_not_there_and_one_without_jobs(terminal: Terminal) -> None:
    terminal.environment.update(NOAUTH)
    terminal.api.answers(reply(404, {"title": "Not Found"}))
    assert terminal.run("-c", "node12", "session-restore", *RUN, *PLACE) == 70
    assert "There is no session 'x'" in terminal.err
    terminal.api.answers(reply(200, {"session_id": "x", "jobs": {}}), reply(200, {"backups": []}))
    assert terminal.run("-c", "node12", "session-restore", *RUN, *PLACE) == 70
    assert "Nothing is restored of run 1 of session x: the session has no jobs" in terminal.err
