"""The command line of the agent: exit codes, output, admin, info, exec, and the seeds' examples."""

import json
import os
import pty
import resource
import secrets
import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from freezer_agent.cli import main
from freezer_agent.conf.options import gather
from freezer_agent.conf.parser import Parser
from tests.fakes.agent_command import REPOSITORY, AgentCommand


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_text("content\n")
    return folder


def age(agent: AgentCommand, seconds: int) -> None:
    """Make everything that is stored look as if it was made that long ago."""
    for root in ("metadata", "data"):
        for chain in list((agent.container / root / "tar").glob("*/*")):
            for level in list(chain.iterdir()):
                number, taken = level.name.split("_")
                level.rename(chain / f"{number}_{int(taken) - seconds}")
            chain.rename(chain.with_name(str(int(chain.name) - seconds)))


def test_exit_codes(agent: AgentCommand, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "examples:" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert main(["--version"]) == 0
    assert agent.run("--bogus").status == 2
    assert agent.run("--max-level", "x").status == 1
    assert agent.run("--action", "fly").status == 1
    assert agent.run(*agent.storage, "-F", source, "--nosync").status == 0


def test_an_unknown_option_is_told(agent: AgentCommand) -> None:
    ended = agent.run("--bogus")
    assert "--bogus" in ended.stderr
    assert "--help" in ended.stderr


def test_the_real_program_starts_quickly(agent: AgentCommand) -> None:
    """The aim is 0.3 s on an idle machine; CPU time is what a busy one can still measure.

    A slow one gets as much more as it takes for a dozen modules of the standard library, which
    are 0.08 s where the aim was set.
    """
    library = "argparse, asyncio, email.message, http.client, json, logging.config, ssl, tempfile"
    words = [sys.executable, "-c", f"import {library}, urllib.request, xml.dom.minidom"]
    used, usual = [], []
    for _ in range(5):
        before = cpu_seconds_of_children()
        assert agent.run_program("--version").status == 0
        between = cpu_seconds_of_children()
        subprocess.run(words, env=agent.environment(), check=True)
        used.append(between - before)
        usual.append(cpu_seconds_of_children() - between)
    assert min(used) < max(0.4, 5 * min(usual))


def cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["--action", "info", "--storage", "local", "-C", "x"]]
)
def test_costly_libraries_are_not_imported(agent: AgentCommand, words: list[str]) -> None:
    code = (
        "import sys; from freezer_agent.cli import main; main(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "--log-file", str(agent.log), *words],
        env=agent.environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    # oslo.config itself looks for the empty package oslo_log; what costs is inside.
    heavy = {
        "oslo_log.log",
        "oslo_log.formatters",
        "cryptography",
        "keystoneauth1",
        "isal",
        "backports.zstd",
        "botocore",
        "prettytable",
    }
    assert heavy.isdisjoint(ended.stderr.split())


def test_a_report_has_every_documented_key(agent: AgentCommand, source: Path) -> None:
    documented = """
        curr_backup_level fs_real_path vol_snap_path client_os client_version time_stamp action
        always_level backup_media backup_name container container_segments dry_run hostname
        path_to_backup max_level log_file storage mode proxy compression ssh_key ssh_username
        ssh_host ssh_port consistency_checksum cindernative_backup_az
        cindernative_backup_container cindernative_vol_id nova_inst_id cinder_vol_id
        cinderbrick_vol_id glance_image_id engine_name backup_size_compressed
        backup_size_uncompressed total_fs_files total_directories total_broken_links broken_links
        encrypted cli version level excluded_files
    """
    report = agent.backup(source, "--max-level", "1", "--exclude", "x")
    assert set(documented.split()) <= set(report)
    assert report["always_level"] == ""
    assert report["max_level"] == 1
    assert report["exit_code"] == 0
    # These are there when they have a value, and only then.
    assert not {"backup_id", "cinder_backup_id", "status"} & set(report)
    assert report["total_fs_files"] == 1
    (folder,) = agent.container.glob("metadata/tar/*/*/0_*")
    assert folder.name == f"0_{report['time_stamp']}"
    (data,) = agent.container.glob("data/tar/*/*/0_*/data")
    assert data.stat().st_size == report["backup_size_compressed"]
    assert "--exclude=x" in report["cli"]


def test_an_output_that_is_closed_is_no_failure(agent: AgentCommand) -> None:
    """As in `freezer-agent --help | head`, and in services that are started without any."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "freezer_agent"]
    with os.fdopen(writing, "w") as pipe:
        ended = subprocess.run(
            [*words, "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env=agent.environment(),
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, b"")
    listing = [*words, "--action", "list", *agent.storage, "--log-file", str(agent.log)]
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *listing],
        stderr=subprocess.PIPE,
        env=agent.environment(),
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_a_start_in_a_removed_directory_is_told(agent: AgentCommand) -> None:
    gone = agent.folder / "gone"
    gone.mkdir()
    script = 'rmdir ../gone && exec "$@"'
    words = [sys.executable, "-m", "freezer_agent", "--action", "exec", "--command", "true"]
    ended = subprocess.run(
        ["sh", "-c", script, "sh", *words],
        cwd=gone,
        capture_output=True,
        env=agent.environment(),
        check=False,
    )
    assert ended.returncode == 1
    assert b"was removed: change into another one" in ended.stderr


def test_a_target_that_cannot_be_made_is_told(agent: AgentCommand, source: Path) -> None:
    agent.backup(source)
    ended = agent.restore(Path("/proc/nothing"))
    assert ended.status == 1
    assert "'/proc/nothing' to restore into cannot be made" in ended.stderr
    assert "Nothing was written." in ended.stderr


def test_what_is_left_out_is_counted(agent: AgentCommand, source: Path) -> None:
    for name in ("a.log", "sub/b.log", "sub/c", "skipped/d", "skipped/e.log"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).touch()
    report = agent.backup(source, "--exclude", "*.log", "--exclude", "skipped")
    assert report["excluded_files"] == 3
    assert report["total_fs_files"] == 2
    assert agent.backup(source)["excluded_files"] == 0


def test_a_given_id_is_repeated(agent: AgentCommand, source: Path) -> None:
    assert agent.backup(source, "--backup-id", "x")["backup_id"] == "x"


def test_programs_read_the_cause_of_a_failure(agent: AgentCommand, tmp_path: Path) -> None:
    words = ["--action", "restore", *agent.storage, "-N", "none"]
    ended = agent.run(*words, "--restore-abs-path", tmp_path / "x", "--metadata-out", "-")
    assert ended.status == ended.report["exit_code"] == 1
    assert ended.report["error_class"] == "NoBackupBefore"
    assert ended.report["failed_action"] == "restore"
    assert ended.report["error"] in ended.stderr
    assert "action" not in ended.report
    ended = agent.run(*words, "--json")
    assert ended.report["error_class"] == "RequestInvalid"
    assert agent.run(*words).stdout == ""


def test_a_report_is_json_without_a_newline(agent: AgentCommand, source: Path) -> None:
    ended = agent.run(*agent.storage, "-F", source, "--nosync", "--metadata-out", "-")
    assert json.loads(ended.stdout)
    assert not ended.stdout.endswith("\n")


def test_a_table_is_for_people(agent: AgentCommand, source: Path) -> None:
    ended = agent.run(*agent.storage, "-F", source, "--nosync")
    assert "| Property" in ended.stdout
    assert "curr backup level" in ended.stdout


def test_a_report_that_cannot_be_written_is_an_error(agent: AgentCommand, source: Path) -> None:
    words = [*agent.storage, "-F", source, "--nosync", "--metadata-out"]
    ended = agent.run(*words, "/dev/full")
    assert ended.status == 1
    assert "the action is done, but its report" in ended.stderr
    ended = agent.run(*words, source, "-N", "never made")
    assert ended.status == 1
    assert "cannot be written by this user" in ended.stderr
    ended = agent.run(*words, "/dev/null/x", "-N", "never made")
    assert ended.status == 1
    assert "no such directory" in ended.stderr
    assert len(agent.listed()) == 1


def test_secrets_are_in_no_output(agent: AgentCommand, source: Path) -> None:
    words = ["--ssh-password", "geheim", "--secret-key", "geheim", "--debug"]
    ended = agent.run(*agent.storage, "-F", source, "--nosync", "--metadata-out", "-", *words)
    assert ended.status == 0
    assert "geheim" not in ended.stdout + ended.stderr + agent.log.read_text()


def test_what_was_excluded_is_stored_when_it_is_so_no_more(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    (source / "kept.log").write_text("unchanged since")

    def level(*words: str) -> int:
        return int(agent.backup(source, "--max-level", "9", *words)["level"])

    assert level("--exclude", "*.log") == 0
    assert level("--exclude", "*.log", "--exclude", "*.tmp") == 1
    assert level("--exclude", "*.tmp") == 0
    assert level("--exclude", "*.tmp") == 1
    agent.restore(tmp_path / "out")
    assert (tmp_path / "out/kept.log").read_text() == "unchanged since"
    assert level("--exclude", "*.tmp", "--dereference-symlink", "soft") == 0
    assert level("--exclude", "*.tmp", "--dereference-symlink", "soft") == 1


def test_old_chains_are_removed_as_a_whole(agent: AgentCommand, source: Path) -> None:
    agent.backup(source, "--max-level", "1")
    agent.backup(source, "--max-level", "1")
    age(agent, 10 * 86400)
    agent.backup(source)
    words = ["--action", "admin", *agent.storage, "-N", "name", "-R", "5", "--metadata-out", "-"]
    dry = agent.run(*words, "--dry-run")
    assert len(dry.report["removed_backups"]) == 2
    assert len(agent.listed()) == 3
    ended = agent.run(*words)
    assert ended.status == 0, ended.stderr
    assert ended.report["removed_backups"] == dry.report["removed_backups"]
    assert [one["level"] for one in agent.listed()] == [0]
    assert len(list((agent.container / "data" / "tar").glob("*/*"))) == 1


def test_the_last_chain_stays_unless_forced(agent: AgentCommand, source: Path) -> None:
    agent.backup(source)
    words = ["--action", "admin", *agent.storage, "-N", "name", "-R", "0"]
    age(agent, 100)
    ended = agent.run(*words)
    assert "the last backup that can be restored" in ended.stdout
    assert len(agent.listed()) == 1
    assert agent.run(*words, "--force").status == 0
    assert agent.listed() == []
    assert [path for path in agent.container.rglob("*") if path.is_file()] == []


def test_keep_rules_tell_before_they_remove(agent: AgentCommand, source: Path) -> None:
    for _ in range(3):
        agent.backup(source, "--max-level", "1")
        age(agent, 86400)
    words = ["--action", "admin", *agent.storage, "-N", "name", "--keep-daily", "1"]
    dry = agent.run(*words, "--dry-run")
    assert [line.split()[1] for line in dry.stdout.splitlines()[3:-1]] == ["remove"] * 2 + ["keep"]
    assert "no more of the last 1 days" in dry.stdout
    assert "days 1 of 1" in dry.stdout
    as_json = agent.run(*words, "--dry-run", "--json").report
    assert [one["removed"] for one in as_json["backups"]] == [True, True, False]
    assert len(agent.listed()) == 3
    assert agent.run(*words).status == 0
    assert [one["level"] for one in agent.listed()] == [0]
    dry = agent.run(*words, "--keep-within", "soon")
    assert dry.status == 1
    assert "length of time" in dry.stderr


@pytest.mark.parametrize("action", ["backup", "restore"])
def test_backup_and_restore_remove_too_and_tell(
    agent: AgentCommand, source: Path, action: str
) -> None:
    for _ in range(3):
        agent.backup(source)
    if action == "backup":
        report = agent.backup(source, "--keep-last", "2")
    else:
        words = ("--keep-last", "2", "--metadata-out", "-")
        report = agent.restore(agent.folder / "out", *words).report
    assert len(agent.listed()) == 2
    assert len(report["removed_backups"]) == (2 if action == "backup" else 1)
    assert report["retention"][-1].startswith("keep ")


def test_a_backup_never_removes_what_it_made(agent: AgentCommand, source: Path) -> None:
    report = agent.backup(source, "--remove-older-than", "0")
    assert report["removed_backups"] == []
    age(agent, 100)
    report = agent.backup(source, "--remove-older-than", "0", "--force")
    assert len(report["removed_backups"]) == 1
    assert len(agent.listed()) == 1


def test_admin_removes_what_dead_runs_left(agent: AgentCommand, source: Path) -> None:
    agent.backup(source)
    age(agent, 30 * 86400)
    (metadata,) = agent.container.glob("metadata/tar/*/*/*/metadata")
    metadata.unlink()
    agent.backup(source)
    words = ["--action", "admin", *agent.storage, "-N", "name", "-R", "100", "--metadata-out", "-"]
    assert len(agent.run(*words, "--dry-run").report["removed_orphans"]) == 1
    assert len(agent.run(*words).report["removed_orphans"]) == 1
    assert agent.run(*words).report["removed_orphans"] == []
    assert agent.restore(agent.folder / "out").status == 0


def test_info_shows_the_container_and_the_backups_in_it(agent: AgentCommand, source: Path) -> None:
    agent.backup(source)
    agent.backup(source, "--hostname", "other")
    ended = agent.run("--action", "info", *agent.storage)
    assert "| Container" in ended.stdout
    assert "Object Count" in ended.stdout
    ended = agent.run("--action", "info", *agent.storage, "-l")
    assert "other" in ended.stdout
    assert "name" in ended.stdout
    (first, second) = agent.listed()
    assert {first["hostname"], second["hostname"]} >= {"other"}
    assert first["size"] > 0


def test_info_on_nothing_is_empty(agent: AgentCommand) -> None:
    assert agent.listed() == []
    assert agent.run("--action", "info", *agent.storage).status == 0
    assert not agent.container.exists()


def test_exec_runs_a_pipeline(agent: AgentCommand, tmp_path: Path) -> None:
    out = tmp_path / "out file"
    command = f"printf 'b\\na\\n' | sort | tee {shlex.quote(str(out))}"
    ended = agent.run("--action", "exec", "--command", command)
    assert (ended.status, ended.stdout) == (0, "")
    assert out.read_text() == "a\nb\n"
    assert "stdout: a" in agent.log.read_text()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sh -c 'echo out; echo bad >&2; exit 3'", "exit status 3: bad"),
        ("sh -c 'exit 3' | cat", "exit status 3"),
        ("does-not-exist-anywhere", "cannot be started"),
        ("true | does-not-exist-anywhere", "cannot be started"),
        ("sh -c 'kill -9 $$'", "signal 9"),
    ],
)
def test_a_command_that_fails(agent: AgentCommand, command: str, told: str) -> None:
    ended = agent.run("--action", "exec", "--command", command)
    assert ended.status == 1
    assert told in ended.stderr


def test_a_reader_that_stops_early_is_no_failure(agent: AgentCommand) -> None:
    assert agent.run("--action", "exec", "--command", "yes | head -n 1").status == 0


def test_a_command_that_takes_too_long_is_ended(agent: AgentCommand) -> None:
    # By these words they are found: a busy machine may not let them tell anything in a second.
    sleep = f"sleep 600.{secrets.randbelow(10**12):012}"
    command = f"sh -c '{sleep} & {sleep}'"
    began = time.monotonic()
    ended = agent.run("--action", "exec", "--command", command, "--timeout", "1")
    assert time.monotonic() - began < 240
    assert ended.status == 1
    assert "more than 1 seconds" in ended.stderr
    deadline = time.monotonic() + 60
    while left := running_with(sleep.partition(" ")[2]):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def running_with(word: str) -> list[psutil.Process]:
    """The processes that have the word in their command line, which one that has ended has not."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word in argument for argument in process.info["cmdline"] or ())
    ]


