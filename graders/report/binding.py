"""Bindings: the spec, judge settings and models that a claim about a grader was made with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graders.spec.model import SpecModel

#: Fields of a spec without an effect on rewards.
_WITHOUT_EFFECT = ("name",)
#: Keys of a grader's provenance that change with the engine's version and not with the judge.
_OF_ENGINE = ("engine",)


@dataclass(frozen=True, slots=True)
class Binding:
    """The grader and judges that a calibration or an attack ran with.

    Attributes:
        fields: Path of a field of the spec, such as `input` or `graders.style.model` -> digest of its value.
        settings: Other settings that affect rewards, from the results' provenance: metric implementations, a hardened
            judge.
        models: The models that answered, as their servers named them; () without a judge.
        name: The grader's, which decides no reward: by it an expired verdict is still known to be about this grader.
    """

    fields: Mapping[str, str]
    settings: str
    models: tuple[str, ...] = ()
    name: str = ""

    def changes(self, now: Binding) -> Iterator[str]:
        """The differences from another binding, a phrase each; nothing where the claim still holds.

        A model that answered then and is not asked now is not a difference.
        """
        for path in sorted({*self.fields, *now.fields}):
            if self.fields.get(path) != now.fields.get(path):
                yield f"'{path}' of the spec"
        if self.settings != now.settings:
            yield "metrics, packages or the judge's settings"
        if self.models and (others := sorted({*now.models} - {*self.models})):
            yield f"the model that answers ({', '.join(others)}, not {', '.join(self.models)})"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "fields": dict(self.fields),
            "settings": self.settings,
            "models": list(self.models),
        }

    @classmethod
    def from_json(cls, value: Any) -> Binding:
        """
        Raises:
            ValueError: it does not have the form of `to_json`.
        """
        match value:
            case {
                "name": str(name),
                "fields": dict(fields),
                "settings": str(settings),
                "models": list(models),
            }:
                digests = {str(path): str(found) for path, found in fields.items()}
                return cls(digests, settings, tuple(map(str, models)), name)
        raise ValueError("its binding has another form")


def binding(spec: SpecModel, provenance: Mapping[str, Any], models: Collection[str] = ()) -> Binding:
    """
    Args:
        provenance: The grader's (`identity.provenance`), or that of a results file's header.
        models: The models that answered.
    """
    fields: dict[str, str] = {}
    leaves = {key: leaf.to_json() for key, leaf in spec.leaves().items()}
    if "" not in leaves:
        leaves[""] = {key: value for key, value in spec.to_json().items() if key != "graders"}
    for key, values in leaves.items():
        fields.update(
            {
                f"{key}{name}": _digest(_in_parts(value))
                for name, value in values.items()
                if name not in _WITHOUT_EFFECT
            }
        )
    settings = {key: value for key, value in provenance.items() if key not in _OF_ENGINE}
    return Binding(fields, _digest(settings), tuple(sorted(models)), spec.name)


def _in_parts(value: Any) -> Any:
    """Messages in the form in which evals keep them; any other value as it is."""
    if not isinstance(value, list) or not all(isinstance(one, dict) and "role" in one for one in value):
        return value
    return [
        {"role": one["role"], "content": [_as_part(part) for part in _listed(one.get("content"))]}
        for one in value
    ]


def _listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _as_part(part: Any) -> Any:
    return {"type": "input_text", "text": part} if isinstance(part, str) else part


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
