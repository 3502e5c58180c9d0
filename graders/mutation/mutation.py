"""Mutation testing of a spec: finds changes that the rows do not notice, and samples that would."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from typing import Any

from graders.attack.families import FAMILIES
from graders.attack.plan import planned
from graders.datasets.load import rows_of
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.engine.grader import Grader
from graders.errors import SpecError
from graders.mutation.mutants import Mutant, key_of, mutants
from graders.session.programs import programs
from graders.session.rows import CheckRow, read_rows
from graders.session.session import AuditSession, CheckOptions, GradedSample

MOST_MUTANTS = 200
MOST_ROWS = 24
#: Further samples that are tried on each unnoticed mutant.
TRIED = 150
#: Smallest difference of two rewards.
SAME = 1e-9


@dataclass(frozen=True, slots=True)
class KillingSample:
    """A sample with different rewards by a mutant and the spec.

    Attributes:
        row: A row of reward checks with the sample: among its `bad` ones if the spec's reward is low, else as its gold.
        reward, mutants_reward: The two rewards; None for a failure.
    """

    row: Mapping[str, Any]
    reward: float | None
    mutants_reward: float | None


@dataclass(frozen=True, slots=True)
class MutantResult:
    """A mutant, and whether the rows notice it.

    Attributes:
        killing_sample: A sample by which rows would notice it; None if none was found, as for an equivalent mutant.
    """

    mutant: Mutant
    noticed: bool
    killing_sample: KillingSample | None


@dataclass(frozen=True, slots=True)
class Mutation:
    """The result of mutation testing.

    Attributes:
        tried: The mutants that could be compiled.
        of: Number of all mutants; above the tried ones if there was a limit.
    """

    tried: tuple[MutantResult, ...]
    of: int

    @property
    def score(self) -> float:
        """The fraction of mutants that the rows notice; 1.0 without mutants."""
        return sum(one.noticed for one in self.tried) / len(self.tried) if self.tried else 1.0

    @property
    def survivors(self) -> list[MutantResult]:
        return [one for one in self.tried if not one.noticed]

    def rows(self) -> list[Mapping[str, Any]]:
        """Distinct rows that would notice the other mutants."""
        found = [one.killing_sample.row for one in self.survivors if one.killing_sample is not None]
        return [row for at, row in enumerate(found) if row not in found[:at]]


def mutate(
    spec: object,
    rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
    *,
    max_mutants: int = MOST_MUTANTS,
    max_rows: int = MOST_ROWS,
    seed: int = 0,
    backends: Backends | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Mutation:
    """Find small changes of a spec that the rows' golds and bads do not notice.

    A mutant is noticed if any of them gets another reward, or newly fails. Judges' questions are not changed.

    Args:
        rows: As for check_reward: {"item", "gold", "id"?, "prompt"?, "bad"?}, or the path of a file of them.
        max_mutants: Largest number of mutants; more are sampled.
        max_rows: Largest number of rows; more are sampled.
        seed: Seed of both samplings.
        on_progress: Called with the number of mutants done, and of all.

    Raises:
        SpecError: the spec is not valid.
        ValueError: a row lacks a gold, two share an id, or the spec asks a judge.
        CannotCheck: the sandbox could not be used, so that there is no result.
    """
    grader = compile(spec, backends=backends)
    if grader.spec.asks_judge():
        raise ValueError("a judge is asked for every mutant and row: mutate the graders beside it")
    chance = random.Random(seed)
    read = _some(read_rows(rows_of(rows)), max_rows, chance)
    with AuditSession(grader, read, CheckOptions()) as session:
        sandbox = grader.backends.sandbox if programs(session) else None
        made = {key_of(mutant): mutant for mutant in mutants(grader.spec, read, sandbox)}
        chosen = _some(list(made.values()), max_mutants, chance)
        session.read_scale()
        own = [*session.golds(), *session.grade((row, sample) for row in read for sample in row.bad)]
        more: list[GradedSample] = []
        tried = []
        for done, mutant in enumerate(chosen, 1):
            try:
                other = compile(dict(mutant.spec), backends=grader.backends)
            except SpecError:
                continue
            noticed = _first_difference(other, own, session) is not None
            if not noticed and not more:
                more = session.grade(islice(_others(session), TRIED * len(read)))
            difference = None if noticed else _first_difference(other, more, session)
            killing = None if difference is None else _killing_sample(*difference)
            tried.append(MutantResult(mutant, noticed, killing))
            if on_progress:
                on_progress(done, len(chosen))
    return Mutation(tuple(tried), len(made))


def _some(values: list[Any], most: int, chance: random.Random) -> list[Any]:
    if len(values) <= most:
        return values
    return [values[at] for at in sorted(chance.sample(range(len(values)), most))]


def _first_difference(
    other: Grader, samples: Sequence[GradedSample], session: AuditSession
) -> tuple[GradedSample, float | None] | None:
    """The first sample to which a mutant gives another reward, with that reward."""
    for start in range(0, len(samples), 16):
        part = samples[start : start + 16]
        for one, result in zip(
            part, session.run(((one.row, one.sample) for one in part), grader=other), strict=True
        ):
            same = result.ok == one.result.ok and abs(result.reward - one.result.reward) <= SAME
            if not same:
                return one, result.reward if result.ok else None
    return None


def _others(session: AuditSession) -> Iterator[tuple[CheckRow, Any]]:
    """Other spellings of the golds, and samples of the attack."""
    changes = (
        str.upper,
        str.lower,
        str.swapcase,
        " {} ".format,
        "{}.".format,
        "{}\n".format,
        "It is {}.".format,
        "{} {{}}".format,
    )
    for row in session.rows:
        if row.text:
            yield from ((row, change(row.text)) for change in changes)
            yield row, ""
    rows = session.recognised()
    yield from ((attempt.row, attempt.wrong.sample) for attempt in planned(session, rows, FAMILIES))


def _killing_sample(one: GradedSample, mutants_reward: float | None) -> KillingSample:
    row = one.row
    fields = {"item": dict(row.item), **({"prompt": row.prompt} if row.prompt is not None else {})}
    low = not one.result.ok or one.level < 0.5
    fields |= (
        {"id": row.id, "gold": row.gold, "bad": [*row.bad, one.sample]}
        if low
        else {"id": f"{row.id}, {one.sample}", "gold": one.sample}
    )
    return KillingSample(fields, one.result.reward if one.result.ok else None, mutants_reward)