def test_much_output_is_bounded(agent: AgentCommand) -> None:
    line = "x" * 200
    command = f"sh -c 'yes {line} | head -c 3000000; echo end; yes e | head -c 99000 >&2'"
    words = ["--action", "exec", "--command", command, "--metadata-out", "-"]
    report = agent.run(*words).report
    assert len(report["stdout"]) <= 65536
    assert report["stdout"].endswith("end\n")
    assert report["exit_codes"] == [0]


def test_words_for_a_shell_are_told_of(agent: AgentCommand, tmp_path: Path) -> None:
    ended = agent.run("--action", "exec", "--command", "echo one; exit 3")
    assert ended.status == 0
    assert "warning: 'one;' is only an argument here: no shell runs the command" in ended.stderr
    ended = agent.run("--action", "exec", "--command", f"find {tmp_path} -exec echo {{}} ;")
    assert (ended.status, ended.stderr) == (0, "")


def test_the_program_false_can_be_run_from_a_job_file(agent: AgentCommand) -> None:
    job = agent.folder / "job"
    job.write_text("[action]\naction = exec\ncommand = false\n")
    ended = agent.run("--config", str(job))
    assert (ended.status, ended.stderr) == (1, "Critical Error: false ended with exit status 1\n")


def test_a_dry_exec_starts_nothing(agent: AgentCommand, tmp_path: Path) -> None:
    command = f"touch {tmp_path}/x"
    assert agent.run("--action", "exec", "--command", command, "--dry-run").status == 0
    assert not (tmp_path / "x").exists()


