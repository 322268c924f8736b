"""The options of a run: command line over job file over oslo.config files over defaults."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oslo_config import cfg, types

from freezer_agent.conf import all_options
from freezer_agent.conf.jobfile import JobFile, read_job_file
from freezer_agent.conf.kinds import FlagOrText
from freezer_agent.conf.storage import SECTION_NAMES
from freezer_agent.errors import RequestInvalid

log = logging.getLogger(__name__)

# Values of job files that mean "not set", as every release wrote them.
_UNSET = frozenset({"None", "False", "false"})

# Keys of old job files and samples that never were options, or are none any more, with the reason
# that makes it right to pass over them.
_WITHOUT_MEANING = {
    "vssadmin": "--snapshot took its place",
    "config": "a job file cannot name another one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every option with its value, and which of them somebody gave.

    `storages` holds for each [storage:NAME] section of a job file the options as they are for that
    storage, `remarks` what an operator should know about keys that were passed over;
    `command_line` is it without its secrets.
    """

    values: Mapping[str, Any]
    given: frozenset[str]
    storages: Mapping[str, "Options"]
    remarks: tuple[str, ...]
    command_line: str

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def is_given(self, name: str) -> bool:
        """Whether the value comes from the command line or a file."""
        return name in self.given


def gather(command_line: Mapping[str, Any], start: Path) -> Options:
    """Lay the sources over each other. RequestInvalid names every wrong value at once."""
    reasons: list[str] = []
    options = all_options()
    job = JobFile(values={}, storages={})
    if command_line.get("config"):
        job = read_job_file(start / command_line["config"])
    by_key = _by_key(options)
    values, given = _from_oslo_files(options, command_line, start, reasons)
    for key, text in job.values.items():
        if key in by_key and key not in _WITHOUT_MEANING:
            _set_from_job(by_key[key], (f"{key} in the job file", text), values, given, reasons)
    for option in options:
        if option.dest in command_line:
            given.add(option.dest)
            raw = command_line[option.dest]
            values[option.dest] = _typed(option, raw, f"--{option.name}", reasons)
    main = Options(
        values={option.dest: values.get(option.dest, option.default) for option in options},
        given=frozenset(given),
        storages={},
        remarks=_remarks(job, by_key),
        command_line=_shown(command_line, options),
    )
    storages = {
        name: _in_section(main, (name, texts), by_key, reasons)
        for name, texts in job.storages.items()
    }
    if reasons:
        raise RequestInvalid(reasons)
    return replace(main, storages=storages)


def without_password(url: str) -> str:
    """The URL without the user and password that it may carry."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _shown(command_line: Mapping[str, Any], options: Sequence[cfg.Opt]) -> str:
    words: list[str] = []
    for option in options:
        if option.dest not in command_line:
            continue
        given = command_line[option.dest]
        if option.secret:
            given = "***"
        elif option.dest == "proxy":
            given = without_password(given)
        values = given if isinstance(given, list) else [given]
        words.extend(shlex.quote(f"--{option.name}={value}") for value in values)
    return " ".join(words)


def _in_section(
    main: Options,
    section: tuple[str, Mapping[str, str]],
    by_key: Mapping[str, cfg.Opt],
    reasons: list[str],
) -> Options:
    """The options for one of several storages: what its section says stands above all else."""
    name, texts = section
    values, given = dict(main.values), set(main.given)
    for key, text in texts.items():
        option = by_key.get(key)
        if option is None:
            continue
        if option.dest in SECTION_NAMES:
            where = f"{key} in section storage:{name}"
            _set_from_job(option, (where, text), values, given, reasons)
        else:
            reasons.append(
                f"{key} in section storage:{name} is no setting of a storage but of the whole run: "
                "put it into another section",
            )
    return replace(main, values=values, given=frozenset(given))


def _remarks(job: JobFile, by_key: Mapping[str, cfg.Opt]) -> tuple[str, ...]:
    unknown = [key for key in job.values if key not in by_key and key not in _WITHOUT_MEANING]
    remarks = []
    if unknown:
        names = ", ".join(sorted(unknown))
        remarks.append(f"the job file has keys that are no options and are passed over: {names}")
    for name, texts in job.storages.items():
        if strange := sorted(set(texts) - set(by_key)):
            remarks.append(
                f"the section storage:{name} has keys that are no options and are passed over: "
                + ", ".join(strange),
            )
    remarks += [
        f"the key {key} of the job file is passed over: {reason}"
        for key, reason in _WITHOUT_MEANING.items()
        if key in job.values
    ]
    return tuple(remarks)


def _by_key(options: Sequence[cfg.Opt]) -> dict[str, cfg.Opt]:
    known = {}
    for option in options:
        former = (str(old.name) for old in option.deprecated_opts)
        for name in (option.name, option.dest, *former):
            known[name.replace("-", "_")] = option
    return known


def _set_from_job(
    option: cfg.Opt,
    item: tuple[str, str],
    values: dict[str, Any],
    given: set[str],
    reasons: list[str],
) -> None:
    where, text = item
    if not text.strip() and _needs_a_value(option):
        return
    # "false" is a program, too.
    is_unset = text in _UNSET and (text, option.dest) != ("false", "command")
    if is_unset and not isinstance(option, cfg.BoolOpt):
        if text == "None" or not isinstance(option.type, FlagOrText):
            values[option.dest] = option.default
            given.discard(option.dest)
            return
    elif text == "None":
        return
    raw = text.splitlines() if option.multi else text
    given.add(option.dest)
    values[option.dest] = _typed(option, raw, where, reasons)


def _needs_a_value(option: cfg.Opt) -> bool:
    """Whether no text at all cannot be meant: job files have empty values for what is not set."""
    return not isinstance(option.type, types.String) or bool(option.type.choices)


def _typed(option: cfg.Opt, raw: Any, where: str, reasons: list[str]) -> Any:
    try:
        if option.multi:
            return [option.type(one) for one in raw if one.strip()]
        value = option.type(raw)
        if value is None and option.default is not None:
            raise ValueError("it is empty")  # noqa: TRY301  # told like other wrong values
        return value  # noqa: TRY300  # see above
    except ValueError as error:
        said = "the value is not of the right kind" if option.secret else str(error)
        reasons.append(f"wrong value for {where}: {said}")
        return option.default


def _from_oslo_files(
    options: Sequence[cfg.Opt],
    command_line: Mapping[str, Any],
    start: Path,
    reasons: list[str],
) -> tuple[dict[str, Any], set[str]]:
    files = [str(start / name) for name in command_line.get("config_file", [])]
    folders = [str(start / name) for name in command_line.get("config_dir", [])]
    if not files:
        files = cfg.find_config_files(project="freezer", prog="freezer-agent")
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    reasons += [f"--config-dir {folder!r} is no directory" for folder in missing]
    if not files and not folders:
        return {}, set()
    conf = cfg.ConfigOpts()
    conf.register_opts(options)
    try:
        conf(
            args=[],
            project="freezer",
            prog="freezer-agent",
            default_config_files=files,
            default_config_dirs=folders,
        )
    except cfg.Error as error:
        raise RequestInvalid([f"the configuration cannot be read: {error}"]) from error
    values: dict[str, Any] = {}
    for option in options:
        try:
            found = conf.get_location(option.dest)
            if found is not None and found.location is cfg.Locations.user:
                values[option.dest] = conf[option.dest]
        except (cfg.Error, ValueError) as error:
            said = "the value is not of the right kind" if option.secret else str(error)
            reasons.append(f"wrong value for {option.dest} in the configuration: {said}")
    return values, set(values)
