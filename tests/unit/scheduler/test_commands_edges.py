"""The client commands where something is missing, broken, hostile or away."""

import errno
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from freezer_scheduler.commands import COMMANDS, Command, CommandContext
from freezer_scheduler.commands.base import CommandFailed
from freezer_scheduler.commands.documents import write_document
from freezer_scheduler.tables import render_table
from tests.fakes.scripted_api import ScriptedApi, lost, reply

JOB = {"job_actions": [{"freezer_action": {"action": "backup"}}]}


class Terminal:
    """Runs commands and shows what was printed."""

    def __init__(self) -> None:
        self.api = ScriptedApi()
        self.out = ""
        self.err = ""

    def run(self, name: str, **options: Any) -> int:
        out, err = io.StringIO(), io.StringIO()
        client_id = options.pop("client_id", "node12")
        context = CommandContext(
            freezer=self.api.freezer, client_id=client_id, out=out, err=err, **options
        )
        code = COMMANDS[name].run(context)
        self.out, self.err = out.getvalue(), err.getvalue()
        return code


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_every_command_of_the_old_program_is_there() -> None:
    jobs = "create get delete start stop abort list download upload"
    sessions = "create get list delete add-job remove-job list-job"
    expected = {f"job-{verb}" for verb in jobs.split()}
    expected |= {f"session-{verb}" for verb in sessions.split()}
    assert expected | {"client-list", "backup-list", "register"} <= set(COMMANDS)


def test_every_command_says_what_it_does_and_names_options_that_exist() -> None:
    for command in COMMANDS.values():
        assert command.help.endswith(".")
        assert {*command.needs, *command.takes} <= set(CommandContext.__dataclass_fields__)


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command in COMMANDS.values() for option in command.needs],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_missing_argument_is_named_and_nobody_is_asked(
    terminal: Terminal, command: Command, option: str
) -> None:
    others = {name: "x" for name in command.needs if name != option}
    assert terminal.run(command.name, **others) == 70
    assert terminal.err == f"ERROR Parameter --{option.replace('_', '-')} required\n"
    assert (terminal.out, terminal.api.asked) == ("", [])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("job-list", {}),
        ("job-get", {"job": "j"}),
        ("job-delete", {"job": "j"}),
        ("job-start", {"job": "j"}),
        ("session-list", {}),
        ("session-add-job", {"session": "s", "job": "j"}),
        ("client-list", {}),
        ("backup-list", {}),
    ],
)
def test_an_api_that_is_away_is_one_line_and_code_70(
    terminal: Terminal, name: str, options: dict[str, str]
) -> None:
    terminal.api.answers(lost(may_pass=False))
    assert terminal.run(name, **options) == 70
    assert terminal.out == ""
    assert terminal.err.startswith("ERROR ")
    assert terminal.err.count("\n") == 1


def test_a_register_that_fails_has_a_code_of_its_own(terminal: Terminal) -> None:
    terminal.api.answers(lost(may_pass=False))
    assert terminal.run("register") == 73


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[]", "one JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "job_actions: is required"),
        (b'{"job_actions": 5}', "job_actions: must be a list"),
        (
            b'{"job_actions": [], "job_schedule": {"schedule_interval": "1 day"}}',
            "job_schedule.schedule_interval: ",
        ),
        (b'{"job_actions": [{"freezer_action": 5}]}', "job_actions.0.freezer_action: "),
    ],
)
def test_a_broken_job_file_is_refused_before_anybody_is_asked(
    terminal: Terminal, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(content)
    assert terminal.run("job-create", file=str(path)) == 70
    assert said in terminal.err
    assert str(path) in terminal.err
    assert terminal.api.asked == []


def test_a_file_that_is_not_there(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.run("job-create", file=str(tmp_path / "no.json")) == 70
    assert "No such file" in terminal.err
    assert terminal.run("session-create", file=str(tmp_path)) == 70


@pytest.mark.parametrize("given", [{}, {"client_id": ""}, {"client_id": None}])
def test_a_job_without_a_client_is_for_this_one(
    terminal: Terminal, tmp_path: Path, given: dict[str, Any]
) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**JOB, **given}))
    terminal.api.answers(reply(201, {"job_id": "own0"}))
    assert terminal.run("job-create", file=str(path), as_json=True) == 0
    assert terminal.api.asked[0].body == {**JOB, "client_id": "node12", "job_id": "own0"}
    assert json.loads(terminal.out) == {"job_id": "own0"}


def test_a_job_with_a_client_keeps_it(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**JOB, "client_id": "other"}))
    terminal.api.answers(reply(201, {"job_id": "own0"}))
    terminal.run("job-create", file=str(path))
    assert terminal.api.asked[0].body["client_id"] == "other"


@pytest.mark.parametrize(
    ("schedule", "field"),
    [([], "schedule: "), ({"schedule_hour": "99"}, "schedule.schedule_hour: ")],
)
def test_a_broken_session_file_is_refused(
    terminal: Terminal, tmp_path: Path, schedule: Any, field: str
) -> None:
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"schedule": schedule}))
    assert terminal.run("session-create", file=str(path)) == 70
    assert field in terminal.err
    assert terminal.api.asked == []


