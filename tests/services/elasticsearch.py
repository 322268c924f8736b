"""A real Elasticsearch for tests and for the demonstration: install, start, stop.

    python tests/services/elasticsearch.py install      fetch it (Maven) into the cache folder
    python tests/services/elasticsearch.py start DIR    start one node in DIR, print its URL
    python tests/services/elasticsearch.py stop DIR     stop it

Needs mvn to install and java to run, nothing else. The cache folder is FREEZER_TEST_CACHE, else
/var/cache/freezer-tests for root and ~/.cache/freezer-tests for others. Elasticsearch refuses to
run as root: started by root it runs as "nobody", so its folders are given to that user.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "8.19.3"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
HEAP = "512m"
START_SECONDS = 180
STOP_SECONDS = 60
NOBODY = 65534

# Port 0 asks the kernel; the ports file tells what it gave. The disk setting keeps a nearly full
# disk from making indices read-only.
CONFIG = """\
cluster.name: freezer-tests
node.name: one
node.portsfile: true
network.host: 127.0.0.1
http.port: 0
transport.port: 0
discovery.type: single-node
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
path.data: {folder}/data
path.logs: {folder}/logs
"""


class ElasticsearchMissing(Exception):
    """It cannot be had here. The text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running server, and the process that started it and ends with it."""

    url: str
    folder: Path
    launcher: "subprocess.Popen[bytes]"


def cache_folder() -> Path:
    """Where the unpacked server lies."""
    given = os.environ.get("FREEZER_TEST_CACHE")
    if given:
        return Path(given)
    return Path("/var/cache/freezer-tests") if _is_root() else Path.home() / ".cache/freezer-tests"


def find() -> Path:
    """The installed server's folder. Raises ElasticsearchMissing."""
    home = cache_folder() / f"elasticsearch-{VERSION}"
    if not (home / "bin/elasticsearch").exists():
        raise ElasticsearchMissing(
            f"no Elasticsearch in {home}: run python tests/services/elasticsearch.py install"
        )
    _find_java()
    return home


def install() -> Path:
    """Fetch and unpack the server unless it is there. Raises ElasticsearchMissing."""
    home = cache_folder() / f"elasticsearch-{VERSION}"
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            archive = _fetch(Path(scratch))
            unpacked = Path(scratch) / "unpacked"
            _unpack(archive, unpacked)
            try:
                (unpacked / f"elasticsearch-{VERSION}").rename(home)
            except OSError:
                if not home.exists():  # else another installer was faster
                    raise
    return find()


def start(folder: Path, *, heap: str = HEAP) -> Node:
    """Start one node that keeps everything in the folder; return it once it serves.

    Raises ElasticsearchMissing with the tail of its log if it does not come up.
    """
    home = find()
    folder = folder.resolve()
    _write_config(home, folder)
    with (folder / "out.log").open("wb") as log:
        launcher = subprocess.Popen(
            [home / "bin/elasticsearch", "-p", folder / "pid"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(folder, heap),
            start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
            **_unprivileged(),
        )
    try:
        url = _wait_until_serving(folder, launcher)
    except BaseException:
        os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()
        raise
    return Node(url=url, folder=folder, launcher=launcher)


def stop(folder: Path) -> None:
    """Stop the node of the folder, if it runs."""
    folder = folder.resolve()
    try:
        pid = int((folder / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return
    if str(folder) not in _command_line(pid):
        return  # the number belongs to another process by now
    for sign, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while str(folder) in _command_line(pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return


@contextmanager
def running() -> Iterator[Node]:
    """A node in a folder of its own; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="freezer-elasticsearch-"))
    guard = subprocess.Popen(
        [sys.executable, __file__, "guard", folder], stdin=subprocess.PIPE, start_new_session=True
    )
    node = None
    try:
        node = start(folder)
        yield node
    finally:
        guard.communicate()
        if node:
            node.launcher.wait(STOP_SECONDS)


def guard_folder(folder: Path) -> None:
    """Wait until whoever holds our input is done or dead, even by kill -9; then clear up."""
    sys.stdin.buffer.read()
    stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _fetch(folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise ElasticsearchMissing("mvn is not installed: install the package maven")
    command = [
        maven,
        "-q",
        "-B",
        "dependency:copy",
        f"-Dartifact={ARTIFACT}",
        f"-DoutputDirectory={folder}",
    ]
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ElasticsearchMissing(f"mvn could not fetch {ARTIFACT}:\n{done.stdout[-2000:]}")
    return next(folder.glob("*.zip"))


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    for path in [folder, *folder.rglob("*")]:
        is_program = path.parent.name == "bin"
        path.chmod(0o755 if path.is_dir() or is_program else 0o644)


def _write_config(home: Path, folder: Path) -> None:
    config = folder / "config"
    for made in (folder, config, folder / "data", folder / "logs", folder / "tmp"):
        made.mkdir(exist_ok=True, parents=True)
    (folder / "pid").unlink(missing_ok=True)
    (folder / "logs/http.ports").unlink(missing_ok=True)
    shutil.copy(home / "config/log4j2.properties", config)
    options = (home / "config/jvm.options").read_text().splitlines()
    unwanted = ("Xlog:gc", "HeapDump", "ErrorFile")  # they write to the server's own folder
    kept = [line for line in options if not any(word in line for word in unwanted)]
    (config / "jvm.options").write_text("\n".join(kept) + "\n")
    (config / "elasticsearch.yml").write_text(CONFIG.format(folder=folder))
    if _is_root():
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)


def _environment(folder: Path, heap: str = HEAP) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "ES_JAVA_HOME": str(_find_java()),
        "ES_PATH_CONF": str(folder / "config"),
        "ES_TMPDIR": str(folder / "tmp"),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap}",
        "CLI_JAVA_OPTS": "-Xms4m -Xmx48m -XX:+UseSerialGC",
    }


def _find_java() -> Path:
    java = shutil.which("java")
    if java is None:
        raise ElasticsearchMissing("java is not installed: install default-jre-headless")
    return Path(java).resolve().parent.parent


def _unprivileged() -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if _is_root() else {}


def _is_root() -> bool:
    return os.geteuid() == 0


def _wait_until_serving(folder: Path, launcher: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and launcher.poll() is None:
        url = _announced_url(folder)
        if url and _serves(url):
            return url
        time.sleep(0.2)
    log = (folder / "out.log").read_text(errors="replace")
    raise ElasticsearchMissing(f"Elasticsearch did not start in {folder}:\n{log[-3000:]}")


def _announced_url(folder: Path) -> str | None:
    try:
        lines = (folder / "logs/http.ports").read_text().split()
    except FileNotFoundError:
        return None
    return f"http://{lines[0]}" if lines else None


def _serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(  # noqa: S310 - the URL is the one that we just made
            f"{url}/_cluster/health", timeout=5
        ) as answer:
            return json.load(answer)["status"] in {"green", "yellow"}
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _say(text: object) -> None:
    sys.stdout.write(f"{text}\n")


def main(argv: list[str]) -> int:
    """Carry out the command; see the module's docstring."""
    try:
        match argv:
            case ["install"]:
                _say(install())
            case ["start", folder]:
                _say(start(Path(folder)).url)
            case ["guard", folder]:  # for `running` only
                guard_folder(Path(folder))
            case ["stop", folder]:
                stop(Path(folder))
            case _:
                sys.stderr.write(str(__doc__))
                return 2
    except ElasticsearchMissing as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
