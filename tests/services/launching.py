"""What the service launchers share: where things are installed, how a server starts and stops."""

import fcntl
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

START_SECONDS = 180
STOP_SECONDS = 30

_FIRST_PORT, _END_OF_PORTS = 12_000, 32_000
_chance = random.SystemRandom()


class ServiceMissing(Exception):
    """A service cannot be had here. The text says what to do."""


def cache_folder() -> Path:
    """Where installed services lie between runs."""
    given = os.environ.get("FREEZER_TEST_CACHE")
    if given:
        return Path(given)
    is_root = os.geteuid() == 0
    return Path("/var/cache/freezer-tests") if is_root else Path.home() / ".cache/freezer-tests"


def find_virtualenv(name: str) -> Path:
    """The folder of an installed virtualenv. Raises ServiceMissing."""
    home = cache_folder() / name
    if not (home / "complete").exists():
        raise ServiceMissing(
            f"no {name} in {cache_folder()}: run python -m tests.services.install {name}"
        )
    return home


def install_virtualenv(name: str, requirements: Sequence[str]) -> Path:
    """A virtualenv with these packages, made unless it is there. Raises ServiceMissing."""
    home = cache_folder() / name
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several installers at once are one
        if not (home / "complete").exists():
            _run([sys.executable, "-m", "venv", "--clear", str(home)])
            pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet"]
            _run([*pip, "--disable-pip-version-check", *requirements])
            (home / "complete").touch()
    return home


def find_program(program: str, package: str) -> str:
    """The path of a system program. Raises ServiceMissing that names its package."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise ServiceMissing(f"{program} is not installed: apt-get install {package}")
    return found


def install_program(program: str, package: str) -> str:
    """Install the Debian package of a program unless it is there. Raises ServiceMissing."""
    try:
        return find_program(program, package)
    except ServiceMissing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    wait = ["apt-get", "-o", "DPkg::Lock::Timeout=400", "-o", "Acquire::Retries=3"]
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    _run([*wait, "update"], quiet)
    _run([*wait, "install", "-y", "--no-install-recommends", package], quiet)
    return find_program(program, package)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses at this moment.

    They lie below those that the kernel gives to outgoing connections, or such a connection could
    take one before its server does.
    """
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", _chance.randrange(_FIRST_PORT, _END_OF_PORTS)))
            except OSError:
                one.close()
            else:
                sockets.append(one)
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Server:
    """A server process that was started for tests, with its log."""

    def __init__(
        self, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        # A killed test run leaves no server behind.
        setpriv = shutil.which("setpriv")
        leash = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*leash, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=log.parent,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
            )

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until the server serves; ServiceMissing with the end of its log if it does not."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if is_ready():
                return
            time.sleep(0.05)
        self.kill()
        text = self.log.read_text(errors="replace")[-3000:]
        raise ServiceMissing(f"{self._process.args!r} did not start:\n{text}")

    def wait(self) -> int:
        """The status of a program that ends by itself."""
        return self._process.wait(START_SECONDS)

    def stop(self) -> None:
        """End the server and what it started, gently if it can."""
        family = self.family()
        self._process.terminate()
        _, alive = psutil.wait_procs(family, STOP_SECONDS)
        for one in alive:
            _kill(one)
        self._process.wait()

    def kill(self) -> None:
        """End the server and what it started at once, as a crash does."""
        for one in self.family():
            _kill(one)
        self._process.wait()

    def family(self) -> list[psutil.Process]:
        """The server's process and what it started."""
        try:
            leader = psutil.Process(self._process.pid)
            return [leader, *leader.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def accepts(port: int) -> bool:
    """Whether somebody listens on the port of the loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        pass


def _run(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise ServiceMissing(f"{' '.join(argv)} failed:\n{done.stdout[-2000:]}")
