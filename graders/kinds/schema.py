"""The JSON Schema of grader specs, made from the models of every known type."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import Discriminator, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema

from graders.kinds import known_types, spec_of
from graders.spec.model import EXPORTED_KEYS
from graders.spec.translation import tagged


def _type_of(value: Any) -> str:
    return str(value.get("type"))


def _union(*, nested: bool = False) -> Any:
    """The annotation for "one of the grader types", told apart by `type`."""
    models = {kind: spec_of(kind) for kind in known_types()}
    members = tuple(
        Annotated[model, tagged(kind)] for kind, model in models.items() if model.nestable or not nested
    )
    return Annotated[Union[members], Discriminator(_type_of)]  # noqa: UP007  # built at run time


class MemberSchema:
    """The annotation of a grader inside another one: read by `read_grader`, described as a union of the types."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(TypeAdapter(_union(nested=True)).core_schema)


def grader_schema(ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
    """The JSON Schema of one grader; the models' own schemas are in its `$defs`."""
    return TypeAdapter(_union()).json_schema(by_alias=True, ref_template=ref_template)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a grader spec, for editors and validators."""
    schema = grader_schema()
    for model in (spec_of(kind) for kind in known_types()):
        # keys that editors and exports add to a spec; `grader validate` accepts them too
        schema["$defs"][model.__name__]["properties"] |= dict.fromkeys(EXPORTED_KEYS, True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:local-graders:grader",
        "title": "Grader",
        "description": "A grader spec in the format of OpenAI's graders.",
        **schema,
    }
