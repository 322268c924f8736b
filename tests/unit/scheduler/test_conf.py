"""The options of the scheduler: every spelling, every source, and what wins."""

import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from freezer_client.errors import CredentialsMissing
from freezer_model.client import CAPABILITIES
from freezer_scheduler.conf import LogChoice, Settings, SettingsInvalid, Surroundings, load
from freezer_scheduler.conf.parser import Parser, UnknownOption
from freezer_scheduler.conf.spellings import all_spelled
from freezer_scheduler.log_setup import LogSetup

KEYSTONE = {
    "OS_AUTH_URL": "http://keystone",
    "OS_USERNAME": "u",
    "OS_PASSWORD": "hidden",
    "OS_PROJECT_NAME": "p",
}


class Loader:
    """Loads settings in a home of its own, with a file and an environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.conf"
        self.file.write_text("")

    def settings(
        self, *words: str, text: str = "", is_root: bool = False, **environment: str
    ) -> Settings:
        self.file.write_text(text)
        around = Surroundings(
            environment=environment, start=self.folder, home=self.folder / "home", is_root=is_root
        )
        return load(["--config-file", str(self.file), *words], around)[1]


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loader:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Loader(tmp_path)


def auth(name: str) -> Callable[[Settings], Any]:
    return lambda settings: settings.service_auth.get(f"os_{name}")


def field(name: str) -> Callable[[Settings], Any]:
    return lambda settings: getattr(settings, name)


FLAGS = [
    (["-c", "n1"], field("client_id"), "n1"),
    (["--client-id", "n1"], field("client_id"), "n1"),
    (["--client_id=n1"], field("client_id"), "n1"),
    (["--scheduler-client-id", "n1"], field("client_id"), "n1"),
    (["-n"], field("no_api"), True),
    (["--no-api"], field("no_api"), True),
    (["--scheduler-no-api"], field("no_api"), True),
    (["-f", "/jobs"], field("jobs_dir"), Path("/jobs")),
    (["--jobs-dir", "/jobs"], field("jobs_dir"), Path("/jobs")),
    (["--conf", "/jobs"], field("jobs_dir"), Path("/jobs")),
    (["--scheduler-jobs-dir", "/jobs"], field("jobs_dir"), Path("/jobs")),
    (["--scheduler-conf", "/jobs"], field("jobs_dir"), Path("/jobs")),
    (["-i", "7"], field("interval_seconds"), 7),
    (["-i7"], field("interval_seconds"), 7),
    (["--interval", "7"], field("interval_seconds"), 7),
    (["--scheduler-interval=7"], field("interval_seconds"), 7),
    (["--no-daemon"], field("no_daemon"), True),
    (["--no-d"], field("no_daemon"), True),
    (["--scheduler-no-daemon"], field("no_daemon"), True),
    (["--no-daemon", "--nono-daemon"], field("no_daemon"), False),
    (["--concurrent-jobs", "3"], field("concurrent_jobs"), 3),
    (["--scheduler-concurrent-jobs", "3"], field("concurrent_jobs"), 3),
    (["--disable-exec"], field("disable_exec"), True),
    (["--scheduler-disable-exec"], field("disable_exec"), True),
    (["--agent", "/bin/a"], field("agent_program"), "/bin/a"),
    (["--state-dir", "/s"], field("state_dir"), Path("/s")),
    (["--insecure"], auth("insecure"), "True"),
    (["--scheduler-insecure"], auth("insecure"), "True"),
    (["-j", "J"], field("job"), "J"),
    (["--job", "J"], field("job"), "J"),
    (["-s", "S"], field("session"), "S"),
    (["--session", "S"], field("session"), "S"),
    (["--backup", "B"], field("backup"), "B"),
    (["--file", "F"], field("file"), "F"),
    (["-a"], field("active_only"), True),
    (["--active-only"], field("active_only"), True),
    (["--all"], field("all"), True),
    (["--long"], field("long"), True),
    (["--json"], field("as_json"), True),
    (["-d"], field("debug"), True),
    (["--debug"], field("debug"), True),
    (["--os-auth-url", "U"], auth("auth_url"), "U"),
    (["--service_auth-auth-url", "U"], auth("auth_url"), "U"),
    (["--service_auth-os_auth_url", "U"], auth("auth_url"), "U"),
    (["--service_auth-username", "U"], auth("username"), "U"),
    (["--os-tenant-name", "P"], auth("project_name"), "P"),
    (["--os-tenant-id", "P"], auth("project_id"), "P"),
    (["--os-backup-url", "U"], auth("backup_url"), "U"),
    (["--os-auth-type", "none"], auth("auth_type"), "none"),
    (["--os-endpoint-type", "internalURL"], auth("endpoint_type"), "internalURL"),
    (["--os-cacert", "C"], auth("cacert"), "C"),
]


@pytest.mark.parametrize(("words", "look", "expected"), FLAGS, ids=lambda value: str(value)[:40])
def test_a_flag_sets_its_value(
    loader: Loader, words: list[str], look: Callable[[Settings], Any], expected: Any
) -> None:
    assert look(loader.settings()) != expected or "--nono-daemon" in words
    assert look(loader.settings("start", *words)) == expected
    assert look(loader.settings(*words, "start")) == expected


FILES = [
    ("[scheduler]\nclient_id = n1", field("client_id"), "n1"),
    ("[DEFAULT]\nclient_id = n1", field("client_id"), "n1"),
    ("[scheduler]\njobs_dir = /jobs", field("jobs_dir"), Path("/jobs")),
    ("[scheduler]\nconf = /jobs", field("jobs_dir"), Path("/jobs")),
    ("[DEFAULT]\nconf = /jobs", field("jobs_dir"), Path("/jobs")),
    ("[scheduler]\ninterval = 7", field("interval_seconds"), 7),
    ("[DEFAULT]\ninterval = 7", field("interval_seconds"), 7),
    ("[scheduler]\nno_api = true", field("no_api"), True),
    ("[scheduler]\nconcurrent_jobs = 9", field("concurrent_jobs"), 9),
    ("[service_auth]\nos_auth_url = U", auth("auth_url"), "U"),
    ("[service_auth]\nauth_url = U", auth("auth_url"), "U"),
    ("[DEFAULT]\nos_auth_url = U", auth("auth_url"), "U"),
    ("[service_auth]\nos_tenant_name = P", auth("project_name"), "P"),
    ("[service_auth]\ntenant_name = P", auth("project_name"), "P"),
    ("[service_auth]\npassword = a$$b", auth("password"), "a$b"),
    ("[DEFAULT]\ndebug = true", field("debug"), True),
    (
        "[capabilities]\nsupported_actions = backup, info",
        lambda settings: settings.capabilities["supported_actions"],
        ("backup", "info"),
    ),
    ("[DEFAULT]\nlog_file = F", lambda settings: settings.log.file, "F"),
    ("[DEFAULT]\nlogfile = F", lambda settings: settings.log.file, "F"),
    ("[DEFAULT]\nlog_dir = D", lambda settings: settings.log.directory, "D"),
    ("[DEFAULT]\nverbose = no", lambda settings: settings.log.level, logging.WARNING),
    ("[DEFAULT]\nuse_syslog = 1", lambda settings: settings.log.syslog_facility, "LOG_USER"),
    (
        "[DEFAULT]\nuse_syslog_rfc_format = no",
        lambda settings: settings.log.syslog_with_name,
        False,
    ),
]


@pytest.mark.parametrize(("text", "look", "expected"), FILES, ids=lambda value: str(value)[:40])
def test_a_key_of_a_file_sets_its_value(
    loader: Loader, text: str, look: Callable[[Settings], Any], expected: Any
) -> None:
    assert look(loader.settings()) != expected
    assert look(loader.settings(text=text)) == expected


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("OS_AUTH_URL", auth("auth_url")),
        ("OS_TENANT_NAME", auth("project_name")),
        ("OS_TENANT_ID", auth("project_id")),
        ("OS_TRUST_ID", auth("trust_id")),
        ("OS_BACKUP_URL", auth("backup_url")),
        ("OS_AUTH_TYPE", auth("auth_type")),
        ("OS_REGION_NAME", auth("region_name")),
        ("FREEZER_SCHEDULER_CONF_D", lambda settings: settings.jobs_dir.name),
    ],
)
def test_a_variable_sets_its_value(
    loader: Loader, name: str, look: Callable[[Settings], Any]
) -> None:
    assert look(loader.settings(**{name: "V"})) == "V"


def test_the_command_line_counts_more_than_files_and_they_more_than_variables(
    loader: Loader,
) -> None:
    text = "[service_auth]\nos_username = file"
    variable = {"OS_USERNAME": "variable"}
    assert loader.settings(**variable).service_auth["os_username"] == "variable"
    assert loader.settings(text=text, **variable).service_auth["os_username"] == "file"
    found = loader.settings("--os-username", "word", text=text, **variable)
    assert found.service_auth["os_username"] == "word"


def test_the_name_of_today_counts_more_than_the_one_of_old(loader: Loader) -> None:
    text = "[DEFAULT]\ninterval = 5\n[scheduler]\ninterval = 6"
    assert loader.settings(text=text).interval_seconds == 6
    found = loader.settings(OS_PROJECT_NAME="new", OS_TENANT_NAME="old")
    assert found.service_auth["os_project_name"] == "new"


def test_the_other_way_to_name_a_thing_does_not_come_from_a_weaker_source(loader: Loader) -> None:
    found = loader.settings("--os-project-name", "word", OS_PROJECT_ID="variable").service_auth
    assert found["os_project_name"] == "word"
    assert "os_project_id" not in found


def test_a_flag_that_says_no_overrides_a_file(loader: Loader) -> None:
    text = "[scheduler]\nno_api = true\ninsecure = true"
    found = loader.settings("--nono-api", "--noinsecure", text=text)
    assert not found.no_api
    assert "os_insecure" not in found.service_auth


def test_files_of_the_home_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".freezer").mkdir()
    (tmp_path / ".freezer/scheduler.conf").write_text("[scheduler]\nclient_id = from-home\n")
    assert load(["status"])[1].client_id == "from-home"


def test_a_directory_of_files_is_read(loader: Loader) -> None:
    folder = loader.folder / "conf.d"
    folder.mkdir()
    (folder / "10.conf").write_text("[scheduler]\ninterval = 10\n")
    (folder / "20.conf").write_text("[scheduler]\ninterval = 20\n")
    assert loader.settings("--config-dir", str(folder)).interval_seconds == 20


def test_defaults(loader: Loader) -> None:
    found = loader.settings()
    assert (found.client_id, found.interval_seconds, found.concurrent_jobs) == ("", 60, 1)
    assert found.jobs_dir == Path("/etc/freezer/scheduler/conf.d")
    assert found.state_dir == loader.folder / "home/.freezer"
    assert loader.settings(is_root=True).state_dir == Path("/var/lib/freezer")
    assert found.capabilities == CAPABILITIES
    assert True not in (found.no_api, found.no_daemon, found.disable_exec, found.debug)


def test_paths_are_absolute(loader: Loader) -> None:
    found = loader.settings("-f", "jobs", "--state-dir", "~/state")
    assert found.jobs_dir == loader.folder / "jobs"
    assert found.state_dir == loader.folder / "home/state"


def test_the_word_is_found_between_options(loader: Loader) -> None:
    around = Surroundings(environment={}, start=loader.folder, home=loader.folder, is_root=False)
    words = ["-c", "n1", "job-get", "-j", "J", "--config-file", str(loader.file)]
    word, found = load(words, around)
    assert (word, found.client_id, found.job) == ("job-get", "n1", "J")


WRONG = [
    (["-i", "0"], "", "--interval"),
    (["-i", "soon"], "", "--interval"),
    (["--concurrent-jobs", "0"], "", "--concurrent-jobs"),
    (["-c", "no/name"], "", "--client-id"),
    (["-c", "../n1"], "", "--client-id"),
    (["-c", "n" * 300], "", "--client-id"),
    (["--client", "n1"], "", "--client-id says which client we are"),
    (["--supported-actions", "dance"], "", "--supported-actions"),
    (["--os-endpoint-type", "secret"], "", "--os-endpoint-type"),
    (["--centralized-scheduler", "--no-api"], "", "--no-api cannot stand beside it"),
    (["--centralized-scheduler", "--os-auth-type", "none"], "", "needs the user and the password"),
    (["--centralized-scheduler", "--os-auth-type", "token"], "", "needs the user and the password"),
    (["--scheduler-centralized-scheduler", "--os-token", "x"], "", "needs the user"),
    (["--centralized-scheduler", "--os-trust-id", "x"], "", "needs the user"),
    (
        ["--centralized-scheduler"],
        "[service_auth]\nos_application_credential_secret = x",
        "needs the user",
    ),
    (["--coordination-backend-url", "redis://x"], "", "needs --client-id"),
    ([], "[coordination]\nbackend_url = redis://x", "needs --client-id"),
    (["--coordination-backend-url", "redis://x", "-c", "n", "-n"], "", "has none to share"),
    ([], "[scheduler]\ninterval = soon", "[scheduler] interval"),
    ([], "[DEFAULT]\ninterval = 0", "[DEFAULT] interval"),
    ([], "[service_auth]\npassword = a$b", "write $$"),
    ([], "interval = 1", "cannot be read"),
    (["--config-file", "/no/such/file"], "", "/no/such/file"),
]


@pytest.mark.parametrize(("words", "text", "named"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_value_is_named(loader: Loader, words: list[str], text: str, named: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        loader.settings("start", *words, text=text)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_wrong_values_are_told_at_once(loader: Loader) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        loader.settings("-i", "x", text="[scheduler]\nconcurrent_jobs = y", OS_INSECURE="maybe")
    assert len(caught.value.reasons) == 3


def test_a_wrong_secret_is_not_repeated(loader: Loader) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        loader.settings(text="[service_auth]\npassword = geheim$x")
    assert "geheim" not in str(caught.value)


def test_what_a_start_would_refuse_does_not_keep_a_scheduler_from_being_stopped(
    loader: Loader,
) -> None:
    for word in ("stop", "status", "reload"):
        loader.settings(word, "--coordination-backend-url", "redis://x")
        loader.settings(word, "--centralized-scheduler", "--no-api")


def test_a_central_scheduler_lets_nobody_into_its_host(loader: Loader) -> None:
    found = loader.settings("start", "--centralized-scheduler")
    assert found.central
    assert found.capabilities["supported_actions"] == ("backup", "restore", "info", "admin")
    assert found.capabilities["supported_modes"] == ("cinder", "glance", "cindernative", "nova")
    assert "local" not in found.capabilities["supported_storages"]
    assert found.capabilities["supported_engines"] == CAPABILITIES["supported_engines"]
    own = loader.settings("start")
    assert not own.central
    assert own.capabilities == CAPABILITIES


def test_what_an_operator_chooses_counts_in_a_central_scheduler_too(loader: Loader) -> None:
    chosen = loader.settings(
        "start",
        "--supported-modes",
        "fs,nova",
        text="[scheduler]\ncentralized_scheduler = true\n[capabilities]\nsupported_actions = exec",
    )
    assert chosen.capabilities["supported_modes"] == ("fs", "nova")
    assert chosen.capabilities["supported_actions"] == ("exec",)


@pytest.mark.parametrize("word", ["--no-such", "--os-user", "-z", "--interval"])
def test_an_unknown_option_is_refused(loader: Loader, word: str) -> None:
    with pytest.raises(UnknownOption):
        loader.settings("start", word)


def test_credentials_come_of_all_sources(loader: Loader) -> None:
    found = loader.settings("--insecure", **KEYSTONE).credentials
    assert (found.auth_type, found.username, found.insecure) == ("password", "u", True)
    none = loader.settings(OS_AUTH_TYPE="none", OS_BACKUP_URL="http://b", OS_PROJECT_ID="p")
    assert none.credentials.auth_type == "none"


def test_missing_credentials_matter_only_to_those_who_ask(loader: Loader) -> None:
    found = loader.settings()
    with pytest.raises(CredentialsMissing, match="OS_AUTH_URL"):
        _ = found.credentials


def test_the_agent_gets_credentials_by_its_environment(loader: Loader) -> None:
    found = loader.settings(
        "--os-username",
        "word",
        "--insecure",
        text="[service_auth]\nos_region_name = R",
        **KEYSTONE,
        OS_TENANT_NAME="old",
        OS_IDENTITY_API_VERSION="3",
        HOME="/h",
    ).agent_environment
    assert found == {
        **KEYSTONE,
        "OS_USERNAME": "word",
        "OS_REGION_NAME": "R",
        "OS_INSECURE": "True",
        "OS_IDENTITY_API_VERSION": "3",
    }


def test_settings_shown_hold_no_secret(loader: Loader) -> None:
    found = loader.settings(**KEYSTONE)
    assert "hidden" not in repr(found)
    assert found.secrets == ("hidden",)


def test_remarks(loader: Loader) -> None:
    assert loader.settings().remarks == ()
    assert "no effect" in loader.settings("--enable-v1-api").remarks[0]
    remark = loader.settings("--os-password", "hidden").remarks[0]
    assert "--os-password" in remark
    assert "hidden" not in remark


def test_no_two_options_share_a_name() -> None:
    flags = [flag for spelled in all_spelled() for flag in spelled.flags]
    keys = [key for spelled in all_spelled() for key in spelled.keys]
    dests = [spelled.dest for spelled in all_spelled()]
    for names in (flags, keys, dests):
        assert len(set(names)) == len(names)


def test_every_option_is_in_the_help() -> None:
    text = Parser("p").help()
    for spelled in all_spelled():
        assert f"  {spelled.flags[0]}" in text


class LogBook:
    """Enters log setups and reads what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system = folder / "var/freezer-scheduler.log"
        self.own = folder / ".freezer/freezer-scheduler.log"

    def setup(self, *, is_foreground: bool = False, **choice: Any) -> LogSetup:
        return LogSetup(
            LogChoice(**{"level": logging.INFO, **choice}),
            secrets=['hid"den'],
            is_foreground=is_foreground,
            start=self.folder,
            home=self.folder,
            system_log=self.system,
        )


