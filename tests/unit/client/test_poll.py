"""A poll that asks again only for what changed."""

from typing import Any

import pytest

from freezer_client.documents import NOTHING_KNOWN, Listing
from freezer_client.errors import ApiUnavailable
from tests.fakes.scripted_api import ScriptedApi, reply


def page(first: int, count: int, **headers: str) -> Any:
    jobs = [{"job_id": str(number)} for number in range(first, first + count)]
    return reply(200, {"jobs": jobs}, **headers)


def test_nothing_new_is_one_request_without_documents(world: ScriptedApi) -> None:
    world.answers(page(0, 3, ETag='"one"'), reply(304), page(0, 4, etag='"two"'))
    first = world.freezer.jobs.poll(match=[{"client_id": "node"}])
    second = world.freezer.jobs.poll(match=[{"client_id": "node"}], known=first)
    third = world.freezer.jobs.poll(match=[{"client_id": "node"}], known=second)
    assert second is first
    assert (len(third.documents), third.tag) == (4, '"two"')
    assert [asked.headers for asked in world.asked] == [{}, *[{"If-None-Match": '"one"'}] * 2]
    assert len({str((asked.body, asked.query)) for asked in world.asked}) == 1


def test_a_server_without_tags_is_asked_for_everything(world: ScriptedApi) -> None:
    world.answers(page(0, 3), page(0, 3))
    first = world.freezer.jobs.poll()
    assert first.tag is None
    assert world.freezer.jobs.poll(known=first).documents == first.documents
    assert world.asked[1].headers == {}


@pytest.mark.parametrize(("headers", "tag"), [({}, None), ({"X_Tag_Covers": "query"}, '"one"')])
def test_a_first_page_may_not_know_of_the_others(
    world: ScriptedApi, headers: dict[str, str], tag: str | None
) -> None:
    world.answers(page(0, 100, ETag='"one"', **headers), page(99, 3, ETag='"two"'))
    assert world.freezer.jobs.poll() == Listing(
        documents=[{"job_id": str(number)} for number in range(102)], tag=tag
    )


def test_nobody_is_told_that_nothing_changed_who_knows_nothing(world: ScriptedApi) -> None:
    world.answers(reply(304))
    with pytest.raises(ApiUnavailable, match="no Freezer API"):
        world.freezer.jobs.poll(known=NOTHING_KNOWN)
