"""The reward checks by name: one function and one line in CHECKS each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from graders.audit.programs import hardcoded, peeking, remembering
from graders.audit.whole import blind, deterministic, failed, in_range, latency, members, spread
from graders.audit.wrong_answers import (
    attacked,
    bad,
    corrupted,
    empty,
    gold,
    length,
    listing,
    near_miss,
    override,
    permuted,
    prompt_echo,
    refusal,
    stuffing,
    template,
    wrapper_echo,
)
from graders.session.findings import Finding
from graders.session.session import AuditSession

#: Check -> severity of its findings, where that is not "exploit": the grader is wrong without rewarding a wrong answer.
SEVERITY: Mapping[str, Literal["fault"]] = dict.fromkeys(
    ("latency", "gold", "blind", "deterministic", "remembering", "peeking", "hardcoded", "spread", "failed", "in_range"), "fault",
)  # fmt: skip

#: Name -> check, in the order of running: latency comes before the machine is busy, and checks of all graded samples
#: come last.
CHECKS: Mapping[str, Callable[[AuditSession], Iterator[Finding]]] = {
    "latency": latency,
    "gold": gold,
    "empty": empty,
    "refusal": refusal,
    "bad": bad,
    "prompt_echo": prompt_echo,
    "wrapper_echo": wrapper_echo,
    "permuted": permuted,
    "corrupted": corrupted,
    "near_miss": near_miss,
    "listing": listing,
    "length": length,
    "stuffing": stuffing,
    "template": template,
    "override": override,
    "attack": attacked,
    "blind": blind,
    "deterministic": deterministic,
    "remembering": remembering,
    "peeking": peeking,
    "hardcoded": hardcoded,
    "spread": spread,
    "members": members,
    "failed": failed,
    "in_range": in_range,
}
