"""The exit codes that the manual promises."""

import re
from pathlib import Path

import pytest

from freezer_agent import cli as agent_cli

MANUAL = (Path(__file__).parents[2] / "doc/source/exit-codes.rst").read_text()


def promised(program: str) -> set[int]:
    section = MANUAL.split(f"{program}\n=", 1)[1].split("list-table::", 2)[1]
    return {int(code) for code in re.findall(r"(?m)^   \* - (\d+)$", section)}


def test_the_agents_help_and_the_manual_agree(capsys: pytest.CaptureFixture[str]) -> None:
    agent_cli.main(["--help"])
    text = capsys.readouterr().out.split("exit status:")[1]
    assert {int(code) for code in re.findall(r"\b(\d+) [a-z]", text)} == promised("freezer-agent")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        ([], 1),
        (["--action", "backup", "--storage", "local", "--quiet"], 1),
        (["--no-such-option"], 2),
    ],
)
def test_the_agent_ends_with_the_code(arguments: list[str], code: int) -> None:
    assert agent_cli.main(arguments) == code
    assert code in promised("freezer-agent")
