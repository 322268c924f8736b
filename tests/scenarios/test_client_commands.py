"""Client and commands against the real API: gunicorn, SQLite, no Keystone, on the loopback."""

import io
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from freezer_client import Credentials, Freezer, connect
from freezer_client.errors import ApiRefused, ApiUnavailable, Conflict, NotFound
from freezer_scheduler.commands import COMMANDS, CommandContext

SEED_JOB: dict[str, Any] = {
    "job_actions": [
        {
            "freezer_action": {
                "action": "backup",
                "mode": "fs",
                "backup_name": "backup1",
                "path_to_backup": "/home/me/datadir",
                "container": "schedule_backups",
                "log_file": "/home/me/.freezer/freezer.log",
            },
            "max_retries": 3,
            "max_retries_interval": 60,
        }
    ],
    "job_schedule": {
        "schedule_interval": "4 hours",
        "schedule_start_date": "2015-08-16T17:58:00",
    },
    "description": "schedule_backups 6",
}
BACKUP = {
    "backup_name": "backup1",
    "container": "schedule_backups",
    "hostname": "node12",
    "time_stamp": 1767323045,
    "curr_backup_level": 1,
    "path_to_backup": "/home/me/datadir",
    "backup_size_compressed": 1536,
    "duration_seconds": 3.25,
    "job_id": "j1",
    "client_id": "node12",
}
Run = Callable[..., tuple[int, str, str]]


def _program(module: str) -> list[str]:
    """A console script, as an installation makes it."""
    return [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real API, on a port that the kernel chose."""
    home = tmp_path_factory.mktemp("api")
    config = home / "freezer-api.conf"
    config.write_text(
        "[DEFAULT]\nauth_strategy = noauth\nbind_port = 0\nworkers = 2\nmax_limit = 100\n"
        f"[storage]\nbackend = sql\n[sql]\nconnection = sqlite:///{home}/freezer.sqlite\n"
    )
    here = ["--config-file", str(config)]
    manage = [*_program("freezer_api.cli.manage"), *here, "db", "sync"]
    subprocess.run(manage, check=True, timeout=120, capture_output=True)
    serve = [*_program("freezer_api.cli.serve"), *here]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert "http://" in line, "the API did not start"
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.terminate()
            process.wait(timeout=60)


def connected(url: str, project: str) -> Freezer:
    return connect(Credentials(auth_type="none", backup_url=url, project_id=project))


@pytest.fixture
def freezer(api_url: str) -> Iterator[Freezer]:
    """The API, in a project of this test's own, that knows the client node12."""
    with closing(connected(api_url, uuid4().hex)) as freezer:
        freezer.clients.register({"client_id": "node12", "hostname": "node12"})
        yield freezer


@pytest.fixture
def run(freezer: Freezer, tmp_path: Path) -> Run:
    """Run a command as `-c node12` and return exit code, output and errors."""

    def run(name: str, **options: Any) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        context = CommandContext(
            freezer=freezer,
            client_id=options.pop("client_id", "node12"),
            out=out,
            err=err,
            **{"jobs_dir": str(tmp_path / "jobs"), **options},
        )
        return COMMANDS[name].run(context), out.getvalue(), err.getvalue()

    return run


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    path = tmp_path / "test_job.json"
    path.write_text(json.dumps(SEED_JOB))
    return str(path)


def created_job(run: Run, job_file: str) -> str:
    code, out, err = run("job-create", file=job_file)
    assert (code, err) == (0, "")
    assert out.startswith("Created job ")
    return out.split()[-1]


_SEED_TABLE = """\
+----------------------------------+--------------------+-----------+--------+-------+--------+------------+
|              job_id              |    description     | # actions | status | event | result | session_id |
+----------------------------------+--------------------+-----------+--------+-------+--------+------------+
| {} | schedule_backups 6 |     1     |        |       |        |            |
+----------------------------------+--------------------+-----------+--------+-------+--------+------------+
"""


# Jobs


def test_the_walk_through_of_the_manual(run: Run, job_file: str) -> None:
    job_id = created_job(run, job_file)
    code, out, _err = run("job-list")
    assert code == 0
    assert out == _SEED_TABLE.format(job_id)
    code, out, _err = run("job-get", job=job_id)
    document = json.loads(out)
    assert (code, document["client_id"]) == (0, "node12")
    assert (
        document["job_actions"][0]["freezer_action"] == SEED_JOB["job_actions"][0]["freezer_action"]
    )


def test_a_job_for_a_client_that_nobody_knows_comes_with_advice(run: Run, job_file: str) -> None:
    code, out, err = run("job-create", file=job_file, client_id="node13")
    assert (code, out) == (70, "")
    assert "freezer-scheduler -c node13 register" in err
    assert run("register", client_id="node13")[0] == 0
    assert run("job-create", file=job_file, client_id="node13")[0] == 0


@pytest.mark.parametrize(
    ("name", "event", "said"),
    [
        ("job-start", "start", "Start"),
        ("job-stop", "stop", "Stop"),
        ("job-abort", "abort", "Abort"),
    ],
)
def test_events_reach_the_job(run: Run, job_file: str, name: str, event: str, said: str) -> None:
    job_id = created_job(run, job_file)
    assert run(name, job=job_id) == (0, f"{said} request sent for job {job_id}\n", "")
    assert json.loads(run("job-get", job=job_id)[1])["job_schedule"]["event"] == event
    assert "already requested" in run(name, job=job_id)[1]
    answer = json.loads(run(name, job=job_id, as_json=True)[1])
    assert answer == {"job_id": job_id, "event": event, "result": f"{event} already requested"}


def test_a_job_is_deleted_once(run: Run, job_file: str) -> None:
    job_id = created_job(run, job_file)
    assert run("job-delete", job=job_id)[0] == 0
    code, _out, err = run("job-delete", job=job_id)
    assert code == 70
    assert err.startswith("ERROR ")
    assert run("job-get", job=job_id)[0] == 70


def test_job_list_chooses_by_client_and_activity(run: Run, freezer: Freezer, job_file: str) -> None:
    mine = created_job(run, job_file)
    run("register", client_id="other")
    others = freezer.jobs.create({**SEED_JOB, "client_id": "other"})
    done = created_job(run, job_file)
    freezer.jobs.update(done, {"job_schedule": {"status": "completed"}})

    def listed(**options: Any) -> list[str]:
        return [job["job_id"] for job in json.loads(run("job-list", as_json=True, **options)[1])]

    assert listed() == [mine, done]
    assert listed(active_only=True) == [mine]
    assert listed(all=True) == [mine, others, done]
    assert "client_id" in run("job-list", long=True)[1]
    assert "client_id" not in run("job-list")[1]


def test_jobs_travel_to_the_directory_and_back(
    run: Run, freezer: Freezer, job_file: str, tmp_path: Path
) -> None:
    job_id = created_job(run, job_file)
    freezer.jobs.update(job_id, {"job_schedule": {"status": "scheduled", "result": "success"}})
    assert run("job-download")[0] == 0
    path = tmp_path / "jobs" / f"job_{job_id}.conf"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]

    document = json.loads(path.read_text())
    document["description"] = "edited"
    path.write_text(json.dumps(document))
    freezer.jobs.update(job_id, {"job_schedule": {"status": "completed", "result": "fail"}})
    assert run("job-upload")[0] == 0
    stored = freezer.jobs.get(job_id)
    assert stored
    assert stored["description"] == "edited"
    assert stored["job_schedule"]["schedule_interval"] == "4 hours"
    # The file told how the job went when it was written; its scheduler knows better.
    assert (stored["job_schedule"]["status"], stored["job_schedule"]["result"]) == (
        "completed",
        "fail",
    )


