"""Where the log of a run goes. The choices are those of oslo.log, without the price of its import."""

import configparser
import logging
import logging.handlers
import os
import re
from pathlib import Path
from typing import Self

from freezer_agent.conf.options import Options
from freezer_agent.conf.places import Places
from freezer_agent.errors import RequestInvalid

_FORMAT = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s %(message)s"
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
_WORD = re.compile(r"%\((\w+)\)")
_OLD_DEFAULT = Path("/var/log/freezer.log")
_DEFAULT = Path("/var/log/freezer-agent/freezer-agent.log")
# The file may name any class with any arguments.
_WRONG_CONFIGURATION = (
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
_LEVELS = {
    "all": logging.NOTSET + 1,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class LogSetup:
    """Adds handlers to the root logger while inside, and takes them away again."""

    def __init__(self, options: Options, *, start: Path, home: Path) -> None:
        self._options = options
        self._path = Places(start=start, home=home).path
        self._home = home
        self._handlers: list[logging.Handler] = []
        self._former_level = logging.root.level

    def __enter__(self) -> Self:
        if self._options["log_config_append"]:
            self._read_configuration(self._path(self._options["log_config_append"]))
            return self
        formatter = self._formatter()
        for handler in self._chosen_handlers():
            handler.setFormatter(formatter)
            handler.addFilter(self._mask)
            logging.root.addHandler(handler)
            self._handlers.append(handler)
        logging.root.setLevel(self._level())
        return self

    def __exit__(self, *_: object) -> None:
        for handler in self._handlers:
            logging.root.removeHandler(handler)
            handler.close()
        logging.root.setLevel(self._former_level)

    def _level(self) -> int:
        options = self._options
        if options["debug"]:
            return logging.DEBUG
        if not options["verbose"] and not options.is_given("log_level"):
            return logging.WARNING
        return _LEVELS[options["log_level"]]

    def _chosen_handlers(self) -> list[logging.Handler]:
        handlers: list[logging.Handler] = []
        if self._options["use_syslog"]:
            handlers.append(self._syslog())
        if self._options["use_journal"]:
            handlers.append(_journal())
        if self._options["log_file"] or not handlers:
            handlers.append(self._file())
        return handlers

    def _file(self) -> logging.Handler:
        """The wanted file, which must be writable, or the first default that is."""
        options = self._options
        if options["log_file"]:
            inside = Places(start=self._path(options["log_dir"] or ""), home=self._home)
            try:
                return self._opened(inside.path(options["log_file"]))
            except OSError as error:
                raise RequestInvalid(
                    [f"--log-file {options['log_file']!r} cannot be written: {error.strerror}"],
                ) from error
        candidates = [_DEFAULT, self._home / ".freezer" / "freezer.log"]
        if options["log_dir"]:
            candidates.insert(0, self._path(options["log_dir"]) / "freezer-agent.log")
        elif _OLD_DEFAULT.exists():
            candidates.insert(0, _OLD_DEFAULT)
        for candidate in candidates:
            try:
                return self._opened(candidate)
            except OSError:
                continue
        return logging.NullHandler()

    def _opened(self, path: Path) -> logging.Handler:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
        if self._options["watch_log_file"]:
            return logging.handlers.WatchedFileHandler(
                path,
                encoding="utf-8",
                errors="backslashreplace",
            )
        return logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")

    def _syslog(self) -> logging.Handler:
        name = self._options["syslog_log_facility"].lower().removeprefix("log_")
        facility = logging.handlers.SysLogHandler.facility_names.get(name)
        if facility is None:
            raise RequestInvalid([f"--syslog-log-facility {name!r} is no facility of syslog"])
        address = "/dev/log" if Path("/dev/log").exists() else ("localhost", 514)
        handler = logging.handlers.SysLogHandler(address=address, facility=facility)
        if self._options["use_syslog_rfc_format"]:
            handler.ident = "freezer-agent: "
        return handler

    def _formatter(self) -> logging.Formatter:
        if self._options["use_json"]:
            from oslo_log.formatters import JSONFormatter  # noqa: PLC0415  # 0.2 s, rarely needed

            return JSONFormatter()
        return _text_formatter(
            self._options["log_format"] or _FORMAT,
            self._options["log_date_format"] or _DATE_FORMAT,
        )

    def _read_configuration(self, path: Path) -> None:
        from logging.config import fileConfig  # noqa: PLC0415  # rarely needed

        try:
            fileConfig(path, disable_existing_loggers=False)
        except _WRONG_CONFIGURATION as error:
            raise RequestInvalid([f"--log-config-append {str(path)!r}: {error}"]) from error
        for handler in logging.root.handlers:
            handler.addFilter(self._mask)

    def _mask(self, record: logging.LogRecord) -> bool:
        """Hide the secrets of this run, wherever they turn up in a line."""
        text = record.getMessage()
        for secret in self._secrets():
            text = text.replace(secret, "***")
        record.msg, record.args = text, ()
        return True

    def _secrets(self) -> list[str]:
        names = ("ssh_password", "ftp_password", "secret_key", "access_key")
        return [self._options[name] for name in names if self._options[name]]


def _text_formatter(form: str, date_format: str) -> logging.Formatter:
    """A formatter that cannot fail later; words of oslo.log that mean nothing here become `-`."""
    unknown = dict.fromkeys(_WORD.findall(form), "-")
    try:
        formatter = logging.Formatter(form, datefmt=date_format, defaults=unknown)
        formatter.format(logging.makeLogRecord({"msg": "", "levelname": "INFO"}))
    except (ValueError, TypeError) as error:
        raise RequestInvalid([f"--log-format {form!r} cannot be used: {error}"]) from error
    return formatter


def _journal() -> logging.Handler:
    from oslo_log.handlers import OSJournalHandler  # noqa: PLC0415  # 0.2 s, rarely needed

    try:
        return OSJournalHandler()
    except (RuntimeError, OSError, ImportError) as error:
        raise RequestInvalid([f"--use-journal: {error}"]) from error
