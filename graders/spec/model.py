"""What a grader spec is: a pydantic model of the wire's JSON that also states the facts of its type.

Whoever needs to know something about a type asks its model. Nobody but the type's own file knows its name.
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
#: The annotation of a field that is a template; `SpecModel.templates` finds it by its mark.
TemplateText = Annotated[
    str,
    Field(description="Text; {{ item.path }} and {{ sample.path }} are replaced by the row's values."),
    _TEMPLATE,
]

#: Keys that the service's own exports put on a grader; read and left alone.
EXPORTED_KEYS = ("$schema", "id", "grdr_id", "inactive_at")


@dataclass(frozen=True, slots=True)
class VariableValues:
    """What one variable of a template held over a dataset.

    Attributes:
        field: The field of the grader's spec whose template names it, such as `input[0].content`.
        path: The variable.
        types: JSON type, as "text" or "decimal number" -> how many rows held one.
        examples: The same -> the first such value, as JSON, shortened.
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
    """What all grader specs share: three fields, how JSON becomes a model, and the facts of a type.

    Attributes:
        hosted: Whether the hosted service has this type; `strict` refuses one that it does not have.
        nestable: Whether it may stand inside another grader.
        two_valued: Whether a reward is always an end of `reward_range`, never between.
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
        """The checked model; None, with the reasons reported, when the JSON is not valid."""
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
        """A copy of the JSON in canonical words, each change reported. Null for an optional field is absence."""
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
        """Report what the schema cannot say. Whatever has the wrong shape in `raw` is left to the schema."""

    def build(self, options: Options) -> Kind:
        """The compiled grader."""
        raise NotImplementedError(f"{type(self).__name__} has no build")

    def to_json(self) -> dict[str, Json]:
        """The normalised spec: the user's fields in canonical words, and the defaults the service fills in."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def to_wire(self) -> dict[str, Json]:
        """The spec as the validate endpoint answers it: the user's fields in canonical words, and a name."""
        given = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return given if self.name else {**given, "name": self.wire_name()}

    def wire_name(self) -> str:
        """The name on the wire: the spec's, else one of the service's form, the same for the same spec."""
        return self.name or _generated_name(self.to_json())

    # --- the facts of the type ---

    def members(self) -> Mapping[str, SpecModel]:
        """The graders inside this one, by key."""
        return {}

    def leaves(self) -> Mapping[str, SpecModel]:
        """The graders that do the work, by what their fields' paths begin with: "", or `graders.KEY.`."""
        return {"": self}

    def templates(self) -> Iterator[tuple[str, str]]:
        """Every template with the path of its field."""
        for name, field in type(self).model_fields.items():
            if is_template(field):
                yield name, getattr(self, name)

    def compared(self) -> tuple[str, str] | None:
        """The templates of the two texts that it compares, input and reference; None when it does not."""
        return None

    def reward_range(self) -> tuple[float, float] | None:
        """The lowest and highest reward; None when the spec does not say."""
        return (0.0, 1.0)

    def program(self) -> str | None:
        """The source that is run in the sandbox; None when there is none."""
        return None

    def judge(self) -> str | None:
        """The name of the model that is asked; None when none is."""
        return None

    def best_verdict(self) -> Json:
        """What the judge has to answer for the highest reward; None where no judge is asked."""
        return None

    def formula(self) -> Formula | None:
        """What joins its members' rewards; None when there are none."""
        return None

    def embedder_field(self) -> str:
        """The field by which it needs an embedder, "" when it needs none."""
        return ""

    def reference_mistake(self, text: str) -> Problem | None:
        """What is wrong with a reference whose text came out like this; None when nothing is."""
        return None

    def findings(self, variables: Sequence[VariableValues]) -> Iterator[Problem]:
        """The type's own findings of `grader check`, after every variable was looked up in every row."""
        return iter(())
