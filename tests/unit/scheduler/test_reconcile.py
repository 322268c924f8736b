"""From known and wanted jobs to commands."""

from typing import Any

import pytest

from freezer_model.job import Job, JobEvent
from freezer_scheduler.reconcile import Act, Adopt, Take, plan


def job(job_id: str = "a", **document: Any) -> Job:
    return Job.from_document({"job_id": job_id, **document})


def test_nothing_new_nothing_to_do() -> None:
    assert plan([job()], {"a": job()}) == []


@pytest.mark.parametrize(
    ("timing", "event"),
    [
        ({}, JobEvent.START),
        ({"status": "stop"}, JobEvent.STOP),
        ({"status": "stop", "event": "start"}, JobEvent.START),
        ({"status": "scheduled"}, JobEvent.START),
        ({"status": "running"}, JobEvent.START),
        ({"event": "stop"}, JobEvent.STOP),
        ({"event": "abort"}, JobEvent.ABORT),
    ],
)
def test_first_sight(timing: dict[str, Any], event: JobEvent) -> None:
    new = job(job_schedule=timing)
    assert plan([new], {}) == [Take(job=new, event=event)]


def test_an_edit_comes_before_its_event_and_the_vanished_last() -> None:
    edited = job("b", description="new", job_schedule={"event": "stop"})
    assert plan([edited, job("c")], {"a": job(), "b": job("b")}) == [
        Adopt(job=edited, schedule_changed=False),
        Act(job_id="b", event=JobEvent.STOP),
        Take(job=job("c"), event=JobEvent.START),
        Act(job_id="a", event=JobEvent.REMOVE),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"job_actions": [{"freezer_action": {"mode": "fs"}}]},
        {"session_id": "s"},
        {"description": "other"},
    ],
)
def test_edits_that_keep_the_schedule(change: dict[str, Any]) -> None:
    edited = job(**change)
    assert plan([edited], {"a": job()}) == [Adopt(job=edited, schedule_changed=False)]


def test_an_edited_schedule() -> None:
    edited = job(job_schedule={"schedule_interval": "2 hours"})
    assert plan([edited], {"a": job()}) == [Adopt(job=edited, schedule_changed=True)]


def test_runtime_keys_and_the_tag_are_no_edit() -> None:
    reported = job(job_schedule={"status": "scheduled", "result": "fail"}, session_tag=4)
    assert plan([reported], {"a": job()}) == []
