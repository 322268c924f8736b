"""The OpenAPI document is valid, complete, and says the same as the API reference."""

import json
from typing import Any

import pytest
from falcon import testing
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from freezer_api import conf as api_conf
from freezer_api.assembly import application_from
from freezer_api.store.memory import MemoryStore
from tests.documents.test_api_reference import OPERATIONS, SAMPLES, Operation


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    conf = api_conf.load([], prog="freezer-api", config_files=[])
    conf.set_override("auth_strategy", "noauth")
    client = testing.TestClient(application_from(conf, MemoryStore()))
    answer = client.simulate_get("/v2/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json
    return document


def test_it_is_a_valid_document(described: dict[str, Any]) -> None:
    validate(described)
    assert described["openapi"].startswith("3.1.")


def test_it_describes_the_routes_that_there_are(described: dict[str, Any]) -> None:
    operations = {
        (method.upper(), path) for path, methods in described["paths"].items() for method in methods
    }
    assert operations == {(each.method, each.path) for each in OPERATIONS}


def test_every_operation_has_a_name_of_its_own(described: dict[str, Any]) -> None:
    names = [
        operation["operationId"]
        for path in described["paths"].values()
        for operation in path.values()
    ]
    assert len(names) == len(set(names)) == len(OPERATIONS)
    assert all(
        operation["summary"].endswith(".")
        for path in described["paths"].values()
        for operation in path.values()
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.title)
def test_it_names_the_statuses_of_the_reference(
    described: dict[str, Any], operation: Operation
) -> None:
    responses = described["paths"][operation.path][operation.method.lower()]["responses"]
    assert {operation.status, *operation.errors} <= {int(status) for status in responses}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.title)
def test_the_samples_of_the_reference_obey_it(
    described: dict[str, Any], operation: Operation
) -> None:
    found = described["paths"][operation.path][operation.method.lower()]
    if operation.request:
        content = found["requestBody"]["content"]["application/json"]
        checked(described, content["schema"], SAMPLES[operation.request])
    if operation.response:
        content = found["responses"][str(operation.status)]["content"]
        (media,) = content.values()
        checked(described, media["schema"], SAMPLES[operation.response])


def test_wrong_bodies_do_not_obey_it(described: dict[str, Any]) -> None:
    wrong = {"JobCreate": {"client_id": "node"}, "ActionCreate": {}, "Event": {"dance": None}}
    for name, body in wrong.items():
        assert errors(described, {"$ref": f"#/components/schemas/{name}"}, body)


def test_patterns_are_those_of_ecma_262(described: dict[str, Any]) -> None:
    text = json.dumps(described)
    assert "\\\\Z" not in text
    assert "(?!" not in text
    assert "(?P" not in text


def checked(described: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    assert errors(described, schema, value) == []


def errors(described: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    resource = Resource.from_contents(described, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:api", resource)
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:api#/'))
    validator = Draft202012Validator(absolute, registry=registry)
    return [error.message for error in validator.iter_errors(value)]
