"""The form of attacks with several samples, and of their programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graders_sandbox.host.sandbox import Sandbox
from graders_sandbox.limits import Outcome

from .matrix import TIERS
from .prelude import PRELUDE
from .targets import AttackTargets

_HEAD = PRELUDE + "\ndef grade(sample, item):\n"


def program_of(body: str) -> str:
    return _HEAD + "".join(f"    {line}\n" for line in body.strip().splitlines())


CLEAN = program_of("return 1.0")


@dataclass(frozen=True, slots=True)
class MultiSampleAttack:
    """An attack with several samples.

    Attributes:
        row, name, expect: As in AttackCase; one reason for all tiers.
        drive: Makes the attack and returns the reason.
        tiers: The tiers in which it can be made.
    """

    row: int
    name: str
    expect: str
    drive: Callable[[Sandbox, AttackTargets], str]
    tiers: tuple[str, ...] = TIERS

    @property
    def title(self) -> str:
        return f"{self.row}: {self.name}"

    def expected(self, tier: str) -> tuple[str, ...]:
        return tuple(self.expect.split(" or ")) if tier in self.tiers else ()


def reason_of(outcome: Outcome) -> str:
    from . import reason

    return reason(outcome)
