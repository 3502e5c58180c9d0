"""Reads fields of requests; errors use the service's words and name the field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from graders.spec.wording import bad_value, missing, wrong_type

T = TypeVar("T")

#: The service's limits of metadata.
METADATA_PAIRS, METADATA_KEY, METADATA_VALUE = 16, 64, 512


class InvalidRequest(ValueError):
    """Raised for an invalid request.

    Attributes:
        param: The path in the request.
        code: A stable word for programs.
    """

    def __init__(self, message: str, param: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class NotFound(LookupError):
    """Raised when an object does not exist."""

    def __init__(self, kind: str, object_id: str) -> None:
        super().__init__(f"No {kind} found with id '{object_id[:80]}'.")


class Fields:
    """A JSON object of a request with its path. Unknown fields are ignored, as by the service."""

    def __init__(self, value: Any, path: str) -> None:
        """
        Raises:
            InvalidRequest: it is not an object.
        """
        if not isinstance(value, dict):
            raise InvalidRequest(wrong_type(path, "an object", value), path, "invalid_type")
        self.value: dict[str, Any] = value
        self.path = path

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str, types: type[T] | tuple[type[T], ...], wanted: str) -> T | None:
        """A field; None where it is absent or null.

        Raises:
            InvalidRequest: it has another type.
        """
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
            raise InvalidRequest(wrong_type(self.at(name), wanted, value), self.at(name), "invalid_type")
        return value

    def need(self, name: str, types: type[T] | tuple[type[T], ...], wanted: str) -> T:
        """A required field.

        Raises:
            InvalidRequest: it is missing or has another type.
        """
        value = self.get(name, types, wanted)
        if value is None:
            raise InvalidRequest(missing(self.at(name)), self.at(name), "missing_required_parameter")
        return value

    def text(self, name: str) -> str | None:
        return self.get(name, str, "a string")

    def object(self, name: str) -> Fields:
        """A field that is an object."""
        return Fields(self.need(name, dict, "an object"), self.at(name))

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """A field with fixed choices.

        Raises:
            InvalidRequest: it has another value.
        """
        value = self.need(name, str, "a string")
        if value not in choices:
            azure = (
                " Types that begin with 'azure_ai' run in Azure only." if value.startswith("azure_ai") else ""
            )
            raise InvalidRequest(bad_value(value, choices) + azure, self.at(name))
        return value

    def metadata(self) -> str:
        """The `metadata` as JSON text.

        Raises:
            InvalidRequest: it exceeds the service's limits, or has values other than texts.
        """
        given: Mapping[str, Any] = self.get("metadata", dict, "an object") or {}
        path = self.at("metadata")
        if len(given) > METADATA_PAIRS:
            text = f"Invalid '{path}': expected at most {METADATA_PAIRS} pairs, but got {len(given)}."
            raise InvalidRequest(text, path)
        for key, value in given.items():
            if not isinstance(value, str):
                raise InvalidRequest(
                    wrong_type(f"{path}.{key[:80]}", "a string", value), path, "invalid_type"
                )
            if len(key) > METADATA_KEY or len(value) > METADATA_VALUE:
                text = (
                    f"Invalid '{path}': keys have at most {METADATA_KEY} characters and values at most "
                    f"{METADATA_VALUE}; {key[:80]!r} has more."
                )
                raise InvalidRequest(text, path)
        return json.dumps(given, ensure_ascii=False, separators=(",", ":"))
