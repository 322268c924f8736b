"""The units for systemd, as systemd itself judges them."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "etc/systemd").glob("*.service"))
EXPOSURE = 20
"""Of 100, by `systemd-analyze security`. The API holds secrets and listens; it needs little."""


def read(unit: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser


def here(unit: Path, folder: Path) -> Path:
    """The unit, with programs that are installed here in place of those in /usr/bin."""
    copy = folder / unit.name
    programs = Path(sys.executable).parent
    copy.write_text(unit.read_text().replace("/usr/bin/", f"{programs}/"))
    return copy


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_program_exists(unit: Path) -> None:
    command = read(unit)["Service"]["ExecStart"].split()
    assert (Path(sys.executable).parent / Path(command[0]).name).exists()
    assert read(unit)["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_the_api_tells_when_it_serves() -> None:
    (unit,) = (unit for unit in UNITS if unit.stem == "freezer-api")
    assert read(unit)["Service"]["Type"] == "notify"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    command = ["systemd-analyze", "verify", "--man=no", str(here(unit, tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    own = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, own) == (0, []), done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_api_is_confined(tmp_path: Path) -> None:
    (unit,) = (unit for unit in UNITS if unit.stem == "freezer-api")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    command += [f"--threshold={EXPOSURE}", str(here(unit, tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "--offline" in done.stderr:
        pytest.skip(f"this systemd is older: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
