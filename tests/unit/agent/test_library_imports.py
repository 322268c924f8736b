"""What client libraries load, and what they must not: it would cost every run memory and time."""

import subprocess
import sys

import pytest

from freezer_agent.storages.optional_imports import without
from tests.fakes.agent_command import REPOSITORY


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("freezer_agent.storages.swift", "keystoneclient"),
        ("freezer_agent.storages.ssh", "invoke"),
    ],
)
def test_a_library_comes_without_what_is_not_used(module: str, absent: str) -> None:
    program = (
        f"import sys, {module}\n"
        f"assert not any(name.split('.')[0] == {absent!r} for name in sys.modules)\n"
        f"import {absent}\n"  # whoever wants it afterwards gets it
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)


def test_what_is_loaded_already_stays() -> None:
    with without("json"):
        import json

        assert sys.modules["json"] is json


def test_what_is_left_out_cannot_be_imported() -> None:
    with without("this_is_not_loaded"), pytest.raises(ImportError):
        __import__("this_is_not_loaded")
    assert "this_is_not_loaded" not in sys.modules
