"""Pid files, the background and signals, with real processes and real locks."""

import ast
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import freezer_scheduler
from freezer_scheduler import pid_file as pid_file_module
from freezer_scheduler.daemon import PidFile, Signals, signal_running, stopping
from freezer_scheduler.errors import AlreadyRunning, DaemonFailed, NotRunning
from freezer_scheduler.pid_file import runtime_directory

REPOSITORY = Path(freezer_scheduler.__file__).parents[1]
PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
from freezer_scheduler.daemon import *
from freezer_scheduler.errors import *
signal.alarm(120)
pid_file = PidFile(directory=Path(sys.argv[1]), old_directory=Path(sys.argv[1]))
"""
HOLD = "pid_file.acquire(); print('held', flush=True); time.sleep(120)"
HOLD_UNTIL_TOLD = """
with pid_file, stopping() as signals:
    print('held', flush=True)
    while not signals.is_stopping():
        signals.wait(60)
        if signals.take_reload():
            print('reloaded', flush=True)
print('released', flush=True)
"""
HOLD_AGAINST_TERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + HOLD
DAEMON = """
pid_file.acquire()
readiness = daemonize()
pid_file.write_pid()
with stopping() as signals:
    Path(sys.argv[1], 'facts').write_text(repr((os.getcwd(), os.getsid(0) == os.getpid(),
        os.getppid(), [os.readlink(f'/proc/self/fd/{n}') for n in range(3)])))
    readiness.ready()
    while not signals.is_stopping():
        signals.wait(60)
