"""Lists of the client commands: filtered, sorted, paged, watched."""

import io
import json
from typing import Any

import pytest

from freezer_scheduler.commands import COMMANDS, CommandContext
from freezer_scheduler.commands.runs import once
from freezer_scheduler.commands.watching import watch
from tests.fakes.scripted_api import ScriptedApi, lost, reply


class Terminal:
    def __init__(self) -> None:
        self.api = ScriptedApi()
        self.out = io.StringIO()
        self.err = io.StringIO()

    def context(self, **options: Any) -> CommandContext:
        return CommandContext(
            freezer=self.api.freezer, client_id="node12", out=self.out, err=self.err, **options
        )

    def run(self, name: str, **options: Any) -> int:
        return COMMANDS[name].run(self.context(**options))

    def ids(self, key: str) -> list[str]:
        return [document[key] for document in json.loads(self.out.getvalue())]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def backups(*sizes: int | str | None) -> Any:
    return reply(
        200,
        {
            "backups": [
                {"backup_id": str(n), "backup_metadata": {"backup_size_compressed": size}}
                for n, size in enumerate(sizes)
            ]
        },
    )


def test_filters_are_the_servers_work(terminal: Terminal) -> None:
    terminal.api.answers(reply(200, {"jobs": []}))
    assert terminal.run("job-list", status="scheduled", result="fail", search="db", limit=5) == 0
    (asked,) = terminal.api.asked
    text = json.dumps(asked.body)
    assert '{"status": "scheduled"}' in text
    assert '{"result": "fail"}' in text
    assert '"db"' in text
    assert asked.query["limit"] == "5"


def test_a_filter_that_a_list_does_not_know_is_refused(terminal: Terminal) -> None:
    assert terminal.run("client-list", status="scheduled") == 70
    assert terminal.err.getvalue() == "ERROR client-list takes no --status\n"
    assert terminal.api.asked == []


def test_sizes_are_sorted_as_numbers_and_odd_ones_come_last(terminal: Terminal) -> None:
    terminal.api.answers(backups(3000, 20, "odd", None))
    assert terminal.run("backup-list", sort="Size", as_json=True) == 0
    assert terminal.ids("backup_id") == ["3", "1", "0", "2"]


def test_a_page_of_a_sorted_list_is_cut_after_sorting(terminal: Terminal) -> None:
    terminal.api.answers(backups(3, 1, 2))
    options = {"sort": "size", "reverse": True, "offset": 1, "limit": 1}
    assert terminal.run("backup-list", as_json=True, **options) == 0
    assert terminal.ids("backup_id") == ["2"]


def test_an_unknown_column_is_named_with_those_there_are(terminal: Terminal) -> None:
    assert terminal.run("job-list", sort="colour") == 70
    assert "--sort colour" in terminal.err.getvalue()
    assert "job_id, description, actions, status" in terminal.err.getvalue()
    assert terminal.api.asked == []


def test_a_watched_list_goes_on_over_an_outage_and_ends_with_ctrl_c(terminal: Terminal) -> None:
    terminal.api.answers(
        reply(200, {"clients": [{"client": {"client_id": "one"}}]}),
        lost(may_pass=False),
        reply(200, {"clients": [{"client": {"client_id": "two"}}]}),
    )
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    code = watch(COMMANDS["client-list"], terminal.context(watch=2.5), sleep)
    shown = terminal.out.getvalue()
    assert (code, slept) == (0, [2.5] * 3)
    assert shown.index("one") < shown.index("ERROR") < shown.index("two")
    assert "\x1b" not in shown, "no terminal, nothing to clear"


def test_a_watched_list_whose_words_are_wrong_ends_at_once(terminal: Terminal) -> None:
    context = terminal.context(watch=1, sort="colour")
    assert watch(COMMANDS["client-list"], context, lambda _: pytest.fail("slept")) == 70
    assert "--sort colour" in terminal.err.getvalue()


RUNS = [
    {"run_id": "r1", "status": "completed", "result": "success", "time_started": 10},
    {
        "run_id": "r2",
        "status": "completed",
        "result": "fail",
        "time_started": 20,
        "time_ended": 25,
        "exit_code": 4,
        "error": "x" * 90,
        "actions": [{"action": "backup", "attempts": 3, "result": "fail", "exit_code": 4}],
    },
]


def test_the_newest_run_comes_first(terminal: Terminal) -> None:
    terminal.api.answers(reply(200, {"runs": RUNS}))
    assert terminal.run("run-list", job="j") == 0
    text = terminal.out.getvalue()
    assert text.index("r2") < text.index("r1")
    assert "5 s" in text
    assert "x" * 57 + "..." in text
    assert "3 tries" not in text


def test_the_actions_of_a_run_are_below_it_if_wanted(terminal: Terminal) -> None:
    terminal.api.answers(reply(200, {"runs": RUNS}))
    assert terminal.run("run-list", job="j", long=True, result="fail") == 0
    text = terminal.out.getvalue()
    assert "backup, 3 tries" in text
    assert "x" * 90 in text
    assert "r1" not in text


def test_runs_of_a_job_that_is_not_there_and_of_an_old_server(terminal: Terminal) -> None:
    nothing = reply(404, {"title": "Not found", "description": "no"})
    terminal.api.answers(nothing, nothing)
    assert terminal.run("run-list", job="j") == 70
    assert "There is no job 'j'" in terminal.err.getvalue()
    terminal.api.answers(nothing, reply(200, {"job_id": "j"}))
    assert terminal.run("run-list", job="j") == 70
    assert "keeps no runs" in terminal.err.getvalue()


JOB = {
    "job_id": "j",
    "client_id": "node12",
    "description": "srv",
    "session_id": "s",
    "session_tag": 4,
    "project_id": "p",
    "user_credentials": {"trust_id": "t"},
    "job_actions": [{"freezer_action": {"action": "backup"}, "max_retries": 2, "last_run": {}}],
    "job_schedule": {"schedule_interval": "1 days", "status": "scheduled", "result": "fail"},
}


def test_a_run_at_once_is_a_copy_without_schedule_session_and_state() -> None:
    assert once(JOB) == {
        "client_id": "node12",
        "description": "once: srv",
        "job_actions": [{"freezer_action": {"action": "backup"}, "max_retries": 2}],
        "job_schedule": {},
    }


def test_a_job_that_runs_is_not_run_beside_itself(terminal: Terminal) -> None:
    running = {**JOB, "job_schedule": {"status": "running"}}
    terminal.api.answers(reply(200, running))
    assert terminal.run("job-run-now", job="j") == 70
    assert "runs at this moment" in terminal.err.getvalue()
    assert len(terminal.api.asked) == 1
