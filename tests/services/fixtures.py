"""Real services as fixtures: started once, when the first test asks, and ended with the session.

Where a service is not installed its tests are skipped with the reason; with
FREEZER_REQUIRE_SERVICES=1 they fail instead, so that a run which must be complete cannot pass
without them.
"""

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.services import elasticsearch, mariadb, postgresql
from tests.services.elasticsearch import ElasticsearchMissing
from tests.services.launching import ServiceMissing


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """The URL of a real Elasticsearch node."""
    require(elasticsearch.find, elasticsearch.install)
    with elasticsearch.running() as node:
        yield node.url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.MariaDb]:
    """A real MariaDB."""
    require(mariadb.find, mariadb.install)
    with mariadb.running() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.PostgreSql]:
    """A real PostgreSQL."""
    require(postgresql.find, postgresql.install)
    with postgresql.running() as server:
        yield server


@pytest.fixture
def index_prefix() -> str:
    """A prefix that no other test uses, instead of a server of its own."""
    return f"t{uuid.uuid4().hex[:12]}"


def require(find: Callable[[], object], install: Callable[[], object]) -> None:
    """Skip the test if the service is not installed; install it where it must be there."""
    required = os.environ.get("FREEZER_REQUIRE_SERVICES") == "1"
    try:
        if required:
            install()
        find()
    except (ElasticsearchMissing, ServiceMissing) as missing:
        # The first line: every test repeats it, and what an installer wrote is long.
        reason = str(missing).partition("\n")[0].rstrip(":")
    else:
        return
    # Not inside `except`: pytest would show the whole text all the same.
    if required:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
