"""Records of backups: what a client may post, and how a change is merged."""

from collections.abc import Callable
from typing import Any

import pytest

from freezer_model.backup import BackupRecord, BackupStatus
from freezer_model.errors import InvalidDocument

METADATA = {"backup_name": "b", "container": "c", "hostname": "h", "max_level": "", "x": [1]}
UNFINISHED = [BackupStatus.CREATING, BackupStatus.ERROR, BackupStatus.DELETING]
RECORD = BackupRecord.from_body(METADATA)


def field_refused(call: Callable[[Any], object], body: Any) -> str:
    with pytest.raises(InvalidDocument) as caught:
        call(body)
    return caught.value.field


def test_metadata_is_kept_as_it_came_and_is_available() -> None:
    assert (RECORD.metadata, RECORD.status) == (METADATA, BackupStatus.AVAILABLE)


@pytest.mark.parametrize("status", BackupStatus)
def test_the_status_is_taken_out_of_the_metadata(status: Any) -> None:
    record = BackupRecord.from_body({**METADATA, "status": str(status)})
    assert (record.metadata, record.status) == (METADATA, status)


def test_an_id_in_the_body_is_just_metadata() -> None:
    assert BackupRecord.from_body({**METADATA, "backup_id": "x"}).metadata["backup_id"] == "x"


@pytest.mark.parametrize("value", [None, "", 5, False, [], {}])
@pytest.mark.parametrize("key", ["backup_name", "container", "hostname"])
def test_name_and_place_must_be_text(key: str, value: Any) -> None:
    assert field_refused(BackupRecord.from_body, {**METADATA, key: value}) == key


@pytest.mark.parametrize("key", ["backup_name", "container", "hostname"])
def test_name_and_place_must_be_there(key: str) -> None:
    body = {name: value for name, value in METADATA.items() if name != key}
    assert field_refused(BackupRecord.from_body, body) == key


@pytest.mark.parametrize("status", UNFINISHED)
@pytest.mark.parametrize("place", [{}, {"container": None}, {"container": "", "hostname": ""}])
def test_a_backup_that_is_not_there_yet_or_no_more_may_lack_its_place(
    status: Any, place: dict[str, Any]
) -> None:
    body = {"backup_name": "b", "status": str(status), **place}
    assert BackupRecord.from_body(body).status is status


@pytest.mark.parametrize("status", UNFINISHED)
def test_but_not_its_name(status: Any) -> None:
    assert field_refused(BackupRecord.from_body, {"status": str(status)}) == "backup_name"


@pytest.mark.parametrize("status", UNFINISHED)
def test_and_a_place_that_is_given_is_text(status: Any) -> None:
    body = {"backup_name": "b", "status": str(status), "container": 5}
    assert field_refused(BackupRecord.from_body, body) == "container"


@pytest.mark.parametrize("status", [BackupStatus.AVAILABLE, BackupStatus.DELETED])
def test_a_finished_backup_has_a_place(status: Any) -> None:
    body = {"backup_name": "b", "status": str(status)}
    assert field_refused(BackupRecord.from_body, body) == "container"


@pytest.mark.parametrize("status", ["gone", "", 5, [], {}, True])
def test_a_status_that_does_not_exist_is_refused(status: Any) -> None:
    assert field_refused(BackupRecord.from_body, {**METADATA, "status": status}) == "status"
    assert field_refused(RECORD.updated, {"status": status}) == "status"


@pytest.mark.parametrize("body", [None, [], "x", 5, True])
def test_what_is_no_object_is_refused(body: Any) -> None:
    assert field_refused(BackupRecord.from_body, body) == ""
    assert field_refused(RECORD.updated, body) == ""


def test_an_empty_change_is_refused() -> None:
    assert field_refused(RECORD.updated, {}) == ""


def test_a_status_alone_leaves_the_metadata() -> None:
    changed = RECORD.updated({"status": "deleting"})
    assert (changed.status, changed.metadata) == (BackupStatus.DELETING, METADATA)


def test_nested_metadata_is_merged_key_by_key() -> None:
    changed = RECORD.updated({"backup_metadata": {"x": 2, "new": None}})
    assert changed.metadata == {**METADATA, "x": 2, "new": None}
    assert changed.status is BackupStatus.AVAILABLE


def test_flat_metadata_of_an_agent_is_merged_but_for_what_is_the_servers() -> None:
    body = {"level": 1, "backup_id": "i", "user_id": "u", "project_id": "p", "status": "available"}
    assert RECORD.updated(body).metadata == {**METADATA, "level": 1}


def test_nested_counts_more_than_flat() -> None:
    assert RECORD.updated({"x": 1, "backup_metadata": {"x": 2}}).metadata["x"] == 2


@pytest.mark.parametrize("nested", [[], "x", 5])
def test_nested_metadata_must_be_an_object(nested: Any) -> None:
    assert field_refused(RECORD.updated, {"backup_metadata": nested}) == "backup_metadata"


def test_a_change_leaves_the_record_alone() -> None:
    before = dict(RECORD.metadata)
    RECORD.updated({"backup_metadata": {"x": 99}})
    assert RECORD.metadata == before
