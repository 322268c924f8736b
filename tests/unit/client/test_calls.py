"""Trying again: only what may pass, only what may be repeated, never for ever."""

from datetime import UTC, datetime
from typing import Any

import pytest

from freezer_client.calls import Calls
from freezer_client.errors import (
    ApiRefused,
    ApiUnavailable,
    ClientError,
    Conflict,
    NotFound,
    Unauthorized,
)
from freezer_client.session import Reply
from freezer_model.errors import FreezerError
from tests.fakes.scripted_api import ScriptedApi, ScriptedSession, lost, reply


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again(world: ScriptedApi, status: int) -> None:
    world.answers(reply(status), reply(200, {"job_id": "j"}))
    assert world.freezer.jobs.get("j") == {"job_id": "j"}
    assert world.pauses == [0.5]


def test_a_cut_line_is_tried_again_with_growing_pauses_and_given_up(world: ScriptedApi) -> None:
    world.answers(*[lost() for _ in range(5)])
    with pytest.raises(ApiUnavailable, match="the line was cut"):
        world.freezer.jobs.get("j")
    assert world.pauses == [0.5, 1.0, 2.0, 4.0]


def test_what_cannot_pass_is_not_tried_again(world: ScriptedApi) -> None:
    world.answers(lost(may_pass=False))
    with pytest.raises(ApiUnavailable):
        world.freezer.jobs.get("j")
    assert world.pauses == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422, 500, 501])
def test_a_refusal_is_not_tried_again(world: ScriptedApi, status: int) -> None:
    world.answers(reply(status, {"title": "No", "description": "because"}))
    with pytest.raises(ApiRefused, match="because") as caught:
        world.freezer.jobs.update("j", {})
    assert (caught.value.status, caught.value.title) == (status, "No")
    assert world.pauses == []


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthorized), (404, NotFound), (409, Conflict), (403, ApiRefused)]
)
def test_statuses_have_their_errors(world: ScriptedApi, status: int, kind: Any) -> None:
    world.answers(reply(status))
    with pytest.raises(ApiRefused) as caught:
        world.freezer.jobs.update("j", {})
    assert type(caught.value) is kind
    assert isinstance(caught.value, ClientError)
    assert isinstance(caught.value, FreezerError)


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Thu, 01 Jan 2026 00:00:09 GMT", 9.0),
        ("Wed, 31 Dec 2025 00:00:09 GMT", 0.0),
        ("30", 30.0),
        ("soon", 0.5),
        ("", 0.5),
        ("Thu, 01 Jan 2026 00:00:09", 0.5),
        ("-5", 0.5),
    ],
)
def test_the_server_says_when_to_come_back(world: ScriptedApi, header: str, pause: float) -> None:
    world.answers(reply(503, retry_after=header), reply(200, {}))
    world.freezer.jobs.get("j")
    assert world.pauses == [pause]


def test_a_server_that_wants_to_be_left_alone_for_long_is(world: ScriptedApi) -> None:
    world.answers(reply(503, retry_after="31"))
    with pytest.raises(ApiUnavailable) as caught:
        world.freezer.jobs.get("j")
    assert caught.value.retry_after_seconds == 31
    assert world.pauses == []


def test_what_must_not_be_done_twice_is_repeated_only_where_nothing_was_done(
    world: ScriptedApi,
) -> None:
    world.answers(reply(429), lost())
    with pytest.raises(ApiUnavailable):
        world.freezer.backups.create({"backup_name": "b"})
    assert len(world.asked) == 2


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_create_that_may_have_been_done_is_not_repeated(world: ScriptedApi, status: int) -> None:
    world.answers(reply(status))
    with pytest.raises(ApiUnavailable):
        world.freezer.sessions.create({"schedule": {}})
    assert len(world.asked) == 1


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"\xff", b"[" * 100_000])
def test_what_is_no_api_is_said_to_be_none(world: ScriptedApi, body: Any) -> None:
    world.answers(Reply(status=200, headers={}, body=body))
    with pytest.raises(ApiUnavailable, match="no Freezer API"):
        world.freezer.jobs.get("j")


def test_a_404_of_somebody_else_is_no_document_that_is_gone(world: ScriptedApi) -> None:
    world.answers(Reply(status=404, headers={}, body=b"<html>nginx</html>"))
    with pytest.raises(ApiUnavailable, match="no Freezer API"):
        world.freezer.jobs.get("j")


def test_other_errors_of_a_proxy_stay_what_they_are(world: ScriptedApi) -> None:
    world.answers(Reply(status=413, headers={}, body=b"<html>too large</html>"))
    with pytest.raises(ApiRefused, match="HTTP 413"):
        world.freezer.jobs.update("j", {})


def test_a_versions_document_is_no_answer(world: ScriptedApi) -> None:
    world.answers(reply(300, {"versions": []}))
    with pytest.raises(ApiUnavailable, match="check its URL"):
        world.freezer.jobs.list()


@pytest.mark.parametrize("document", [{}, {"jobs": None}, {"jobs": {}}, {"jobs": [1]}, [], None])
def test_a_list_that_is_none_is_an_error_and_never_an_empty_list(
    world: ScriptedApi, document: Any
) -> None:
    world.answers(reply(200, document))
    with pytest.raises(ApiUnavailable):
        world.freezer.jobs.list()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"title": "T", "description": "D"}, "D"),
        ({"title": "T"}, "T"),
        ({"error": {"title": "Unauthorized", "message": "M"}}, "M"),
        (["x"], "no reason given"),
        (None, "no reason given"),
        ({"description": None, "title": None}, "no reason given"),
    ],
)
def test_every_form_of_error_is_read(world: ScriptedApi, document: Any, said: str) -> None:
    world.answers(reply(400, document))
    with pytest.raises(ApiRefused, match=f": {said} "):
        world.freezer.jobs.delete("j")


def test_a_flood_of_text_is_cut(world: ScriptedApi) -> None:
    world.answers(reply(400, {"description": "x" * 10**6}))
    with pytest.raises(ApiRefused) as caught:
        world.freezer.jobs.delete("j")
    assert len(str(caught.value)) < 1000


def test_refused_credentials_come_with_advice(world: ScriptedApi) -> None:
    world.answers(reply(401))
    with pytest.raises(Unauthorized, match="OS_AUTH_URL"):
        world.freezer.jobs.list()


def test_an_api_that_hangs_is_not_asked_for_ever() -> None:
    minutes = iter(range(60))
    asked = ScriptedSession(answers=[lost() for _ in range(5)])
    calls = Calls(
        asked,
        sleep=lambda _seconds: None,
        jitter=lambda: 0.0,
        now=lambda: datetime(2026, 1, 1, 0, next(minutes), tzinfo=UTC),
    )
    with pytest.raises(ApiUnavailable):
        calls.send("GET", "jobs")
    assert len(asked.asked) == 2


def test_pauses_are_cut_by_chance() -> None:
    pauses: list[float] = []
    calls = Calls(
        ScriptedSession(answers=[reply(503) for _ in range(3)]),
        sleep=pauses.append,
        jitter=lambda: 1.0,
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        attempts=3,
    )
    with pytest.raises(ApiUnavailable):
        calls.send("GET", "jobs")
    assert pauses == [0.25, 0.5]