@pytest.fixture
def log_book(tmp_path: Path) -> Iterator[LogBook]:
    before = list(logging.getLogger().handlers), logging.getLogger().level
    yield LogBook(tmp_path)
    assert (logging.getLogger().handlers, logging.getLogger().level) == before


LOG = logging.getLogger("freezer_scheduler.test")


def test_a_daemon_logs_into_a_file_for_its_user_only(log_book: LogBook) -> None:
    with log_book.setup():
        LOG.info("a job of %s", "node12")
        LOG.debug("not this")
    text = log_book.system.read_text()
    assert "INFO freezer_scheduler.test a job of node12" in text
    assert "not this" not in text
    assert stat.S_IMODE(log_book.system.stat().st_mode) == 0o600


def test_the_home_takes_the_log_where_the_system_does_not(log_book: LogBook) -> None:
    log_book.system.parent.write_text("no directory")
    with log_book.setup():
        LOG.info("here")
    assert "here" in log_book.own.read_text()
    log_book.own.unlink()
    log_book.own.mkdir()
    with pytest.raises(SettingsInvalid, match="choose a --log-file"), log_book.setup():
        pass


def test_the_foreground_tells_its_story_on_standard_error(
    log_book: LogBook, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_book.setup(is_foreground=True):
        LOG.info("the story")
    assert capsys.readouterr().err.endswith(" INFO the story\n")
    assert not log_book.system.exists()


def test_the_chosen_file_takes_the_log(
    log_book: LogBook, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_book.setup(is_foreground=True, file="f.log", directory="logs", watch_file=True):
        LOG.info("one")
    with log_book.setup(file="f.log", directory="logs", use_json=True, with_stderr=True):
        LOG.info("two")
    lines = (log_book.folder / "logs/f.log").read_text().splitlines()
    assert lines[0].endswith("one")
    assert '"message": "two"' in lines[1]
    assert '"message": "two"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "choice",
    [
        {"file": "file/x.log"},
        {"syslog_facility": "LOG_NOWHERE"},
        {"configuration": "absent.ini"},
        {"configuration": "file"},
    ],
)
def test_a_log_that_cannot_be_is_refused(log_book: LogBook, choice: dict[str, str]) -> None:
    (log_book.folder / "file").write_text("[loggers]\nkeys = no\n")
    with pytest.raises(SettingsInvalid), log_book.setup(**choice):
        pass


def test_secrets_are_masked_in_messages_tracebacks_and_json(log_book: LogBook) -> None:
    for as_json in (False, True):
        with log_book.setup(use_json=as_json):
            LOG.info("the password is %s", 'hid"den')
            try:
                int('hid"den')
            except ValueError:
                LOG.exception("it failed")
    text = log_book.system.read_text()
    assert "the password is ***" in text
    assert "literal for int" in text
    assert 'd"den' not in text
    assert 'd\\"den' not in text


def test_an_unexpected_end_is_in_the_log(log_book: LogBook) -> None:
    with pytest.raises(ZeroDivisionError), log_book.setup():
        _ = 1 / 0
    assert "ZeroDivisionError" in log_book.system.read_text()


def test_libraries_tell_their_story_only_to_debuggers(log_book: LogBook) -> None:
    for level in (logging.INFO, logging.DEBUG):
        with log_book.setup(level=level):
            logging.getLogger("apscheduler").info("at %s", level)
    assert "at 20" not in log_book.system.read_text()
    assert "at 10" in log_book.system.read_text()


def test_an_empty_number_means_the_default(loader: Loader) -> None:
    settings = loader.settings("-i", "", "--concurrent-jobs", "", text="[scheduler]\ninterval =\n")
    assert (settings.interval_seconds, settings.concurrent_jobs) == (60, 1)
