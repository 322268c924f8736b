"""The command line of the scheduler: the life of the daemon, and the commands for the API.

Exit codes: 0 done; 1 the settings cannot be used, or the scheduler could not start; 2 an unknown
option; 65 no command, or one that does not exist; 70 the command failed; 73 the client could not be
registered; 130 interrupted from the keyboard.

Everything but the options is imported when it is needed: `status` must not wait for what asks APIs.
"""

import contextlib
import dataclasses
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from freezer_model.errors import FreezerError
from freezer_scheduler.conf.help_text import DAEMON_COMMANDS, help_text
from freezer_scheduler.conf.loading import PROGRAM, Surroundings, settle
from freezer_scheduler.conf.parser import CommandLine, Parser, UnknownOption
from freezer_scheduler.conf.settings import Settings, SettingsInvalid
from freezer_scheduler.daemon import (
    PidFile,
    Readiness,
    Signals,
    daemonize,
    signal_running,
    stopping,
)
from freezer_scheduler.directory_lock import only_reader
from freezer_scheduler.errors import NotRunning
from freezer_scheduler.log_setup import LogSetup

if TYPE_CHECKING:
    from freezer_client.api import Freezer
    from freezer_scheduler.commands import Command, CommandContext

log = logging.getLogger(__name__)
# Without it, Python prints to standard error what is logged before the log is set up.
logging.getLogger("freezer_scheduler").addHandler(logging.NullHandler())

_WITH_A_JOB = frozenset({"job-create", "session-restore"})
"""The commands that take the options of a job besides their own."""
_DONE, _UNUSABLE, _UNKNOWN_OPTION, _NO_COMMAND, _FAILED, _FROM_KEYBOARD = 0, 1, 2, 65, 70, 130
_STOP_TIMEOUT_SECONDS = 100.0
"""Longer than running agents get to clean up, and shorter than the 120 s of the systemd unit."""
_HINT = "hint: the program freezer (python-freezerclient) has commands like this one, too"


class Runnable(Protocol):
    """A scheduler that is put together."""

    def run(self, signals: "SettledSignals") -> None:
        """Work until the signals say stop."""
        ...

    def adopt(self, *, rules: Any, interval_seconds: float) -> None:
        """Go on with other settings."""
        ...


