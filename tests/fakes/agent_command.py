"""Run freezer-agent in tests: in this process, or as the real program in another one."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from freezer_agent.cli import main
from tests.fakes.trees import wait_for_a_tick

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON on standard output."""
        report = json.loads(self.stdout)
        assert isinstance(report, dict)
        return report


class AgentCommand:
    """freezer-agent with a home, a log and a local container of its own below one directory."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.container = folder / "container"
        self.log = folder / "agent.log"
        self._capsys = capsys
        self.home.mkdir()

    @property
    def storage(self) -> list[str]:
        """The options that name the container."""
        return ["--storage", "local", "--container", str(self.container)]

    def run(self, *words: str | Path) -> Ended:
        """Run it in this process."""
        self._capsys.readouterr()
        environment = dict(os.environ)
        try:
            status = main(["--log-file", str(self.log), *map(str, words)])
        finally:
            # The proxy of --proxy, say, is for this run and not for the tests after it.
            os.environ.clear()
            os.environ.update(environment)
        captured = self._capsys.readouterr()
        return Ended(status=status, stdout=captured.out, stderr=captured.err)

    def backup(self, source: Path, *words: str | Path) -> dict[str, Any]:
        """Make a backup named "name" that must succeed; its report. What changes now is younger."""
        ended = self.run(
            *self.storage, "-N", "name", "-F", source, "--nosync", "--metadata-out", "-", *words
        )
        assert ended.status == 0, ended.stderr
        wait_for_a_tick(self.folder)
        return ended.report

    def restore(self, target: Path, *words: str | Path) -> Ended:
        """Restore the backup "name"."""
        return self.run(
            "--action", "restore", *self.storage, "-N", "name", "--restore-abs-path", target, *words
        )

    def start(self, *words: str | Path, **settings: Any) -> "subprocess.Popen[bytes]":
        """Start the real program; the caller waits for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "freezer_agent", "--log-file", str(self.log), *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
            cwd=settings.pop("cwd", REPOSITORY),
            **settings,
        )

    def run_program(self, *words: str | Path, **settings: Any) -> Ended:
        """Run the real program to its end."""
        process = self.start(*words, **settings)
        stdout, stderr = process.communicate(timeout=120)
        return Ended(status=process.returncode, stdout=stdout.decode(), stderr=stderr.decode())

    def environment(self) -> dict[str, str]:
        """A small environment with our home and our code."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        return {**kept, "HOME": str(self.home), "PYTHONPATH": str(REPOSITORY)}

    def listed(self) -> list[dict[str, Any]]:
        """The backups that the agent lists."""
        ended = self.run("--action", "info", "-l", *self.storage, "--json")
        assert ended.status == 0, ended.stderr
        backups = ended.report["backups"]
        assert isinstance(backups, list)
        return backups
