"""The command line of the agent: options to request to action to report and exit code.

Exit codes: 0 done; 1 failed, or a wrong value or combination of options, or no arguments; 2 an
unknown option; 130 interrupted from the keyboard. SIGTERM: the run cleans up and the process then
ends by that signal, so that its parent sees it.
"""

import contextlib
import io
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from freezer_agent.errors import AgentError, Interrupted, RequestInvalid

if TYPE_CHECKING:
    from freezer_agent.actions.base import Report
    from freezer_agent.conf.options import Options
    from freezer_agent.voice import EventVoice, Voice

log = logging.getLogger(__name__)
# Without it, Python prints to standard error what is logged before the log is set up.
logging.getLogger("freezer_agent").addHandler(logging.NullHandler())

_DONE, _FAILED, _UNKNOWN_OPTION, _FROM_KEYBOARD = 0, 1, 2, 130
_PROGRAM = "freezer-agent"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Ends the process only on SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:
        # It was closed before we started: there is nobody to report to.
        sys.stdout = io.StringIO()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # File names need not be text; a report about them must not fail for that.
            stream.reconfigure(errors="backslashreplace")
    from freezer_agent.conf.parser import (  # noqa: PLC0415  # keeps `--version` quick
        Parser,
        UnknownOption,
    )

    parser = Parser(_PROGRAM)
    try:
        command_line = parser.parse(words)
    except UnknownOption as error:
        sys.stderr.write(f"{_PROGRAM}: {error}\nSee {_PROGRAM} --help.\n")
        return _UNKNOWN_OPTION
    if command_line.get("version"):
        return _print(f"{_version()}\n")
    if command_line.get("help") or not words:
        return _print(parser.help()) or (_DONE if words else _FAILED)
    if "shell_completion" in command_line:
        return _print_completion(parser, command_line["shell_completion"])
    return _run(command_line)


def _run(command_line: dict[str, Any]) -> int:
    from freezer_agent.conf.options import gather  # noqa: PLC0415  # keeps help quick
    from freezer_agent.log_setup import LogSetup  # noqa: PLC0415  # keeps help quick

    if "config" in command_line:
        command_line["config"] = _in_home(command_line["config"])
    voice, setting = _voice(command_line.get), command_line.get
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_ended_by_signal())
            start, home = _start(), Path.home()
            options = gather(command_line, start)
            setting = partial(_setting, options)
            voice = _voice(setting)
            stack.enter_context(LogSetup(options, start=start, home=home))
            status = _run_request(options, start, home, voice)
            voice.finish(status)
            return status  # noqa: TRY300  # all of it may fail
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the outermost edge
            status, text = _failure_of(error)
            kind = type(error).__name__
        log.critical("%s", text.replace("\n", " "))
        voice.fail(text)
        _tell_programs(setting, {"exit_code": status, "error": text, "error_class": kind})
        voice.finish(status)
    if status < 0:
        _die_by(signal.Signals(-status))
    return status


def _start() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        reason = "the directory that this was started in was removed: change into another one"
        raise RequestInvalid([reason]) from error


def _setting(options: "Options", name: str) -> str:
    value = options[name]
    return value if isinstance(value, str) else "true" if value else ""


def _tell_programs(setting: Callable[[str], Any], failure: Mapping[str, Any]) -> None:
    """The failure as JSON, for who asked for the report as JSON: exit codes tell no causes."""
    from freezer_agent.report_output import write_failure  # noqa: PLC0415  # keeps help quick

    document = {"failed_action": setting("action") or "backup", **failure}
    as_json, place = setting("json") == "true", _in_home(setting("metadata_out"))
    write_failure(document, place, Path(), sys.stdout, as_json=as_json)


def _in_home(given: str | None) -> str | None:
    """The path with `~` filled in, which no shell does for --metadata-out=~/x or in a job file."""
    return os.path.expanduser(given) if given else given  # noqa: PTH111  # that one may raise


def _voice(setting: Callable[[str], Any]) -> "Voice | EventVoice":
    """The voice that two settings choose, before all of them are known and after."""
    from freezer_agent.voice import EventVoice, Voice  # noqa: PLC0415  # keeps help quick
    from freezer_model.clock import utc_now  # noqa: PLC0415  # keeps help quick

    quiet = setting("quiet") == "true"
    if setting("json") == "true" and not quiet and sys.stderr is not None:
        return EventVoice(sys.stderr, time.monotonic, utc_now)
    return Voice(sys.stderr, time.monotonic, quiet=quiet)


def _failure_of(error: BaseException) -> tuple[int, str]:
    """The table from errors to exit codes, and the sentence to tell."""
    match error:
        case Interrupted():
            status, text = -signal.SIGTERM, "interrupted by SIGTERM"
        case KeyboardInterrupt():
            status, text = _FROM_KEYBOARD, "interrupted from the keyboard"
        case RequestInvalid():
            status, text = _FAILED, _listed(error.reasons)
        case AgentError() | OSError():
            status, text = _FAILED, str(error)
        case _:
            log.error("this should not happen", exc_info=error)
            status, text = _FAILED, f"unexpected {type(error).__name__}: {error}"
    return status, "\n".join([text, *getattr(error, "__notes__", ())])


