"""The page of faults names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "doc/source/admin/reliability.rst"


def test_every_fault_can_be_repeated() -> None:
    named = re.findall(r"``(tests/[\w/]+\.py)(?:::(\w+))?``", PAGE.read_text())
    assert len(named) > 10
    for path, name in named:
        source = (ROOT / path).read_text()
        if name:
            assert re.search(rf"(?m)^\s*(def|class) {name}\b", source), f"{path}::{name}"
