"""Searches, without a model, for samples that are wrong by construction and rewarded like the gold."""

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
from graders.attack.families.wrong import form_of, has_answer, may_be_right, plain
from graders.attack.plan import Attempt, joined, planned
from graders.attack.proposals import proposed
from graders.datasets.load import rows_of
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.session.findings import shortened
from graders.session.rows import CheckRow, RowId, read_rows
from graders.session.session import AuditSession, CheckOptions, GradedSample
from graders.suggest import known_names

BUDGET = 2_000  # samples
MAX_ROWS = 24  # more rows show more accidents, seldom another flaw
AT_A_TIME = 64  # samples between two looks at the budget
CROSSED = 6  # of the best far samples of a row, that are joined in pairs
SHRINKS = 60  # samples spent on making one witness smaller


@dataclass(frozen=True, slots=True)
class Exploit:
    """A sample that is wrong by construction, and its reward.

    Attributes:
        row: The id of the row.
        sample: The smallest such sample that was found.
        reward: The sample's reward.
        gold_reward: The reward of the row's gold.
        why: The reason why the sample is wrong.
        family: The kind of sample, a key of FAMILIES; "a+b" where two were crossed.
        rows: The ids of all rows with exploits of this kind.
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
            "family": self.family,
            "why": self.why,
            "row": self.row,
            "rows": list(self.rows),
            "sample": self.sample,
            "reward": self.reward,
            "gold_reward": self.gold_reward,
            "bad": dict(self.bad),
        }


@dataclass(frozen=True, slots=True)
class Attack(Sequence[Exploit]):
    """The result of an attack: a sequence of exploits, those that break the most rows first.

    Attributes:
        n_samples: Number of samples of the plan that are done, which is the `start` of a continuation.
        n_planned: Number of samples of the whole plan.
        skipped_rows: Ids of rows whose gold's reward is too low for comparisons.
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
        """The broken rows, each with all samples that broke it among its `bad` ones."""
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
    """Search for samples that are wrong by construction and rewarded like the gold.

    Near samples (one change of the gold) count if they get the gold's full reward, far ones from three quarters of it.
    A sample that could be right is not used. Equal spec and rows have the same plan, so that `start` can continue it.

    Args:
        spec: As for graders.compile.
        rows: As for check_reward: {"item", "gold", "id"?, "prompt"?, "bad"?}, or the path of a file of them.
        families: Names of FAMILIES to try; None: all.
        accept: Names of FAMILIES that this grader may reward, which are not tried.
        budget: Largest number of samples to grade.
        seconds: Time limit; None: only the budget.
        max_calls: Largest number of calls of judges; required if the spec asks one.
        start: Number of samples of the plan that an earlier attack had done (`n_samples`).
        scale: The rewards of a wrong and a right answer; None: as for check_reward.
        max_rows: Largest number of rows; more are sampled.
        seed: Seed of that sampling.
        model: A model that proposes further samples, after those of the families; each is checked in the same way.
        backends: They answer the grader's asks; None: as configured by graders.toml and the environment.
        on_progress: Called with samples done, samples of the plan, and exploits so far.

    Raises:
        SpecError: the spec is not valid.
        ValueError: a row lacks a gold, two share an id, a family has no such name, or a judge is asked without
            max_calls.
        CannotCheck: the sandbox, the judge or the model could not be used, so that there is no result.
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
    with AuditSession(grader, read, CheckOptions(scale=scale)) as session:
        session.read_scale()
        recognised = session.recognised()
        plan = list(planned(session, recognised, wanted))
        if model is not None:
            plan += proposed(session, recognised, model)
        search = Search(session, recognised, plan, AttackBudget(budget, seconds))
        return search.run(start, on_progress)


class AttackBudget:
    """The remaining budget of samples and seconds."""

    def __init__(self, samples: int, seconds: float | None) -> None:
        self.samples = samples
        self._ends = None if seconds is None else time.monotonic() + seconds

    @property
    def spent(self) -> bool:
        return self.samples <= 0 or (self._ends is not None and time.monotonic() >= self._ends)


class Search:
    """One running attack: the plan in slices, then crossings of the best far samples, then smaller exploits."""

    def __init__(
        self, session: AuditSession, rows: Sequence[CheckRow], plan: Sequence[Attempt], limits: AttackBudget
    ) -> None:
        self._session = session
        self._limits = limits
        self._rows = rows
        self._golds = {gold.row.id: gold for gold in session.golds()}
        self._plan = plan
        self._broken: list[tuple[Attempt, GradedSample]] = []
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
            exploits, done, len(self._plan), tuple(row.id for row in self._session.rows if row.id not in ids)
        )

    def _try(self, attempts: Sequence[Attempt]) -> None:
        self._limits.samples -= len(attempts)
        graded = self._session.grade((attempt.row, attempt.wrong.sample) for attempt in attempts)
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
        """Pairs of far samples with some reward, joined: both are wrong, and so is their combination."""
        for found in self._promising.values():
            best = [attempt for _, attempt in sorted(found, key=lambda pair: -pair[0])]
            by_family = list({attempt.family: attempt for attempt in reversed(best)}.values())[:CROSSED]
            pairs = [joined(one, other) for one, other in itertools.permutations(by_family, 2)]
            usable = [a for a in pairs if not has_answer(a.row, a.wrong.sample)]
            if usable and not self._limits.spent:
                self._try(usable[: self._limits.samples])

    def _exploits(self) -> tuple[Exploit, ...]:
        groups: dict[tuple[str, str], list[tuple[Attempt, GradedSample]]] = {}
        for attempt, one in self._unambiguous():
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

    def _unambiguous(self) -> Iterator[tuple[Attempt, GradedSample]]:
        """What broke a row, without the spec's own words where they may be the one answer of all rows that they broke."""
        broken: dict[str, set[str]] = {}
        for _, one in self._broken:
            answer = plain(form_of(one.row).answer) or str(one.row.id)
            broken.setdefault(json.dumps(one.sample, default=repr), set()).add(answer)
        for attempt, one in self._broken:
            if not attempt.on_several or len(broken[json.dumps(one.sample, default=repr)]) > 1:
                yield attempt, one

    def _shrunk(self, attempt: Attempt, one: GradedSample) -> GradedSample:
        """The sample without the lines, halves and words that its reward does not need; for far text samples only."""
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
                (graded,) = self._session.grade([(one.row, text)])
                if graded.level >= needed:
                    smaller = graded
                    break
            one, size = (smaller, size) if smaller else (one, size // 2)
        return one


def _size(sample: Any) -> int:
    return len(json.dumps(sample, default=repr))


def _bad(one: GradedSample) -> dict[str, Any]:
    row = one.row
    prompt = {"prompt": row.prompt} if row.prompt is not None else {}
    return {"id": row.id, "item": dict(row.item), "gold": row.gold, **prompt, "bad": [*row.bad, one.sample]}
