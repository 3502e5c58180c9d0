"""Tokens that judges used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more calls; None where the server did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(_add(getattr(self, name), getattr(other, name)) for name in self.__slots__))

    @property
    def n_tokens(self) -> int:
        """Prompt and completion tokens together; a count that the server did not report is 0."""
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)

    def to_wire(self) -> dict[str, int | None]:
        """The four fields of the wire's `token_usage` object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.total_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
        }


def _add(left: int | None, right: int | None) -> int | None:
    return right if left is None else left if right is None else left + right


#: The usage of a call whose server reported none.
NO_USAGE = Usage()

#: The usage of an answer that took no request.
ZERO_USAGE = Usage(0, 0, 0, 0, 0)
