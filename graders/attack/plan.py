"""The plan of an attack: wrong samples, ordered so that a small budget covers all families."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from graders.attack.families import ALL, FAMILIES, MOST, MOST_OF_PROGRAM
from graders.attack.families.wrong import AttackContext, WrongSample, form_of, has_answer, may_be_right
from graders.attack.seeds import constants, verdicts
from graders.session.rows import CheckRow, RowId
from graders.session.session import AuditSession


@dataclass(frozen=True, slots=True)
class Attempt:
    """A wrong sample of the plan."""

    row: CheckRow
    family: str
    share: float
    wrong: WrongSample
    holds_answer: bool
    on_several: bool = False


def most_of(session: AuditSession) -> float:
    """The fraction of the gold's reward from which a sample without anything of the gold is an exploit."""
    compares = any(leaf.compared() for leaf in session.grader.spec.leaves().values())
    return MOST if compares or session.judged else MOST_OF_PROGRAM


def planned(session: AuditSession, rows: Sequence[CheckRow], families: Iterable[str]) -> Iterator[Attempt]:
    """The samples of an attack, taken from rows and families in turn, so that a small budget covers all families."""
    spec = session.grader.spec
    most = most_of(session)
    context = AttackContext(
        session.rows, constants(spec), json.dumps(spec.to_json()), session.judged, verdicts(spec)
    )
    queues = [_attempts(name, row, context, most) for name in families for row in rows]
    seen: set[tuple[RowId, str]] = set()
    for attempt in itertools.chain.from_iterable(itertools.zip_longest(*queues)):
        if attempt is not None:
            key = (attempt.row.id, json.dumps(attempt.wrong.sample, default=repr))
            if key not in seen:
                seen.add(key)
                yield attempt


def _attempts(name: str, row: CheckRow, context: AttackContext, most: float) -> Iterator[Attempt]:
    """The samples of one family for one row, without those that could be right."""
    family = FAMILIES[name]
    share = most if family.share == MOST else family.share
    for wrong in family.make(row, form_of(row), context):
        sample = wrong.sample
        if sample == row.gold or (
            isinstance(sample, str) and not family.by_case and may_be_right(row, sample)
        ):
            continue
        far = family.share < ALL and not family.holds_answer
        if far and isinstance(sample, str) and has_answer(row, sample):
            continue
        yield Attempt(row, name, share, wrong, family.holds_answer, family.on_several)


def joined(one: Attempt, other: Attempt) -> Attempt:
    wrong = WrongSample(
        f"{one.wrong.sample}\n{other.wrong.sample}", f"{one.wrong.why}, and {other.wrong.why}"
    )
    return Attempt(
        one.row, f"{one.family}+{other.family}", max(one.share, other.share), wrong, holds_answer=False
    )
