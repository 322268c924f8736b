"""The command line of the scheduler: words to exit codes, output and signals."""

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from freezer_client.errors import ApiUnavailable
from freezer_scheduler import assembly, cli
from freezer_scheduler.commands import COMMANDS
from freezer_scheduler.conf import Settings, Surroundings, load
from freezer_scheduler.errors import AgentNotFound
from freezer_scheduler.pid_file import PidFile
from tests.fakes.scripted_api import ScriptedApi, reply

ROOT = Path(__file__).parents[3]
NOAUTH = {"OS_AUTH_TYPE": "none", "OS_BACKUP_URL": "http://api", "OS_PROJECT_ID": "p"}


@dataclass
class FakeScheduler:
    """Runs one step of the test in place of work, and notes what it is given."""

    step: Callable[[cli.SettledSignals], object] = lambda _: None
    settings: list[Settings] = field(default_factory=list)
    adopted: list[tuple[Any, float]] = field(default_factory=list)

    def run(self, signals: cli.SettledSignals) -> None:
        self.step(signals)

    def adopt(self, *, rules: Any, interval_seconds: float) -> None:
        self.adopted.append((rules, interval_seconds))


class Terminal:
    """Runs the program in this process, with an API by script and a fake scheduler."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.file = folder / "scheduler.conf"
        self.file.write_text("")
        self.api = ScriptedApi()
        self.scheduler = FakeScheduler()
        self.seen: list[Settings] = []
        self.environment: dict[str, str] = {}
        self.out = self.err = ""
        self._capsys = capsys

    def run(self, *words: str) -> int:
        code = cli.main(["--config-file", str(self.file), *words], self.parts())
        captured = self._capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        return code

    def parts(self) -> cli.Parts:
        around = Surroundings(
            environment=self.environment, start=self.folder, home=self.folder, is_root=False
        )
        return cli.Parts(
            around=around,
            client_from=self._client_from,
            scheduler_from=self._scheduler_from,
            rules_from=lambda settings: settings.disable_exec,
            pid_file=self.pid_file,
            host="host12",
        )

    def pid_file(self, client_id: str) -> PidFile:
        return PidFile(client_id, directory=self.folder / "run", old_directory=self.folder)

    def _client_from(self, settings: Settings) -> Any:
        self.seen.append(settings)
        _ = settings.credentials
        return self.api.freezer

    def _scheduler_from(self, settings: Settings) -> FakeScheduler:
        self.seen.append(settings)
        return self.scheduler


@pytest.fixture
def terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    monkeypatch.setenv("HOME", str(tmp_path))
    return Terminal(tmp_path, capsys)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 65, "ERROR No command."),
        (["dance"], 65, "ERROR There is no command 'dance'."),
        (["start", "stop"], 65, "ERROR There is no command 'start stop'."),
        (["start", "--no-such"], 2, "ERROR unknown option: --no-such. See"),
        (["status", "--os-user", "x"], 2, "ERROR ambiguous option: --os-user"),
        (["status", "-i"], 2, "ERROR argument --interval/-i: expected one argument"),
        (["start", "-i", "0"], 1, "ERROR wrong value for --interval"),
        (["start"], 1, "Set OS_AUTH_URL, OS_USERNAME, OS_PASSWORD"),
        (["job-list"], 1, "Set OS_AUTH_URL, OS_USERNAME, OS_PASSWORD"),
        (["job-list", "--no-api"], 1, "ERROR job-list asks the API: leave --no-api out"),
        (["start", "--no-api", "--no-daemon", "--log-file", "."], 1, "cannot be written"),
    ],
)
def test_what_cannot_be_done_ends_with_its_code(
    terminal: Terminal, words: list[str], code: int, said: str
) -> None:
    assert terminal.run(*words) == code
    assert said in terminal.err
    assert terminal.err.count("\n") == bool(said)
    assert ("usage:" in terminal.out) == (code == 65)


def test_no_word_at_all_gets_the_help(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([], terminal.parts()) == 65
    said = capsys.readouterr()
    assert "usage:" in said.out
    assert said.err == "ERROR No command.\n"


def test_the_help_names_every_command(terminal: Terminal) -> None:
    assert terminal.run("--help") == 0
    for name in (*COMMANDS, "start", "stop", "restart", "reload", "status"):
        assert re.search(rf"(?m)^  {name}  +\S.*\.$", terminal.out), name
    assert terminal.out.count("freezer-scheduler -") >= 3
    assert "ERROR" not in terminal.err


def test_the_codes_of_the_help_are_those_of_the_manual(terminal: Terminal) -> None:
    terminal.run("--help")
    shown = terminal.out.split("exit status:")[1]
    manual = (ROOT / "doc/source/exit-codes.rst").read_text().split("freezer-scheduler\n===")[1]
    manual = re.split(r"(?m)^\S+\n={5,}$", manual)[0]
    promised = re.findall(r"(?m)^   \* - (\d+)$", manual)
    assert sorted(re.findall(r"\b(\d+) [a-z]", shown)) == sorted(promised)


def test_the_version(terminal: Terminal) -> None:
    assert terminal.run("--version", "start") == 0
    assert re.fullmatch(r"\d[\w.+]*\n", terminal.out)


@pytest.mark.parametrize("word", ["status", "stop", "reload"])
def test_the_life_of_the_daemon_does_not_touch_the_api(terminal: Terminal, word: str) -> None:
    terminal.run(word)
    assert terminal.out == "Not Running\n"
    assert terminal.seen == []


@pytest.mark.parametrize("word", ["status", "stop", "reload"])
def test_asking_nobody_is_no_failure(terminal: Terminal, word: str) -> None:
    assert terminal.run(word) == 0


def test_status_tells_the_pid_of_the_client_that_is_meant(terminal: Terminal) -> None:
    with terminal.pid_file("n1"):
        assert terminal.run("status", "-c", "n1") == 0
        assert terminal.out == f"Running with pid: {os.getpid()}\n"
        terminal.run("status", "-c", "n2")
        assert terminal.out == "Not Running\n"


def test_the_foreground_runs_with_the_settings_and_holds_the_pid_file(terminal: Terminal) -> None:
    holders = []
    terminal.scheduler.step = lambda _: holders.append(terminal.pid_file("n1").holder())
    assert terminal.run("--no-daemon", "-c", "n1", "-n", "-i", "7", "start") == 0
    assert terminal.out == "Freezer Scheduler running in no-daemon mode\n"
    assert terminal.seen[0].interval_seconds == 7
    assert holders == [os.getpid()]
    assert terminal.pid_file("n1").holder() is None


def test_a_second_scheduler_of_a_client_does_not_start(terminal: Terminal) -> None:
    with terminal.pid_file("n1"):
        assert terminal.run("--no-daemon", "-c", "n1", "-n", "start") == 1
    assert f"pid {os.getpid()}" in terminal.err
    assert terminal.seen == []


def test_remarks_are_told(terminal: Terminal) -> None:
    terminal.run("--no-daemon", "-n", "--enable-v1-api", "start")
    assert "WARNING --enable-v1-api has no effect" in terminal.err
    terminal.environment = NOAUTH
    terminal.api.answers(reply(200, {"clients": []}))
    terminal.run("client-list", "--enable-v1-api")
    assert terminal.err == "warning: --enable-v1-api has no effect: v2 of the API is spoken\n"


def failing(error: Exception) -> Callable[[object], NoReturn]:
    def step(_: object) -> NoReturn:
        raise error

    return step


def test_a_scheduler_that_fails_says_why_once(terminal: Terminal) -> None:
    terminal.scheduler.step = failing(AgentNotFound("freezer-agent"))
    assert terminal.run("--no-daemon", "-n", "start") == 1
    assert terminal.err.count("freezer-agent was not found") == 1


def test_a_scheduler_is_not_put_together_without_an_agent(tmp_path: Path) -> None:
    around = Surroundings(environment={}, start=tmp_path, home=tmp_path, is_root=False)
    (tmp_path / "s.conf").touch()
    words = ["--config-file", "s.conf", "-n", "--agent", str(tmp_path / "no-agent"), "start"]
    with pytest.raises(AgentNotFound, match="no-agent was not found"):
        assembly.scheduler_from(load(words, around)[1])


def test_an_unexpected_error_is_told_with_its_origin(terminal: Terminal) -> None:
    terminal.scheduler.step = failing(ZeroDivisionError("oops"))
    assert terminal.run("--no-daemon", "-n", "start") == 70
    assert "Traceback" in terminal.err
    assert terminal.err.endswith("ERROR unexpected ZeroDivisionError: oops\n")


def test_interrupted_twice(terminal: Terminal) -> None:
    terminal.scheduler.step = failing_with_interrupt
    assert terminal.run("--no-daemon", "-n", "start") == 130


def failing_with_interrupt(_: object) -> NoReturn:
    raise KeyboardInterrupt


def test_a_reload_gives_the_scheduler_todays_settings(terminal: Terminal) -> None:
    def step(signals: cli.SettledSignals) -> None:
        assert not signals.take_reload()
        for interval in ("9", "soon", "10"):
            text = f"[scheduler]\ninterval = {interval}\ndisable_exec = true\n"
            terminal.file.write_text(text)
            os.kill(os.getpid(), 1)
            signals.wait(10)
            assert signals.take_reload()
        assert not signals.is_stopping()

    terminal.scheduler.step = step
    assert terminal.run("--no-daemon", "-n", "start") == 0
    assert terminal.scheduler.adopted == [(True, 9), (True, 10)]
    assert "ERROR The settings stay as they were: wrong value for [scheduler] interval" in (
        terminal.err
    )


def test_a_command_asks_as_the_client_of_project_and_host(terminal: Terminal) -> None:
    terminal.environment = NOAUTH
    terminal.api.answers(reply(200, {"jobs": []}))
    assert terminal.run("job-list") == 0
    assert terminal.api.asked[0].body == {"match": [{"client_id": "p_host12"}]}
    assert "job_id" in terminal.out
    assert terminal.err == ""


def test_a_command_gets_its_options(terminal: Terminal) -> None:
    terminal.environment = NOAUTH
    jobs = [{"job_id": "J", "client_id": "n1", "job_schedule": {}}]
    terminal.api.answers(reply(200, {"jobs": jobs}))
    assert terminal.run("-c", "n1", "job-list", "-a", "--json") == 0
    assert terminal.api.asked[0].body == {
        "match": [{"client_id": "n1"}],
        "match_not": [{"status": "completed"}],
    }
    assert json.loads(terminal.out) == jobs


def test_what_is_missing_is_said_before_anybody_is_asked(terminal: Terminal) -> None:
    terminal.environment = NOAUTH
    terminal.api.session.project_id = failing(AssertionError())  # type: ignore[method-assign, assignment]  # nobody may ask
    assert terminal.run("job-get") == 70
    assert terminal.err == "ERROR Parameter --job required\n"


@pytest.mark.parametrize(("word", "code"), [("job-list", 70), ("register", 73)])
def test_an_api_that_is_away_is_told_in_a_line(terminal: Terminal, word: str, code: int) -> None:
    terminal.environment = NOAUTH
    terminal.api.session.answers = [ApiUnavailable("asking", "it is away", may_pass=False)]
    assert terminal.run("-c", "n1", word) == code
    assert "it is away" in terminal.err
    assert terminal.err.count("\n") == 1


def test_register_sends_what_the_node_is(terminal: Terminal) -> None:
    terminal.environment = NOAUTH
    terminal.api.answers(reply(404), reply(201, {"client_id": "n1"}))
    assert terminal.run("-c", "n1", "--supported-actions", "backup,info", "register") == 0
    sent = terminal.api.asked[-1].body
    assert (sent["client_id"], sent["hostname"], sent["is_central"]) == ("n1", "host12", False)
    assert sent["supported_actions"] == ["backup", "info"]


PROGRAM = """
import sys
from pathlib import Path
from freezer_scheduler import cli
from freezer_scheduler.conf import Surroundings
from freezer_scheduler.errors import AgentNotFound
from freezer_scheduler.pid_file import PidFile

