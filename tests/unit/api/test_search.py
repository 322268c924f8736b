"""Lists: pages, and the grammar of searches."""

from typing import Any

import pytest

from freezer_api.app import Limits
from freezer_api.services.search import query_from
from freezer_api.store.base import Query
from freezer_model.errors import InvalidDocument
from tests.fakes.api_world import Caller, make_world


@pytest.fixture
def backups(member: Caller) -> list[str]:
    """25 of them, b0 to b24, at the seconds 0 to 24."""
    place = {"container": "c", "hostname": "h"}
    return [
        member.made("/backups", {**place, "backup_name": f"b{n}", "time_stamp": n, "odd": n % 2})
        for n in range(25)
    ]


def names(caller: Caller, criteria: Any = None, **params: Any) -> list[str]:
    reply = caller.get("/backups", criteria, params=params)
    assert reply.status == 200, reply.text
    return [backup["backup_metadata"]["backup_name"] for backup in reply.json["backups"]]


class TestPages:
    def test_ten_in_order_of_creation(self, member: Caller, backups: list[str]) -> None:
        assert names(member) == [f"b{n}" for n in range(10)]
        member.patch(f"/backups/{backups[0]}", {"x": 1})
        assert names(member) == [f"b{n}" for n in range(10)]

    @pytest.mark.parametrize(
        ("limit", "offset", "expected"),
        [
            ("0", "0", range(10)),
            ("3", "0", range(3)),
            ("10", "10", range(10, 20)),
            ("10", "20", range(20, 25)),
            ("10", "25", range(0)),
            ("10", "9" * 30, range(0)),
            ("9" * 30, "0", range(25)),
            ("9" * 5000, "", range(25)),
            ("+5", " 1", range(1, 6)),
        ],
    )
    @pytest.mark.usefixtures("backups")
    def test_window(self, member: Caller, limit: str, offset: str, expected: range) -> None:
        assert names(member, limit=limit, offset=offset) == [f"b{n}" for n in expected]

    @pytest.mark.parametrize("name", ["limit", "offset"])
    @pytest.mark.parametrize("value", ["-1", "x", "1.5", "1e3", "٣", "0x10", "1 2"])
    def test_no_numbers(self, member: Caller, name: str, value: str) -> None:
        for path in ("/backups", "/jobs", "/clients", "/sessions", "/actions"):
            reply = member.get(path, params={name: value})
            assert (reply.status, reply.title) == (400, "Invalid parameter")
            assert reply.why.startswith(f'The "{name}" parameter is invalid. ')

    def test_limit_is_clamped(self, tmp_path: Any) -> None:
        caller = make_world(tmp_path, limits=Limits(max_limit=3)).caller()
        for number in range(5):
            caller.client_registered(f"n{number}")
        assert len(caller.get("/clients", params={"limit": 100}).json["clients"]) == 3


