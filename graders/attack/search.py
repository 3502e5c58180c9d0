"""Search, without a model, for samples that are wrong by construction and are paid like the gold."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from graders.attack.families import ALL, FAMILIES
from graders.attack.families.wrong import has_answer, may_be_right
from graders.attack.plan import Attempt, joined, planned
from graders.attack.proposals import proposed
from graders.bench.bench import Bench, Graded, Settings
from graders.bench.findings import shortened
from graders.bench.rows import CheckRow, RowId, read_rows
from graders.datasets.load import rows_of
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.suggest import known_names

BUDGET = 2_000  # samples
MAX_ROWS = 24  # more rows show more accidents, seldom another flaw
AT_A_TIME = 64  # samples between two looks at the budget
CROSSED = 6  # of the best far samples of a row, that are joined in pairs
SHRINKS = 60  # samples spent on making one witness smaller


@dataclass(frozen=True, slots=True)
class Exploit:
    """A sample that is wrong by construction, and what it was paid.

    Attributes:
        row: The id of the row.
        sample: The smallest such sample that was found.
        reward: What the grader gave it.
        gold_reward: What the grader gave the row's gold.
        why: Why the sample is wrong.
        family: The kind of sample, a key of FAMILIES; "a+b" where two were crossed.
        rows: The ids of all rows that samples of this kind break.
        bad: The row with the sample among its `bad` ones, ready for `check_reward` and for `--save`.
    """

    row: RowId
    sample: Any
    reward: float
    gold_reward: float
    why: str
    family: str
    rows: tuple[RowId, ...]
    bad: Mapping[str, Any]

    def __str__(self) -> str:
        where = f"row {self.row!r}" + (f" and {len(self.rows) - 1} more" if len(self.rows) > 1 else "")
        paid = f"{self.reward:g} where the gold gets {self.gold_reward:g}"
        return f"{self.family}: {self.why} gets {paid} [{where}]\n    sample: {shortened(self.sample)}"

    def to_json(self) -> dict[str, Any]:
        return {
            "family": self.family, "why": self.why, "row": self.row, "rows": list(self.rows), "sample": self.sample,
            "reward": self.reward, "gold_reward": self.gold_reward, "bad": dict(self.bad),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attack(Sequence[Exploit]):
    """What an attack found; a sequence of its exploits, those that break most rows first.

    Attributes:
        n_samples: Samples of the plan that were graded or passed over, from the start: `start` to go on with.
        n_planned: Samples of the whole plan.
        skipped_rows: Ids of rows whose gold gets too little to compare anything with.
    """

    exploits: tuple[Exploit, ...]
    n_samples: int
    n_planned: int
    skipped_rows: tuple[RowId, ...]

    def __len__(self) -> int:
        return len(self.exploits)

    def __getitem__(self, index: Any) -> Any:
        return self.exploits[index]

    def _repr_html_(self) -> str:
        from graders.notebook import block

        return block(f"{len(self)} exploits", "\n".join(map(str, self.exploits)))

    def bad_rows(self) -> list[dict[str, Any]]:
        """A row for each that was broken, with all samples that broke it among its `bad` ones."""
        rows: dict[RowId, dict[str, Any]] = {}
        for exploit in self.exploits:
            row = rows.setdefault(exploit.row, {**exploit.bad, "bad": []})
            row["bad"] += [sample for sample in exploit.bad["bad"] if sample not in row["bad"]]
        return list(rows.values())


def attack(
    spec: object,
    rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
    *,
    families: Collection[str] | None = None,
    accept: Collection[str] = (),
    budget: int = BUDGET,
    seconds: float | None = None,
    max_calls: int | None = None,
    start: int = 0,
    scale: tuple[float, float] | None = None,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
    model: str | None = None,
    backends: Backends | None = None,
    on_progress: Callable[[int, int, int], None] | None = None,
) -> Attack:
    """Samples that are wrong by construction and are paid like the gold.

    Near samples (one thing of the gold changed) count when they get all of the gold's reward, far ones from three quarters on;
    a sample that could be right is not used. The plan is the same for the same spec and rows, so that `start` goes on with it.

    Args:
        spec: As for graders.compile.
        rows: As for check_reward: {"item", "gold", "id"?, "prompt"?, "bad"?}, or the path of a file of them.
        families: Names of FAMILIES to try; None: all.
        accept: Names of FAMILIES that are fine for this grader, and not tried.
        budget: The most samples to grade.
        seconds: The longest to go on; None: until the budget is spent.
        max_calls: The most calls of judges; needed where the spec asks one.
        start: How many samples of the plan an earlier attack had done (`n_samples`).
        scale: The rewards of a wrong and a right answer; None: as for check_reward.
        max_rows: More rows are sampled down to so many.
        seed: Of that sampling.
        model: A model that proposes more samples, behind those of the families; each is checked in the same way.
        backends: Who answers the grader's asks; None: what graders.toml and the environment say.
        on_progress: Is told samples done, samples of the plan, and exploits so far.

    Raises:
        SpecError: the spec is not valid.
        ValueError: a row lacks a gold, two share an id, a family has no such name, or a judge is asked without max_calls.
        CannotCheck: the sandbox, the judge or the model could not be used, so that nothing is known.
    """
    known_names((*(families or ()), *accept), FAMILIES, "family")
    grader = compile(spec, backends=backends)
    read = read_rows(rows_of(rows))
    if len(read) > max_rows:
        kept = sorted(random.Random(seed).sample(range(len(read)), max_rows))
        read = [read[index] for index in kept]
    n_judges = sum(leaf.judge() is not None for leaf in grader.spec.leaves().values())
    if n_judges:
        if max_calls is None:
            raise ValueError(
                "the spec asks a judge: say how many calls the attack may cost with max_calls (--max-calls)"
            )
        budget = min(budget, max(0, max_calls // n_judges - len(read)))
    wanted = [name for name in FAMILIES if (families is None or name in families) and name not in accept]
    with Bench(grader, read, Settings(scale=scale)) as bench:
        bench.read_scale()
        recognised = bench.recognised()
        plan = list(planned(bench, recognised, wanted))
        if model is not None:
            plan += proposed(bench, recognised, model)
        search = Search(bench, recognised, plan, Limits(budget, seconds))
        return search.run(start, on_progress)


class Limits:
    """What is left of a budget of samples and seconds."""

    def __init__(self, samples: int, seconds: float | None) -> None:
        self.samples = samples
        self._ends = None if seconds is None else time.monotonic() + seconds

    @property
    def spent(self) -> bool:
        return self.samples <= 0 or (self._ends is not None and time.monotonic() >= self._ends)


class Search:
    """One attack under way: the plan in slices, then the best far samples crossed, then each witness made smaller."""

    def __init__(
        self, bench: Bench, rows: Sequence[CheckRow], plan: Sequence[Attempt], limits: Limits
    ) -> None:
        self._bench = bench
        self._limits = limits
        self._rows = rows
        self._golds = {gold.row.id: gold for gold in bench.golds()}
        self._plan = plan
        self._broken: list[tuple[Attempt, Graded]] = []
        self._promising: dict[RowId, list[tuple[float, Attempt]]] = {}

    def run(self, start: int, on_progress: Callable[[int, int, int], None] | None) -> Attack:
        done = min(start, len(self._plan))
        while done < len(self._plan) and not self._limits.spent:
            count = min(AT_A_TIME, self._limits.samples)
            self._try(self._plan[done : done + count])
            done = min(done + count, len(self._plan))
            if on_progress:
                on_progress(done, len(self._plan), len(self._broken))
        self._cross()
        exploits = self._exploits()
        ids = {row.id for row in self._rows}
        return Attack(
            exploits, done, len(self._plan), tuple(row.id for row in self._bench.rows if row.id not in ids)
        )

    def _try(self, attempts: Sequence[Attempt]) -> None:
        self._limits.samples -= len(attempts)
        graded = self._bench.grade((attempt.row, attempt.wrong.sample) for attempt in attempts)
        for attempt, one in zip(attempts, graded, strict=True):
            share = one.level / self._golds[attempt.row.id].level
            if share >= attempt.share:
                self._broken.append((attempt, one))
            elif (
                share > 0
                and not (attempt.holds_answer or attempt.on_several)
                and attempt.share < ALL
                and isinstance(attempt.wrong.sample, str)
            ):
                self._promising.setdefault(attempt.row.id, []).append((share, attempt))

    def _cross(self) -> None:
        """Far samples that get a part, joined two by two: both are wrong, and so is what they make together."""
        for found in self._promising.values():
            best = [attempt for _, attempt in sorted(found, key=lambda pair: -pair[0])]
            by_family = list({attempt.family: attempt for attempt in reversed(best)}.values())[:CROSSED]
            pairs = [joined(one, other) for one, other in itertools.permutations(by_family, 2)]
            usable = [a for a in pairs if not has_answer(a.row, a.wrong.sample)]
            if usable and not self._limits.spent:
                self._try(usable[: self._limits.samples])

    def _exploits(self) -> tuple[Exploit, ...]:
        groups: dict[tuple[str, str], list[tuple[Attempt, Graded]]] = {}
        for attempt, one in self._surely_wrong():
            groups.setdefault((attempt.family, attempt.wrong.why), []).append((attempt, one))
        exploits = []
        for (family, why), found in groups.items():
            attempt, one = min(found, key=lambda pair: _size(pair[1].sample))
            one = self._shrunk(attempt, one)
            rows = tuple(dict.fromkeys(graded.row.id for _, graded in found))
            gold = self._golds[one.row.id].result.reward
            exploits.append(
                Exploit(one.row.id, one.sample, one.result.reward, gold, why, family, rows, _bad(one))
            )
        return tuple(sorted(exploits, key=lambda exploit: -len(exploit.rows)))

    def _surely_wrong(self) -> Iterator[tuple[Attempt, Graded]]:
        """What broke a row, without texts that may be one row's answer by the spec's own words."""
        broken: dict[str, set[RowId]] = {}
        for _, one in self._broken:
            broken.setdefault(json.dumps(one.sample, default=repr), set()).add(one.row.id)
        for attempt, one in self._broken:
            if not attempt.on_several or len(broken[json.dumps(one.sample, default=repr)]) > 1:
                yield attempt, one

    def _shrunk(self, attempt: Attempt, one: Graded) -> Graded:
        """The sample with every line, half and word taken away that its reward does not need; far text samples alone."""
        if attempt.holds_answer or attempt.share >= ALL or not isinstance(one.sample, str):
            return one
        needed = attempt.share * self._golds[one.row.id].level
        tries, size = SHRINKS, max(1, len(one.sample.split()) // 2)
        while size and tries > 0 and not self._limits.spent:
            words = one.sample.split(" ")
            texts = (" ".join(words[:at] + words[at + size :]) for at in range(0, len(words), size))
            smaller = None
            for text in texts:
                if tries <= 0 or text == one.sample or may_be_right(one.row, text):
                    continue
                tries -= 1
                self._limits.samples -= 1
                (graded,) = self._bench.grade([(one.row, text)])
                if graded.level >= needed:
                    smaller = graded
                    break
            one, size = (smaller, size) if smaller else (one, size // 2)
        return one


def _size(sample: Any) -> int:
    return len(json.dumps(sample, default=repr))


def _bad(one: Graded) -> dict[str, Any]:
    row = one.row
    prompt = {"prompt": row.prompt} if row.prompt is not None else {}
    return {"id": row.id, "item": dict(row.item), "gold": row.gold, **prompt, "bad": [*row.bad, one.sample]}