class SettledSignals:
    """The signals of the process; whoever is told of a reload has the new settings already."""

    def __init__(self, signals: Signals, reread: Callable[[], None]) -> None:
        self._signals = signals
        self._reread = reread

    def is_stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._signals.is_stopping()

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        wanted = self._signals.take_reload()
        if wanted:
            self._reread()
        return wanted

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal comes."""
        self._signals.wait(seconds)

    def wake(self) -> None:
        """End the wait."""
        self._signals.wake()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the command line is put together from; other ones are for tests."""

    around: Surroundings
    client_from: Callable[[Settings], "Freezer"]
    scheduler_from: Callable[[Settings], Runnable]
    rules_from: Callable[[Settings], Any]
    pid_file: Callable[[str], PidFile]
    host: str
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def real(cls) -> "Parts":
        """Those of the program."""
        return cls(
            around=Surroundings.of_process(),
            client_from=_client_from,
            scheduler_from=_scheduler_from,
            rules_from=_rules_from,
            pid_file=PidFile,
            host=socket.gethostname(),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A command line that was understood."""

    line: CommandLine
    settings: Settings
    parts: Parts
    job: Mapping[str, Any] | None = None
    """The job that the options of job-create say."""

    def pid_file(self) -> PidFile:
        """The pid file of the scheduler that is meant."""
        return self.parts.pid_file(self.settings.instance)

    def log(self, *, is_foreground: bool, level: int) -> LogSetup:
        """The log that was chosen."""
        return LogSetup(
            dataclasses.replace(self.settings.log, level=level),
            secrets=self.settings.secrets,
            is_foreground=is_foreground,
            start=self.parts.around.start,
            home=self.parts.around.home,
        )


def main(argv: Sequence[str] | None = None, parts: Parts | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Names of files need not be text; a message about them must not fail for that.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(words, parts or Parts.real())
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. The interpreter must not flush it once more.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DONE
    except KeyboardInterrupt:
        return _FROM_KEYBOARD
    except Exception as error:
        log.debug("unexpected", exc_info=error)
        return _complain(f"unexpected {type(error).__name__}: {error}", _FAILED)
    return code


def _run(words: Sequence[str], parts: Parts) -> int:
    parser = Parser(PROGRAM)
    try:
        job, line = _taken_apart(parser, words)
    except UnknownOption as error:
        return _complain(f"{error}. See {PROGRAM} --help.", _UNKNOWN_OPTION)
    shown = _shown(line)
    if shown is not None:
        return shown
    word = " ".join(line.words)
    act = _DAEMON_COMMANDS.get(word)
    if act is None and word not in _api_commands():
        _tell(help_text(_api_commands()))
        return _complain(f"There is no command {word!r}." if word else "No command.", _NO_COMMAND)
    try:
        settings = settle(line, parts.around)
    except SettingsInvalid as error:
        return _complain(str(error), _UNUSABLE)
    call = _Call(line=line, settings=settings, parts=parts, job=job)
    return act(call) if act else _ask_api(word, call)


def _taken_apart(
    parser: Parser, words: Sequence[str]
) -> tuple[Mapping[str, Any] | None, CommandLine]:
    """The job that is said in options, and the rest of the command line. Raises UnknownOption."""
    if not _WITH_A_JOB.intersection(words):
        return None, parser.parse(words)
    from freezer_scheduler.conf.job_words import advice, take_job  # noqa: PLC0415  # see above

    taken = take_job(words, parser.flags)
    try:
        return taken.job, parser.parse(taken.words)
    except UnknownOption as error:
        flag = str(error).removeprefix("unknown option: ")
        raise UnknownOption(f"{error}{advice(flag, parser.flags)}") from None


def _shown(line: CommandLine) -> int | None:
    """The code of a command line that asks about the program only; None for every other."""
    if "version" in line.values:
        _tell(_version())
        return _DONE
    if "help" in line.values:
        _tell(help_text(_api_commands()))
        return _DONE
    shell = line.values.get("shell_completion")
    return None if shell is None else _complete(shell)


def _complete(shell: str) -> int:
    from freezer_scheduler.commands import COMMANDS  # noqa: PLC0415  # see above
    from freezer_scheduler.conf import completion  # noqa: PLC0415  # see above

    if shell not in completion.SHELLS:
        return _complain(
            f"--shell-completion knows {', '.join(completion.SHELLS)}", _UNKNOWN_OPTION
        )
    daemon = {
        name: completion.CommandWords(help=text, is_of_daemon=True)
        for name, text in DAEMON_COMMANDS.items()
    }
    api = {
        name: completion.CommandWords(help=command.help, fields=(*command.needs, *command.takes))
        for name, command in COMMANDS.items()
    }
    _tell(completion.script(shell, PROGRAM, {**daemon, **api}).rstrip())
    return _DONE


def _start(call: _Call) -> int:
    settings, readiness = call.settings, None
    try:
        if not settings.no_api:
            # Asked for here, where the terminal is still there to say what is missing.
            _ = settings.credentials
        with (
            call.pid_file() as pid_file,
            only_reader(settings.jobs_dir) if settings.no_api else contextlib.nullcontext(),
            call.log(is_foreground=settings.no_daemon, level=settings.log.level),
        ):
            if settings.no_daemon:
                _tell("Freezer Scheduler running in no-daemon mode")
            else:
                readiness = daemonize()
                pid_file.write_pid()
            _work(call, readiness)
    except FreezerError as error:
        if readiness is not None:
            readiness.failed(f"ERROR {error}")
        return _complain(str(error), _UNUSABLE)
    return _DONE


def _work(call: _Call, readiness: Readiness | None) -> None:
    for remark in call.settings.remarks:
        log.warning("%s", remark)
    with stopping() as signals:
        try:
            scheduler = call.parts.scheduler_from(call.settings)
            if readiness is not None:
                readiness.ready()
            scheduler.run(SettledSignals(signals, lambda: _reread(call, scheduler)))
        except FreezerError as error:
            if readiness is not None:
                log.critical("%s", error)
            raise


def _reread(call: _Call, scheduler: Runnable) -> None:
    """Give the scheduler today's settings, as far as it can take them over while it runs."""
    try:
        settings = settle(call.line, call.parts.around)
    except SettingsInvalid as error:
        log.error("The settings stay as they were: %s", error)  # noqa: TRY400  # a sentence is enough
        return
    rules = call.parts.rules_from(settings)
    scheduler.adopt(rules=rules, interval_seconds=settings.interval_seconds)


def _stop(call: _Call) -> int:
    return _signal(call, signal.SIGTERM, _STOP_TIMEOUT_SECONDS)


def _reload(call: _Call) -> int:
    return _signal(call, signal.SIGHUP, None)


def _signal(call: _Call, number: signal.Signals, timeout_seconds: float | None) -> int:
    try:
        signal_running(call.pid_file(), number, timeout_seconds=timeout_seconds)
    except NotRunning:
        _tell("Not Running")
    except FreezerError as error:
        return _complain(str(error), _FAILED)
    return _DONE


def _restart(call: _Call) -> int:
    try:
        with contextlib.suppress(NotRunning):
            signal_running(call.pid_file(), signal.SIGTERM, timeout_seconds=_STOP_TIMEOUT_SECONDS)
    except FreezerError as error:
        return _complain(str(error), _FAILED)
    return _start(call)


def _status(call: _Call) -> int:
    try:
        pid = call.pid_file().holder()
    except FreezerError as error:
        return _complain(str(error), _FAILED)
    _tell("Not Running" if pid is None else f"Running with pid: {pid}")
    return _DONE


_DAEMON_COMMANDS: Mapping[str, Callable[[_Call], int]] = {
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "reload": _reload,
    "status": _status,
}


def _ask_api(word: str, call: _Call) -> int:
    from freezer_scheduler.commands import COMMANDS  # noqa: PLC0415  # see above

    settings, command = call.settings, COMMANDS[word]
    if settings.no_api:
        return _complain(f"{word} asks the API: leave --no-api out", _UNUSABLE)
    for remark in settings.remarks:
        _say(f"warning: {remark}")
    if sys.stderr.isatty() and not settings.as_json:
        _say(_HINT)
    # Only warnings, unless asked for more: the result is the story of a command.
    level = settings.log.level if settings.debug else max(settings.log.level, logging.WARNING)
    try:
        with (
            call.log(is_foreground=True, level=level),
            contextlib.closing(call.parts.client_from(settings)) as freezer,
        ):
            return _ask(command, freezer, call)
    except FreezerError as error:
        return _complain(str(error), _UNUSABLE)


def _ask(command: "Command", freezer: "Freezer", call: _Call) -> int:
    from freezer_scheduler.commands.watching import watch  # noqa: PLC0415  # see above

    settings, host = call.settings, call.parts.host
    client_id = settings.client_id
    # What is missing is said before anybody is asked.
    if not client_id and all(getattr(settings, need) for need in command.needs):
        try:
            client_id = f"{freezer.project_id()}_{host}"
        except FreezerError as error:
            return _complain(str(error), command.failure_code)
    context = dataclasses.replace(_context(freezer, client_id, settings, host), document=call.job)
    if settings.watch and "watch" in command.takes:
        return watch(command, context, call.parts.sleep)
    return command.run(context)


def _context(freezer: "Freezer", client_id: str, settings: Settings, host: str) -> "CommandContext":
    from freezer_scheduler.commands import CommandContext  # noqa: PLC0415  # see above

    capabilities = {name: list(words) for name, words in settings.capabilities.items()}
    return CommandContext(
        freezer=freezer,
        client_id=client_id,
        out=sys.stdout,
        err=sys.stderr,
        file=settings.file,
        job=settings.job,
        session=settings.session,
        client=settings.client,
        backup=settings.backup,
        jobs_dir=str(settings.jobs_dir),
        active_only=settings.active_only,
        all=settings.all,
        long=settings.long,
        as_json=settings.as_json,
        status=settings.status,
        result=settings.result,
        search=settings.search,
        sort=settings.sort,
        reverse=settings.reverse,
        limit=settings.limit,
        offset=settings.offset,
        watch=settings.watch,
        registration={"hostname": host, **capabilities, "is_central": settings.central},
    )


def _api_commands() -> Mapping[str, str]:
    """The help of each command for the API."""
    from freezer_scheduler.commands import COMMANDS  # noqa: PLC0415  # see above

    return {name: command.help for name, command in COMMANDS.items()}


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str, code: int) -> int:
    _say(f"ERROR {text}")
    return code


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415  # 20 ms that nothing else needs

    try:
        return metadata.version("freezer")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def _client_from(settings: Settings) -> "Freezer":
    from freezer_scheduler.assembly import client_from  # noqa: PLC0415  # see above

    return client_from(settings)


def _scheduler_from(settings: Settings) -> Runnable:
    from freezer_scheduler.assembly import scheduler_from  # noqa: PLC0415  # see above

    return scheduler_from(settings)


def _rules_from(settings: Settings) -> Any:
    from freezer_scheduler.assembly import rules_from  # noqa: PLC0415  # see above

    return rules_from(settings)