class TestCriteria:
    def test_every_list_searches(self, member: Caller) -> None:
        member.client_registered("node")
        job_id = member.job_made(job_schedule={"status": "scheduled"})
        session_id = member.made("/sessions", {"schedule": {}, "hold_off": 7})
        for path, match in (
            ("/clients", {"client_id": "node"}),
            ("/jobs", {"status": "scheduled"}),
            ("/jobs", {"job_schedule.status": "scheduled"}),
            ("/jobs", {"backup_name": "etc"}),
            ("/jobs", {"freezer_action.backup_name": "etc"}),
            ("/jobs", {"job_actions.freezer_action.backup_name": "etc"}),
            ("/clients", {"client.client_id": "node"}),
            ("/actions", {"backup_name": "etc"}),
            ("/sessions", {"hold_off": 7}),
        ):
            (found,) = member.get(path, {"match": [match]}).json.values()
            assert len(found) == 1
            assert member.get(path, {"match_not": [match]}).json[path[1:]] == []
        assert job_id != session_id

    def test_the_schedulers_poll(self, member: Caller) -> None:
        member.client_registered("node")
        fresh = member.job_made()
        done = member.job_made(job_schedule={"status": "completed"})
        poll = {"match_not": [{"status": "completed"}], "match": [{"client_id": "node"}]}

        def polled() -> list[str]:
            reply = member.get("/jobs", poll, params={"limit": 10, "all_projects": False})
            return [job["job_id"] for job in reply.json["jobs"]]

        assert polled() == [fresh]
        member.post(f"/jobs/{done}/event", {"start": None})
        assert polled() == [fresh, done]

    @pytest.mark.usefixtures("backups")
    def test_alternatives_of_several_fields(self, member: Caller) -> None:
        either = [{"odd": 1, "time_stamp": 3}, {"odd": 0, "time_stamp": 5}, {"backup_name": "b8"}]
        assert names(member, {"match_or": either}) == ["b3", "b8"]
        assert names(member, {"match_or": [{}, {"backup_name": "b8"}]}) == ["b8"]

    def test_paths_of_what_was_posted(self, member: Caller) -> None:
        """Beneath the metadata, whether or not that is named; keys with dots are still found."""
        place = {"container": "c", "hostname": "h"}
        parts = [{"leaf": "x"}, {"leaf": "y", "a.b": 1}]
        member.made("/backups", {**place, "backup_name": "deep", "outer": {"parts": parts}})
        member.made("/backups", {**place, "backup_name": "flat", "leaf": "x"})
        for path in ("outer.parts.leaf", "backup_metadata.outer.parts.leaf"):
            assert names(member, {"match": [{path: "y"}]}) == ["deep"]
            assert names(member, {"match_not": [{path: "y"}]}) == ["flat"]
            assert names(member, {"match_or": [{path: "y"}]}) == ["deep"]
        assert names(member, {"match": [{"a.b": 1}]}) == ["deep"]

    @pytest.mark.usefixtures("backups")
    def test_time_bounds(self, member: Caller) -> None:
        assert names(member, {"time_after": 3, "time_before": "5"}) == ["b3", "b4", "b5"]
        assert names(member, {"time_after": 10**30}) == []
        assert names(member, {"time_after": -5, "match": [{"odd": 1}]}, limit=2) == ["b1", "b3"]

    @pytest.mark.usefixtures("backups")
    def test_words_and_json_in_all(self, member: Caller) -> None:
        def found(text: Any) -> list[str]:
            return names(member, {"match": [{"_all": text}]})

        assert found("b7") == ["b7"]
        assert found("B7 c") == ["b7"]
        assert found("b7 ghost") == []
        assert found('[{"backup_name": "b7"}, {"odd": 1}]') == ["b7"]
        assert found('{"backup_name": "b8"}') == ["b8"]
        assert found('{"broken') == []
        assert found(7) == ["b7"]

    @pytest.mark.parametrize(
        "field", ["_id", "*", "_source", "", "backup_nam", "a.b.c", "_version"]
    )
    @pytest.mark.usefixtures("backups")
    def test_odd_names_find_nothing(self, member: Caller, field: str) -> None:
        assert names(member, {"match": [{field: "b7"}]}) == []

    @pytest.mark.parametrize(
        "criteria",
        [
            {"match": "x"},
            {"match": 5},
            {"match": [1]},
            {"match": ["x"]},
            {"match": [None]},
            {"match": [{"a": {}}]},
            {"match": [{"a": [1]}]},
            {"match_not": [{"a": {"b": 1}}]},
            {"match_not": [{"_all": "x"}]},
            {"match_or": "x"},
            {"match": {"a": 1}},
            {"match_not": {"a": 1}},
            {"match_or": {}},
            {"match_or": [{"_all": "x"}]},
            {"match_or": [{f"a{i}": 1, f"b{i}": 2} for i in range(7)]},
            {"match": [{"_all": None}]},
            {"match": [{"_all": {}}]},
            {"match": [{"_all": "[1]"}]},
            {"time_after": "x"},
            {"time_after": 1.5},
            {"time_before": True},
            {"time_before": []},
            {"match": [{"a": 1}] * 300},
        ],
    )
    def test_wrong_shapes(self, member: Caller, criteria: dict[str, Any]) -> None:
        reply = member.get("/backups", criteria)
        assert (reply.status, reply.title) == (400, "Bad request format")


class TestGrammar:
    def test_everything(self) -> None:
        query = query_from(
            {
                "match": [{"a": 1, "b": None}, {"_all": "x y"}],
                "match_not": [{"c": True}],
                "match_or": [{"d": "e"}, {"f": 1.5}],
                "time_after": "7",
                "time_before": None,
                "sort": [{"x": "asc"}],
                "surprise": 1,
            },
            timed=True,
        )
        assert query == Query(
            match=(("a", 1), ("b", None)),
            match_not=(("c", True),),
            match_or=((("d", "e"), ("f", 1.5)),),
            words=("x", "y"),
            time_after=7,
        )

    def test_times_are_for_backups(self) -> None:
        assert query_from({"time_after": "x"}) == Query()

    def test_path_of_a_wrong_value(self) -> None:
        with pytest.raises(InvalidDocument) as caught:
            query_from({"match": [{"a": 1}, {"b": []}]})
        assert caught.value.field == "match.1.b"


@pytest.mark.parametrize(
    "criteria",
    [
        {"query": {"query_string": {"query": "*"}}},
        {"query_string": {"query": "*"}},
        {"script": "doc.size() > 0"},
        {"script_fields": {}},
        {"aggs": {}},
    ],
)
def test_the_language_of_a_search_engine_is_refused(
    member: Caller, criteria: dict[str, Any]
) -> None:
    member.made("/backups", {"container": "c", "hostname": "h", "backup_name": "b"})
    assert member.get("/backups", criteria).status == 400


@pytest.mark.parametrize("field", ["_id", "*", "", "_source", "_all*", "script", "query_string"])
def test_names_that_are_no_fields_find_nothing(member: Caller, field: str) -> None:
    member.made("/backups", {"container": "c", "hostname": "h", "backup_name": "b"})
    for value in ("b", "*", True, 1):
        assert member.get("/backups", {"match": [{field: value}]}).json["backups"] == []