def test_a_job_file_as_the_scheduler_writes_it(agent: AgentCommand, source: Path) -> None:
    job = agent.folder / "job"
    job.write_text(
        f"[action]\naction = backup\nstorage = local\ncontainer = {agent.container}\n"
        f"path_to_backup = {source}\nbackup_name = name\nmax_level = 2\nsync = False\n"
        f"log_file = {agent.log}\nengine_name = tar\nlist_objects = x\n",
    )
    process = subprocess.run(
        [sys.executable, "-m", "freezer_agent", "--metadata-out", "-", "--config", str(job)],
        env=agent.environment(),
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    assert json.loads(process.stdout)["backup_name"] == "name"
    assert b"list_objects" in process.stderr


def test_the_progress_line_is_for_terminals_only(agent: AgentCommand, source: Path) -> None:
    words = [*agent.storage, "-F", str(source), "--dry-run"]
    assert agent.run(*words).stderr == ""
    part = os.urandom(1 << 20)
    with (source / "big").open("wb") as file:
        for _ in range(250):
            file.write(part)
    (agent.folder / "key").write_text("slows it down\n")
    (agent.folder / "key").chmod(0o600)
    words += ["--encrypt-pass-file", str(agent.folder / "key"), "--cipher", "aes-256-cfb"]
    shown = on_terminal(agent, words)
    assert "MiB/s" in shown
    assert shown.endswith(" \r")
    assert on_terminal(agent, [*words, "-q"]) == ""


def on_terminal(agent: AgentCommand, words: list[str]) -> str:
    master, slave = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "freezer_agent", "--log-file", str(agent.log), *words],
            env=agent.environment(),
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=slave,
        ) as process:
            os.close(slave)
            text = b""
            while True:
                try:
                    more = os.read(master, 65536)
                except OSError:
                    break
                if not more:
                    break
                text += more
            assert process.wait(timeout=60) == 0
    finally:
        os.close(master)
    return text.decode()


