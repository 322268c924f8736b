"""The API reference against the real application: its routes, and every sample in it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon
import falcon.inspect
import pytest
import yaml
from falcon import testing

from freezer_api import conf as api_conf
from freezer_api.assembly import application_from
from freezer_api.http.middleware import RequestId
from freezer_api.store.memory import MemoryStore

SOURCE = Path(__file__).parents[2] / "api-ref/source"
SAMPLES = {path.stem: json.loads(path.read_text()) for path in (SOURCE / "samples").glob("*.json")}
PROJECT = "/v2/3f2a8f0d3a5c4b0f9b2f5f6c0d1e2a3b"
CLIENT = SAMPLES["client-create-request"]["client_id"]
JOB = SAMPLES["job-create-response"]["job_id"]
ACTION = SAMPLES["action-create-response"]["action_id"]
SESSION = SAMPLES["session-create-response"]["session_id"]
RUN = SAMPLES["run-get-response"]["run_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One section of the reference."""

    title: str
    method: str
    path: str
    status: int
    errors: frozenset[int]
    request: str | None
    response: str | None


def read_operations() -> list[Operation]:
    found = []
    for page in sorted(SOURCE.glob("*.inc")):
        parts = re.split(r"(?m)^(.+)\n-+\n\n\.\. rest_method:: ", page.read_text())[1:]
        for title, text in zip(parts[::2], parts[1::2], strict=True):
            method, path = text.split("\n", 1)[0].split(" ")
            ask, answer = text.split("\nResponse\n")
            found.append(
                Operation(
                    title=title,
                    method=method,
                    path=path,
                    status=int(re.findall(r"Normal response codes: (\d+)", ask)[0]),
                    errors=_codes(ask),
                    request=_sample(ask),
                    response=_sample(answer),
                )
            )
    return found


def _codes(text: str) -> frozenset[int]:
    line = re.search(r"Error response codes: (.*)", text)
    return frozenset(int(code) for code in re.findall(r"\d+", line[1] if line else ""))


def _sample(text: str) -> str | None:
    name = re.search(r"literalinclude:: samples/([\w-]+)\.json", text)
    return name[1] if name else None


OPERATIONS = read_operations()
KEYED = {(each.method, each.path): each for each in OPERATIONS}


@pytest.fixture
def app() -> Any:
    conf = api_conf.load([], prog="freezer-api", config_files=[])
    conf.set_override("auth_strategy", "noauth")
    return application_from(conf, MemoryStore())


@pytest.fixture
def client(app: Any) -> testing.TestClient:
    return testing.TestClient(app)


def test_it_describes_the_routes_that_there_are(app: Any) -> None:
    assert isinstance(app, RequestId)
    inner = app._application
    routes = {
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(inner)
        for method in route.methods
        if method.method not in {"HEAD", "OPTIONS"} and not method.internal
    }
    assert routes == set(KEYED)


def test_every_sample_is_shown_somewhere() -> None:
    shown = {each.request for each in OPERATIONS} | {each.response for each in OPERATIONS}
    assert {*SAMPLES} - shown == {"session-end-request"}, "shown in the text only"


def test_every_parameter_is_used_and_described() -> None:
    used = {
        name
        for page in SOURCE.glob("*.inc")
        for name in re.findall(r"(?m)^   - [^:\n]+: (\w+)$", page.read_text())
    }
    described = set(re.findall(r"(?m)^(\w+):$", (SOURCE / "parameters.yaml").read_text()))
    assert used == described


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.title)
def test_an_operation_answers_as_its_sample_says(
    client: testing.TestClient, operation: Operation
) -> None:
    backup = seed(client, operation)
    answer = call(client, operation, backup)
    assert answer.status_code == operation.status, answer.text
    if operation.response:
        assert_same_shape(SAMPLES[operation.response], answer.json, operation.response)
    elif operation.path not in {"/healthcheck", "/v2/openapi.json"}:
        assert answer.content == b""


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if 404 in each.errors], ids=lambda each: each.title
)
def test_an_unknown_id_is_404_with_a_title(
    client: testing.TestClient, operation: Operation
) -> None:
    answer = call(client, operation, backup="unknown")
    assert answer.status_code == 404, answer.text
    assert answer.json["title"]
    assert answer.json["description"]


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if 403 in each.errors], ids=lambda each: each.title
)
def test_a_stranger_is_refused(client: testing.TestClient, operation: Operation) -> None:
    backup = seed(client, operation)
    answer = call(client, operation, backup, **{"X-Roles": "member", "X-Project-Id": "other"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if 400 in each.errors and each.method != "GET"],
    ids=lambda each: each.title,
)
@pytest.mark.parametrize("body", ["", "{", "[1]", "5", "null"])
def test_a_body_that_makes_no_sense_is_400(
    client: testing.TestClient, operation: Operation, body: str
) -> None:
    backup = seed(client, operation)
    answer = client.simulate_request(
        operation.method, filled(operation.path, backup), body=body.encode()
    )
    assert answer.status_code == 400, answer.text
    assert answer.json["description"]


