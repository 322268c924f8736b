"""The plugin for DevStack, all its phases, against recording stand-ins of DevStack's functions."""

import getpass
import hashlib
import os
import shlex
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from freezer_api import conf as api_options
from freezer_scheduler.conf.loading import load as load_scheduler

ROOT = Path(__file__).parents[3]
_HERE = shlex.quote(str(ROOT))
ELASTICSEARCH = f"elasticsearch-8.19.3-linux-{os.uname().machine}.tar.gz"
PHASES = ("pre-install", "install", "post-config", "extra")


@dataclass(frozen=True)
class Outcome:
    """How a call of the plugin went."""

    code: int
    calls: list[str]
    message: str

    def of(self, name: str) -> list[str]:
        """The arguments of each call of a function."""
        return [call.removeprefix(f"{name} ") for call in self.calls if call.split(" ")[0] == name]


class FakeDevStack:
    """A folder with what a stack has, and stack.sh's way of calling a plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "etc"
        self.state = folder / "data/freezer"
        self.downloads = folder / "files"
        self.settings: dict[str, str] = {}
        self.enabled = "keystone"
        self.downloads.mkdir()

    def run(self, *arguments: str) -> Outcome:
        """Source the settings and the plugin as stack.sh does; what happened in this call."""
        record = self.folder / "record"
        record.unlink(missing_ok=True)
        script = (
            f"set -eu; . {_HERE}/tests/unit/devstack/stand_ins.sh; "
            f". {_HERE}/devstack/settings; set -- {' '.join(arguments)}; "
            f". {_HERE}/devstack/plugin.sh"
        )
        done = subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment(record),
            cwd=self.folder,
        )
        calls = record.read_text().splitlines() if record.exists() else []
        return Outcome(code=done.returncode, calls=calls, message=done.stdout + done.stderr)

    def stacked(self, phases: tuple[str, ...] = PHASES) -> list[Outcome]:
        """Every phase of stack.sh, or those; none failed."""
        outcomes = [self.run("stack", phase) for phase in phases]
        for phase, outcome in zip(phases, outcomes, strict=True):
            assert outcome.code == 0, f"{phase}: {outcome.message}"
        return outcomes

    def _environment(self, record: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "RECORD": str(record),
            "ENABLED": self.enabled,
            "PROGRAMS": str(Path(sys.executable).parent),
            "DOWNLOADS": str(self.downloads),
            "DEST": str(self.folder),
            "DATA_DIR": str(self.folder / "data"),
            "FREEZER_DIR": str(ROOT),
            "FREEZER_CONF_DIR": str(self.conf),
            "FREEZER_CLIENT_ID": "node12",
            "STACK_USER": getpass.getuser(),
            "SERVICE_PROTOCOL": "http",
            "SERVICE_HOST": "192.0.2.7",
            "SERVICE_LISTEN_ADDRESS": "192.0.2.7",
            "SERVICE_PASSWORD": "secret",
            "SERVICE_PROJECT_NAME": "service",
            "SERVICE_DOMAIN_NAME": "Default",
            "SERVICE_TIMEOUT": "60",
            "KEYSTONE_SERVICE_URI": "http://192.0.2.7/identity",
            "REGION_NAME": "RegionOne",
            "ENABLE_DEBUG_LOG_LEVEL": "True",
            **self.settings,
        }


@pytest.fixture
def devstack(tmp_path: Path) -> FakeDevStack:
    return FakeDevStack(tmp_path)


def test_a_stack_on_sqlite(devstack: FakeDevStack) -> None:
    before, install, config, extra = devstack.stacked()
    assert before.of("enable_service") == ["freezer-api freezer-scheduler"]
    assert install.of("pip_install") == [f"-e {ROOT}[agent,scheduler,swift,api]"]

    url = "http://192.0.2.7:9090"
    assert config.of("create_service_user") == ["freezer"]
    assert config.of("get_or_add_user_project_role") == ["member freezer service Default Default"]
    assert config.of("get_or_create_service") == ["freezer backup Freezer Backup Service"]
    assert config.of("get_or_create_endpoint") == [f"backup RegionOne {url} {url} {url}"]

    programs = Path(sys.executable).parent
    api, scheduler = extra.of("run_process")
    options = f"--config-file {devstack.conf}"
    assert api == f"freezer-api {programs}/freezer-api {options}/freezer-api.conf"
    assert scheduler == (
        f"freezer-scheduler {programs}/freezer-scheduler --no-daemon {options}/scheduler.conf start"
    )
    assert extra.of("wait_for_service") == [f"60 {url}/healthcheck/ready"]
    assert (devstack.state / "freezer.sqlite").exists(), "the real freezer-manage has run"


def test_the_programs_take_what_is_written(devstack: FakeDevStack) -> None:
    devstack.stacked(PHASES[:3])
    written = devstack.conf / "freezer-api.conf"
    conf = api_options.load([], prog="freezer-api", config_files=[str(written)])
    assert (conf.bind_host, conf.bind_port, conf.debug) == ("192.0.2.7", 9090, True)
    assert (conf.auth_strategy, conf.storage.backend) == ("keystone", "sql")
    assert conf.sql.connection == f"sqlite:///{devstack.state}/freezer.sqlite"
    assert written.stat().st_mode & 0o777 == 0o600

    scheduler = devstack.conf / "scheduler.conf"
    assert scheduler.stat().st_mode & 0o777 == 0o600
    word, settings = load_scheduler(["--config-file", str(scheduler), "start"])
    assert (word, settings.client_id, settings.interval_seconds) == ("start", "node12", 60)
    assert devstack.state.stat().st_mode & 0o777 == 0o700


def test_a_database_of_devstack(devstack: FakeDevStack) -> None:
    devstack.enabled = "keystone mysql"
    _, install, config = devstack.stacked(PHASES[:3])
    assert install.of("pip_install") == [f"-e {ROOT}[agent,scheduler,swift,api,mariadb]"]
    connection = "sql connection mysql+pymysql://root:secret@127.0.0.1/freezer?charset=utf8"
    assert f"{devstack.conf}/freezer-api.conf {connection}" in config.of("iniset")


def test_under_uwsgi(devstack: FakeDevStack) -> None:
    devstack.settings["FREEZER_API_SERVER"] = "uwsgi"
    program = devstack.folder / "uwsgi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    devstack.settings["PATH"] = f"{devstack.folder}:{os.environ['PATH']}"
    _, install, config, extra = devstack.stacked()
    assert install.of("install_apache_uwsgi") == ["install_apache_uwsgi"]
    ini = devstack.conf / "freezer-api-uwsgi.ini"
    assert config.of("write_uwsgi_config") == [
        f"{ini} freezer_api.wsgi:application /backup  freezer-api"
    ]
    assert f"env = FREEZER_API_CONFIG={devstack.conf}/freezer-api.conf" in ini.read_text()
    written = devstack.conf / "freezer-api.conf"
    conf = api_options.load([], prog="freezer-api", config_files=[str(written)])
    assert conf.oslo_middleware.enable_proxy_headers_parsing is True
    assert extra.of("run_process")[0] == (
        f"freezer-api {program} --procname-prefix freezer-api --ini {ini}"
    )
    assert extra.of("wait_for_service") == ["60 http://192.0.2.7/backup/healthcheck/ready"]
    assert devstack.run("clean").of("remove_uwsgi_config") == [f"{ini} freezer-api"]


def archive(devstack: FakeDevStack) -> Path:
    """An archive that is laid out as the publisher's, with its checksum beside it."""
    made = devstack.folder / "elasticsearch-8.19.3"
    (made / "bin").mkdir(parents=True)
    (made / "config/jvm.options.d").mkdir(parents=True)
    (made / "bin/elasticsearch").write_text("#!/bin/sh\n")
    (made / "bin/elasticsearch").chmod(0o755)
    path = devstack.downloads / ELASTICSEARCH
    with tarfile.open(path, "w:gz") as packed:
        packed.add(made, made.name)
    digest = hashlib.sha512(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha512").write_text(f"{digest}  {path.name}\n")
    return path


class TestElasticsearch:
    @pytest.fixture
    def devstack(self, devstack: FakeDevStack) -> FakeDevStack:
        devstack.settings["FREEZER_BACKEND"] = "elasticsearch"
        return devstack

    def test_it_is_installed_and_started(self, devstack: FakeDevStack) -> None:
        archive(devstack)
        home = devstack.folder / "elasticsearch"
        before = devstack.run("stack", "pre-install")
        assert before.code == 0, before.message
        assert "freezer-elasticsearch" in before.of("enable_service")
        assert (home / "bin/elasticsearch").exists()
        assert devstack.run("stack", "pre-install").of("get_extra_file") == [], "once is enough"
        install = devstack.run("stack", "install")
        assert install.of("pip_install") == [f"-e {ROOT}[agent,scheduler,swift,api,elasticsearch]"]
        assert devstack.run("stack", "post-config").code == 0
        # The store cannot be made, since nothing really listens there; what comes before can.
        devstack.settings["FREEZER_ELASTICSEARCH_HOSTS"] = "http://127.0.0.1:9"
        extra = devstack.run("stack", "extra")
        assert extra.of("run_process")[0] == f"freezer-elasticsearch {home}/bin/elasticsearch"
        assert extra.of("wait_for_service")[0] == "60 http://127.0.0.1:9200/_cluster/health"
        settings = (home / "config/elasticsearch.yml").read_text()
        assert "network.host: 127.0.0.1" in settings
        heap = (home / "config/jvm.options.d/freezer.options").read_text()
        assert heap == "-Xms512m\n-Xmx512m\n"

        unstack = devstack.run("unstack")
        assert "freezer-elasticsearch" in unstack.of("stop_process")
        assert devstack.run("clean").code == 0
        assert not home.exists()

    def test_a_damaged_archive_is_not_unpacked(self, devstack: FakeDevStack) -> None:
        path = archive(devstack)
        with path.open("ab") as file:
            file.write(b"x")
        before = devstack.run("stack", "pre-install")
        assert before.code == 1
        assert "is damaged" in before.message
        assert not (devstack.folder / "elasticsearch").exists()
        assert not path.exists(), "or the next run would find it again"

    def test_one_that_is_there_already(self, devstack: FakeDevStack) -> None:
        devstack.settings["FREEZER_ELASTICSEARCH_INSTALL"] = "False"
        devstack.settings["FREEZER_ELASTICSEARCH_HOSTS"] = "https://es.example.org:9200"
        before = devstack.run("stack", "pre-install")
        assert (before.code, before.of("get_extra_file")) == (0, [])
        assert before.of("enable_service") == ["freezer-api freezer-scheduler"]
        devstack.run("stack", "post-config")
        written = devstack.conf / "freezer-api.conf"
        conf = api_options.load([], prog="freezer-api", config_files=[str(written)])
        assert conf.elasticsearch.hosts == ["https://es.example.org:9200"]
        assert devstack.run("unstack").of("stop_process") == ["freezer-scheduler", "freezer-api"]


def test_a_service_that_does_not_start_ends_the_stack(devstack: FakeDevStack) -> None:
    devstack.settings["NOTHING_STARTS"] = "true"
    for phase in PHASES[:3]:
        devstack.run("stack", phase)
    extra = devstack.run("stack", "extra")
    assert extra.code == 1
    assert "freezer-api did not start" in extra.message
    assert not any(call.startswith("run_process freezer-scheduler") for call in extra.calls)


@pytest.mark.parametrize(
    ("name", "value"), [("FREEZER_BACKEND", "paper"), ("FREEZER_API_SERVER", "iis")]
)
def test_wrong_settings_end_it_at_once(devstack: FakeDevStack, name: str, value: str) -> None:
    devstack.settings[name] = value
    before = devstack.run("stack", "pre-install")
    assert before.code == 1
    assert value in before.message


def test_unstack_and_clean(devstack: FakeDevStack) -> None:
    devstack.stacked(PHASES[:3])
    assert devstack.run("unstack").of("stop_process") == ["freezer-scheduler", "freezer-api"]
    assert devstack.conf.exists(), "unstack keeps what a later stack.sh overwrites"
    assert devstack.run("clean").code == 0
    assert not devstack.conf.exists()
    assert not devstack.state.exists()
    assert devstack.run("clean").code == 0


def test_other_phases_do_nothing(devstack: FakeDevStack) -> None:
    outcome = devstack.run("stack", "test-config")
    assert outcome.code == 0
    assert [call.split(" ")[0] for call in outcome.calls] == ["define_plugin", "enable_service"]
