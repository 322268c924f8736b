"""No request that can be made up is answered with 5xx, or with anything that is not described."""

import itertools
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from freezer_api import conf as options
from freezer_api.assembly import application_from
from freezer_api.store.base import ManagedStore
from freezer_api.store.sql import SqlStore
from freezer_model.clock import utc_now
from tests.hostile.generated import attack

EXAMPLES = 120
"""Requests for each operation in one round; some operations have no more to vary."""
PIECES = 5
"""Each may run alone, on an empty store and with requests of its own."""
LEAST_OF_A_PIECE = 20_000 // PIECES


def application(store: ManagedStore) -> Any:
    conf = options.load([], prog="freezer-api", config_files=[])
    conf.set_override("auth_strategy", "noauth")
    return application_from(conf, store)


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[ManagedStore]:
    memory = Path("/dev/shm")
    folder = tmp_path if not memory.is_dir() else memory
    path = folder / f"hostile-{uuid.uuid4().hex}.sqlite"
    with closing(SqlStore(f"sqlite:///{path}")) as store:
        store.prepare()
        yield store
    for left in folder.glob(f"{path.name}*"):
        left.unlink()


@pytest.fixture
def elasticsearch_store(elasticsearch_url: str, index_prefix: str) -> Iterator[ManagedStore]:
    from freezer_api.store.elasticsearch import Cluster, ElasticsearchStore

    store = ElasticsearchStore(
        Cluster(hosts=(elasticsearch_url,)),
        index_prefix=index_prefix,
        clock=utc_now,
        new_id=lambda: uuid.uuid4().hex,
    )
    store.prepare()
    yield store
    store.remove()
    store.close()


def test_a_few_hundred(sqlite_store: ManagedStore) -> None:
    statuses = attack(application(sqlite_store), examples=6, number=1)
    assert statuses.total() >= 200
    assert {200, 201, 202, 204, 400, 404} <= set(statuses)


@pytest.mark.hostile
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("piece", range(PIECES))
@pytest.mark.parametrize(
    "backend", ["sqlite", pytest.param("elasticsearch", marks=pytest.mark.service)]
)
def test_a_fifth_of_twenty_thousand(
    request: pytest.FixtureRequest, backend: str, piece: int
) -> None:
    app = application(request.getfixturevalue(f"{backend}_store"))
    statuses: Counter[int] = Counter()
    for number in itertools.count(2 + piece, PIECES):
        statuses += attack(app, examples=EXAMPLES, number=number)
        if statuses.total() >= LEAST_OF_A_PIECE:
            break
    print(f"{backend}: {statuses.total()} requests, {dict(sorted(statuses.items()))}")  # noqa: T201
    assert max(statuses) < 500
