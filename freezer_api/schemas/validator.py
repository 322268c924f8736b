"""Checks bodies against JSON schemas (draft 2020-12) and says in a few words what is wrong.

Reasons name the field and the rule, never a regular expression: a `pattern` must have a
`description` beside it, which becomes the reason.
"""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from freezer_model.errors import InvalidDocument

_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


class Schema:
    """One schema, compiled once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        Draft202012Validator.check_schema(document)
        self.document = document
        self._validator = Draft202012Validator(document)

    def check(self, body: Any) -> None:
        """Raise InvalidDocument, naming the first field that breaks a rule."""
        error = next(self._validator.iter_errors(body), None)
        if error is not None:
            raise InvalidDocument(*_field_and_reason(error))


def _field_and_reason(error: ValidationError) -> tuple[str, str]:
    path = ".".join(str(part) for part in error.absolute_path)
    rule: Any = error.validator_value
    body: Any = error.instance
    if error.validator == "required":
        missing = next(name for name in rule if name not in body)
        return _below(path, missing), "is required"
    if error.validator == "additionalProperties":
        unknown = next(name for name in body if name not in _part(error)["properties"])
        return _below(path, unknown), "is not a known field"
    return path, _reason(error, rule)


def _reason(error: ValidationError, rule: Any) -> str:
    match error.validator:
        case "type":
            names = [rule] if isinstance(rule, str) else rule
            reason = f"must be {' or '.join(_TYPES[name] for name in names)}"
        case "enum":
            reason = f"must be one of {', '.join(_word(value) for value in rule)}"
        case "pattern":
            reason = _part(error)["description"]
        case "minLength":
            reason = "must not be empty"
        case "maxLength":
            reason = f"must have at most {rule} characters"
        case "minItems":
            reason = "must not be empty"
        case "maxItems":
            reason = f"must have at most {rule} entries"
        case "minimum":
            reason = f"must be {rule} or more"
        case "maximum":
            reason = f"must be {rule} or less"
        case other:
            raise NotImplementedError(f"A schema uses {other}, for which no reason is written")
    return reason


def _part(error: ValidationError) -> dict[str, Any]:
    """The part of the schema that holds the rule."""
    part: Any = error.schema
    return dict(part)


def _below(path: str, name: str) -> str:
    name = name if len(name) <= 80 else f"{name[:80]}..."
    return f"{path}.{name}" if path else name


def _word(value: Any) -> str:
    return "null" if value is None else f"'{value}'"