folder = Path(sys.argv[1])

class Scheduler:
    def run(self, signals):
        if (folder / "broken").exists():
            raise ZeroDivisionError("oops")
        while not signals.is_stopping():
            signals.wait(60)

def scheduler_from(settings):
    if (folder / "no-agent").exists():
        raise AgentNotFound("freezer-agent")
    return Scheduler()

parts = cli.Parts(
    around=Surroundings(environment={}, start=folder, home=folder, is_root=False),
    client_from=lambda settings: None,
    scheduler_from=scheduler_from,
    rules_from=lambda settings: None,
    pid_file=lambda name: PidFile(name, directory=folder / "run", old_directory=folder),
    host="host12",
)
sys.exit(cli.main(["--config-file", str(folder / "s.conf"), *sys.argv[2:]], parts))
"""


class Shell:
    """Runs the program in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "daemon.log"
        (folder / "s.conf").write_text(f"[DEFAULT]\nlog_file = {self.log}\n")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(self.folder), *words],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "HOME": str(self.folder)},
            timeout=120,
            check=False,
        )

    def pid(self) -> str:
        return self.run("status").stdout.strip().rpartition(" ")[2]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.run("stop")


def test_a_daemon_starts_restarts_and_stops(shell: Shell) -> None:
    started = shell.run("-n", "start")
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    first = shell.pid()
    assert first.isdigit()
    assert stat.S_IMODE(shell.log.stat().st_mode) == 0o600
    again = shell.run("-n", "start")
    assert again.returncode == 1
    assert f"pid {first}" in again.stderr
    assert shell.run("reload").returncode == 0
    assert shell.run("-n", "restart").returncode == 0
    second = shell.pid()
    assert second.isdigit()
    assert second != first
    stopped = shell.run("stop")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert shell.run("status").stdout == "Not Running\n"


