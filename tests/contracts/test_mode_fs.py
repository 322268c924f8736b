"""Mode fs keeps the promises of a mode."""

import pytest

from freezer_agent.modes.fs import Fs
from tests.contracts.mode import ModeContract


class TestFs(ModeContract):
    @pytest.fixture
    def mode(self) -> Fs:
        return Fs(sync=False)

    def is_quiet(self) -> bool | None:
        return None


def test_the_buffers_of_the_kernel_are_written_when_asked() -> None:
    calls: list[str] = []
    for sync in (False, True):
        with Fs(sync=sync, flush=lambda: calls.append("sync")).quiet():
            pass
    assert calls == ["sync"]
