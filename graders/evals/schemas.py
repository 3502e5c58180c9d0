"""The data source config of an eval, and the JSON Schema of its items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from graders.evals.requests import Fields, InvalidRequest

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

#: Seconds for one regular expression of a schema on one text.
PATTERN_S = 0.2
NESTED = "nested too deeply to be validated"

_TOOL_CALL = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["function"]},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
            "required": ["name", "arguments"],
        },
        "id": {"type": "string"},
    },
    "required": ["type", "function", "id"],
}
_CHOICE = {
    "type": "object",
    "properties": {
        "message": {
            "type": "object",
            "properties": {
                "role": {"type": "string", "enum": ["assistant"]},
                "content": {"type": ["string", "array", "null"]},
                "refusal": {"type": ["boolean", "null"]},
                "tool_calls": {"type": ["array", "null"], "items": _TOOL_CALL},
                "function_call": {
                    "type": ["object", "null"],
                    "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
                    "required": ["name", "arguments"],
                },
            },
            "required": ["role"],
        },
        "finish_reason": {"type": "string"},
    },
    "required": ["index", "message", "finish_reason"],
}
#: The service's schema of `sample` for an eval that samples (recorded in public evals).
SAMPLE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "choices": {"type": "array", "items": _CHOICE},
        "output_text": {"type": "string"},
        "output_json": {"type": "object"},
        "output_tools": {"type": "array", "items": {"type": "object"}},
        "output_reasoning_summary": {"type": ["string", "null"]},
        "output_audio": {"type": ["object", "null"]},
        "input_tools": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["model", "choices"],
}


def read_config(raw: Any) -> dict[str, Any]:
    """The data source config in the form of the service's response.

    Raises:
        InvalidRequest: it has an unknown type, or its schema is not a JSON Schema.
    """
    config = Fields(raw, "data_source_config")
    kind = config.choice("type", ("custom", "logs", "stored_completions"))
    if kind != "custom":
        config.metadata()
        metadata = config.get("metadata", dict, "an object") or {}
        # logged rows may have any form, and the service's schema of their samples is as open
        anything = {"type": "object"}
        return {"type": kind, "metadata": metadata, "schema": whole_schema(anything, anything)}
    schema = config.need("item_schema", dict, "an object")
    ItemSchema(schema).check()
    sample = config.get("include_sample_schema", bool, "a boolean") or False
    return {"type": kind, "schema": whole_schema(schema, SAMPLE_SCHEMA if sample else None)}


def whole_schema(item: Mapping[str, Any], sample: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of a row: of its item, and of its sample where it has one."""
    properties = {"item": item, **({} if sample is None else {"sample": sample})}
    return {"type": "object", "properties": properties, "required": list(properties)}


class ItemSchema:
    """A compiled JSON Schema (draft 2020-12 unless it names another).

    References to other documents are not followed, since a schema must not cause network requests. Regular expressions
    are cancelled after PATTERN_S.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    @cached_property
    def _validator(self) -> Validator:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import extend, validator_for
        from referencing import Registry

        base = validator_for(self._schema, default=Draft202012Validator)
        bounded: Any = {"pattern": _pattern, "patternProperties": _pattern_properties}
        make: Any = extend(base, bounded)  # type: ignore[no-untyped-call]  # jsonschema's stubs have no type for it
        validator: Validator = make(self._schema, registry=Registry())
        return validator

    def check(self) -> None:
        """
        Raises:
            InvalidRequest: it is not a JSON Schema.
        """
        from jsonschema import SchemaError

        param = "data_source_config.item_schema"
        try:
            self._validator.check_schema(self._schema)
        except SchemaError as error:
            where = f"{param}{error.json_path[1:]}"
            raise InvalidRequest(f"Invalid schema at '{where}': {error.message[:300]}", param) from None
        except RecursionError:
            raise InvalidRequest(f"Invalid '{param}': it is {NESTED}.", param) from None

    def problems(self, item: Any) -> Iterator[str]:
        """The problems of an item, each with its path."""
        from jsonschema import ValidationError
        from referencing.exceptions import Unresolvable

        try:
            for error in self._validator.iter_errors(item):
                yield f"item{error.json_path[1:]}: {error.message[:300]}"
        except RecursionError:
            yield f"item: {NESTED}"
        except Unresolvable as error:
            yield f"item: the schema refers to {str(error.ref)[:200]!r}, which is not in it"
        except ValidationError as error:
            yield f"item: {error.message[:300]}"


def _search(pattern: str, text: str) -> bool:
    """Whether a text has a match of the pattern.

    Raises:
        ValidationError: it is not a regular expression, or took longer than PATTERN_S.
    """
    import regex
    from jsonschema import ValidationError

    try:
        return regex.search(pattern, text, timeout=PATTERN_S) is not None
    except TimeoutError:
        raise ValidationError(
            f"the schema's pattern {pattern[:100]!r} takes too long on {text[:100]!r}"
        ) from None
    except regex.error as error:
        raise ValidationError(f"the schema's pattern {pattern[:100]!r} cannot be read: {error}") from None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    try:
        if isinstance(instance, str) and not _search(pattern, instance):
            yield ValidationError(f"{instance[:100]!r} does not match {pattern[:100]!r}")
    except ValidationError as error:
        yield error


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _search(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)
