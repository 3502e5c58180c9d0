"""All attacks with one sample, and the program that makes them."""

from __future__ import annotations

from .amounts import DISK, LIMITS
from .files import FILES_OF_THE_HOST
from .matrix import AttackCase
from .network import NETWORK
from .prelude import PRELUDE
from .processes import PROCESSES
from .results import PROGRAMS, RESULTS

ATTACKS: list[AttackCase] = [*NETWORK, *FILES_OF_THE_HOST, *PROCESSES, *LIMITS, *DISK, *RESULTS, *PROGRAMS]


def program() -> str:
    """A program with every attack's body; item["attack"] is the number of the one that runs."""
    functions = [
        f"def attack_{number}(item):\n" + "\n".join("    " + line for line in attack.body.splitlines())
        for number, attack in enumerate(ATTACKS)
        if attack.body
    ]
    return (
        PRELUDE
        + "\n\n".join(functions)
        + "\n\ndef grade(sample, item):\n    return globals()[f'attack_{item[\"attack\"]}'](item)\n"
    )
