"""Lay the sources of options over each other: command line over files over the environment."""

import logging
import os
import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg

from freezer_model.client import CAPABILITIES, CLIENT_ID_PATTERN
from freezer_model.schedule import read_length
from freezer_scheduler.conf import capabilities, service_auth
from freezer_scheduler.conf.parser import CommandLine, Parser
from freezer_scheduler.conf.settings import LogChoice, NoticeChoice, Settings, SettingsInvalid
from freezer_scheduler.conf.spellings import Key, Spelled, all_spelled

PROGRAM = "freezer-scheduler"
WITHOUT_WORK = frozenset({"stop", "status", "reload"})
"""The words that only look for a running scheduler: what it would refuse to do is no matter."""

_ONE_OF = (
    ("os_project_id", "os_project_name"),
    ("os_username", "os_user_id"),
    ("os_user_domain_id", "os_user_domain_name"),
    ("os_project_domain_id", "os_project_domain_name"),
)
"""Two ways to say one thing: the one of the stronger source counts."""

_LIST_CHOICES = ("status", "result", "search", "sort", "reverse", "limit", "offset", "watch")

_SYSTEM_STATE = Path("/var/lib/freezer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What settings depend on besides files and words."""

    environment: Mapping[str, str]
    start: Path
    home: Path
    is_root: bool

    @classmethod
    def of_process(cls) -> "Surroundings":
        """Those of this process."""
        return cls(
            environment=dict(os.environ),
            start=Path.cwd(),
            home=Path(os.path.expanduser("~")),  # noqa: PTH111  # Path's raises for a user of no home
            is_root=os.geteuid() == 0,
        )


def load(argv: Sequence[str], around: Surroundings | None = None) -> tuple[str, Settings]:
    """The command word ("" if there is none) and the settings that the words mean.

    Raises UnknownOption, or SettingsInvalid with every reason against the values.
    """
    line = Parser(PROGRAM).parse(argv)
    return " ".join(line.words), settle(line, around or Surroundings.of_process())


def settle(line: CommandLine, around: Surroundings) -> Settings:
    """The settings of a command line that was taken apart. Raises SettingsInvalid."""
    reader = _Reader(line.values, around)
    found = reader.read()
    if not reader.reasons:
        reader.reasons += _contradictions(found, " ".join(line.words))
    if reader.reasons:
        raise SettingsInvalid(reader.reasons)
    return _settings(found, around)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """A value and how strong its source is: 0 default, 1 environment, 2 file, 3 command line."""

    value: Any
    rank: int


class _Reader:
    """Finds the value of every option and collects the reasons against them."""

    def __init__(self, words: Mapping[str, Any], around: Surroundings) -> None:
        self._words = words
        self._around = around
        self.reasons: list[str] = []

    def read(self) -> dict[str, _Value]:
        options = all_spelled()
        files = self._opened_files(options)
        return {spelled.dest: self._value(spelled, files) for spelled in options}

    def _value(self, spelled: Spelled, files: cfg.ConfigOpts | None) -> _Value:
        if spelled.dest in self._words:
            text = self._words[spelled.dest]
            return _Value(value=self._typed(spelled, text, spelled.flags[0]), rank=3)
        if files is not None:
            for key in spelled.keys:
                value = self._from_files(spelled, key, files)
                if value is not None:
                    return _Value(value=value, rank=2)
        for name in spelled.variables:
            text = self._around.environment.get(name, "")
            if text:
                return _Value(value=self._typed(spelled, text, name), rank=1)
        return _Value(value=spelled.option.default, rank=0)

    def _typed(self, spelled: Spelled, text: str, where: str) -> Any:
        try:
            value = spelled.option.type(text)
        except ValueError as error:
            said = "the value is not of the right kind" if spelled.option.secret else str(error)
            self.reasons.append(f"wrong value for {where}: {said}")
            return spelled.option.default
        # The library takes an empty number for None, which a script's unset variable gives.
        return spelled.option.default if value is None else value

    def _from_files(self, spelled: Spelled, key: Key, files: cfg.ConfigOpts) -> Any:
        group = None if key.section == "DEFAULT" else key.section
        try:
            return files[key.name] if group is None else files[group][key.name]
        except (cfg.NoSuchOptError, cfg.TemplateSubstitutionError):
            # The library takes $name for the value of another option.
            said = "write $$ for a dollar sign"
        except (cfg.Error, ValueError) as error:
            said = "the value is not of the right kind" if spelled.option.secret else str(error)
        self.reasons.append(f"wrong value for [{key.section}] {key.name}: {said}")
        return None

    def _opened_files(self, options: Sequence[Spelled]) -> cfg.ConfigOpts | None:
        start = self._around.start
        files = [str(start / name) for name in self._words.get("config_file", [])]
        folders = [str(start / name) for name in self._words.get("config_dir", [])]
        if not files:
            files = cfg.find_config_files(project="freezer", prog="scheduler")
        if not folders:
            folders = cfg.find_config_dirs(project="freezer", prog="scheduler")
        if not files and not folders:
            return None
        conf = cfg.ConfigOpts()
        for spelled in options:
            for key in spelled.keys:
                kind, secret = spelled.option.type, spelled.option.secret
                group = None if key.section == "DEFAULT" else key.section
                conf.register_opt(cfg.Opt(key.name, type=kind, secret=secret), group=group)
        try:
            conf(
                args=[],
                project="freezer",
                prog="scheduler",
                default_config_files=files,
                default_config_dirs=folders,
                use_env=False,
            )
        except cfg.Error as error:
            text = " ".join(str(error).split())
            self.reasons.append(f"the configuration cannot be read: {text}")
            return None
        return conf


def _contradictions(found: Mapping[str, _Value], word: str) -> list[str]:
    reasons = []
    client_id = found["client_id"].value
    if client_id and not re.fullmatch(CLIENT_ID_PATTERN, client_id):
        reasons.append(
            f"wrong value for --client-id: {client_id!r} is no host name, with or without a "
            "prefix and an underscore before it"
        )
    if found["client"].value and word not in ("client-get", "session-restore"):
        reasons.append(
            "--client is for client-get and session-restore; --client-id says which client we are"
        )
    if word in WITHOUT_WORK:
        return reasons
    reasons += _notice_contradictions(found)
    reasons += _policy_contradictions(found)
    if found["centralized_scheduler"].value:
        reasons += _central_contradictions(found)
    if found["backend_url"].value and found["no_api"].value:
        reasons.append(
            "--coordination-backend-url shares the jobs of the API; --no-api has none to share"
        )
    if found["backend_url"].value and not client_id:
        reasons.append(
            "--coordination-backend-url needs --client-id: the schedulers that share its jobs"
        )
    return reasons


def _central_contradictions(found: Mapping[str, _Value]) -> list[str]:
    """A central scheduler acts by trusts, which takes an API, and a user with a password."""
    if found["no_api"].value:
        return ["--centralized-scheduler runs jobs of the API, so --no-api cannot stand beside it"]
    secrets = ("os_token", "os_application_credential_secret", "os_trust_id")
    given = [name for name in secrets if found[name].value]
    kind = str(found["os_auth_type"].value or "password").lower()
    if kind not in {"password", "v3password"} or given:
        reason = (
            "--centralized-scheduler needs the user and the password of the service: Keystone lets "
            "nobody use a trust by a token, an application credential or another trust"
        )
        return [reason]
    return []


def _settings(found: Mapping[str, _Value], around: Surroundings) -> Settings:
    value = {name: item.value for name, item in found.items()}
    auth = _service_auth(found)
    state = value["state_dir"] or _default_state(around)
    return Settings(
        client_id=value["client_id"],
        no_api=value["no_api"],
        coordination_url=value["backend_url"],
        jobs_dir=_path(value["jobs_dir"], around),
        state_dir=_path(state, around),
        interval_seconds=value["interval"],
        no_daemon=value["no_daemon"],
        disable_exec=value["disable_exec"],
        concurrent_jobs=value["concurrent_jobs"],
        capabilities=_capabilities(found),
        central=value["centralized_scheduler"],
        session_required=value["session_required"],
        allowed_commands=_allowed(value["allowed_commands"]),
        allowed_paths=_allowed(value["allowed_paths"]),
        agent_program=value["agent"],
        agent_environment=_agent_environment(auth, around.environment),
        service_auth=auth,
        log=_log_choice(value),
        notices=_notice_choice(value, around),
        job=value["job"],
        session=value["session"],
        client=value["client"],
        backup=value["backup"],
        file=value["file"],
        active_only=value["active_only"],
        all=value["all"],
        long=value["long"],
        as_json=value["json"],
        **{name: value[name] for name in _LIST_CHOICES},
        debug=value["debug"],
        remarks=_remarks(found),
        secrets=_secrets(found),
    )


def _capabilities(found: Mapping[str, _Value]) -> dict[str, tuple[str, ...]]:
    """What was chosen; by default everything that the owner of the jobs may ask of this host."""
    central = found["centralized_scheduler"].value
    default = capabilities.OF_CENTRAL if central else CAPABILITIES
    return {
        name: tuple(found[name].value) if found[name].rank else default[name]
        for name in CAPABILITIES
    }


def _allowed(entries: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if entries is None else tuple(entry for entry in entries if entry)


def _path(text: str | Path, around: Surroundings) -> Path:
    path = Path(text)
    if path.parts[:1] == ("~",):
        path = around.home.joinpath(*path.parts[1:])
    return around.start / path


def _default_state(around: Surroundings) -> Path:
    return _SYSTEM_STATE if around.is_root else around.home / ".freezer"


def _service_auth(found: Mapping[str, _Value]) -> dict[str, str]:
    names = [name for name in found if name.startswith(service_auth.PREFIX)]
    auth = {name: str(found[name].value) for name in names if found[name].value}
    for one, other in _ONE_OF:
        if one in auth and other in auth and found[one].rank != found[other].rank:
            del auth[one if found[one].rank < found[other].rank else other]
    if found["insecure"].value:
        auth["os_insecure"] = "True"
    return auth


def _agent_environment(auth: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The OS_* variables of ours that the options know nothing of, and the options."""
    known = {name for spelled in all_spelled() for name in spelled.variables}
    foreign = {
        name: text
        for name, text in environment.items()
        if name.startswith("OS_") and name not in known
    }
    return foreign | {name.upper(): text for name, text in auth.items()}


def _log_choice(value: Mapping[str, Any]) -> LogChoice:
    level = logging.INFO if value["verbose"] else logging.WARNING
    return LogChoice(
        level=logging.DEBUG if value["debug"] else level,
        file=value["log_file"],
        directory=value["log_dir"],
        configuration=value["log_config_append"],
        line_format=value["log_format"],
        date_format=value["log_date_format"],
        with_stderr=value["use_stderr"],
        watch_file=value["watch_log_file"],
        syslog_facility=value["syslog_log_facility"] if value["use_syslog"] else "",
        syslog_with_name=value["use_syslog_rfc_format"],
        use_journal=value["use_journal"],
        use_json=value["use_json"],
    )


def _notice_choice(value: Mapping[str, Any], around: Surroundings) -> NoticeChoice:
    password_file = value["notify_smtp_password_file"]
    return NoticeChoice(
        occasions=frozenset(value["notify_on"]),
        absence=read_length(value["notify_absence"]) if value["notify_absence"] else None,
        command=tuple(shlex.split(value["notify_command"])),
        webhook=value["notify_webhook"],
        mail_to=tuple(value["notify_mail_to"]),
        mail_from=value["notify_mail_from"] or f"freezer@{socket.getfqdn()}",
        smtp_host=value["notify_smtp_host"],
        smtp_port=value["notify_smtp_port"],
        smtp_security=value["notify_smtp_security"],
        smtp_username=value["notify_smtp_username"],
        smtp_password_file=_path(password_file, around) if password_file else None,
    )


def _notice_contradictions(found: Mapping[str, _Value]) -> list[str]:
    reasons = []
    if absence := found["notify_absence"].value:
        try:
            read_length(absence)
        except ValueError as error:
            reasons.append(f"wrong value for --notify-absence: {error}")
    try:
        shlex.split(found["notify_command"].value)
    except ValueError:
        reasons.append("--notify-command has a quote that does not end")
    scheme = found["notify_webhook"].value.partition("://")[0]
    if scheme not in {"", "http", "https"}:
        reasons.append("--notify-webhook takes an http:// or https:// URL")
    return reasons


def _policy_contradictions(found: Mapping[str, _Value]) -> list[str]:
    """A policy that says something else than meant must not look as if it protected the node."""
    reasons = [
        f"--allowed-paths {path!r} does not begin with a slash"
        for path in found["allowed_paths"].value or ()
        if path and not Path(path).is_absolute()
    ]
    for command in found["allowed_commands"].value or ():
        try:
            words = shlex.split(command)
        except ValueError:
            reasons.append(f"--allowed-commands {command!r} has a quote that does not end")
            continue
        if words == ["*"]:
            reasons.append("--allowed-commands '*' would allow everything: leave the option out")
    return reasons


def _remarks(found: Mapping[str, _Value]) -> tuple[str, ...]:
    remarks = []
    if found["enable_v1_api"].value:
        remarks.append("--enable-v1-api has no effect: v2 of the API is spoken")
    if found["os_password"].rank == 3:
        remarks.append(
            "other users of this host can read --os-password in the list of processes; put it "
            "into the configuration file or OS_PASSWORD"
        )
    return tuple(remarks)


def _secrets(found: Mapping[str, _Value]) -> tuple[str, ...]:
    secret = {spelled.dest for spelled in all_spelled() if spelled.option.secret}
    return tuple(str(found[name].value) for name in secret if found[name].value)
