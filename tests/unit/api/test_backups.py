from typing import Any

import pytest

from tests.fakes.api_world import Caller

PLACE = {"container": "c", "hostname": "h", "backup_name": "b"}


class TestCreate:
    def test_is_kept_to_the_letter(self, member: Caller) -> None:
        metadata = {**PLACE, "max_level": "", "time_stamp": 5, "backup_id": "x", "deep": [None]}
        backup_id = member.made("/backups", metadata)
        expected = {
            "backup_id": backup_id,
            "user_id": "u",
            "project_id": "p",
            "status": "available",
            "backup_metadata": metadata,
        }
        assert backup_id != "x"
        assert member.get(f"/backups/{backup_id}").json == expected
        assert member.get("/backups").json == {"backups": [expected]}

    @pytest.mark.parametrize("status", ["creating", "error", "deleting"])
    def test_may_have_no_place_yet(self, member: Caller, status: str) -> None:
        body = {"backup_name": "b", "status": status, "container": None}
        backup_id = member.made("/backups", body)
        shown = member.get(f"/backups/{backup_id}").json
        assert shown["status"] == status
        assert shown["backup_metadata"] == {"backup_name": "b", "container": None}

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"container": ""}, "container"),
            ({"container": None}, "container"),
            ({"hostname": 5}, "hostname"),
            ({"backup_name": ""}, "backup_name"),
            ({"backup_name": None, "status": "creating"}, "backup_name"),
            ({"status": "zzz"}, "status"),
            ({"status": 5}, "status"),
            ({"status": "deleted", "container": None}, "container"),
        ],
    )
    def test_refuses_and_names_the_field(
        self, member: Caller, fields: dict[str, Any], path: str
    ) -> None:
        reply = member.post("/backups", {**PLACE, **fields})
        assert (reply.status, reply.title) == (400, "Bad request format")
        assert reply.why.startswith(f"{path}: ")

    def test_a_fetched_backup_is_taken(self, member: Caller) -> None:
        backup_id = member.made("/backups", PLACE)
        fetched = member.get(f"/backups/{backup_id}").json
        copy = member.made("/backups", fetched)
        assert member.get(f"/backups/{copy}").json == {**fetched, "backup_id": copy}


class TestPatch:
    def test_nested_and_flat_metadata(self, member: Caller) -> None:
        backup_id = member.made("/backups", {"backup_name": "b", "status": "creating"})
        flat = {
            "container": "c",
            "status": "available",
            "backup_id": "x",
            "user_id": "v",
            "project_id": "q",
            "backup_metadata": {"hostname": "h"},
        }
        reply = member.patch(f"/backups/{backup_id}", flat)
        assert reply.status == 200
        assert reply.json == {
            "backup_id": backup_id,
            "user_id": "u",
            "project_id": "p",
            "status": "available",
            "backup_metadata": {"backup_name": "b", "container": "c", "hostname": "h"},
        }
        assert member.get(f"/backups/{backup_id}").json == reply.json

    @pytest.mark.parametrize("body", [{}, {"status": "zzz"}, {"backup_metadata": 5}, [1], None])
    def test_refuses(self, member: Caller, body: Any) -> None:
        backup_id = member.made("/backups", PLACE)
        assert member.patch(f"/backups/{backup_id}", body).status == 400

    def test_peer_does_not_become_owner(self, member: Caller, world: Any) -> None:
        backup_id = member.made("/backups", PLACE)
        world.caller(user="peer").patch(f"/backups/{backup_id}", {"x": 1})
        assert member.get(f"/backups/{backup_id}").json["user_id"] == "u"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_foreign_is_unknown(member: Caller, stranger: Caller, method: str) -> None:
    backup_id = stranger.made("/backups", PLACE)
    assert member.send(method, f"/backups/{backup_id}", {"x": 1}).status == 404
    assert stranger.get(f"/backups/{backup_id}").status == 200


def test_delete(member: Caller) -> None:
    backup_id = member.made("/backups", PLACE)
    assert member.delete(f"/backups/{backup_id}").status == 204
    assert member.delete(f"/backups/{backup_id}").status == 404
    assert member.get("/backups").json == {"backups": []}
