"""Job documents: read, checked, written back."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_model.errors import InvalidDocument
from freezer_model.job import (
    DEFAULT_RETRY_SECONDS,
    RUNTIME_KEYS,
    Job,
    JobEvent,
    JobResult,
    JobState,
    JobStatus,
)
from freezer_model.schedule import ScheduleKind

SEED_JOB = {
    "job_actions": [
        {
            "freezer_action": {
                "action": "backup",
                "mode": "fs",
                "backup_name": "backup1",
                "path_to_backup": "/home/me/datadir",
                "container": "schedule_backups",
                "log_file": "/home/me/.freezer/freezer.log",
            },
            "max_retries": 3,
            "max_retries_interval": 60,
        }
    ],
    "job_schedule": {
        "schedule_interval": "4 hours",
        "schedule_start_date": "2015-08-16T17:58:00",
    },
    "description": "schedule_backups 6",
}


def field_refused(document: Any) -> str:
    with pytest.raises(InvalidDocument) as caught:
        Job.from_document(document)
    return caught.value.field


def test_the_job_of_the_manual_is_read() -> None:
    job = Job.from_document(SEED_JOB)
    assert job.description == "schedule_backups 6"
    assert job.schedule.kind is ScheduleKind.INTERVAL
    assert job.actions[0].max_retries == 3
    assert job.state == JobState()


def test_every_field_of_a_full_document_is_read() -> None:
    job = Job.from_document(
        {
            "job_id": "j",
            "client_id": "c",
            "project_id": "p",
            "user_id": "u",
            "session_id": "s",
            "session_tag": 4,
            "user_credentials": {"trust_id": "t", "trustor_user_id": "x"},
            "job_actions": [],
            "job_schedule": {
                "status": "scheduled",
                "event": "abort",
                "result": "fail",
                "time_created": 1,
                "time_started": 2,
                "time_ended": 3,
                "current_pid": 4,
                "exit_code": -15,
                "error": "gone",
            },
        }
    )
    assert (job.job_id, job.client_id, job.project_id, job.user_id) == ("j", "c", "p", "u")
    assert (job.session_id, job.session_tag, job.trust_id) == ("s", 4, "t")
    assert job.state == JobState(
        status=JobStatus.SCHEDULED,
        event=JobEvent.ABORT,
        result=JobResult.FAIL,
        time_created=1,
        time_started=2,
        time_ended=3,
        current_pid=4,
        exit_code=-15,
        error="gone",
    )


def test_nulls_count_as_absent_everywhere() -> None:
    keys = ["job_id", "client_id", "description", "session_id", "session_tag", "user_credentials"]
    timing = dict.fromkeys(RUNTIME_KEYS)
    document = {**dict.fromkeys(keys), "job_actions": None, "job_schedule": None}
    empty = Job.from_document(document)
    assert (empty.actions, empty.session_tag, empty.trust_id) == ((), 0, "")
    assert Job.from_document({"job_schedule": timing}).state == JobState()


def test_unknown_fields_survive_the_round_trip_at_every_level() -> None:
    document = {
        "vendor": {"deep": [1]},
        "_version": 3,
        "user_credentials": {"trust_id": "t", "more": 1},
        "job_schedule": {"schedule_hour": "3", "vendor_zone": "UTC"},
        "job_actions": [{"freezer_action": {"hostname": False, "x": None}, "exit_status": "ok"}],
    }
    written = Job.from_document(document).to_document()
    assert written["vendor"] == {"deep": [1]}
    assert written["_version"] == 3
    assert written["user_credentials"] == {"trust_id": "t", "more": 1}
    assert written["job_schedule"]["vendor_zone"] == "UTC"
    assert written["job_schedule"]["schedule_hour"] == "3"
    assert written["job_actions"] == document["job_actions"]


def test_reading_and_writing_leave_the_document_alone() -> None:
    document = copy.deepcopy(SEED_JOB)
    Job.from_document(document).with_state(status=JobStatus.RUNNING).to_document()
    assert document == SEED_JOB


def test_a_changed_state_is_what_is_written() -> None:
    job = Job.from_document({"job_schedule": {"status": "scheduled", "current_pid": 5}})
    written = job.with_state(status=JobStatus.COMPLETED, current_pid=None).schedule_document()
    assert written["status"] == "completed"
    assert "current_pid" not in written


def test_every_runtime_key_that_has_a_value_is_written() -> None:
    timing = dict.fromkeys(RUNTIME_KEYS, 1) | {"error": "e"}
    timing |= {"status": "running", "event": "stop", "result": "fail"}
    assert Job.from_document({"job_schedule": timing}).schedule_document() == timing


def test_a_report_takes_away_what_no_longer_holds() -> None:
    report = JobState(status=JobStatus.COMPLETED, result=JobResult.SUCCESS).to_report()
    assert {key: report[key] for key in ("error", "exit_code", "current_pid")} == {
        "error": None,
        "exit_code": None,
        "current_pid": None,
    }


def test_a_report_leaves_what_is_the_apis_and_holds_all_other_runtime_keys() -> None:
    report = JobState(exit_code=1, time_succeeded=5).to_report()
    assert {*report, "time_created", "time_succeeded"} == set(RUNTIME_KEYS)
    assert JobState(exit_code=1).to_report()["exit_code"] == 1


def test_an_entry_that_names_a_stored_action_stays_without_one_of_its_own() -> None:
    document = {"job_actions": [{"action_id": "a"}]}
    assert Job.from_document(document).to_document()["job_actions"] == [{"action_id": "a"}]


def test_defaults_of_an_action() -> None:
    action = Job.from_document({"job_actions": [{"freezer_action": {}}]}).actions[0]
    assert (action.max_retries, action.max_retries_interval) == (0, DEFAULT_RETRY_SECONDS)
    assert (action.mandatory, action.max_run_time) == (False, None)


def test_the_misspelt_pause_of_the_old_manual_is_read() -> None:
    action = Job.from_document({"job_actions": [{"max_retry_interval": 7}]}).actions[0]
    assert action.max_retries_interval == 7


def test_the_right_spelling_of_the_pause_counts_more() -> None:
    entry = {"max_retry_interval": 7, "max_retries_interval": 8}
    assert Job.from_document({"job_actions": [entry]}).actions[0].max_retries_interval == 8


@pytest.mark.parametrize("document", [None, 5, "x", [], True])
def test_what_is_no_object_is_refused(document: Any) -> None:
    assert field_refused(document) == ""


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"job_id": 5}, "job_id"),
        ({"description": []}, "description"),
        ({"session_tag": "1"}, "session_tag"),
        ({"session_tag": True}, "session_tag"),
        ({"user_credentials": "t"}, "user_credentials"),
        ({"user_credentials": {"trust_id": 1}}, "user_credentials.trust_id"),
        ({"job_schedule": []}, "job_schedule"),
        ({"job_schedule": {"status": "sleeping"}}, "job_schedule.status"),
        ({"job_schedule": {"status": []}}, "job_schedule.status"),
        ({"job_schedule": {"event": 0}}, "job_schedule.event"),
        ({"job_schedule": {"result": {}}}, "job_schedule.result"),
        ({"job_schedule": {"time_started": "1"}}, "job_schedule.time_started"),
        ({"job_schedule": {"current_pid": True}}, "job_schedule.current_pid"),
        ({"job_schedule": {"exit_code": 1.5}}, "job_schedule.exit_code"),
        ({"job_schedule": {"schedule_interval": "1 day"}}, "job_schedule.schedule_interval"),
        ({"job_actions": "x"}, "job_actions"),
        ({"job_actions": {}}, "job_actions"),
        ({"job_actions": [5]}, "job_actions.0"),
        ({"job_actions": [{}, {"freezer_action": []}]}, "job_actions.1.freezer_action"),
        ({"job_actions": [{"action_id": 1}]}, "job_actions.0.action_id"),
        ({"job_actions": [{"max_retries": -1}]}, "job_actions.0.max_retries"),
        ({"job_actions": [{"max_retries": True}]}, "job_actions.0.max_retries"),
        ({"job_actions": [{"max_retries_interval": "6"}]}, "job_actions.0.max_retries_interval"),
        ({"job_actions": [{"max_retry_interval": -6}]}, "job_actions.0.max_retry_interval"),
        ({"job_actions": [{"mandatory": "yes"}]}, "job_actions.0.mandatory"),
        ({"job_actions": [{"max_run_time": 1.5}]}, "job_actions.0.max_run_time"),
    ],
)
def test_a_broken_field_is_refused_by_its_path(document: Any, field: str) -> None:
    assert field_refused(document) == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["job_id", "job_actions", "job_schedule", "session_tag", "user_credentials"])
INNER = st.sampled_from(["status", "event", "freezer_action", "max_retries", "schedule_hour"])
WILD = st.dictionaries(
    KEYS, JSON | st.dictionaries(INNER, JSON) | st.lists(st.dictionaries(INNER, JSON), max_size=2)
)


@given(JSON | WILD)
def test_any_json_is_read_or_refused(document: Any) -> None:
    try:
        job = Job.from_document(document)
    except InvalidDocument:
        return
    assert Job.from_document(job.to_document()).to_document() == job.to_document()
