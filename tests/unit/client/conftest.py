"""A scripted API for every test of the client."""

import pytest

from tests.fakes.scripted_api import ScriptedApi


@pytest.fixture
def world() -> ScriptedApi:
    return ScriptedApi()