def test_a_new_file_is_uploaded_once_and_keeps_the_id(
    run: Run, freezer: Freezer, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    path = tmp_path / "jobs" / "mine.CONF"
    path.write_text(json.dumps(SEED_JOB))
    assert run("job-upload")[0] == run("job-upload")[0] == 0
    assert [job["job_id"] for job in freezer.jobs.list()] == [
        json.loads(path.read_text())["job_id"]
    ]


def test_a_broken_file_does_not_keep_the_others_from_the_api(
    run: Run, freezer: Freezer, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.conf").write_text("{")
    (tmp_path / "jobs" / "b.conf").write_text(json.dumps(SEED_JOB))
    code, out, err = run("job-upload")
    assert (code, len(freezer.jobs.list())) == (70, 1)
    assert "b.conf" in out
    assert "a.conf is not JSON" in err


# Sessions


def test_a_session_and_its_jobs(run: Run, freezer: Freezer, job_file: str, tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"description": "both", "schedule": {"schedule_hour": "3"}}))
    code, out, _err = run("session-create", file=str(path))
    assert (code, out.startswith("Created session ")) == (0, True)
    session_id = out.split()[-1]
    jobs = [created_job(run, job_file), created_job(run, job_file)]
    assert run("session-add-job", session=session_id, job=", ".join(jobs))[0] == 0
    listed = json.loads(run("session-list-job", session=session_id, as_json=True)[1])
    assert [job["job_id"] for job in listed] == jobs
    assert listed[0]["job_schedule"]["schedule_hour"] == "3"
    row = run("session-list")[1].splitlines()[3]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        session_id,
        "0",
        "active",
        "both",
        "2",
        "",
    ]

    started = freezer.sessions.start_job(session_id, jobs[0], 0)
    assert (started.result, started.session_tag) == ("success", 1)
    assert freezer.sessions.start_job(session_id, jobs[1], 0).session_tag == 1
    for job_id in jobs:
        assert freezer.sessions.end_job(session_id, job_id, 1, "success").result == "success"
    document = json.loads(run("session-get", session=session_id)[1])
    assert (document["status"], document["result"]) == ("completed", "success")

    assert run("session-remove-job", session=session_id, job=jobs[0])[0] == 0
    assert len(json.loads(run("session-list-job", session=session_id, as_json=True)[1])) == 1
    assert run("session-delete", session=session_id)[0] == 0
    assert run("session-get", session=session_id)[0] == 70


