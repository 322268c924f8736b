"""Session documents: read, checked, written back."""

from typing import Any

import pytest

from freezer_model.errors import InvalidDocument
from freezer_model.session import ABSENT_HOLD_OFF_SECONDS, Session, SessionJob


def field_refused(document: Any) -> str:
    with pytest.raises(InvalidDocument) as caught:
        Session.from_document(document)
    return caught.value.field


def test_an_empty_document_has_defaults() -> None:
    session = Session.from_document({})
    assert (session.session_tag, session.hold_off) == (0, ABSENT_HOLD_OFF_SECONDS)
    assert (session.time_start, session.time_end, session.jobs) == (-1, -1, {})


def test_nulls_count_as_absent() -> None:
    keys = ["session_tag", "hold_off", "jobs", "result", "status", "time_start", "description"]
    assert Session.from_document(dict.fromkeys(keys)).jobs == {}


def test_members_are_read_and_empty_times_are_none() -> None:
    member = {"client_id": "c", "status": "", "result": "", "time_started": "", "time_ended": 5}
    session = Session.from_document({"jobs": {"j": member}})
    assert session.jobs == {"j": SessionJob(client_id="c", time_ended=5)}


def test_jobs_are_always_written_as_an_object_and_times_in_both_spellings() -> None:
    document = Session.from_document({"time_start": 3, "time_end": 4}).to_document()
    assert document["jobs"] == {}
    assert (document["time_start"], document["time_started"]) == (3, 3)
    assert (document["time_end"], document["time_ended"]) == (4, 4)


def test_unknown_fields_survive_the_round_trip() -> None:
    document = Session.from_document({"schedule": {"schedule_hour": "3"}, "x": [1]}).to_document()
    assert (document["schedule"], document["x"]) == ({"schedule_hour": "3"}, [1])


def test_the_round_trip_is_stable() -> None:
    document = {"session_id": "s", "hold_off": 0, "jobs": {"j": {"client_id": "c"}}}
    once = Session.from_document(document).to_document()
    assert Session.from_document(once).to_document() == once


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (None, ""),
        ([], ""),
        ({"jobs": []}, "jobs"),
        ({"jobs": {"j": None}}, "jobs.j"),
        ({"jobs": {"j": {"status": 1}}}, "jobs.j.status"),
        ({"jobs": {"j": {"time_started": "1"}}}, "jobs.j.time_started"),
        ({"hold_off": -1}, "hold_off"),
        ({"hold_off": "30"}, "hold_off"),
        ({"hold_off": True}, "hold_off"),
        ({"session_tag": 1.5}, "session_tag"),
        ({"description": {}}, "description"),
        ({"time_start": []}, "time_start"),
    ],
)
def test_a_broken_field_is_refused_by_its_path(document: Any, field: str) -> None:
    assert field_refused(document) == field
