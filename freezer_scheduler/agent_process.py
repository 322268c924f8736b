"""Start freezer-agent for one action, hold it, collect how it went, end it."""

import configparser
import json
import logging
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from freezer_model.clock import utc_now
from freezer_scheduler.errors import AgentNotFound, JobNotSupported
from freezer_scheduler.output_logs import OutputLog
from freezer_scheduler.process_tree import VARIABLE, end_marked

log = logging.getLogger(__name__)

_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_MOST_REPORT_BYTES = 8 << 20
_TAIL_BYTES = 8 << 10
_LOOK_SECONDS = 0.2
_DRAIN_SECONDS = 2.0
TERM_GRACE_SECONDS = 30.0
"""How long an agent may clean up after SIGTERM before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one call of the agent ended.

    `exit_code` is negative for a signal; `report` is the JSON object it printed, None if there was
    none; `error` the end of what it said on stderr; `overran` whether it was ended for its time.
    """

    exit_code: int
    report: Mapping[str, Any] | None
    error: str
    overran: bool = False


def option_name(key: str) -> str:
    """The option that the agent takes a key of a job file for."""
    return key.strip().lower().replace("-", "_")


def find_agent(program: str = "") -> str:
    """The path of freezer-agent: as given, beside the running Python, or in PATH."""
    if program:
        found = shutil.which(program)
        if found is None:
            raise AgentNotFound(program)
        return found
    beside = shutil.which(str(Path(sys.executable).parent / "freezer-agent"))
    found = beside or shutil.which("freezer-agent")
    if found is None:
        raise AgentNotFound("freezer-agent")
    return found


_OTHER_SCOPES = ("OS_PROJECT_", "OS_TENANT_", "OS_DOMAIN_", "OS_SYSTEM_SCOPE")


def with_trust(environment: Mapping[str, str], trust_id: str) -> dict[str, str]:
    """The environment of an agent that acts for who gave the trust, in place of any project."""
    kept = {
        name: value for name, value in environment.items() if not name.startswith(_OTHER_SCOPES)
    }
    return {**kept, "OS_TRUST_ID": trust_id}