def test_one_directory_has_one_scheduler_without_the_api(shell: Shell) -> None:
    jobs = shell.folder / "jobs"
    jobs.mkdir()
    assert shell.run("-n", "-f", str(jobs), "start").returncode == 0
    other = shell.run("-n", "-f", str(jobs), "-c", "other", "start")
    assert other.returncode == 1
    assert other.stderr.startswith(f"ERROR Another scheduler runs the jobs of {jobs} already.")
    assert shell.run("-n", "-f", str(jobs), "restart").returncode == 0


def test_a_daemon_that_cannot_start_tells_its_starter_and_the_log(shell: Shell) -> None:
    (shell.folder / "no-agent").touch()
    started = shell.run("-n", "start")
    assert started.returncode == 1
    assert started.stderr.startswith("ERROR The agent program freezer-agent was not found")
    assert "was not found" in shell.log.read_text()
    assert shell.run("status").stdout == "Not Running\n"


def test_a_daemon_that_breaks_later_leaves_the_reason_in_the_log(shell: Shell) -> None:
    (shell.folder / "broken").touch()
    assert shell.run("-n", "start").returncode == 0
    deadline = time.monotonic() + 60
    while shell.run("status").stdout != "Not Running\n":
        assert time.monotonic() < deadline
    assert "ZeroDivisionError: oops" in shell.log.read_text()


