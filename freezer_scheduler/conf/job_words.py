"""A job said in options of job-create, in place of a file.

Options of the agent become its freezer_action, the others the schedule and the rules of the action.
The agent says itself which options it has, by the entry point that the sample generator uses too.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from oslo_config import cfg

from freezer_model.schedule import SCHEDULE_KEYS
from freezer_scheduler.conf.parser import UnknownOption

COMMAND = "job-create"
COMMANDS = (COMMAND, "session-restore")
"""Those that take the words of a job."""

_RULES = (
    cfg.StrOpt("description", help="What people call the job."),
    cfg.IntOpt("max-retries", min=0, help="How often a failed action is tried again."),
    cfg.IntOpt("max-retries-interval", min=0, help="How many seconds lie between two tries."),
    cfg.IntOpt("max-run-time", min=1, help="After how many seconds the agent is ended."),
    cfg.BoolOpt("mandatory", help="Run the action even if one before it has failed."),
)
_OF_ACTION = ("max_retries", "max_retries_interval", "max_run_time", "mandatory")
_SHORT_INTERVAL = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOption:
    """One option of job-create: where its value goes, and of which kind it is."""

    flag: str
    path: tuple[str, ...]
    option: cfg.Opt
    aliases: tuple[str, ...] = ()

    @property
    def is_flag(self) -> bool:
        """Whether it stands without a value."""
        return isinstance(self.option, cfg.BoolOpt)


@dataclass(slots=True)
class _Job:
    document: dict[str, Any] = field(default_factory=dict)
    action: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)

    def whole(self) -> dict[str, Any] | None:
        if not (self.document or self.action or self.rules or self.schedule):
            return None
        if not self.action:
            raise UnknownOption("the job has no action: say --action backup, with its options")
        return {
            **self.document,
            "job_actions": [{"freezer_action": self.action, **self.rules}],
            "job_schedule": self.schedule,
        }

    def put(self, option: JobOption, value: Any) -> None:
        place, name = option.path
        values: dict[str, Any] = getattr(self, place)
        if isinstance(option.option, cfg.MultiOpt):
            values.setdefault(name, []).append(value)
        elif name in values:
            raise UnknownOption(f"{option.flag} is given twice")
        else:
            values[name] = value


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenApart:
    """The words that are left to others, and the job document (None: none was said)."""

    words: list[str]
    job: dict[str, Any] | None


def take_job(words: Sequence[str], others: Iterable[str]) -> TakenApart:
    """Take the job's options out of the words; `others` are the flags of the scheduler itself.

    Raises UnknownOption for one that nobody knows, that lacks its value or has a wrong one, and for
    a secret, which other users of the host could read.
    """
    options = _by_flag(set(others))
    left: list[str] = []
    job = _Job()
    from_file = any(word.partition("=")[0] == "--file" for word in words)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        option = options.get(name.replace("_", "-"))
        following = rest[0] if rest else ""
        if option is None or not name.startswith("--"):
            left.append(word)
        elif from_file and name == "--interval" and _SHORT_INTERVAL.fullmatch(value or following):
            # Beside a file it is what it always was: how often the API is asked.
            left.append(word)
        elif option.is_flag and not equals:
            job.put(option, not name.startswith(("--no-", "--no")) or name == option.flag)
        else:
            if not equals:
                value = _value_of(option, name, rest)
            job.put(option, _typed(option, name, value))
    return TakenApart(words=left, job=job.whole())


def advice(flag: str, others: Iterable[str]) -> str:
    """Which option may have been meant; empty if none comes near."""
    near = difflib.get_close_matches(flag, [*_by_flag(set()), *others], n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def job_options() -> list[JobOption]:
    """All of them, those of the schedule first."""
    found = [
        JobOption(
            flag=f"--{key.removeprefix('schedule_').replace('_', '-')}",
            path=("schedule", key),
            option=cfg.StrOpt(key, help=f"{key} of the job's schedule."),
            aliases=(f"--{key.replace('_', '-')}",),
        )
        for key in SCHEDULE_KEYS
    ]
    for rule in _RULES:
        place = "rules" if rule.dest in _OF_ACTION else "document"
        found.append(JobOption(flag=f"--{rule.name}", path=(place, rule.dest), option=rule))
    for option in _agent_options():
        former = {str(old.name).replace("_", "-") for old in option.deprecated_opts}
        found.append(
            JobOption(
                flag=f"--{option.name.replace('_', '-')}",
                path=("action", option.dest),
                option=option,
                aliases=tuple(sorted(f"--{name}" for name in former)),
            )
        )
    return found


def _agent_options() -> list[cfg.Opt]:
    for point in metadata.entry_points(group="oslo.config.opts"):
        if point.name == "freezer-agent":
            return [option for _, options in point.load()() for option in options]
    return []


def _by_flag(others: set[str]) -> Mapping[str, JobOption]:
    known = job_options()
    table = {option.flag: option for option in known}
    # A name of its own (--no-incremental) counts more than the opposite of another one.
    for option in known:
        twins = (f"--no-{option.flag[2:]}", f"--no{option.flag[2:]}") if option.is_flag else ()
        for flag in (*option.aliases, *twins):
            table.setdefault(flag, option)
    # --interval has a unit here; what else the scheduler has is its own.
    return {
        flag: option for flag, option in table.items() if flag not in others or flag == "--interval"
    }


def _value_of(option: JobOption, name: str, rest: list[str]) -> str:
    """The next word; some options of the agent are a yes by themselves, and a text with one."""
    if rest and not rest[0].startswith("--"):
        return rest.pop(0)
    try:
        if option.option.type("true") is True:
            return "true"
    except ValueError:
        pass
    raise UnknownOption(f"argument {name}: expected one argument")


def _typed(option: JobOption, name: str, text: str) -> Any:
    if option.option.secret:
        raise UnknownOption(
            f"{name}: other users of this host could read it among the arguments; put the job into "
            "a file and use --file, or name a file that holds it"
        )
    try:
        value = option.option.type(text)
    except ValueError as error:
        place, key = option.path
        shown = {
            "action": f"job_actions.0.freezer_action.{key}",
            "rules": f"job_actions.0.{key}",
            "schedule": f"job_schedule.{key}",
        }.get(place, key)
        raise UnknownOption(f"{shown} ({name}): {error}") from None
    return value if isinstance(value, (bool, int, float)) else text