class AgentProcess:
    """One call of the agent. `run` it once; `end` may come from any thread at any time."""

    def __init__(
        self,
        program: str,
        environment: Mapping[str, str],
        *,
        grace: float = TERM_GRACE_SECONDS,
        output: OutputLog | None = None,
        refusal: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
    ) -> None:
        """`output` keeps what the agent says, and hides secrets in it and in the outcome.

        `refusal` is asked once more before the action starts: links may have changed meanwhile.
        """
        self._refusal = refusal
        self._program = program
        self._output = output or OutputLog(None, clock=utc_now)
        self._environment = environment
        self._grace = grace
        self._ended = threading.Event()

    def end(self) -> None:
        """End the agent with all its children: SIGTERM now, SIGKILL after the grace time."""
        self._ended.set()

    def run(
        self,
        freezer_action: Mapping[str, Any],
        *,
        max_run_seconds: int | None,
        on_start: Callable[[int], None],
    ) -> Outcome:
        """Run the action and wait for its end.

        Raises AgentNotFound, JobNotSupported for an action that no job file can say, and OSError
        if the private file or the process cannot be made.
        """
        if reason := self._refusal(freezer_action):
            raise JobNotSupported(reason)
        self._output.begin(freezer_action)
        with _job_file(freezer_action) as path:
            mark = uuid.uuid4().hex
            argv = [self._program, "--metadata-out", "-", "--config", str(path)]
            try:
                process = subprocess.Popen(
                    argv,
                    env={**self._environment, VARIABLE: mark},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    # Of its own session: a signal to the group reaches all that it started.
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise AgentNotFound(self._program) from error
            try:
                on_start(process.pid)
                return self._attend(process, max_run_seconds)
            finally:
                _kill_group(process)
                # What a run that went its way left running is meant to run on: a service, say.
                if self._ended.is_set() or process.returncode < 0:
                    end_marked(mark)

    def _attend(self, process: "subprocess.Popen[bytes]", max_run_seconds: int | None) -> Outcome:
        output = _Output(process, self._output)
        deadline = None if max_run_seconds is None else time.monotonic() + max_run_seconds
        kill_at: float | None = None
        overran = False
        while process.poll() is None:
            output.read(_LOOK_SECONDS)
            now = time.monotonic()
            overran = overran or (deadline is not None and now >= deadline)
            if overran:
                self._ended.set()
            if kill_at is None and self._ended.is_set():
                _signal_group(process, signal.SIGTERM)
                kill_at = now + self._grace
            elif kill_at is not None and now >= kill_at:
                _signal_group(process, signal.SIGKILL)
        output.drain(_DRAIN_SECONDS)
        self._output.end(process.returncode)
        return Outcome(
            exit_code=process.returncode,
            report=output.report(),
            error=self._output.mask(output.tail()),
            overran=overran,
        )


class _Output:
    """Both pipes of the agent, read as they fill; bounded in memory."""

    def __init__(self, process: "subprocess.Popen[bytes]", kept: OutputLog) -> None:
        self._kept = kept
        self._out = bytearray()
        self._err = bytearray()
        self._too_long = False
        self._selector = selectors.DefaultSelector()
        for pipe, keep in ((process.stdout, self._keep_out), (process.stderr, self._keep_err)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, keep)

    def read(self, seconds: float) -> None:
        """Take what is there; wait at most so long for the first of it, and if none can come."""
        for key, _ in self._selector.select(seconds):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment] # registered as such above
            try:
                chunk = os.read(pipe.fileno(), 1 << 16)
            except BlockingIOError:
                continue
            if chunk:
                key.data(chunk)
            else:
                self._selector.unregister(pipe)
                pipe.close()

    def drain(self, seconds: float) -> None:
        """Read to the end, but do not wait long for children that keep a pipe open."""
        limit = time.monotonic() + seconds
        while self._selector.get_map() and time.monotonic() < limit:
            self.read(_LOOK_SECONDS)
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr] # a pipe, never a number
        self._selector.close()

    def report(self) -> Mapping[str, Any] | None:
        """The JSON object on stdout, if that is what it is."""
        if self._too_long or not self._out.strip():
            return None
        try:
            document = json.loads(self._out)
        except (ValueError, RecursionError):
            log.warning("The agent's output is no JSON and was not reported")
            return None
        return document if isinstance(document, dict) else None

    def tail(self) -> str:
        """The end of stderr."""
        return self._err.decode("utf-8", "replace").strip()

    def _keep_out(self, chunk: bytes) -> None:
        self._too_long = self._too_long or len(self._out) + len(chunk) > _MOST_REPORT_BYTES
        if not self._too_long:
            self._out += chunk

    def _keep_err(self, chunk: bytes) -> None:
        self._kept.take(chunk)
        for line in self._kept.mask(chunk.decode("utf-8", "replace")).splitlines():
            log.debug("agent: %s", line)
        self._err += chunk
        del self._err[:-_TAIL_BYTES]


@contextmanager
def _job_file(freezer_action: Mapping[str, Any]) -> Iterator[Path]:
    parser = configparser.RawConfigParser()
    # The default lower-cases keys.
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser["action"] = {}
    names: set[str] = set()
    for key, value in freezer_action.items():
        if value is None:
            continue
        if not _KEY.fullmatch(key):
            raise JobNotSupported(f"{key!r} is no name of an agent option")
        if (name := option_name(key)) in names:
            raise JobNotSupported(f"the option {name} is given twice")
        names.add(name)
        parser["action"][key] = _text(key, value)
    descriptor, name = tempfile.mkstemp(prefix="freezer-job-", suffix=".conf")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            parser.write(file)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _text(key: str, value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "\n".join(_text(key, item) for item in value if item is not None)
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise JobNotSupported(f"the value of {key} is no text that can be written") from error
    lines = text.split("\n")
    if (
        "\0" in text
        or "\r" in text
        or any(line.strip()[:1] in ("", "#", ";") for line in lines[1:])
    ):
        raise JobNotSupported(f"the value of {key} holds lines that a job file cannot say")
    return text.replace("%", "%%")


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    # Without such a group all of them have ended by themselves; what became another user's is not
    # ours to end.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Whatever happened, nothing of the agent outlives its run."""
    _signal_group(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
