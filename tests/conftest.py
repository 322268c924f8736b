"""What every test may ask for."""

import os
import signal
import urllib.request
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.services.fixtures",
    "tests.services.storage_fixtures",
    "tests.services.identity_fixtures",
]

# On a busy machine a single example may take its time; a test that hangs has pytest's own limit.
# By chance new examples are found here, day by day; continuous integration tries the same again.
settings.register_profile(
    "freezer",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("freezer")


def pytest_configure() -> None:
    """Make a terminated run clear up its fixtures, so that their servers end."""
    signal.signal(signal.SIGTERM, _end_run)
    # A run in the background of a script ignores SIGINT, and its children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _go_round_proxies()


def _go_round_proxies() -> None:
    """A proxy of this machine is for the way out: what tests start listens on the loopback."""
    proxies = urllib.request.getproxies_environment()
    if proxies:
        exempt = ",".join(filter(None, ["127.0.0.1", "localhost", proxies.get("no")]))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = exempt


def _end_run(number: int, _frame: FrameType | None) -> None:
    # Not SystemExit: pytest would count that as one failed test and go on with the next.
    pytest.exit("terminated", returncode=128 + number)
