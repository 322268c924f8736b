"""The servers that are measured beside each other, each with the same gunicorn workers and threads.

ceiling          a bare Falcon application that answers a small JSON document to everything
ours-sqlite      freezer-api on SQLite
ours-elasticsearch  freezer-api on a real node, whose own CPU time is not counted
peer             freezer-api 19.0.0 from the package index, in a virtualenv of its own, on SQLite;
                 a stand-in for Keystone's middleware says who calls
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PEER_VERSION = "19.0.0"
START_SECONDS = 120
LARGE_HEAP = "1g"
"""Of a node that holds a million documents."""

CEILING = """
import falcon

class Anything:
    def on_get(self, _req, resp):
        resp.media = {"answer": "a small document", "number": 42, "list": [1, 2, 3]}

application = falcon.App()
application.add_route("/v2/p/small", Anything())
"""

PEER_PASTE = """
[app:api_versions]
paste.app_factory = freezer_api.api.versions:api_versions
[app:appv2]
paste.app_factory = freezer_api.service:freezer_appv2_factory
[filter:stand_in]
paste.filter_factory = stand_in:stand_in
[filter:context]
paste.filter_factory = freezer_api.api.common.middleware:ContextMiddleware.factory
[filter:versionsNegotiator]
paste.filter_factory = freezer_api.api.versions:VersionNegotiator.factory
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
[pipeline:main]
pipeline = http_proxy_to_wsgi versionsNegotiator stand_in context backupapp
[composite:backupapp]
paste.composite_factory = freezer_api.service:root_app_factory
/: api_versions
/v2: appv2
"""

STAND_IN = """
def stand_in(_global_conf, **_local_conf):
    confirmed = {
        "HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_USER_ID": "u", "HTTP_X_PROJECT_ID": "p",
        "HTTP_X_TENANT_ID": "p", "HTTP_X_ROLES": "admin,member,reader", "HTTP_X_AUTH_TOKEN": "t",
    }

    def wrap(application):
        def call(environ, start_response):
            environ.update(confirmed)
            return application(environ, start_response)
        return call
    return wrap
"""

PEER_WSGI = """
import sys
sys.argv = ["freezer-api", "--config-file", "freezer-api.conf"]
from freezer_api.service import initialize_app
application = initialize_app()
"""


class CannotMeasure(Exception):
    """A server cannot be had here. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large every server is."""

    workers: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running one."""

    name: str
    port: int
    pid: int
    config: Path | None = None
    """Of freezer-api, for freezer-manage."""


@contextmanager
def ceiling(folder: Path, size: Size) -> Iterator[Server]:
    """The least that Falcon under gunicorn costs."""
    (folder / "ceiling.py").write_text(CEILING)
    with _gunicorn(Path(sys.executable).parent, folder, "ceiling:application", size) as found:
        yield Server(name="ceiling", port=found[0], pid=found[1])


@contextmanager
def ours_on_sqlite(folder: Path, size: Size) -> Iterator[Server]:
    """freezer-api on an SQLite file."""
    with _ours("ours-sqlite", sqlite_config(folder), size) as server:
        yield server


def sqlite_config(folder: Path) -> Path:
    """The configuration of one on the file `freezer.sqlite` in the folder."""
    return _config(folder, f"[sql]\nconnection = sqlite:///{folder}/freezer.sqlite\n")


@contextmanager
def ours_on_elasticsearch(folder: Path, size: Size) -> Iterator[Server]:
    """freezer-api on a real node of Elasticsearch, which is started for it."""
    elasticsearch = _elasticsearch_service()
    with (
        elasticsearch.running() as node,
        ours_on_node(elasticsearch_config(folder, node.url), size) as server,
    ):
        yield server


@contextmanager
def kept_node(folder: Path) -> Iterator[str]:
    """A node whose documents stay in the folder; its URL."""
    elasticsearch = _elasticsearch_service()
    folder.mkdir(exist_ok=True)
    node = elasticsearch.start(folder, heap=LARGE_HEAP)
    try:
        yield node.url
    finally:
        elasticsearch.stop(folder)


@contextmanager
def ours_on_node(config: Path, size: Size) -> Iterator[Server]:
    """freezer-api on a node that runs already."""
    with _ours("ours-elasticsearch", config, size) as server:
        yield server


