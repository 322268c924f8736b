from typing import Any

import pytest

from tests.fakes.api_world import Caller

INFO = {"freezer_action": {"action": "info", "hostname": False}}


class TestCreate:
    def test_fills_in_what_is_missing(self, member: Caller) -> None:
        action_id = member.made("/actions", {**INFO, "colour": "blue", "max_retries": None})
        assert member.get(f"/actions/{action_id}").json == {
            "action_id": action_id,
            "freezer_action": {"action": "info", "hostname": False},
            "max_retries": 5,
            "max_retries_interval": 6,
            "mandatory": False,
            "colour": "blue",
            "user_id": "u",
            "project_id": "p",
        }

    def test_own_id(self, member: Caller, stranger: Caller) -> None:
        assert member.made("/actions", {**INFO, "action_id": "mine"}) == "mine"
        assert member.post("/actions", {**INFO, "action_id": "mine"}).status == 409
        assert stranger.post("/actions", {**INFO, "action_id": "mine"}).status == 409
        member.delete("/actions/mine")
        assert stranger.made("/actions", {**INFO, "action_id": "mine"}) == "mine"

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "freezer_action"),
            ({"freezer_action": None}, "freezer_action"),
            ({"freezer_action": []}, "freezer_action"),
            ({"freezer_action": {"action": "zzz"}}, "freezer_action.action"),
            ({"freezer_action": {"mode": "zzz"}}, "freezer_action.mode"),
            ({"freezer_action": {"backup_name": 5}}, "freezer_action.backup_name"),
            (
                {"freezer_action": {"cindernative_freezer_only": "x"}},
                "freezer_action.cindernative_freezer_only",
            ),
            ({**INFO, "max_retries": "x"}, "max_retries"),
            ({**INFO, "max_retries_interval": -1}, "max_retries_interval"),
            ({**INFO, "max_run_time": 1.5}, "max_run_time"),
            ({**INFO, "mandatory": "x"}, "mandatory"),
            ({**INFO, "action_id": "a/b"}, "action_id"),
        ],
    )
    def test_refuses(self, member: Caller, body: dict[str, Any], path: str) -> None:
        reply = member.post("/actions", body)
        assert reply.status == 400
        assert reply.why.startswith(f"{path}: ")

    def test_empty_action_is_one(self, member: Caller) -> None:
        assert member.post("/actions", {"freezer_action": {}}).status == 201


class TestReplace:
    def test_new_and_again(self, member: Caller) -> None:
        first = member.post("/actions/mine", {**INFO, "colour": "blue"})
        assert (first.status, first.json) == (201, {"action_id": "mine", "version": 1})
        second = member.post("/actions/mine", {"freezer_action": {"action": "exec"}})
        assert second.json == {"action_id": "mine", "version": 2}
        action = member.get("/actions/mine").json
        assert action["freezer_action"] == {"action": "exec"}
        assert "colour" not in action

    def test_foreign_id(self, member: Caller, stranger: Caller) -> None:
        stranger.post("/actions/theirs", INFO)
        assert member.post("/actions/theirs", INFO).status == 409


class TestPatch:
    def test_merges_deeply(self, member: Caller) -> None:
        body = {"freezer_action": {"action": "info", "deep": {"a": 1, "b": 2}}, "max_retries": 1}
        action_id = member.made("/actions", body)
        change = {"freezer_action": {"deep": {"b": None, "c": 3}, "mode": "fs"}}
        reply = member.patch(f"/actions/{action_id}", change)
        assert (reply.status, reply.json) == (200, {"action_id": action_id, "version": 2})
        action = member.get(f"/actions/{action_id}").json
        assert action["max_retries"] == 1
        assert action["freezer_action"] == {
            "action": "info",
            "mode": "fs",
            "deep": {"a": 1, "b": None, "c": 3},
        }

    def test_owner_stays(self, member: Caller) -> None:
        action_id = member.made("/actions", INFO)
        body = {
            "action_id": "x",
            "project_id": "q",
            "user_id": "v",
            "version": 7,
            "mandatory": True,
        }
        member.patch(f"/actions/{action_id}", body)
        action = member.get(f"/actions/{action_id}").json
        assert (action["action_id"], action["project_id"]) == (action_id, "p")
        assert (action["user_id"], action["mandatory"]) == ("u", True)
        assert "version" not in action

    def test_refuses_like_create(self, member: Caller) -> None:
        action_id = member.made("/actions", INFO)
        reply = member.patch(f"/actions/{action_id}", {"freezer_action": {"action": "zzz"}})
        assert reply.status == 400

    def test_jobs_follow(self, member: Caller) -> None:
        member.client_registered("node")
        action_id = member.made("/actions", INFO)
        entry = {"action_id": action_id, "exit_status": "odd"}
        job_id = member.job_made(job_actions=[entry, {"freezer_action": {}}])
        member.patch(f"/actions/{action_id}", {"freezer_action": {"mode": "fs"}, "max_retries": 0})
        job = member.get(f"/jobs/{job_id}").json
        followed, other = job["job_actions"]
        assert followed["freezer_action"] == {"action": "info", "hostname": False, "mode": "fs"}
        assert (followed["max_retries"], followed["exit_status"]) == (0, "odd")
        assert other["freezer_action"] == {}
        assert member.post(f"/jobs/{job_id}", job).status == 201

    def test_jobs_follow_a_replacement(self, member: Caller) -> None:
        member.client_registered("node")
        action_id = member.made("/actions", {**INFO, "max_run_time": 60})
        job_id = member.job_made(job_actions=[{"action_id": action_id, "exit_status": "odd"}])
        member.post(f"/actions/{action_id}", {"freezer_action": {"action": "exec"}})
        assert member.get(f"/jobs/{job_id}").json["job_actions"] == [
            {
                "action_id": action_id,
                "exit_status": "odd",
                "freezer_action": {"action": "exec"},
                "max_retries": 5,
                "max_retries_interval": 6,
                "mandatory": False,
            }
        ]


class TestDelete:
    def test_jobs_lose_it(self, member: Caller) -> None:
        member.client_registered("node")
        action_id = member.made("/actions", INFO)
        job_id = member.job_made(job_actions=[{"action_id": action_id}, {"freezer_action": {}}])
        assert member.delete(f"/actions/{action_id}").status == 204
        entries = member.get(f"/jobs/{job_id}").json["job_actions"]
        assert [entry["freezer_action"] for entry in entries] == [{}]
        assert member.delete(f"/actions/{action_id}").status == 404

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_foreign_is_unknown_and_untouched(
        self, member: Caller, stranger: Caller, method: str
    ) -> None:
        stranger.client_registered("node")
        action_id = stranger.made("/actions", INFO)
        job_id = stranger.job_made(job_actions=[{"action_id": action_id}])
        reply = member.send(method, f"/actions/{action_id}", {"mandatory": True})
        assert (reply.status, reply.title) == (404, "Not Found")
        assert len(stranger.get(f"/jobs/{job_id}").json["job_actions"]) == 1
        assert stranger.get(f"/actions/{action_id}").json["mandatory"] is False
