from typing import Any

import pytest

from tests.fakes.api_world import Caller, World


class TestRegister:
    def test_shows_what_was_sent(self, member: Caller) -> None:
        body = {
            "client_id": "p_node.example.org",
            "hostname": "node.example.org",
            "supported_modes": ["fs", "nova"],
            "colour": ["blue", {"deep": 1}],
        }
        reply = member.post("/clients", body)
        assert (reply.status, reply.json) == (201, {"client_id": "p_node.example.org"})
        shown = member.get("/clients/p_node.example.org").json
        assert set(shown) == {"client", "user_id", "project_id"}
        assert (shown["user_id"], shown["project_id"]) == ("u", "p")
        assert len(shown["client"].pop("uuid")) == 32
        assert shown["client"] == {
            **body,
            "description": None,
            "is_central": False,
            "supported_actions": None,
            "supported_storages": None,
            "supported_engines": None,
        }

    def test_again_brings_new_abilities_and_keeps_the_rest(
        self, world: World, member: Caller
    ) -> None:
        first = {
            "client_id": "node",
            "hostname": "a",
            "uuid": "one",
            "description": "old",
            "supported_modes": ["fs"],
            "supported_actions": ["info"],
        }
        member.post("/clients", first)
        again = {"client_id": "node", "hostname": "b", "uuid": "two", "supported_modes": ["nova"]}
        reply = world.caller(user="peer").post("/clients", again)
        assert (reply.status, reply.json) == (201, {"client_id": "node"})
        shown = member.get("/clients/node").json
        client = shown["client"]
        assert shown["user_id"] == "u"
        assert (client["hostname"], client["uuid"], client["description"]) == ("a", "one", None)
        assert (client["supported_modes"], client["supported_actions"]) == (["nova"], None)
        assert len(member.get("/clients").json["clients"]) == 1

    def test_a_fetched_client_is_taken(self, member: Caller) -> None:
        member.client_registered("node", hostname="a")
        fetched = member.get("/clients/node").json
        assert member.post("/clients", fetched).status == 201
        assert member.get("/clients/node").json == fetched

    def test_every_project_has_its_own(self, member: Caller, stranger: Caller) -> None:
        member.client_registered("node", description="ours")
        stranger.client_registered("node", description="theirs")
        assert member.get("/clients/node").json["client"]["description"] == "ours"
        assert stranger.get("/clients/node").json["client"]["description"] == "theirs"

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"client_id": None}, "client_id"),
            ({"client_id": ""}, "client_id"),
            ({"client_id": "a b"}, "client_id"),
            ({"client_id": "node\n"}, "client_id"),
            ({"client_id": "-x"}, "client_id"),
            ({"client_id": 5}, "client_id"),
            ({"client_id": "a" * 256}, "client_id"),
            ({"hostname": ""}, "hostname"),
            ({"supported_modes": "fs"}, "supported_modes"),
            ({"supported_modes": ["zzz"]}, "supported_modes.0"),
            ({"supported_actions": [5]}, "supported_actions.0"),
            ({"supported_storages": {}}, "supported_storages"),
            ({"supported_engines": ["tar", None]}, "supported_engines.1"),
            ({"is_central": "yes"}, "is_central"),
            ({"x": {"client.is_central": True}}, "client.is_central"),
        ],
    )
    def test_refuses_and_names_the_field(
        self, member: Caller, fields: dict[str, Any], path: str
    ) -> None:
        reply = member.post("/clients", {"client_id": "node", **fields})
        assert (reply.status, reply.title) == (400, "Bad request format")
        assert reply.why.startswith(f"{path}: ")
        assert "[" not in reply.why

    def test_needs_an_id(self, member: Caller) -> None:
        assert member.post("/clients", {}).why == "client_id: is required"


class TestDelete:
    def test_is_gone_and_may_come_back(self, member: Caller) -> None:
        member.client_registered("node", uuid="one")
        assert member.delete("/clients/node").status == 204
        assert member.delete("/clients/node").status == 404
        member.client_registered("node", uuid="one")
        assert member.get("/clients/node").status == 200

    def test_jobs_stay(self, member: Caller) -> None:
        member.client_registered("node")
        job_id = member.job_made()
        member.delete("/clients/node")
        assert member.get(f"/jobs/{job_id}").status == 200

    def test_foreign_is_unknown(self, member: Caller, stranger: Caller) -> None:
        stranger.client_registered("theirs")
        assert member.get("/clients/theirs").status == 404
        assert member.delete("/clients/theirs").status == 404
        assert stranger.get("/clients/theirs").status == 200


class TestCentral:
    def test_needs_admin_or_service(self, world: World, member: Caller) -> None:
        body = {"client_id": "c", "is_central": True}
        assert member.post("/clients", body).status == 403
        assert member.get("/clients/c").status == 404
        assert world.caller(roles="service,member").post("/clients", body).status == 201

    def test_is_seen_by_every_project(self, admin: Caller, stranger: Caller) -> None:
        admin.client_registered("c", is_central=True)
        stranger.client_registered("own")
        assert stranger.get("/clients/c").json["client"]["is_central"] is True
        listed = stranger.get("/clients").json["clients"]
        assert [entry["client"]["client_id"] for entry in listed] == ["c", "own"]

    def test_no_other_field_opens_a_client(self, member: Caller, stranger: Caller) -> None:
        member.client_registered("own", extra={"is_central": True, "client": {"is_central": True}})
        assert stranger.get("/clients").json == {"clients": []}
        assert stranger.get("/clients/own").status == 404

    def test_is_removed_by_its_project_only(self, admin: Caller, stranger: Caller) -> None:
        admin.client_registered("c", is_central=True)
        refused = stranger.delete("/clients/c")
        assert (refused.status, refused.title) == (403, "Access Forbidden")
        assert admin.delete("/clients/c").status == 204

    def test_id_is_reserved_against_projects(self, admin: Caller, stranger: Caller) -> None:
        admin.client_registered("c", is_central=True, hostname="a")
        reply = stranger.post("/clients", {"client_id": "c", "hostname": "b"})
        assert (reply.status, reply.title) == (409, "Document already existing")
        assert len(admin.get("/clients").json["clients"]) == 1

    def test_id_of_a_project_is_reserved_against_central(
        self, admin: Caller, stranger: Caller
    ) -> None:
        stranger.client_registered("c", hostname="b")
        reply = admin.post("/clients", {"client_id": "c", "is_central": True, "hostname": "a"})
        assert reply.status == 409
        assert stranger.get("/clients/c").json["client"]["hostname"] == "b"
        assert admin.get("/clients/c").status == 404

    def test_second_central_of_another_project(self, world: World, admin: Caller) -> None:
        admin.client_registered("c", is_central=True)
        other = world.caller(project="q", roles="admin")
        body = {"client_id": "c", "is_central": True, "hostname": "elsewhere"}
        assert other.post("/clients", body).status == 409

    def test_stays_what_it_is_when_it_registers_again(self, admin: Caller, member: Caller) -> None:
        admin.client_registered("c", is_central=True)
        member.client_registered("c", description="hello")
        client = admin.get("/clients/c").json["client"]
        assert (client["is_central"], client["description"]) == (True, "hello")
