"""The programs of upstream's release that must work with our API, each in a virtualenv of its own.

The client library and its `freezer` command, the scheduler, the Horizon plugin with a Horizon
around it, and the tempest plugin with tempest. All come from the package index, unmodified.
"""

from pathlib import Path

from tests.services.launching import find_virtualenv, install_virtualenv

CLIENT = "python-freezerclient-6.5.0"
SCHEDULER = "freezer-19.0.0"
DASHBOARD = "freezer-web-ui-19.0.0"
TEMPEST = "freezer-tempest-plugin-3.5.0"

# setuptools 82 no longer brings pkg_resources, which libraries of that age import.
_REQUIREMENTS = {
    CLIENT: ["python-freezerclient==6.5.0", "setuptools<81"],
    SCHEDULER: ["freezer==19.0.0", "python-freezerclient==6.5.0", "setuptools<81"],
    DASHBOARD: [
        "freezer-web-ui==19.0.0",
        "python-freezerclient==6.5.0",
        "horizon>=25.3,<26",
        "setuptools<81",
    ],
    TEMPEST: ["freezer-tempest-plugin==3.5.0", "tempest>=46,<49", "setuptools<81"],
}

NAMES = (CLIENT, SCHEDULER, DASHBOARD)
"""What the tests need that always run."""


def find(name: str) -> Path:
    """The virtualenv of a program. Raises ServiceMissing."""
    return find_virtualenv(name)


def install(name: str) -> Path:
    """Make the virtualenv unless it is there. Raises ServiceMissing."""
    return install_virtualenv(name, _REQUIREMENTS[name])