def test_a_job_that_was_read_can_be_sent_back(client: testing.TestClient) -> None:
    seed(client, KEYED["GET", "/v2/{project_id}/jobs/{job_id}"])
    job = client.simulate_get(f"{PROJECT}/jobs/{JOB}").json
    assert client.simulate_post(f"{PROJECT}/jobs/{JOB}", json=job).status_code == 201
    assert client.simulate_get(f"{PROJECT}/jobs/{JOB}").json == job


def test_a_session_ends_with_the_sample(client: testing.TestClient) -> None:
    start = KEYED["POST", "/v2/{project_id}/sessions/{session_id}/action"]
    seed(client, start)
    call(client, start, "")
    answer = client.simulate_post(
        f"{PROJECT}/sessions/{SESSION}/action", json=SAMPLES["session-end-request"]
    )
    assert answer.json["result"] == "success"
    session = client.simulate_get(f"{PROJECT}/sessions/{SESSION}").json
    assert (session["status"], session["result"]) == ("completed", "success")


def test_the_job_of_the_samples_folder_is_taken(client: testing.TestClient) -> None:
    seed(client, KEYED["GET", "/v2/{project_id}/jobs"])
    job = json.loads((SOURCE.parents[1] / "etc/job.json.sample").read_text())
    answer = client.simulate_post(f"{PROJECT}/jobs", json={**job, "client_id": CLIENT})
    assert answer.status_code == 201, answer.text


def seed(client: testing.TestClient, operation: Operation) -> str:
    """Make everything that the samples refer to; return the id of the backup."""
    post(client, "/clients", "client-create-request")
    if "/actions" in operation.path:
        post(client, f"/actions/{ACTION}", "action-create-request")
    else:  # a job brings actions of its own
        post(client, f"/jobs/{JOB}", "job-create-request")
    post(client, f"/sessions/{SESSION}", "session-create-request")
    if "/sessions" in operation.path and operation.method != "PUT":
        done = client.simulate_put(f"{PROJECT}/sessions/{SESSION}/jobs/{JOB}")
        assert done.status_code == 204, done.text
    if "/runs" in operation.path and operation.method == "GET":
        report = SAMPLES["run-report-request"]
        done = client.simulate_put(f"{PROJECT}/jobs/{JOB}/runs/{RUN}", json=report)
        assert done.status_code == 200, done.text
    backup: str = post(client, "/backups", "backup-create-request")["backup_id"]
    return backup


def post(client: testing.TestClient, path: str, sample: str) -> Any:
    answer = client.simulate_post(PROJECT + path, json=SAMPLES[sample])
    assert answer.status_code == 201, answer.text
    return answer.json


def call(
    client: testing.TestClient, operation: Operation, backup: str, **headers: str
) -> testing.Result:
    body = SAMPLES[operation.request] if operation.request else None
    return client.simulate_request(
        operation.method, filled(operation.path, backup), json=body, headers=headers
    )


def filled(path: str, backup: str) -> str:
    return path.replace("/v2/{project_id}", PROJECT).format(
        client_id=CLIENT,
        job_id=JOB,
        run_id=RUN,
        action_id=ACTION,
        session_id=SESSION,
        backup_id=backup,
    )


def assert_same_shape(expected: Any, actual: Any, where: str) -> None:
    """The same keys and the same types, all the way down; ids, times and versions may differ."""
    assert type(actual) is type(expected), f"{where}: {actual!r}"
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for key in expected:
            assert_same_shape(expected[key], actual[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), where
        for index, item in enumerate(expected):
            assert_same_shape(item, actual[index], f"{where}[{index}]")


def test_the_parameters_are_in_the_order_that_the_reference_wants() -> None:
    """By place and then by name, as os-api-ref demands of its pages."""
    places = ["header", "path", "query", "body"]
    described = yaml.safe_load((SOURCE / "parameters.yaml").read_text())
    keys = [(places.index(each["in"]), name.lower()) for name, each in described.items()]
    assert keys == sorted(keys)


def test_every_operation_has_its_samples() -> None:
    """One of the answer, and of the request where there is a body; but for those without any."""
    plain = {("GET", "/healthcheck"), ("GET", "/v2/openapi.json")}
    for operation in OPERATIONS:
        name = (operation.method, operation.path)
        if operation.status != 204 and name not in plain:
            assert operation.response, name
        if operation.method in {"POST", "PATCH"}:
            assert operation.request, name