def _run_request(options: Any, start: Path, home: Path, voice: "Voice | EventVoice") -> int:
    # All of this is imported late: --version, --help and wrong options should not wait for it.
    from freezer_agent.actions.base import Unwatched  # noqa: PLC0415  # see above
    from freezer_agent.assembly import World, make_action  # noqa: PLC0415  # see above
    from freezer_agent.catalog.claimant import ProcessClaimant  # noqa: PLC0415  # see above
    from freezer_agent.catalog.lock import Owner  # noqa: PLC0415  # see above
    from freezer_agent.conf.checking import Surroundings, to_request  # noqa: PLC0415  # see above
    from freezer_agent.process_settings import (  # noqa: PLC0415  # see above
        raise_priority,
        use_proxy,
    )
    from freezer_agent.report_output import write_report  # noqa: PLC0415  # see above
    from freezer_agent.storage_assembly import make_network  # noqa: PLC0415  # see above
    from freezer_model.clock import utc_now  # noqa: PLC0415  # see above

    voice.start(options["action"], _version())
    for remark in options.remarks:
        log.warning("%s", remark)
        voice.warn(remark)
    host = socket.gethostname()
    around = Surroundings(start=start, host=host, home=home, environment=dict(os.environ))
    request = to_request(options, around)
    use_proxy(os.environ, options["proxy"])
    if options["max_priority"]:
        raise_priority()
    post = _poster(options, around.environment)
    world = World(
        clock=utc_now,
        monotonic=time.monotonic,
        random_bytes=secrets.token_bytes,
        host=host,
        lock_folder=home / ".freezer" / "locks",
        state_key_folder=home / ".freezer" / "state-keys",
        version=_version(),
        progress=voice.progress or Unwatched(),
        network=make_network(
            attempts=options["storage_attempts"],
            upload_limit=options["upload_limit"],
            download_limit=options["download_limit"],
            monotonic=time.monotonic,
            sleep=time.sleep,
            chance=secrets.SystemRandom().random,
            claimant=ProcessClaimant(Owner.this_process(host)),
        ),
    )
    try:
        report = make_action(request, world).run()
    finally:
        voice.rest()
    report = post(_with_exit_code(report))
    for warning in report.warnings:
        log.warning("%s", warning)
        voice.warn(warning)
    write_report(
        report,
        _in_home(options["metadata_out"]),
        start,
        sys.stdout,
        as_json=options["json"],
        quiet=options["quiet"],
    )
    for failure in report.failures:
        log.critical("%s", failure)
        voice.fail(failure)
    return int(report.document["exit_code"])


def _with_exit_code(report: "Report") -> "Report":
    document = {**report.document, "exit_code": _FAILED if report.failures else _DONE}
    if report.failures:
        document["error"] = "\n".join(report.failures)
    return replace(report, document=document)


def _poster(options: Any, environment: Mapping[str, str]) -> "Callable[[Report], Report]":
    """What posts the report of a backup to the API, or leaves it as it is."""
    if not options["report"] or options["action"] != "backup" or options["dry_run"]:
        return lambda report: report
    from freezer_agent.api_report import ApiReport  # noqa: PLC0415  # rarely needed

    return ApiReport.from_environment(environment).post


def _listed(reasons: Sequence[str]) -> str:
    if len(reasons) == 1:
        return reasons[0]
    return f"{len(reasons)} things are wrong\n" + "\n".join(f"  - {one}" for one in reasons)


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM raises Interrupted once; further ones wait until the run has cleaned up."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Interrupted("told to stop by SIGTERM")

    try:
        former = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        # Not the main thread: whoever runs us there has to end us in another way.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _die_by(number: signal.Signals) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)


def _print_completion(parser: Any, shell: str) -> int:
    words = " ".join(parser.names())
    if shell == "bash":
        text = f'complete -o default -W "{words}" {_PROGRAM} freezerc\n'
    elif shell == "zsh":
        text = f"compctl -k '({words})' -f {_PROGRAM} freezerc\n"
    else:
        sys.stderr.write(f"Critical Error: --shell-completion takes bash or zsh, not {shell!r}\n")
        return _FAILED
    return _print(text)


def _print(text: str) -> int:
    from freezer_agent.report_output import printing  # noqa: PLC0415  # see main

    try:
        with printing(sys.stdout):
            sys.stdout.write(text)
            sys.stdout.flush()
    except AgentError as error:
        sys.stderr.write(f"Critical Error: {error}\n")
        return _FAILED
    return _DONE


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415  # 20 ms that only reports need

    try:
        return metadata.version("freezer")
    except metadata.PackageNotFoundError:
        return "0+unknown"
