"""A job said in options of job-create, and the completion of them."""

import shutil
import subprocess
from typing import Any

import pytest

from freezer_scheduler.commands import COMMANDS
from freezer_scheduler.conf import job_words
from freezer_scheduler.conf.completion import SHELLS
from freezer_scheduler.conf.job_words import take_job
from freezer_scheduler.conf.parser import Parser, UnknownOption
from tests.fakes.scripted_api import reply
from tests.unit.scheduler.test_cli import NOAUTH, Terminal, terminal

__all__ = ["terminal"]

BACKUP = ["--action", "backup", "--path-to-backup", "/srv", "--storage", "local"]


def taken(*words: str) -> job_words.TakenApart:
    return take_job(words, Parser("p").flags)


def test_options_become_action_rules_and_schedule() -> None:
    found = taken(
        *("-c", "node12", "job-create", *BACKUP, "--backup_name=x", "--max-level", "6"),
        *("--interval", "4 hours", "--start-date", "2030-01-01T00:00:00", "--exclude", "*.a"),
        *("--exclude", "*.b", "--max-retries", "2", "--mandatory", "--description", "of x"),
        *("--no-sync", "--debug"),
    )
    assert found.words == ["-c", "node12", "job-create", "--debug"]
    assert found.job == {
        "description": "of x",
        "job_actions": [
            {
                "freezer_action": {
                    "action": "backup",
                    "path_to_backup": "/srv",
                    "storage": "local",
                    "backup_name": "x",
                    "max_level": 6,
                    "exclude": ["*.a", "*.b"],
                    "sync": False,
                },
                "max_retries": 2,
                "mandatory": True,
            }
        ],
        "job_schedule": {
            "schedule_interval": "4 hours",
            "schedule_start_date": "2030-01-01T00:00:00",
        },
    }


def test_former_names_of_the_agents_options_mean_what_they_meant() -> None:
    found = taken("job-create", "--file-to-backup", "/srv", "--max-seg-size", "7")
    assert found.job
    (action,) = found.job["job_actions"]
    assert action["freezer_action"] == {"path_to_backup": "/srv", "max_segment_size": 7}


def test_an_option_that_is_a_yes_or_a_text_may_stand_alone() -> None:
    found = taken("job-create", "--no-incremental", "--snapshot", "--action", "backup")
    assert found.job
    (action,) = found.job["job_actions"]
    assert action["freezer_action"] == {
        "no_incremental": True,
        "snapshot": True,
        "action": "backup",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-level", "much", *BACKUP], "job_actions.0.freezer_action.max_level (--max-level)"),
        (["--storage", "attic"], "freezer_action.storage (--storage)"),
        (["--max-retries", "-1", *BACKUP], "job_actions.0.max_retries (--max-retries)"),
        (["--backup-name"], "argument --backup-name: expected one argument"),
        (["--ssh-password", "x", *BACKUP], "other users of this host could read it"),
        ([*BACKUP, "--storage", "ssh"], "--storage is given twice"),
        (["--interval", "4 hours"], "the job has no action"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], said: str) -> None:
    with pytest.raises(UnknownOption) as caught:
        taken("job-create", *words)
    assert said in str(caught.value)
    assert "ssh-password x" not in str(caught.value)


def test_beside_a_file_interval_is_still_the_polling_interval() -> None:
    words = ["--interval", "15", "job-create", "--file", "job.json"]
    assert taken(*words) == job_words.TakenApart(words=words, job=None)


def create(terminal: Terminal, *words: str) -> int:
    terminal.environment.update(NOAUTH)
    return terminal.run("-c", "node12", "job-create", *words)


def test_the_job_is_sent_as_if_it_came_from_a_file(terminal: Terminal) -> None:
    terminal.api.answers(reply(201, {"job_id": "j"}))
    assert create(terminal, *BACKUP, "--hour", "3") == 0
    body: Any = terminal.api.asked[0].body
    assert body["client_id"] == "node12"
    assert body["job_schedule"] == {"schedule_hour": "3"}
    assert body["job_actions"][0]["freezer_action"]["path_to_backup"] == "/srv"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([*BACKUP, "--interval", "60"], 70, "job_schedule.schedule_interval: '60' is no number"),
        ([*BACKUP, "--day-of-week", "someday"], 70, "job_schedule.schedule_day_of_week"),
        ([*BACKUP, "--file", "job.json"], 70, "not as both"),
        ([], 70, "Parameter --file required, or the job in options"),
        ([*BACKUP, "--bakup-name", "x"], 2, "unknown option: --bakup-name; did you mean --backup-"),
    ],
)
def test_a_wrong_job_is_refused_before_it_is_sent(
    terminal: Terminal, words: list[str], code: int, said: str
) -> None:
    assert create(terminal, *words) == code
    assert said in terminal.err
    assert terminal.api.asked == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_completed_by_every_shell(terminal: Terminal, shell: str) -> None:
    assert terminal.run("--shell-completion", shell) == 0
    for name in (*COMMANDS, "start", "reload"):
        assert name in terminal.out
    assert "path-to-backup" in terminal.out
    if found := shutil.which(shell):
        subprocess.run([found, "-n"], input=terminal.out, text=True, check=True, timeout=60)


def test_an_unknown_shell_is_told_which_there_are(terminal: Terminal) -> None:
    assert terminal.run("--shell-completion", "tcsh") == 2
    assert "bash, zsh, fish" in terminal.err


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["job-l"], ["job-list"]),
        (["-c", "x", "job-list", "--stat"], ["--status"]),
        (["job-create", "--storage", "loc"], ["local"]),
        (["job-create", "--max-ret"], ["--max-retries", "--max-retries-interval"]),
        (["start", "--concurrent"], ["--concurrent-jobs"]),
        (["job-delete", "--concurrent"], []),
    ],
)
def test_bash_completes(terminal: Terminal, words: list[str], completed: list[str]) -> None:
    terminal.run("--shell-completion", "bash")
    asks = (
        f'{terminal.out}\nCOMP_WORDS=(freezer-scheduler "$@"); COMP_CWORD=$#\n'
        '_freezer_scheduler; echo "${COMPREPLY[@]}"'
    )
    answer = subprocess.run(
        ["bash", "-c", asks, "bash", *words], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == completed
