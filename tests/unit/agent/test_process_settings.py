"""The priority of a run and the proxy of its requests."""

import logging
import os
from pathlib import Path

import pytest

from freezer_agent.process_settings import raise_priority, use_proxy
from tests.fakes.agent_command import AgentCommand

BEFORE = {"PATH": "/bin", "http_proxy": "a", "HTTPS_PROXY": "b", "ALL_PROXY": "c"}


def test_a_proxy_replaces_all_others_and_keeps_its_case() -> None:
    environment = dict(BEFORE)
    use_proxy(environment, "http://User:Pa55@There:3128")
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")
    assert environment == {"PATH": "/bin"} | dict.fromkeys(names, "http://User:Pa55@There:3128")


def test_an_empty_proxy_is_none_and_an_absent_one_changes_nothing() -> None:
    environment = dict(BEFORE)
    use_proxy(environment, None)
    assert environment == BEFORE
    use_proxy(environment, "")
    assert environment == {"PATH": "/bin"}


def test_without_the_rights_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    with caplog.at_level(logging.WARNING):
        raise_priority()
    assert "the priority could not be raised" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise its priority")
@pytest.mark.parametrize(
    ("words", "nice"),
    [(["--max-priority"], "-19"), (["--max-priority", "True"], "-19"), ([], None)],
)
def test_the_run_and_its_children_have_the_priority(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], nice: str | None
) -> None:
    agent = AgentCommand(tmp_path, capsys)
    command = f"sh -c 'nice > {tmp_path / 'nice'}; ionice > {tmp_path / 'ionice'}'"
    ended = agent.run_program("--action", "exec", "--command", command, *words)
    assert ended.status == 0, ended.stderr
    found = (tmp_path / "nice").read_text().strip()
    assert found == (nice or str(os.getpriority(os.PRIO_PROCESS, 0)))
    assert ("realtime: prio 0" in (tmp_path / "ionice").read_text()) is (nice is not None)