def test_members_start_one_run_together_however_many_come_at_once(
    run: Run, freezer: Freezer, job_file: str
) -> None:
    jobs = [created_job(run, job_file) for _ in range(8)]
    session_id = freezer.sessions.create({"schedule": {}, "hold_off": 3600})
    for job_id in jobs:
        freezer.sessions.add_job(session_id, job_id)
    with ThreadPoolExecutor(len(jobs)) as pool:
        replies = list(
            pool.map(lambda job_id: freezer.sessions.start_job(session_id, job_id, 0), jobs)
        )
    assert {(reply.result, reply.session_tag) for reply in replies} == {("success", 1)}
    document = freezer.sessions.get(session_id)
    assert document
    assert {member["status"] for member in document["jobs"].values()} == {"running"}


# Clients


def test_clients_are_listed_and_shown(run: Run) -> None:
    assert "node12" in run("client-list")[1]
    assert json.loads(run("client-get")[1])["client"]["hostname"] == "node12"
    assert run("client-get", client="nobody")[0] == 70


def test_a_second_register_command_is_told_but_a_second_start_of_a_scheduler_is_not(
    run: Run, freezer: Freezer
) -> None:
    assert run("register")[0] == 73
    assert freezer.clients.register({"client_id": "node12"}) == "node12"


def test_register_sends_what_the_node_is_able_to_run(run: Run, freezer: Freezer) -> None:
    able = {"hostname": "h", "supported_modes": ["fs"]}
    assert run("register", client_id="node14", registration=able)[0] == 0
    known = freezer.clients.get("node14")
    assert known
    assert known["client"]["supported_modes"] == ["fs"]


# Backups


def test_backups_are_listed_with_level_size_and_duration(run: Run, freezer: Freezer) -> None:
    backup_id = freezer.backups.create(BACKUP)
    row = run("backup-list")[1].splitlines()[3]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:3] == [backup_id, "schedule_backups", "backup1"]
    assert cells[4:] == ["1", "/home/me/datadir", "1.5 KiB", "3.2 s"]
    assert "node12" in run("backup-list", long=True)[1]
    assert json.loads(run("backup-get", backup=backup_id)[1])["backup_metadata"] == BACKUP


def test_a_backup_whose_create_was_not_answered_is_found(freezer: Freezer) -> None:
    assert freezer.backups.find(BACKUP) is None
    backup_id = freezer.backups.create(BACKUP)
    assert freezer.backups.find(BACKUP) == backup_id
    assert freezer.backups.update(backup_id, {"extra": 1})["backup_metadata"]["extra"] == 1
    assert freezer.backups.find({**BACKUP, "curr_backup_level": 2}) is None
    freezer.backups.delete(backup_id)
    with pytest.raises(NotFound):
        freezer.backups.delete(backup_id)


# The client itself


def test_a_list_longer_than_the_servers_limit_is_complete(freezer: Freezer) -> None:
    with ThreadPoolExecutor(4) as pool:
        created = set(
            pool.map(lambda _: freezer.jobs.create({**SEED_JOB, "client_id": "node12"}), range(230))
        )
    listed = freezer.jobs.list(match=[{"client_id": "node12"}])
    assert len(listed) == 230
    assert {job["job_id"] for job in listed} == created


def test_jobs_that_complete_while_the_list_is_read_hide_no_others(freezer: Freezer) -> None:
    client_id = "node12"
    body = {**SEED_JOB, "client_id": client_id}
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: freezer.jobs.create(body), range(150)))
    in_order = [job["job_id"] for job in freezer.jobs.list()]
    assert sorted(in_order) == sorted(jobs)
    going, staying = in_order[:30], set(in_order[30:])

    def complete(job_id: str) -> None:
        freezer.jobs.update(job_id, {"job_schedule": {"status": "completed"}})

    with ThreadPoolExecutor(2) as pool:
        work = pool.map(complete, going)
        for _ in range(5):
            listed = freezer.jobs.list(match_not=[{"status": "completed"}])
            assert staying <= {job["job_id"] for job in listed}
        list(work)


