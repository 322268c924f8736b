"""Where the log goes. The choices are those of oslo.log, without the price of its import."""

import configparser
import json
import logging
import logging.handlers
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from freezer_model.errors import FreezerError
from freezer_scheduler.conf.settings import LogChoice, SettingsInvalid
from freezer_scheduler.journald import WithPriorities, is_journal

log = logging.getLogger(__name__)

SYSTEM_LOG = Path("/var/log/freezer/freezer-scheduler.log")

_STORY_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_STORY_DATE_FORMAT = "%H:%M:%S"
_FORMAT = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s %(message)s"
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
_TALKATIVE = ("apscheduler", "keystoneauth", "urllib3")
"""Libraries whose story is not that of an operator; --debug shows it."""
_WRONG_CONFIGURATION = (
    # The file may name any class with any arguments.
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    NameError,
    SyntaxError,
    ImportError,
    RuntimeError,
    configparser.Error,
)


class LogSetup:
    """Adds handlers to the root logger while inside, and takes them away again.

    In the foreground the log goes to standard error unless another place is chosen, in the
    background to the first default file that can be written. `secrets` are never shown, in
    tracebacks neither. An unexpected error that leaves the block is logged. Entering raises SettingsInvalid for a choice that cannot be met.
    """

    def __init__(
        self,
        choice: LogChoice,
        *,
        secrets: Sequence[str],
        is_foreground: bool,
        start: Path,
        home: Path,
        system_log: Path = SYSTEM_LOG,
    ) -> None:
        self._choice = choice
        self._secrets = secrets
        self._is_foreground = is_foreground
        self._start = start
        self._candidates = (system_log, home / ".freezer" / "freezer-scheduler.log")
        self._handlers: list[logging.Handler] = []
        self._former_levels: dict[str, int] = {}

    def __enter__(self) -> Self:
        if self._choice.configuration:
            self._read_configuration(self._start / self._choice.configuration)
            return self
        for handler in self._chosen_handlers():
            formatter: logging.Formatter = _Masked(self._formatter(handler), self._secrets)
            if type(handler) is logging.StreamHandler and is_journal(sys.stderr, os.environ):
                formatter = WithPriorities(formatter)
            handler.setFormatter(formatter)
            logging.getLogger().addHandler(handler)
            self._handlers.append(handler)
        self._set_level("", self._choice.level)
        if self._choice.level > logging.DEBUG:
            for name in _TALKATIVE:
                self._set_level(name, logging.WARNING)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, FreezerError):
            # Told while the log is still there; in the background it is the only place to tell.
            log.critical("unexpected, please report it", exc_info=error)
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()
        for name, level in self._former_levels.items():
            logging.getLogger(name).setLevel(level)

    def _set_level(self, name: str, level: int) -> None:
        self._former_levels[name] = logging.getLogger(name).level
        logging.getLogger(name).setLevel(level)

    def _chosen_handlers(self) -> list[logging.Handler]:
        choice, handlers = self._choice, list[logging.Handler]()
        if choice.syslog_facility:
            handlers.append(_syslog(choice.syslog_facility, with_name=choice.syslog_with_name))
        if choice.use_journal:
            handlers.append(_journal())
        if choice.file or choice.directory:
            handlers.append(self._chosen_file())
        if choice.with_stderr or (self._is_foreground and not handlers):
            handlers.append(logging.StreamHandler(sys.stderr))
        return handlers or [self._default_file()]

    def _chosen_file(self) -> logging.Handler:
        folder = self._start / self._choice.directory
        path = folder / (self._choice.file or SYSTEM_LOG.name)
        try:
            return self._opened(path)
        except OSError as error:
            raise SettingsInvalid(
                [f"--log-file {str(path)!r} cannot be written: {error.strerror}"]
            ) from error

    def _default_file(self) -> logging.Handler:
        for candidate in self._candidates:
            try:
                return self._opened(candidate)
            except OSError:
                continue
        named = " nor ".join(str(candidate) for candidate in self._candidates)
        raise SettingsInvalid([f"neither {named} can be written: choose a --log-file"])

    def _opened(self, path: Path) -> logging.Handler:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # Made here, since the handler would make it readable for everybody.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        watched, plain = logging.handlers.WatchedFileHandler, logging.FileHandler
        kind = watched if self._choice.watch_file else plain
        return kind(path, encoding="utf-8", errors="backslashreplace")

    def _formatter(self, handler: logging.Handler) -> logging.Formatter:
        choice = self._choice
        if choice.use_json:
            from oslo_log.formatters import JSONFormatter  # noqa: PLC0415  # 0.2 s, rarely needed

            return JSONFormatter()
        is_story = type(handler) is logging.StreamHandler
        return logging.Formatter(
            choice.line_format or (_STORY_FORMAT if is_story else _FORMAT),
            datefmt=choice.date_format or (_STORY_DATE_FORMAT if is_story else _DATE_FORMAT),
        )

    def _read_configuration(self, path: Path) -> None:
        from logging.config import fileConfig  # noqa: PLC0415  # rarely needed

        try:
            fileConfig(path, disable_existing_loggers=False)
        except _WRONG_CONFIGURATION as error:
            raise SettingsInvalid([f"--log-config-append {str(path)!r}: {error}"]) from error
        for handler in logging.getLogger().handlers:
            inner = handler.formatter or logging.Formatter()
            handler.setFormatter(_Masked(inner, self._secrets))


class _Masked(logging.Formatter):
    """Another formatter's lines without the secrets, wherever they turned up."""

    def __init__(self, inner: logging.Formatter, secrets: Sequence[str]) -> None:
        super().__init__()
        self._inner = inner
        spellings = {text for secret in secrets for text in (secret, json.dumps(secret)[1:-1])}
        self._hidden = sorted(spellings, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = self._inner.format(record)
        for text in self._hidden:
            line = line.replace(text, "***")
        return line


def _syslog(facility_name: str, *, with_name: bool) -> logging.Handler:
    name = facility_name.lower().removeprefix("log_")
    facility = logging.handlers.SysLogHandler.facility_names.get(name)
    if facility is None:
        raise SettingsInvalid([f"--syslog-log-facility {facility_name!r} is no facility of syslog"])
    address = "/dev/log" if Path("/dev/log").exists() else ("localhost", 514)
    handler = logging.handlers.SysLogHandler(address=address, facility=facility)
    if with_name:
        handler.ident = "freezer-scheduler: "
    return handler


def _journal() -> logging.Handler:
    from oslo_log.handlers import OSJournalHandler  # noqa: PLC0415  # 0.2 s, rarely needed

    try:
        return OSJournalHandler()
    except (RuntimeError, OSError, ImportError) as error:
        raise SettingsInvalid([f"--use-journal: {error}"]) from error