SEED_EXAMPLES = """
freezer-agent --path-to-backup /data/dir/to/backup --container c --backup-name my-backup-name
freezerc --file-to-backup /data/dir/to/backup --container c --backup-name my-backup-name
freezer-agent --action backup --mode fs --backup-name w --path-to-backup "C:\\\\p" --container c --log-file f
freezer-agent --lvm-srcvol /dev/mongo/mongolv --lvm-dirmount /d --lvm-volgroup mongo --path-to-backup /p --container c --exclude "*.lock" --mode mongo --backup-name mongod-ops2
freezer-agent --lvm-srcvol /dev/mysqlvg/mysqlvol --lvm-dirmount /d --lvm-volgroup mysqlvg --path-to-backup /p --mysql-conf /root/x --container c --mode mysql --backup-name mysql-ops002
freezer-agent --cinder-vol-id 3ad7a62f-217a-48cd-a861-43ec0a04a78b
freezer-agent --mysql-conf /root/x --container c --mode mysql --backup-name m --cinder-vol-id 3
freezer-agent --nova-inst-id 3ad7a62f-217a-48cd-a861-43ec0a04a78b
freezer-agent --path-to-backup /p --container /c --backup-name n --storage local
freezer-agent --action restore --restore-abs-path /p --container /c --backup-name n --storage local
freezer-agent --path-to-backup /p --container c --backup-name n --storage swift
freezer-agent --path-to-backup /p --container /c --backup-name n --storage ssh --ssh-username ubuntu --ssh-key ~/.ssh/id_rsa --ssh-host 8.8.8.8
freezer-agent --action restore --restore-abs-pat /p --container /c --backup-name n --storage ssh --ssh-username ubuntu --ssh-key k --ssh-host 8.8.8.8
freezer-agent --action restore --container c --backup-name adminui.git --hostname git --restore-abs-path / --restore-from-date "2014-05-23T23:23:23"
freezer-agent --action info
freezer-agent --action info --container freezer_testcontainer -l
freezer-agent --action admin --container freezer_dev-test --remove-older-then 1 --backup-name dev-test-01
freezer-agent --action restore --cinder-inst-id 3
freezer-agent --action restore --cindernative-vol-id 3
freezer-agent --action restore --nova-inst-id 3
freezer-agent --action backup -F /etc/ -C freezer --upload-limit 1k
freezer-agent --always-level 3 --restart-always-level 1 --remove-older-than 5 -C c -N n -F /p
freezerc -V
freezerc -s -q --max-priority --no-incremental --log-level all --os-auth-ver 2.0 --dereference-symlink hard
freezer-agent --snapshot True --max-priority True --no-incremental True --use-syslog --noverbose --log-format x
"""