def test_a_session_without_a_schedule_gets_an_empty_one(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text("{}")
    terminal.api.answers(reply(201, {"session_id": "s"}))
    assert terminal.run("session-create", file=str(path)) == 0
    assert terminal.api.asked[0].body == {"schedule": {}}


def test_documents_of_old_servers_with_nulls_are_listed(terminal: Terminal) -> None:
    terminal.api.answers(
        reply(200, {"jobs": [{"job_id": "j", "job_schedule": None, "job_actions": None}]}),
        reply(200, {"sessions": [{"session_id": "s", "jobs": None, "time_start": None}]}),
        reply(200, {"clients": [{"client": None}, {"client": {"client_id": "c"}}]}),
        reply(200, {"backups": [{"backup_id": "b", "backup_metadata": None}]}),
    )
    for name in ("job-list", "session-list", "client-list", "backup-list"):
        assert terminal.run(name) == 0
        assert "None" not in terminal.out


@pytest.mark.parametrize(
    "value", ["", "soon", [], {}, 10**30, 10**400, -1, "9" * 5000, float("nan")]
)
def test_odd_values_of_a_backup_do_not_break_the_list(terminal: Terminal, value: Any) -> None:
    keys = ["time_stamp", "backup_size_compressed", "duration_seconds", "curr_backup_level"]
    backup = {"backup_id": "b", "backup_metadata": dict.fromkeys(keys, value)}
    terminal.api.answers(reply(200, {"backups": [backup]}))
    assert terminal.run("backup-list") == 0


@pytest.mark.parametrize(
    ("size", "seconds", "shown"),
    [
        (0, 0, ["0 B", "0.0 s"]),
        (1023, 59.94, ["1023 B", "59.9 s"]),
        (1024, 60, ["1.0 KiB", "0:01:00"]),
        (5 * 1024**3, 3723, ["5.0 GiB", "1:02:03"]),
        (None, None, ["", ""]),
        (True, -1, ["", ""]),
    ],
)
def test_sizes_and_durations_are_for_people(
    terminal: Terminal, size: Any, seconds: Any, shown: list[str]
) -> None:
    metadata = {"backup_size_compressed": size, "duration_seconds": seconds}
    terminal.api.answers(reply(200, {"backups": [{"backup_id": "b", "backup_metadata": metadata}]}))
    terminal.run("backup-list")
    cells = [cell.strip() for cell in terminal.out.splitlines()[3].split("|")]
    assert cells[-3:-1] == shown


def test_an_empty_list_is_an_empty_list_for_machines(terminal: Terminal) -> None:
    terminal.api.answers(reply(200, {"jobs": []}))
    terminal.run("job-list", as_json=True)
    assert json.loads(terminal.out) == []


def test_a_member_that_fails_does_not_hide_those_that_were_added(terminal: Terminal) -> None:
    terminal.api.answers(reply(204), reply(404, {"description": "no such job"}))
    assert terminal.run("session-add-job", session="s", job="a,b,c") == 70
    assert terminal.out == "Added job a to session s\n"
    assert "no such job" in terminal.err
    assert len(terminal.api.asked) == 2


def test_a_list_of_ids_that_names_none_is_an_error(terminal: Terminal) -> None:
    assert terminal.run("session-remove-job", session="s", job=" , ") == 70


def test_names_of_others_cannot_command_the_terminal() -> None:
    assert "\x1b" not in render_table(["a"], [["\x1b[2Jgone\r\n\x07"]])
    assert "\n|" not in render_table(["a"], [["x\n|"]]).splitlines()[3]


@pytest.mark.parametrize("job_id", ["../../etc/cron.d/x", "a/b", "", "a\nb", "a b"])
def test_a_job_of_a_strange_id_is_not_written_anywhere(
    terminal: Terminal, tmp_path: Path, job_id: str
) -> None:
    terminal.api.answers(reply(200, {"jobs": [{"job_id": job_id}]}))
    assert terminal.run("job-download", jobs_dir=str(tmp_path / "jobs")) == 70
    assert [path.name for path in tmp_path.rglob("*")] == ["jobs"]


def test_a_job_directory_that_cannot_be_made_or_read(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert terminal.run("job-download", jobs_dir=str(tmp_path / "file" / "jobs")) == 70
    assert terminal.run("job-upload", jobs_dir=str(tmp_path / "none")) == 70
    assert "ERROR Cannot read" in terminal.err
    assert terminal.api.asked == []


def test_a_saved_document_is_its_owners_alone(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.touch(mode=0o644)
    terminal.api.answers(reply(200, {"job_id": "j"}))
    assert terminal.run("job-get", job="j", file=str(path)) == 0
    assert (json.loads(path.read_text()), path.stat().st_mode & 0o777) == ({"job_id": "j"}, 0o600)


def test_a_session_is_saved_too(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    terminal.api.answers(reply(200, {"session_id": "s"}))
    assert terminal.run("session-get", session="s", file=str(path)) == 0
    assert json.loads(path.read_text()) == {"session_id": "s"}


def test_a_refusal_of_the_api_is_told_as_it_is(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(JOB))
    terminal.api.answers(reply(422, {"description": "Client node12 does not support mode: nova"}))
    assert terminal.run("job-create", file=str(path)) == 70
    assert "does not support mode: nova" in terminal.err


def test_the_last_start_of_a_session_is_local_time(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        terminal.api.answers(
            reply(200, {"sessions": [{"session_id": "s", "time_start": 1767323045}]})
        )
        terminal.run("session-list")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "2026-01-02T08:34:05" in terminal.out


def test_a_full_disk_leaves_the_old_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job.conf"
    path.write_text('{"old": true}')

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandFailed, match="No space left"):
        write_document(path, {"new": True})
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [
        ("job.conf", '{"old": true}')
    ]
