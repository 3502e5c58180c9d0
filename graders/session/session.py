"""The session of an audit: it grades each sample of a row once, however many checks ask."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from graders.engine.compile import compile
from graders.engine.grader import Grader
from graders.errors import FormulaError, GradeError, ModelServerError, PythonServerError
from graders.result import RunResult
from graders.row import Row
from graders.session.findings import CannotCheck, Finding
from graders.session.rows import CheckRow, RowId, different
from graders.spec.model import SpecModel
from graders.template import Template

#: Samples in flight: enough for the parallelism of sandbox and judges.
AT_ONCE = 8
#: Seconds for one sample of a program; a slower one fails, and is a finding.
TIMEOUT_S = 10.0
#: Seconds where a judge is asked, with its retries.
JUDGE_TIMEOUT_S = 120.0
#: Fraction of the scale below which a gold counts as not recognised: relative checks skip its row.
GOLD_SEEN = 0.2
#: Fraction of the scale for whole sentences, which is the similarity of any two texts of one language.
SOFT_LIMIT = 0.6
#: Fraction of the gold's reward that counts as all of it.
FULL = 0.95
#: Fraction of the rows on which a wrong sample may be rewarded like gold by accident.
ROWS_HIT = 0.2


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """The options of `check_reward` beside spec and rows; see there."""

    blind_to: frozenset[str] = frozenset()
    scale: tuple[float, float] | None = None
    latency_s: float = 1.0
    repeats: int = 3


@dataclass(frozen=True, slots=True)
class GradedSample:
    """A sample graded on a row, with its level: 0 is the bottom of the scale, 1 its top; a failed row is 0."""

    row: CheckRow
    sample: Any
    result: RunResult
    level: float


class AuditSession:
    """The rows of an audit, and the results of its samples: graded in parallel, each once. A context manager.

    Attributes:
        scale: The rewards that a wrong and a right answer should get.
        undeclared: Whether the scale is inferred from golds and not declared.
        judged: Whether a judge is asked, so that rewards may vary and samples cost money.
    """

    def __init__(self, grader: Grader, rows: Sequence[CheckRow], settings: CheckOptions) -> None:
        self.grader = grader
        self.rows = rows
        self.settings = settings
        low, high = settings.scale or grader.spec.reward_range() or (0.0, 1.0)
        self.scale = (float(low), float(high))
        self.undeclared = False
        self.judged = any(leaf.judge() for leaf in grader.spec.leaves().values())
        self._formula = grader.spec.formula()
        self._graded: dict[tuple[RowId, str], GradedSample] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="graders-check")

    def __enter__(self) -> AuditSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read_scale(self) -> None:
        """The scale of golds and wrong answers, such as 0 to 5 or -1 to 1, if neither spec nor caller declares one."""
        if self.settings.scale or self.grader.spec.reward_range():
            return
        golds = [gold.result.reward for gold in self.golds() if gold.result.ok]
        wrong = [one.result.reward for one in self.grade((row, self.wrong(row)) for row in self.rows)]
        top, bottom = max(golds, default=1.0), min(wrong, default=0.0)
        if math.isfinite(top) and min(golds, default=0.0) > 0.9 * top > 0 and bottom < 0.5 * top:
            high, low = max(1.0, top), bottom if -top <= bottom < 0 else 0.0
            self.undeclared = (low, high) != self.scale
            self.scale = (low, high)
            self._graded.clear()

    # --- grading ---

    def grade(self, pairs: Iterable[tuple[CheckRow, Any]]) -> list[GradedSample]:
        """Each sample graded on its row, in order.

        Raises:
            CannotCheck: the sandbox or a judge could not be used.
        """
        pairs = list(pairs)
        keys = [(row.id, json.dumps(sample, default=repr)) for row, sample in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._graded}
        for (key, (row, sample)), result in zip(new.items(), self.run(new.values()), strict=True):
            self._graded[key] = GradedSample(row, sample, result, self.level(result))
        return [self._graded[key] for key in keys]

    def run(
        self, pairs: Iterable[tuple[CheckRow, Any]], *, row_id: str = "{}", grader: Grader | None = None
    ) -> list[RunResult]:
        """As `grade`, without the cache.

        Args:
            row_id: The row's id for the grader.
            grader: Another grader of the same shape.
        """
        chosen = grader or self.grader

        def one(pair: tuple[CheckRow, Any]) -> RunResult:
            row, sample = pair
            return chosen.run(sample, row.item, id=row_id.replace("{}", str(row.id)), timeout_s=timeout_s)

        timeout_s = JUDGE_TIMEOUT_S if self.judged else TIMEOUT_S
        local = self.grader.kind.n_asks == 0
        results = [one(pair) for pair in pairs] if local else list(self._pool.map(one, pairs))
        for result in results:
            for failure in result.failures:
                if isinstance(failure, ModelServerError) or (
                    isinstance(failure, PythonServerError) and failure.infrastructure
                ):
                    raise CannotCheck(
                        f"row {result.id!r} could not be graded, so nothing is known: {failure}"
                    )
        return results

    def level(self, result: RunResult) -> float:
        """The level of a result on the scale; a failed row is at the bottom."""
        return self.height(result.reward) if result.ok else 0.0

    def height(self, reward: float) -> float:
        """The level of a reward on the scale: 0 at the bottom, 1 at the top."""
        low, high = self.scale
        return (reward - low) / (high - low)

    @property
    def graded(self) -> list[GradedSample]:
        """All graded samples so far."""
        return list(self._graded.values())

    # --- what several checks ask ---

    def golds(self) -> list[GradedSample]:
        return self.grade((row, row.gold) for row in self.rows)

    def recognised(self) -> list[CheckRow]:
        """The rows whose gold gets enough reward to compare a wrong sample with it."""
        return [gold.row for gold in self.golds() if gold.level >= GOLD_SEEN]

    def others(self, per_row: int = 3) -> list[tuple[CheckRow, CheckRow]]:
        """Each row with a few rows that have other answers; empty when all golds are the same."""
        pairs = []
        for index, row in enumerate(self.rows):
            rest = [*self.rows[index + 1 :], *self.rows[:index]]
            pairs += [(row, other) for other in [r for r in rest if different(row, r)][:per_row]]
        return pairs

    def wrong(self, row: CheckRow) -> Any:
        """A plain wrong answer: another row's gold, if there is one."""
        return next((other.gold for mine, other in self.others(1) if mine is row), "zqxj vkwz")

    def shares(self, pairs: Iterable[tuple[CheckRow, Any]]) -> list[tuple[GradedSample, float]]:
        """Each sample's fraction of its row's gold's reward; rows with an unrecognised gold are left out."""
        seen = {gold.row.id: gold.level for gold in self.golds() if gold.level >= GOLD_SEEN}
        graded = self.grade((row, sample) for row, sample in pairs if row.id in seen)
        return [(one, one.level / seen[one.row.id]) for one in graded]

    def too_high(
        self, check: str, pairs: Iterable[tuple[CheckRow, Any]], what: str, mean: float = 0.75
    ) -> Iterator[Finding]:
        """A finding if these wrong samples get `mean` of the gold's reward on average, or all of it on some rows."""
        shares = self.shares(pairs)
        if not shares:
            return
        hits = [one for one, share in shares if share >= FULL]
        hit_rows = tuple(dict.fromkeys(one.row.id for one in hits))
        n_rows = len({one.row.id for one, _ in shares})
        if len(hit_rows) >= max(1.0, ROWS_HIT * n_rows):
            yield Finding(check, f"{what} is rewarded like the gold answer", hit_rows, hits[0].sample)
            return
        average = statistics.fmean(share for _, share in shares)
        if average >= mean:
            worst = max(shares, key=lambda pair: pair[1])[0]
            message = f"{what} gets {average:.0%} of the gold answer's reward on the average (expected: below {mean:.0%})"
            yield Finding(check, message, tuple(dict.fromkeys(one.row.id for one, _ in shares)), worst.sample)

    def rises(
        self, check: str, triples: Iterable[tuple[CheckRow, Any, Any]], what: str, by: float = 0.25
    ) -> Iterator[Finding]:
        """A finding if the second sample of a triple gets more than the first by that fraction of the scale.

        Where the first is much shorter than the gold, any text of more length is a little more like the gold; there the
        second has to get most of the scale.
        """
        triples = list(triples)
        before = self.grade((row, base) for row, base, _ in triples)
        after = self.grade((row, more) for row, _, more in triples)
        up = []
        for low, high in zip(before, after, strict=True):
            short = isinstance(low.sample, str) and 2 * len(low.sample) < len(low.row.text)
            if high.level - low.level >= by and high.level > (SOFT_LIMIT if short else 0.0):
                up.append((low, high))
        if up:
            worst_before, worst = max(up, key=lambda pair: pair[1].level - pair[0].level)
            message = (
                f"{what} raises the reward from {worst_before.result.reward:g} to {worst.result.reward:g}"
            )
            yield Finding(check, message, tuple(dict.fromkeys(a.row.id for _, a in up)), worst.sample)

    def references(self, row: CheckRow) -> set[str]:
        """The reference texts of the spec's comparisons on this row."""
        found = set()
        for leaf in self.grader.spec.leaves().values():
            for side in leaf.compared() or ():
                if "sample." not in side:
                    with suppress(GradeError):
                        found.add(Template(side).render(Row("", row.item)).strip())
        return found

    def ceiling(self, row: CheckRow) -> float:
        """The highest possible level on this row: below 1 where a metric gives equal texts less (METEOR)."""
        tops = tuple(self._top(leaf, row) for leaf in self.grader.spec.leaves().values())
        if self._formula is None:
            return tops[0]
        try:
            total = self._formula.value(tops)
        except FormulaError:
            # the members check reports it
            return 1.0
        return self.height(total)

    def _top(self, leaf: SpecModel, row: CheckRow) -> float:
        """A metric's reward of the reference itself; 1 for other graders."""
        texts = leaf.compared()
        if leaf.two_valued or texts is None:
            return 1.0
        wanted = next((text for text in reversed(texts) if "sample." not in text), None)
        if wanted is None:
            return 1.0
        both = {"input": wanted, "reference": wanted}
        itself = compile({**leaf.to_json(), **both}, backends=self.grader.backends)
        result = itself.run("", row.item)
        return result.reward if result.ok else 1.0


def row_ids(graded: Iterable[GradedSample]) -> tuple[RowId, ...]:
    """The distinct ids of graded samples' rows."""
    return tuple(dict.fromkeys(one.row.id for one in graded))