@pytest.mark.parametrize("line", SEED_EXAMPLES.strip().splitlines())
def test_the_examples_of_both_readmes_are_understood(tmp_path: Path, line: str) -> None:
    words = shlex.split(line)[1:]
    assert gather(Parser("freezer-agent").parse(words), tmp_path)


def test_the_logging_choices(agent: AgentCommand, source: Path, tmp_path: Path) -> None:
    words = [*agent.storage, "-F", source, "--nosync"]
    main_log = tmp_path / "logs" / "run.log"
    assert agent.run(*words, "--log-dir", tmp_path / "logs", "--log-file", "run.log").status == 0
    assert " INFO " in main_log.read_text()
    noverbose = tmp_path / "none.log"
    assert agent.run(*words, "--log-file", noverbose, "--noverbose").status == 0
    assert noverbose.read_text() == ""
    as_json = tmp_path / "json.log"
    assert agent.run(*words, "--log-file", as_json, "--use-json", "--watch-log-file").status == 0
    assert json.loads(as_json.read_text().splitlines()[0])["message"]
    formatted = tmp_path / "format.log"
    given = ["--log-format", "<%(message)s>", "--log-date-format", "%Y"]
    assert agent.run(*words, "--log-file", formatted, *given).status == 0
    assert formatted.read_text().startswith("<backup ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--log-file", "/dev/null/x"], "--log-file"),
        (["--log-config-append", "missing"], "--log-config-append"),
        (["--use-syslog", "--syslog-log-facility", "nope"], "no facility"),
        (["--config", "/nowhere/job"], "job file"),
        (["--config-file", "/nowhere/conf"], "configuration"),
        (["--shell-completion", "fish"], "bash or zsh"),
    ],
)
def test_wrong_places_and_words(agent: AgentCommand, words: list[str], told: str) -> None:
    ended = agent.run(*words)
    assert ended.status == 1
    assert told in ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shell_completion(agent: AgentCommand, shell: str) -> None:
    ended = agent.run("--shell_completion", shell)
    assert ended.status == 0
    assert "--restore-abs-path" in ended.stdout
