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
from graders.bench.bench import Bench, Graded, Settings
from graders.bench.programs import programs
from graders.bench.rows import CheckRow, read_rows
from graders.datasets.load import rows_of
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.engine.grader import Grader
from graders.errors import SpecError
from graders.mutation.mutants import Mutant, key_of, mutants

MOST_MUTANTS = 200
MOST_ROWS = 24
#: Further samples that are tried on each unnoticed mutant.
TRIED = 150
#: Smallest difference of two rewards.
SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Telling:
    """A sample with different rewards by a mutant and the spec.

    Attributes:
        row: A row of reward checks with the sample: among its `bad` ones if the spec's reward is low, else as its gold.
        reward, mutants_reward: The two rewards; None for a failure.
    """

    row: Mapping[str, Any]
    reward: float | None
    mutants_reward: float | None


@dataclass(frozen=True, slots=True)
class Tried:
    """A mutant, whether rows notice it, and a sample that would; None if none was found, as for an equivalent one."""

    mutant: Mutant
    noticed: bool
    telling: Telling | None


@dataclass(frozen=True, slots=True)
class Mutation:
    """The result of mutation testing.

    Attributes:
        tried: The mutants that could be compiled.
        of: Number of all mutants; above the tried ones if there was a limit.
    """

    tried: tuple[Tried, ...]
    of: int

    @property
    def score(self) -> float:
        """The fraction of mutants that the rows notice; 1.0 without mutants."""
        return sum(one.noticed for one in self.tried) / len(self.tried) if self.tried else 1.0

    @property
    def survivors(self) -> list[Tried]:
        return [one for one in self.tried if not one.noticed]

    def rows(self) -> list[Mapping[str, Any]]:
        """Distinct rows that would notice the other mutants."""
        told = [one.telling.row for one in self.survivors if one.telling is not None]
        return [row for at, row in enumerate(told) if row not in told[:at]]


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
    with Bench(grader, read, Settings()) as bench:
        sandbox = grader.backends.sandbox if programs(bench) else None
        made = {key_of(mutant): mutant for mutant in mutants(grader.spec, read, sandbox)}
        chosen = _some(list(made.values()), max_mutants, chance)
        bench.read_scale()
        own = [*bench.golds(), *bench.grade((row, sample) for row in read for sample in row.bad)]
        more: list[Graded] = []
        tried = []
        for done, mutant in enumerate(chosen, 1):
            try:
                other = compile(dict(mutant.spec), backends=grader.backends)
            except SpecError:
                continue
            noticed = _first_difference(other, own, bench) is not None
            if not noticed and not more:
                more = bench.grade(islice(_others(bench), TRIED * len(read)))
            told = None if noticed else _first_difference(other, more, bench)
            tried.append(Tried(mutant, noticed, None if told is None else _telling(*told)))
            if on_progress:
                on_progress(done, len(chosen))
    return Mutation(tuple(tried), len(made))


def _some(values: list[Any], most: int, chance: random.Random) -> list[Any]:
    if len(values) <= most:
        return values
    return [values[at] for at in sorted(chance.sample(range(len(values)), most))]


def _first_difference(
    other: Grader, samples: Sequence[Graded], bench: Bench
) -> tuple[Graded, float | None] | None:
    """The first sample to which a mutant gives another reward, with that reward."""
    for start in range(0, len(samples), 16):
        part = samples[start : start + 16]
        for one, result in zip(
            part, bench.run(((one.row, one.sample) for one in part), grader=other), strict=True
        ):
            same = result.ok == one.result.ok and abs(result.reward - one.result.reward) <= SAME
            if not same:
                return one, result.reward if result.ok else None
    return None


def _others(bench: Bench) -> Iterator[tuple[CheckRow, Any]]:
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
    for row in bench.rows:
        if row.text:
            yield from ((row, change(row.text)) for change in changes)
            yield row, ""
    rows = bench.recognised()
    yield from ((attempt.row, attempt.wrong.sample) for attempt in planned(bench, rows, FAMILIES))


def _telling(one: Graded, mutants_reward: float | None) -> Telling:
    row = one.row
    fields = {"item": dict(row.item), **({"prompt": row.prompt} if row.prompt is not None else {})}
    low = not one.result.ok or one.level < 0.5
    fields |= (
        {"id": row.id, "gold": row.gold, "bad": [*row.bad, one.sample]}
        if low
        else {"id": f"{row.id}, {one.sample}", "gold": one.sample}
    )
    return Telling(fields, one.result.reward if one.result.ok else None, mutants_reward)
