"""The OpenAPI 3.1 document: components, and each operation with its parameters and answers."""

import re
from collections.abc import Sequence
from typing import Any

from oslo_policy.policy import DocumentedRuleDefault, RuleDefault

from freezer_api.openapi.answers import ANSWERS
from freezer_api.openapi.operations import OPERATIONS, Operation
from freezer_api.openapi.requests import REQUESTS

_ERRORS = {
    400: "The body or a parameter makes no sense; `description` names the field and the reason.",
    401: "A valid token is needed in `X-Auth-Token`.",
    403: "The roles of the caller do not allow it.",
    404: "There is no such document in the project.",
    406: "Answers are JSON.",
    409: "The id is taken, or the document was changed at the same moment.",
    412: "The document is not in the state that `If-Match` or `If-None-Match` names.",
    413: "The body is too large.",
    422: "What the body names does not allow it: an unknown client or action, a capability.",
    503: "The document store cannot be reached now; `Retry-After` says when to try again.",
}
_FOR_EVERYBODY = (406, 503)
_FOR_CALLERS = (400, 401, 403, 406, 413, 503)

_LISTED = {
    "X-Total-Count": {
        "description": "How many documents there are in all; left out if it is not known.",
        "schema": {"type": "integer"},
    },
    "X-Total-Count-At-Least": {
        "description": "Instead: a number that there are at least.",
        "schema": {"type": "integer"},
    },
}
_TAG = {"ETag": {"description": "The tag of this state.", "schema": {"type": "string"}}}


def describe(rules: Sequence[RuleDefault]) -> dict[str, Any]:
    """The document of the API; `rules` tell what each operation does."""
    summaries = _summaries(rules)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        key = f"{operation.method} {operation.path}"
        summary = operation.summary or " ".join(summaries[key])
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, summary
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Freezer API",
            "version": "2",
            "description": "Backup, restore and disaster recovery as a service.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {**ANSWERS, **REQUESTS},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
        "security": [{"token": []}],
    }


def _summaries(rules: Sequence[RuleDefault]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in rules:
        if isinstance(rule, DocumentedRuleDefault):
            for operation in rule.operations:
                key = f"{operation['method']} {operation['path']}"
                found.setdefault(key, []).append(str(rule.description))
    return found


def _operation(operation: Operation, summary: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": summary,
        "operationId": _operation_id(operation),
        "tags": [_tag(operation)],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.request:
        described["requestBody"] = {
            "required": not operation.request_is_optional,
            "content": _content(operation.request, "application/json"),
        }
    if operation.is_public:
        described["security"] = []
    return described


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"[a-z]+", operation.path.removeprefix("/v2/{project_id}").lower())
    return "_".join([operation.method.lower(), *words]) if words else "get_versions"


def _tag(operation: Operation) -> str:
    found = re.match(r"/v2/\{project_id\}/(\w+)", operation.path)
    return found[1] if found else "service"


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.is_list:
        natural = {"type": "integer", "minimum": 0}
        parameters += [_query("limit", natural), _query("offset", natural)]
    if operation.sort_fields:
        orders = [
            f"{field}{way}" for field in operation.sort_fields for way in ("", ":asc", ":desc")
        ]
        parameters.append(_query("sort", {"enum": orders}))
    if operation.path == "/v2/{project_id}/jobs" and operation.method == "GET":
        parameters.append(_query("all_projects", {"type": "boolean"}))
    if operation.is_conditional:
        parameters.append(_header("If-Match"))
    if operation.method == "GET" or (operation.method == "POST" and operation.is_conditional):
        parameters.append(_header("If-None-Match"))
    return parameters


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}}


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if operation.answer:
        success["content"] = _content(operation.answer, operation.media_type)
    elif operation.status != 204:
        success["content"] = {operation.media_type: {"schema": {"type": "string"}}}
    if operation.method == "GET":
        success["headers"] = _TAG | (_LISTED if operation.is_list else {})
    responses = {str(operation.status): success}
    if operation.method == "GET":
        responses["304"] = {"description": "Nothing changed since the tag of `If-None-Match`."}
    for status in _error_statuses(operation):
        error: dict[str, Any] = {"description": _ERRORS[status]}
        if status not in {401, 406}:  # told by what stands before the API, or empty
            media = operation.media_type if operation.media_type == "text/plain" else None
            error["content"] = _content("Error", media or "application/json")
        responses[str(status)] = error
    return responses


def _error_statuses(operation: Operation) -> list[int]:
    if operation.is_public:
        return list(_FOR_EVERYBODY)
    statuses = {*_FOR_CALLERS}
    if operation.path.count("{") > 1:
        statuses.add(404)
    if operation.method != "GET":
        statuses.add(409)
    if operation.is_conditional:
        statuses.add(412)
    if operation.request and operation.method != "GET":
        statuses.add(422)
    return sorted(statuses)


def _content(schema: str, media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
