"""Whatever is sent, the answer is never the service's own failure."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.api_world import Caller, make_world

KEYS = st.sampled_from(
    [
        "job_id",
        "client_id",
        "job_actions",
        "job_schedule",
        "session_id",
        "session_tag",
        "description",
        "freezer_action",
        "action_id",
        "action",
        "mode",
        "max_retries",
        "mandatory",
        "action_defaults",
        "schedule",
        "hold_off",
        "jobs",
        "status",
        "result",
        "start",
        "end",
        "stop",
        "current_tag",
        "match",
        "match_not",
        "match_or",
        "_all",
        "time_before",
        "time_after",
        "schedule_date",
        "schedule_interval",
        "schedule_hour",
        "event",
        "container",
        "hostname",
        "backup_name",
        "backup_metadata",
        "time_stamp",
        "supported_modes",
        "is_central",
        "uuid",
        "client",
        "user_credentials",
        "version",
        "_version",
        "user_id",
        "project_id",
        "time_started",
        "current_pid",
        "exit_code",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**64), 10**30, 0, -1])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=4)
    | st.sampled_from(
        ["", "x", "node", "mine", "backup", "1 days", "2026-01-01T00:00:00", "5", "*"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(KEYS, JSON, max_size=6) | JSON

ROUTES = [
    ("GET", "/jobs"),
    ("POST", "/jobs"),
    ("POST", "/jobs/mine"),
    ("PATCH", "/jobs/mine"),
    ("POST", "/jobs/mine/event"),
    ("GET", "/clients"),
    ("POST", "/clients"),
    ("GET", "/actions"),
    ("POST", "/actions"),
    ("POST", "/actions/act"),
    ("PATCH", "/actions/act"),
    ("GET", "/sessions"),
    ("POST", "/sessions"),
    ("POST", "/sessions/ses"),
    ("PATCH", "/sessions/ses"),
    ("POST", "/sessions/ses/action"),
    ("GET", "/backups"),
    ("POST", "/backups"),
    ("PATCH", "/backups/first"),
]


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """An administrator, since most is allowed to him, and something of each kind to work on."""
    world = make_world(tmp_path_factory.mktemp("hostile"))
    caller = world.caller(roles="admin")
    caller.client_registered("node")
    caller.job_made(job_id="mine")
    caller.made("/actions/act", {"freezer_action": {}})
    caller.made("/sessions/ses", {"schedule": {}})
    caller.put("/sessions/ses/jobs/mine")
    return caller


def complete(path: str, body: Any) -> Any:
    """With the required fields, so that the rest of the body is reached."""
    if not isinstance(body, dict):
        return body
    required: dict[str, dict[str, Any]] = {
        "jobs": {"client_id": "node", "job_actions": []},
        "clients": {"client_id": "node"},
        "actions": {"freezer_action": {}},
        "sessions": {"schedule": {}},
        "backups": {"backup_name": "b", "container": "c", "hostname": "h"},
    }
    return {**required[path.split("/")[1]], **body}


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize(("method", "path"), ROUTES)
@given(body=BODIES, whole=st.sampled_from(["whole", "bare"]))
def test_any_json(caller: Caller, method: str, path: str, body: Any, whole: str) -> None:
    sent = (
        complete(path, body)
        if whole == "whole" and not path.endswith(("event", "action"))
        else body
    )
    reply = caller.send(method, path, json.dumps(sent))
    assert reply.status < 500, (sent, reply.text)
    if reply.status >= 400:
        assert {"title", "description"} == set(reply.json)


@settings(max_examples=100)
@given(
    raw=st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes(caller: Caller, raw: bytes) -> None:
    for method, path in (("POST", "/jobs"), ("GET", "/backups")):
        assert caller.send(method, path, raw).status < 500


@settings(max_examples=100)
@given(query=st.text(st.characters(codec="utf-8"), max_size=20), name=st.text(max_size=8))
def test_any_url(caller: Caller, query: str, name: str) -> None:
    params = {"limit": query, "offset": query, "all_projects": query}
    assert caller.get("/jobs", params=params).status < 500
    for path in ("/jobs", "/clients", "/sessions", "/backups", "/actions"):
        quoted = quote(name.encode("utf-8", "surrogatepass"), safe="")
        assert caller.get(f"{path}/{quoted}").status < 500


@pytest.mark.parametrize(("method", "path"), [("GET", "/jobs"), ("GET", "/sessions/ses")])
def test_what_was_taken_can_be_read(caller: Caller, method: str, path: str) -> None:
    assert caller.send(method, path).status == 200
