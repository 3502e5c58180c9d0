"""SpecModel, the base of all grader specs: a pydantic model of the wire's JSON that also states the facts of its type.

Other modules read these facts; only the type's own file knows its name.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Field
from pydantic.fields import FieldInfo

from graders.errors import Problem
from graders.formula import Formula
from graders.spec.kind import Kind
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.translation import translate
from graders.spec.wording import Json
from graders.template import Path

_TEMPLATE = "template"
#: The annotation of a field that is a template, by which `SpecModel.templates` finds it.
TemplateText = Annotated[
    str,
    Field(description="Text; {{ item.path }} and {{ sample.path }} are replaced by the row's values."),
    _TEMPLATE,
]

#: Keys that the service's exports add to a grader; accepted and ignored.
EXPORTED_KEYS = ("$schema", "id", "grdr_id", "inactive_at")


@dataclass(frozen=True, slots=True)
class VariableValues:
    """The values of one template variable over a dataset.

    Attributes:
        field: The field of the grader's spec whose template names it, such as `input[0].content`.
        path: The variable.
        types: JSON type, as "text" or "decimal number" -> number of rows with a value of it.
        examples: JSON type -> the first such value, as JSON, shortened.
    """

    field: str
    path: Path
    types: Mapping[str, int]
    examples: Mapping[str, str]


_NAME_CHARS = string.ascii_letters + string.digits
_NAME_LENGTH = 12


def _generated_name(spec: dict[str, Json]) -> str:
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    chars = []
    for _ in range(_NAME_LENGTH):
        number, place = divmod(number, len(_NAME_CHARS))
        chars.append(_NAME_CHARS[place])
    return "grader-" + "".join(chars)


def is_template(field: FieldInfo) -> bool:
    """Whether a field is annotated as TemplateText."""
    return _TEMPLATE in field.metadata


class SpecModel(BaseModel):
    """The base of all grader specs: the common fields, the reading of JSON, and the facts of a type.

    Attributes:
        hosted: Whether the hosted service has this type; `strict` refuses the others.
        nestable: Whether it may be a member of another grader.
        two_valued: Whether a reward is always one end of `reward_range`, never between.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    hosted: ClassVar[bool] = False
    nestable: ClassVar[bool] = True
    two_valued: ClassVar[bool] = False

    type: str
    name: str = Field("", description="Shown in results; a grader without one is given a name on the wire.")
    pass_threshold: float | None = Field(None, description="Used by reports; never changes the reward.")

    # --- from JSON ---

    @classmethod
    def read(cls, raw: dict[str, Json], problems: Problems) -> Self | None:
        """The checked model; None, with the problems reported, when the JSON is not valid."""
        if problems.strict and not cls.hosted:
            problems.error(f"The hosted service has no '{raw['type']}' grader.", "not_hosted", "type")
        canonical = cls.lenient(raw, problems)
        cls.check(canonical, problems)
        try:
            return cls.model_validate(canonical)
        except ValidationError as error:
            translate(error, cls, problems)
            return None

    @classmethod
    def lenient(cls, raw: dict[str, Json], problems: Problems) -> dict[str, Json]:
        """A copy of the JSON in canonical words, each change reported. A null optional field is dropped."""
        return {
            key: value
            for key, value in raw.items()
            if key not in EXPORTED_KEYS and not (value is None and cls._may_be_absent(key))
        }

    @classmethod
    def _may_be_absent(cls, key: str) -> bool:
        """Whether a field has a default other than null."""
        field = cls.model_fields.get(key)
        return field is not None and not field.is_required() and field.default is not None

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        """Report problems that the schema cannot express. Values of the wrong shape are left to the schema."""

    def build(self, options: Options) -> Kind:
        """The compiled grader."""
        raise NotImplementedError(f"{type(self).__name__} has no build")

    def to_json(self) -> dict[str, Json]:
        """The normalised spec: the user's fields in canonical words, with the service's defaults filled in."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_wire(self) -> dict[str, Json]:
        """The spec as the validate endpoint returns it: the user's fields in canonical words, and a name."""
        given = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return given if self.name else {**given, "name": self.wire_name()}

    def wire_name(self) -> str:
        """The name on the wire: the spec's, else a generated one in the service's form, the same for equal specs."""
        return self.name or _generated_name(self.to_json())

    # --- the facts of the type ---

    def members(self) -> Mapping[str, SpecModel]:
        """The graders inside this one, by key."""
        return {}

    def leaves(self) -> Mapping[str, SpecModel]:
        """The graders without members, by the prefix of their fields' paths: "", or `graders.KEY.`."""
        return {"": self}

    def templates(self) -> Iterator[tuple[str, str]]:
        """Every template with the path of its field."""
        for name, field in type(self).model_fields.items():
            if is_template(field):
                yield name, getattr(self, name)

    def compared(self) -> tuple[str, str] | None:
        """The templates of the two texts that it compares, input and reference; None for other types."""
        return None

    def reward_range(self) -> tuple[float, float] | None:
        """The lowest and highest reward; None when the spec does not bound it."""
        return (0.0, 1.0)

    def program(self) -> str | None:
        """The source that runs in the sandbox; None when there is none."""
        return None

    def judge(self) -> str | None:
        """The name of the judge; None when no model is asked."""
        return None

    def asks_judge(self) -> bool:
        """Whether a model is asked, by this grader or one inside it."""
        return any(leaf.judge() is not None for leaf in self.leaves().values())

    def best_verdict(self) -> Json:
        """The judge's `result` that gives the highest reward; None where no judge is asked."""
        return None

    def formula(self) -> Formula | None:
        """The formula over its members' rewards; None for types without members."""
        return None

    def embedder_field(self) -> str:
        """The name of the field that makes an embedder necessary; "" when it needs none."""
        return ""

    def reference_mistake(self, text: str) -> Problem | None:
        """The mistake in a reference that renders to this text; None when there is none."""
        return None

    def findings(self, variables: Sequence[VariableValues]) -> Iterator[Problem]:
        """The type's own findings for `grader check`, given the values of every variable over the dataset."""
        return iter(())