pid_file.release()
"""
DAEMON_THAT_REFUSES = "daemonize().failed('the disk is made of cheese'); sys.exit(3)"
DAEMON_THAT_DIES = "daemonize(); os._exit(9)"

LONG = 60
"""Seconds that no wait takes which was interrupted."""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(script: str, program: str | None = None) -> subprocess.Popen[str]:
        code = PREAMBLE + script
        command = [sys.executable, "-c", code]
        if program is not None:
            Path(tmp_path, program).write_text(code)
            command = [sys.executable, str(tmp_path / program)]
        process = subprocess.Popen(
            [*command, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[PidFile]:
    one = PidFile(directory=tmp_path, old_directory=tmp_path)
    yield one
    one.release()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_file_is_private_and_holds_the_pid(pid_file: PidFile) -> None:
    before = os.umask(0)
    try:
        pid_file.acquire()
    finally:
        os.umask(before)
    assert stat.S_IMODE(pid_file.path.stat().st_mode) == 0o600
    assert int(pid_file.path.read_text()) == os.getpid()
    assert pid_file.holder() == os.getpid()


def test_the_directory_is_made_private(tmp_path: Path) -> None:
    with PidFile(directory=tmp_path / "run", old_directory=tmp_path) as one:
        assert stat.S_IMODE(one.path.parent.stat().st_mode) == 0o700


def test_a_directory_that_others_may_write_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with PidFile(directory=tmp_path, old_directory=tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_release_removes_the_file_and_may_be_repeated(pid_file: PidFile) -> None:
    pid_file.acquire()
    pid_file.release()
    assert not pid_file.path.exists()
    assert pid_file.holder() is None
    pid_file.release()


def test_nobody_holds_a_file_that_is_not_there(pid_file: PidFile) -> None:
    assert pid_file.holder() is None


def test_a_second_scheduler_is_refused_with_the_pid_of_the_first(
    start: Start, pid_file: PidFile
) -> None:
    first = start(HOLD)
    assert said(first) == "held"
    assert pid_file.holder() == first.pid
    with pytest.raises(AlreadyRunning, match=f"pid {first.pid}") as refused:
        pid_file.acquire()
    assert refused.value.pid == first.pid
    assert int(pid_file.path.read_text()) == first.pid


def test_the_lock_goes_with_a_killed_process(start: Start, pid_file: PidFile) -> None:
    first = start(HOLD)
    assert said(first) == "held"
    first.kill()
    first.wait()
    assert pid_file.path.exists()
    assert pid_file.holder() is None
    pid_file.acquire()
    assert int(pid_file.path.read_text()) == os.getpid()


def test_a_number_without_a_lock_is_not_believed(pid_file: PidFile) -> None:
    pid_file.path.write_text(f"{os.getppid()}\n")
    assert pid_file.holder() is None
    with pytest.raises(NotRunning):
        signal_running(pid_file, signal.SIGTERM)


@pytest.mark.parametrize("content", ["", "0", "1", "-1", "99999999999", "4 2", "x"])
def test_a_lock_with_a_number_that_is_no_process_is_signalled_to_nobody(
    start: Start, pid_file: PidFile, content: str
) -> None:
    first = start(HOLD)
    assert said(first) == "held"
    pid_file.path.write_text(content)
    with pytest.raises(DaemonFailed, match="has not left its pid"):
        signal_running(pid_file, signal.SIGTERM)


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path, pid_file: PidFile) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    pid_file.path.symlink_to(victim)
    with pytest.raises(DaemonFailed, match=r"freezer-scheduler\.pid"):
        pid_file.acquire()
    with pytest.raises(DaemonFailed, match=r"freezer-scheduler\.pid"):
        pid_file.holder()
    assert victim.read_text() == "precious"


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = PidFile(directory=tmp_path / "file" / "run", old_directory=tmp_path)
    with pytest.raises(DaemonFailed, match="cannot be written"):
        one.acquire()


def test_a_full_disk_is_an_error_and_leaves_nothing(
    pid_file: PidFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(DaemonFailed, match="No space left"):
            pid_file.acquire()
    assert not pid_file.path.exists()
    pid_file.acquire()


def test_only_the_holder_writes_its_pid(pid_file: PidFile) -> None:
    with pytest.raises(DaemonFailed, match="not ours"):
        pid_file.write_pid()


def test_looking_at_the_file_again_and_again_keeps_nobody_from_taking_it(
    tmp_path: Path, pid_file: PidFile
) -> None:
    other = PidFile(directory=tmp_path, old_directory=tmp_path)
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.001):
            other.holder()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(25):
            pid_file.acquire()
            pid_file.release()
    finally:
        done.set()
        thread.join()


def test_a_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(DaemonFailed, match="another user"):
        PidFile(directory=tmp_path, old_directory=tmp_path).acquire()


def test_clients_have_files_of_their_own(tmp_path: Path) -> None:
    ids = ["", "a", "b", "project_node", "../../etc/x", "a/b", "a_b", "ä", "n" * 300, "n" * 301]
    files = [PidFile(one, directory=tmp_path, old_directory=tmp_path) for one in ids]
    assert {file.path.parent for file in files} == {tmp_path}
    assert len({file.path for file in files}) == len(ids)
    for file in files:
        file.acquire()
    for file in files:
        file.release()
    assert list(tmp_path.iterdir()) == []


def test_the_client_id_can_be_read_from_the_name(tmp_path: Path) -> None:
    one = PidFile("tenant_node.example", directory=tmp_path)
    assert one.path.name == "freezer-scheduler-tenant_node.example.pid"


def test_where_the_file_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert runtime_directory({}) == Path("/run/freezer")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert runtime_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "freezer"
    gone = str(tmp_path / "gone")
    assert runtime_directory({"XDG_RUNTIME_DIR": gone}) == tmp_path / ".freezer"
    assert runtime_directory({}) == tmp_path / ".freezer"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(pid_file_module, "_home", lambda: None)
    with pytest.raises(DaemonFailed, match="XDG_RUNTIME_DIR"):
        runtime_directory({})


class TestSchedulersOfEarlierReleases:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        return tmp_path / f"freezer_sched_{Path.home().name}.pid"

    def write(self, old: Path, pid: int, mode: int = 0o644) -> None:
        old.write_text(f"{pid}\n")
        old.chmod(mode)

    def test_one_that_lives_counts(self, start: Start, pid_file: PidFile, old: Path) -> None:
        process = start("print('up', flush=True); time.sleep(120)", program="freezer-scheduler")
        assert said(process) == "up"
        self.write(old, process.pid)
        assert pid_file.holder() == process.pid
        with pytest.raises(AlreadyRunning):
            pid_file.acquire()

    @pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
    def test_a_file_that_others_may_write_proves_nothing(
        self, start: Start, pid_file: PidFile, old: Path, mode: int
    ) -> None:
        process = start("print('up', flush=True); time.sleep(120)", program="freezer-scheduler")
        assert said(process) == "up"
        self.write(old, process.pid, mode)
        assert pid_file.holder() is None

    def test_another_program_under_the_number_does_not_count(
        self, start: Start, pid_file: PidFile, old: Path
    ) -> None:
        process = start("print('up', flush=True); time.sleep(120)")
        assert said(process) == "up"
        self.write(old, process.pid)
        assert pid_file.holder() is None
        pid_file.acquire()

    def test_a_file_of_another_user_proves_nothing(
        self, start: Start, pid_file: PidFile, old: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process = start("print('up', flush=True); time.sleep(120)", program="freezer-scheduler")
        assert said(process) == "up"
        self.write(old, process.pid)
        monkeypatch.setattr(os, "geteuid", lambda: old.stat().st_uid + 1)
        assert pid_file.holder() is None

    def test_a_pipe_in_its_place_does_not_block(self, pid_file: PidFile, old: Path) -> None:
        os.mkfifo(old, 0o600)
        assert pid_file.holder() is None

    def test_rubbish_and_dead_numbers_do_not_count(self, pid_file: PidFile, old: Path) -> None:
        old.write_text("not a number")
        old.chmod(0o600)
        assert pid_file.holder() is None


def test_stop_waits_until_the_lock_is_free(start: Start, pid_file: PidFile) -> None:
    process = start(HOLD_UNTIL_TOLD)
    assert said(process) == "held"
    assert signal_running(pid_file, signal.SIGTERM, timeout_seconds=60) == process.pid
    assert pid_file.holder() is None
    assert said(process) == "released"
    assert process.wait(60) == 0
    with pytest.raises(NotRunning):
        signal_running(pid_file, signal.SIGTERM, timeout_seconds=60)


def test_one_that_does_not_stop_is_reported(start: Start, pid_file: PidFile) -> None:
    process = start(HOLD_AGAINST_TERM)
    assert said(process) == "held"
    slept: list[float] = []
    with pytest.raises(DaemonFailed, match=f"kill -9 {process.pid}"):
        signal_running(
            pid_file,
            signal.SIGTERM,
            timeout_seconds=30,
            sleep=slept.append,
            monotonic=lambda: 10.0 * len(slept),
        )
    assert len(slept) == 3


def test_reload_reaches_the_one_that_runs(start: Start, pid_file: PidFile) -> None:
    process = start(HOLD_UNTIL_TOLD)
    assert said(process) == "held"
    assert signal_running(pid_file, signal.SIGHUP) == process.pid
    assert said(process) == "reloaded"
    assert pid_file.holder() == process.pid


def test_a_daemon_reports_that_it_is_ready_and_stops_when_told(
    start: Start, pid_file: PidFile, tmp_path: Path
) -> None:
    command = start(DAEMON)
    _, complaint = command.communicate(timeout=60)
    try:
        assert (command.returncode, complaint) == (0, "")
        pid = pid_file.holder()
        assert pid is not None
        assert pid != command.pid
        directory, leads_session, parent, streams = ast.literal_eval(
            (tmp_path / "facts").read_text()
        )
        assert directory == "/"
        assert not leads_session
        assert parent != command.pid
        assert streams == ["/dev/null"] * 3
    finally:
        with suppress(NotRunning):
            signal_running(pid_file, signal.SIGTERM, timeout_seconds=60)
    assert pid_file.holder() is None


def test_a_daemon_that_cannot_start_says_why_through_the_command(start: Start) -> None:
    command = start(DAEMON_THAT_REFUSES)
    _, complaint = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "made of cheese" in complaint


def test_a_daemon_that_dies_at_once_is_noticed(start: Start) -> None:
    command = start(DAEMON_THAT_DIES)
    _, complaint = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "died" in complaint


class TestSignals:
    @pytest.fixture
    def signals(self) -> Iterator[Signals]:
        with stopping() as one:
            yield one

    def test_handlers_are_put_back(self) -> None:
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = [signal.getsignal(number) for number in numbers]
        with stopping():
            assert [signal.getsignal(number) for number in numbers] != before
        assert [signal.getsignal(number) for number in numbers] == before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_term_and_int_stop(self, signals: Signals, number: signal.Signals) -> None:
        assert not signals.is_stopping()
        signal.raise_signal(number)
        assert signals.is_stopping()
        began = time.monotonic()
        signals.wait(LONG)
        signals.wait(LONG)
        assert time.monotonic() - began < LONG

    def test_the_second_interrupt_is_not_held_back(self, signals: Signals) -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signals.is_stopping()

    def test_hup_reloads_once_and_wakes(self, signals: Signals) -> None:
        signal.raise_signal(signal.SIGHUP)
        began = time.monotonic()
        signals.wait(LONG)
        assert time.monotonic() - began < LONG
        assert signals.take_reload()
        assert not signals.take_reload()
        assert not signals.is_stopping()

    def test_a_signal_interrupts_a_wait(self, signals: Signals) -> None:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        began = time.monotonic()
        signals.wait(LONG)
        timer.join()
        assert time.monotonic() - began < LONG
        assert signals.is_stopping()

    def test_wait_ends_by_itself(self, signals: Signals) -> None:
        began = time.monotonic()
        signals.wait(0.05)
        assert time.monotonic() - began >= 0.04
        signals.wait(-1)

    def test_another_thread_may_wake_and_stop(self, signals: Signals) -> None:
        for _ in range(100_000):
            signals.wake()
        thread = threading.Thread(target=signals.stop)
        thread.start()
        while not signals.is_stopping():
            signals.wait(5)
        thread.join()

    def test_a_thread_that_is_late_does_no_harm(self) -> None:
        with stopping() as signals:
            pass
        signals.stop()
        signals.close()
