"""Real services as fixtures: started once, when the first test asks, and ended with the session.

Where a service is not installed its tests are skipped with the reason; with
FREEZER_REQUIRE_SERVICES=1 they fail instead, so that a run which must be complete cannot pass
without them.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.services import elasticsearch


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """The URL of a real Elasticsearch node."""
    required = os.environ.get("FREEZER_REQUIRE_SERVICES") == "1"
    try:
        if required:
            elasticsearch.install()
        elasticsearch.find()
    except elasticsearch.ElasticsearchMissing as missing:
        if required:
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with elasticsearch.running() as node:
        yield node.url


@pytest.fixture
def index_prefix() -> str:
    """A prefix that no other test uses, instead of a server of its own."""
    return f"t{uuid.uuid4().hex[:12]}"
