"""Where the log goes, and what is hidden in it."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from freezer_agent.conf.options import Options, gather
from freezer_agent.conf.parser import Parser
from freezer_agent.errors import RequestInvalid
from freezer_agent.log_setup import LogSetup

log = logging.getLogger("freezer_agent.test")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program's log, which a test of it left: oslo.log writes into what it formats."""
    of_pytest = [one for one in logging.root.handlers if type(one).__module__.startswith("_pytest")]
    monkeypatch.setattr(logging.root, "handlers", of_pytest)


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Options]:
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda *words: gather(Parser("freezer-agent").parse(words), tmp_path)


def logged(options: Options, tmp_path: Path, text: str = "hello %s", *words: object) -> None:
    with LogSetup(options, start=tmp_path, home=tmp_path):
        log.debug("debugging")
        log.info(text, *words)
        log.warning("warned")


def test_handlers_and_level_are_put_back(options: Callable[..., Options], tmp_path: Path) -> None:
    before = (list(logging.root.handlers), logging.root.level)
    logged(options("--log-file", "a", "-d"), tmp_path, "x")
    assert (list(logging.root.handlers), logging.root.level) == before


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], ["x", "warned"]),
        (["--debug"], ["debugging", "x", "warned"]),
        (["--log-level", "all"], ["debugging", "x", "warned"]),
        (["--log-level", "error"], []),
        (["--noverbose"], ["warned"]),
        (["--noverbose", "--log-level", "info"], ["x", "warned"]),
    ],
)
def test_levels(
    options: Callable[..., Options], tmp_path: Path, words: list[str], lines: list[str]
) -> None:
    logged(options("--log-file", "a", "--log-format", "%(message)s", *words), tmp_path, "x")
    assert (tmp_path / "a").read_text().splitlines() == lines


def test_secrets_are_masked_in_text_and_words(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    chosen = options("--log-file", "a", "--ftp-password", "geheim")
    logged(chosen, tmp_path, "say geheim and %s", "ftp://u:geheim@host")
    text = (tmp_path / "a").read_text()
    assert "say *** and ftp://u:***@host" in text
    assert "geheim" not in text


def test_names_that_are_no_text_do_not_break_the_log(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    logged(options("--log-file", "a"), tmp_path, "%s", "x\udcff")
    assert "x\\udcff" in (tmp_path / "a").read_text()


def test_a_new_log_file_is_not_for_everybody(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    logged(options("--log-dir", "logs", "--log-file", "a"), tmp_path, "x")
    assert (tmp_path / "logs" / "a").stat().st_mode & 0o007 == 0


def test_a_configuration_of_python_takes_the_place_of_all(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    (tmp_path / "conf").write_text("[loggers]\nkeys=root\n")
    with pytest.raises(RequestInvalid, match="--log-config-append"):
        logged(options("--log-config", "conf"), tmp_path)


def test_a_log_that_cannot_be_written_is_refused(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    with pytest.raises(RequestInvalid, match="cannot be written"):
        logged(options("--log-file", str(tmp_path)), tmp_path)


def test_words_of_oslo_log_in_a_format_become_dashes(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    form = "%(name)s [%(request_id)s %(user_identity)s] %(instance)s%(message)s"
    logged(options("--log-file", "a", "--log-format", form), tmp_path, "x")
    assert (tmp_path / "a").read_text().splitlines()[0] == "freezer_agent.test [- -] -x"


@pytest.mark.parametrize("form", ["no words at all", "%(message)q", "%(request_id)03d"])
def test_a_format_that_would_fail_at_every_line_is_refused(
    options: Callable[..., Options], tmp_path: Path, form: str
) -> None:
    with pytest.raises(RequestInvalid, match="--log-format"):
        logged(options("--log-file", "a", "--log-format", form), tmp_path, "x")