def test_actions_are_kept_changed_and_removed(freezer: Freezer) -> None:
    action_id = freezer.actions.create({"freezer_action": {"action": "backup"}, "max_retries": 1})
    assert freezer.actions.update(action_id, {"max_retries": 2}) > 0
    stored = freezer.actions.get(action_id)
    assert stored
    assert stored["max_retries"] == 2
    assert [action["action_id"] for action in freezer.actions.list()] == [action_id]
    freezer.actions.delete(action_id)
    assert freezer.actions.get(action_id) is None


def test_other_projects_do_not_exist(api_url: str, freezer: Freezer) -> None:
    job_id = freezer.jobs.create({**SEED_JOB, "client_id": "node12"})
    session_id = freezer.sessions.create({"schedule": {}})
    stranger = connected(api_url, uuid4().hex)
    assert stranger.jobs.list() == stranger.sessions.list() == stranger.clients.list() == []
    assert stranger.sessions.get(session_id) is None
    with pytest.raises(NotFound):
        stranger.jobs.delete(job_id)
    with pytest.raises(NotFound):
        stranger.jobs.update(job_id, {"description": "mine"})
    stranger.clients.register({"client_id": "s"})
    with pytest.raises(Conflict):
        stranger.jobs.create({**SEED_JOB, "client_id": "s"}, job_id=job_id)


def test_what_the_api_refuses_names_the_field(freezer: Freezer) -> None:
    broken = {**SEED_JOB, "client_id": "node12", "job_schedule": {"schedule_interval": "1 day"}}
    with pytest.raises(ApiRefused, match=r"schedule_interval") as caught:
        freezer.jobs.create(broken)
    assert caught.value.status == 400


def test_another_address_is_no_api(api_url: str) -> None:
    with pytest.raises((ApiUnavailable, ApiRefused)):
        connected(f"{api_url}/elsewhere", "p").jobs.list()


# Filters, runs, a run at once


def test_lists_are_filtered_searched_sorted_and_paged(
    run: Run, freezer: Freezer, job_file: str
) -> None:
    first, second, third = (created_job(run, job_file) for _ in range(3))
    freezer.jobs.update(first, {"job_schedule": {"status": "scheduled", "result": "fail"}})
    freezer.jobs.update(second, {"job_schedule": {"status": "scheduled"}, "description": "tulip"})

    def listed(**options: Any) -> list[str]:
        code, out, err = run("job-list", as_json=True, **options)
        assert (code, err) == (0, "")
        return [job["job_id"] for job in json.loads(out)]

    assert set(listed(status="scheduled")) == {first, second}
    assert listed(status="scheduled", result="fail") == [first]
    assert listed(search="tulip") == [second]
    whole = listed()
    assert listed(limit=1, offset=1) == whole[1:2]
    assert listed(sort="description", reverse=True)[0] == second
    assert listed(sort="job_id", limit=2) == sorted([first, second, third])[:2]


def test_runs_are_listed_the_newest_first(run: Run, freezer: Freezer, job_file: str) -> None:
    job_id = created_job(run, job_file)
    for number in range(3):
        began = {"client_id": "node12", "scheduler": "n", "time_started": 100 + number}
        freezer.runs.report(
            job_id, f"r{number}", {**began, "status": "running", "lease_seconds": 60}
        )
        ended = {"status": "completed", "result": "success", "time_ended": 200 + number}
        freezer.runs.report(job_id, f"r{number}", {**began, **ended})
    code, out, err = run("run-list", job=job_id, as_json=True, limit=2)
    assert (code, err) == (0, "")
    assert [shown["run_id"] for shown in json.loads(out)] == ["r2", "r1"]
    assert run("run-list", job="unknown")[0] == 70


def test_a_run_at_once_is_a_new_job_that_is_due_at_once(
    run: Run, freezer: Freezer, job_file: str
) -> None:
    job_id = created_job(run, job_file)
    code, out, _err = run("job-run-now", job=job_id, as_json=True)
    assert code == 0
    copy, original = (freezer.jobs.get(name) for name in (json.loads(out)["job_id"], job_id))
    assert copy
    assert original
    assert copy["description"] == "once: schedule_backups 6"
    assert not any(key.startswith("schedule_") for key in copy["job_schedule"])
    assert original["job_schedule"]["schedule_interval"] == "4 hours"
    same = [job["job_actions"][0]["freezer_action"] for job in (copy, original)]
    assert same[0] == same[1]