def elasticsearch_config(folder: Path, url: str, prefix: str = "freezer") -> Path:
    """The configuration of one on the node, in indices of its own."""
    return _config(
        folder,
        "[storage]\nbackend = elasticsearch\n"
        f"[elasticsearch]\nhosts = {url}\nindex_prefix = {prefix}\n",
    )


@contextmanager
def peer(folder: Path, size: Size, environment: Path) -> Iterator[Server]:
    """The former release. `environment` is made if it is missing."""
    programs = _peer_programs(environment)
    (folder / "stand_in.py").write_text(STAND_IN)
    (folder / "peer.py").write_text(PEER_WSGI)
    (folder / "paste.ini").write_text(PEER_PASTE)
    (folder / "policy.yaml").write_text("{}\n")
    (folder / "freezer-api.conf").write_text(
        f"[DEFAULT]\nlog_file = {folder}/freezer-api.log\nuse_stderr = false\n"
        "[storage]\nbackend = sqlalchemy\ndriver = sqlalchemy\n"
        f"[database]\nconnection = sqlite:///{folder}/freezer.sqlite\n"
        f"[paste_deploy]\nconfig_file = {folder}/paste.ini\n"
        f"[oslo_policy]\npolicy_file = {folder}/policy.yaml\n"
    )
    sync: list[str | Path] = [
        programs / "freezer-manage",
        "--config-file",
        "freezer-api.conf",
        "db",
        "sync",
    ]
    subprocess.run(sync, cwd=folder, check=True, capture_output=True)
    with _gunicorn(programs, folder, "peer:application", size) as found:
        yield Server(name="peer", port=found[0], pid=found[1])


def _elasticsearch_service() -> ModuleType:
    sys.path.insert(0, str(ROOT))
    from tests.services import elasticsearch  # noqa: PLC0415 - only where it is measured

    try:
        elasticsearch.find()
    except elasticsearch.ElasticsearchMissing as error:
        raise CannotMeasure(str(error)) from error
    return elasticsearch


def manage(config: Path, *words: str) -> None:
    """Run freezer-manage. Raises CannotMeasure with the end of what it told."""
    command: list[str | Path] = [sys.executable, "-m", "freezer_api.cli.manage"]
    command += ["--config-file", config, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMeasure(f"freezer-manage {' '.join(words)} failed: {done.stderr[-1000:]}")


def _config(folder: Path, store: str) -> Path:
    config = folder / "freezer-api.conf"
    config.write_text(
        f"[DEFAULT]\nauth_strategy = noauth\nbind_host = 127.0.0.1\nuse_stderr = true\n{store}"
    )
    return config


@contextmanager
def _ours(name: str, config: Path, size: Size) -> Iterator[Server]:
    manage(config, "db", "sync")
    port = _free_port()
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "freezer_api.cli.serve",
        "--config-file",
        config,
        *("--bind-port", str(port)),
        *("--workers", str(size.workers)),
        *("--threads", str(size.threads)),
    ]
    with _process(command, ROOT, config.parent, port) as pid:
        yield Server(name=name, port=port, pid=pid, config=config)


@contextmanager
def _gunicorn(
    programs: Path, folder: Path, application: str, size: Size
) -> Iterator[tuple[int, int]]:
    port = _free_port()
    command: list[str | Path] = [
        programs / "gunicorn",
        "--no-control-socket",
        *("--bind", f"127.0.0.1:{port}"),
        *("--workers", str(size.workers)),
        *("--threads", str(size.threads)),
        *("--worker-class", "gthread"),
        *("--keep-alive", "75"),
        *("--backlog", "1024"),
        application,
    ]
    with _process(command, folder, folder, port) as pid:
        yield port, pid


@contextmanager
def _process(command: list[str | Path], cwd: Path, folder: Path, port: int) -> Iterator[int]:
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(cwd)},
        )
    try:
        _wait_for(process, port, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise CannotMeasure(f"It did not start:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _peer_programs(environment: Path) -> Path:
    programs = environment / "bin"
    if not (programs / "freezer-api").exists():
        shutil.rmtree(environment, ignore_errors=True)
        venv.create(environment, with_pip=True)
        install: list[str | Path] = [
            programs / "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        done = subprocess.run(
            [*install, f"freezer-api=={PEER_VERSION}", "gunicorn>=23,<28"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotMeasure(
                f"freezer-api {PEER_VERSION} could not be installed: {done.stderr[-500:]}"
            )
    return programs
