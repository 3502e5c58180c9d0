"""Simulated optimisation by a policy: wrong samples are changed and joined in rounds, keeping the best rewarded."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

from graders.attack.families import FAMILIES
from graders.attack.families.wrong import has_answer, may_be_right
from graders.attack.plan import planned
from graders.datasets.load import rows_of
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.session.rows import CheckRow, RowId, read_rows
from graders.session.session import AuditSession, CheckOptions, GradedSample

ROWS = 6
#: Samples of a row that are kept for the next round, and new ones made from them.
KEPT = 8
BORN = 16
#: Characters of a sample.
LONGEST = 4_000


@dataclass(frozen=True, slots=True)
class ClimbStep:
    """The state after a number of samples.

    Attributes:
        n_samples: Number of graded samples so far, over all rows.
        share: The best wrong sample's fraction of the gold's reward, averaged over rows.
    """

    n_samples: int
    share: float


@dataclass(frozen=True, slots=True)
class Climb:
    """A climb: its steps, and the best wrong sample of each row with its reward."""

    steps: tuple[ClimbStep, ...]
    best: Mapping[RowId, tuple[str, float]]


def climb(
    spec: object,
    rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
    *,
    budget: int = 2_000,
    seed: int = 0,
    backends: Backends | None = None,
) -> Climb:
    """The growth of the best reward of wrong samples with the number of samples, as in training.

    No sample contains the row's answer. The first ones are the attack's; then the best rewarded are changed (a part
    dropped, repeated or moved, two joined). How much of the gold's reward is reached, and how soon, shows what a
    policy would find.

    Args:
        rows: As for check_reward; the first ROWS (6) whose gold is a text are used.
        budget: Largest number of samples to grade, without golds.

    Raises:
        SpecError: the spec is not valid.
        ValueError: a row lacks a gold, two share an id, or the spec asks a judge.
        CannotCheck: the sandbox could not be used, so that there is no result.
    """
    grader = compile(spec, backends=backends)
    if grader.spec.asks_judge():
        raise ValueError(
            "a climb grades thousands of samples, each a call of the judge: use the attack with max_calls"
        )
    with AuditSession(grader, read_rows(rows_of(rows)), CheckOptions()) as session:
        session.read_scale()
        chance = random.Random(seed)
        chosen = [row for row in session.recognised() if row.text][:ROWS]
        golds = {one.row.id: one.level for one in session.golds()}
        kept: dict[RowId, list[GradedSample]] = {row.id: [] for row in chosen}
        new = {row.id: list(_first(session, row)) for row in chosen}
        spent, steps = 0, []
        while any(new.values()) and spent < budget:
            pairs = [(row, text) for row in chosen for text in new[row.id]][: budget - spent]
            spent += len(pairs)
            for one in session.grade(pairs):
                kept[one.row.id].append(one)
            for row in chosen:
                kept[row.id] = sorted(kept[row.id], key=lambda one: (-one.level, len(str(one.sample))))[:KEPT]
                new[row.id] = list(_changed(row, [str(one.sample) for one in kept[row.id]], chance))
            shares = [kept[row.id][0].level / golds[row.id] for row in chosen if kept[row.id]]
            steps.append(ClimbStep(spent, statistics.fmean(shares)))
            if min(shares) >= 1:
                break
    best = {name: (str(found[0].sample), found[0].result.reward) for name, found in kept.items() if found}
    return Climb(tuple(steps), best)


def _first(session: AuditSession, row: CheckRow) -> Iterator[str]:
    texts = {
        attempt.wrong.sample: None
        for attempt in planned(session, [row], FAMILIES)
        if isinstance(attempt.wrong.sample, str)
    }
    yield from (text for text in texts if _is_wrong(row, text))


def _changed(row: CheckRow, texts: list[str], chance: random.Random) -> Iterator[str]:
    """New samples from the best rewarded ones."""
    if not texts:
        return
    made: dict[str, None] = {}
    for _ in range(BORN):
        words = chance.choice(texts).split(" ")
        start = chance.randrange(len(words))
        end = min(len(words), start + 1 + chance.randrange(max(1, len(words) // 3)))
        part, rest = words[start:end], [*words[:start], *words[end:]]
        changes = (rest, [*words, *part], [*rest, *part], [*words, "\n", *chance.choice(texts).split(" ")])
        made[" ".join(chance.choice(changes))] = None
    yield from (text for text in made if text not in texts and len(text) <= LONGEST and _is_wrong(row, text))


def _is_wrong(row: CheckRow, text: str) -> bool:
    return not may_be_right(row, text) and not has_answer(row, text)