@pytest.mark.parametrize(("words", "hints"), [([], 1), (["--json"], 0)])
def test_a_person_at_a_terminal_gets_a_hint_and_a_program_does_not(
    words: list[str], hints: int, tmp_path: Path
) -> None:
    reading, writing = os.openpty()
    process = subprocess.run(
        [sys.executable, "-m", "freezer_scheduler", "job-get", *words],
        stdout=subprocess.PIPE,
        stderr=writing,
        cwd=ROOT,
        env={**os.environ, **NOAUTH, "HOME": str(tmp_path)},
        timeout=120,
        check=False,
    )
    os.close(writing)
    said = b""
    with contextlib.suppress(OSError):  # EIO is the end of a terminal.
        while piece := os.read(reading, 4096):
            said += piece
    os.close(reading)
    assert (process.returncode, process.stdout) == (70, b"")
    assert said.count(b"hint: ") == hints
    assert said.endswith(b"ERROR Parameter --job required\r\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "freezer_scheduler", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, b"")


def test_status_loads_nothing_that_asks_an_api(tmp_path: Path) -> None:
    code = (
        "import sys; from freezer_scheduler.cli import main; main(['status', '-c', 'nobody9']);"
        "heavy = {'freezer_client', 'keystoneauth1', 'requests', 'apscheduler', 'oslo_log.log'};"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
        check=False,
    )
    assert (shown.stdout, shown.stderr, shown.returncode) == ("Not Running\n", "", 0)
