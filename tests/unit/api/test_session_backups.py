"""The backups of one run of a session are found by the session and its tag."""

from pathlib import Path

from tests.fakes.api_world import make_world


def test_one_consistent_set_is_found_by_session_and_tag(tmp_path: Path) -> None:
    caller = make_world(tmp_path).caller()
    for node in ("a", "b", "c"):
        for tag in (11, 12, 112):
            metadata = {
                "container": "/srv/backups",
                "backup_name": f"data-{node}",
                "hostname": node,
                "time_stamp": 1_700_000_000 + tag,
                "session_id": "5e55",
                "session_tag": tag,
            }
            assert caller.post("/backups", metadata).status == 201
    reply = caller.get("/backups", {"match": [{"session_id": "5e55"}, {"session_tag": 12}]})
    found = [backup["backup_metadata"] for backup in reply.json["backups"]]
    assert {one["hostname"] for one in found} == {"a", "b", "c"}
    assert {one["time_stamp"] for one in found} == {1_700_000_012}
    words = caller.get("/backups", {"match": [{"_all": "5e55"}, {"_all": "12"}]})
    assert words.json["backups"] == reply.json["backups"]
