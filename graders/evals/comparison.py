"""Two runs side by side, paired by item: which verdicts changed, and whether that can be chance."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from graders.store import RunRecord, Store

if TYPE_CHECKING:
    from graders.stats.estimates import Estimate

#: What the service puts behind a criterion's name to make its id.
_UUID = re.compile(r"-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
#: The name under which an item's status over all criteria is compared.
ALL = "all criteria"


class NotComparable(ValueError):
    """Two runs have nothing that could be compared."""


@dataclass(frozen=True, slots=True)
class Flip:
    """An item whose verdict differs: its numbers in both runs, and whether it passed in the first."""

    n_a: int
    n_b: int
    passed_a: bool


@dataclass(frozen=True, slots=True)
class CriterionComparison:
    """One criterion over the items that it gave a verdict on in both runs.

    Attributes:
        name: Of the criterion, without the service's suffix; ALL: whether the item passed.
        n: Items with a verdict in both.
        left_out: Items that are in both runs, with an error in one.
        rate_a, rate_b: The part that passed, with a Wilson interval; None where n is 0.
        difference: Of B from A, paired.
        p_value: Of McNemar's exact test; 1.0 where nothing flipped.
        agreement: The part with the same verdict in both, with an interval over items: equal ones count as repeats of one.
        kappa: Cohen's, in the same way; NaN where it is undefined, since both runs give all the same verdict.
        flips: The items that differ, in A's order.
    """

    name: str
    n: int
    left_out: int
    rate_a: Estimate | None
    rate_b: Estimate | None
    difference: Estimate | None
    p_value: float
    agreement: Estimate | None
    kappa: Estimate | None
    flips: tuple[Flip, ...]

    @property
    def up(self) -> int:
        """Items that failed in A and pass in B."""
        return sum(not flip.passed_a for flip in self.flips)

    @property
    def down(self) -> int:
        """Items that passed in A and fail in B."""
        return sum(flip.passed_a for flip in self.flips)

    def to_json(self) -> dict[str, Any]:
        """How far the two agree, as `grader evals regrade --json` has it."""
        return {
            "name": self.name,
            "n": self.n,
            "left_out": self.left_out,
            "agreement": self.agreement and self.agreement.to_json(),
            "kappa": self.kappa and self.kappa.to_json(),
            "flips": [asdict(flip) for flip in self.flips],
        }


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs, compared.

    Attributes:
        n_pairs: Items that are in both.
        only_a, only_b: Finished items that are in one alone.
        criteria: Of all criteria together first, then each that both runs have.
    """

    a: RunRecord
    b: RunRecord
    n_pairs: int
    only_a: int
    only_b: int
    criteria: tuple[CriterionComparison, ...]


def base_name(criterion: str) -> str:
    """A criterion's name without the suffix that makes its id."""
    return _UUID.sub("", criterion)


def compare_runs(store: Store, a: RunRecord, b: RunRecord) -> RunComparison:
    """Pair the finished items of two runs by their content, and compare each criterion that both have.

    Raises:
        NotComparable: they have no item in common.
    """
    keys_a, keys_b = item_keys(store, a), item_keys(store, b)
    pairs = [(n, keys_b[key], key[0]) for key, n in keys_a.items() if key in keys_b]
    if not pairs:
        raise NotComparable(f"{a.id} and {b.id} have no item in common")
    pairs.sort()
    verdicts = [(ALL, store.items.statuses(a.number), store.items.statuses(b.number))]
    places_b = {base_name(one.name): place for place, one in enumerate(b.criteria)}
    for place, criterion in enumerate(a.criteria):
        name = base_name(criterion.name)
        if name in places_b:
            verdicts.append(
                (name, store.items.verdicts(a.number, place), store.items.verdicts(b.number, places_b[name]))
            )
    criteria = tuple(_compared(name, in_a, in_b, pairs) for name, in_a, in_b in verdicts)
    return RunComparison(a, b, len(pairs), len(keys_a) - len(pairs), len(keys_b) - len(pairs), criteria)


def item_keys(store: Store, run: RunRecord) -> dict[tuple[str, int], int]:
    """Content and how often it came before -> number, of the finished items: equal items are paired in order."""
    seen: Counter[str] = Counter()
    keys = {}
    for n, item_hash in store.items.hashes(run.number):
        keys[item_hash, seen[item_hash]] = n
        seen[item_hash] += 1
    return keys


def _compared(
    name: str,
    in_a: Mapping[int, bool | None],
    in_b: Mapping[int, bool | None],
    pairs: Sequence[tuple[int, int, str]],
) -> CriterionComparison:
    """One criterion's comparison.

    Args:
        pairs: Numbers of an item in A and in B, and the hash of its content.
    """
    import numpy as np

    from graders.stats.agreement.association import kappa_estimate
    from graders.stats.distributions import mcnemar
    from graders.stats.estimates import difference, pass_rate

    judged = [
        (n_a, n_b, one, other, content)
        for n_a, n_b, content in pairs
        if (one := in_a.get(n_a)) is not None and (other := in_b.get(n_b)) is not None
    ]
    flips = tuple(Flip(n_a, n_b, one) for n_a, n_b, one, other, _ in judged if one != other)
    if not judged:
        return CriterionComparison(name, 0, len(pairs), None, None, None, 1.0, None, None, ())
    passed_a = np.array([one for _, _, one, _, _ in judged])
    passed_b = np.array([other for _, _, _, other, _ in judged])
    items = np.unique([content for *_, content in judged], return_inverse=True)[1]
    down = sum(flip.passed_a for flip in flips)
    return CriterionComparison(
        name,
        len(judged),
        len(pairs) - len(judged),
        pass_rate(passed_a),
        pass_rate(passed_b),
        difference(passed_b.astype(np.float64) - passed_a, scale=1.0),
        mcnemar(down, len(flips) - down),
        pass_rate(passed_a == passed_b, items),
        kappa_estimate(passed_a, passed_b, items),
        flips,
    )


def as_lines(found: RunComparison, most_flips: int) -> Iterable[str]:
    """The comparison for a terminal."""
    yield f"A  {found.a.id}  {found.a.name}  {found.a.model or ''}".rstrip()
    yield f"B  {found.b.id}  {found.b.name}  {found.b.model or ''}".rstrip()
    apart = f"; {found.only_a} only in A, {found.only_b} only in B" if found.only_a or found.only_b else ""
    yield f"{found.n_pairs} items in both{apart}"
    for one in found.criteria:
        yield ""
        if one.rate_a is None or one.rate_b is None or one.difference is None:
            yield f"{one.name}: no item has a verdict in both"
            continue
        errors = f", {one.left_out} left out for an error" if one.left_out else ""
        yield f"{one.name}: {one.n} items{errors}"
        for label, rate in (("A", one.rate_a), ("B", one.rate_b)):
            yield f"  {label} passed {rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"
        gap = one.difference
        yield (
            f"  B - A {gap.value:+.1%} ({gap.low:+.1%} to {gap.high:+.1%}); {one.up} up, {one.down} down, "
            f"McNemar p = {one.p_value:.3g}"
        )
        for flip in one.flips[:most_flips]:
            verdicts = "pass -> fail" if flip.passed_a else "fail -> pass"
            yield f"    item {flip.n_a}: {verdicts}"
        if len(one.flips) > most_flips:
            yield f"    and {len(one.flips) - most_flips} more"


def agreement_lines(found: RunComparison) -> Iterable[str]:
    """How far each criterion's verdicts agree, for a terminal."""
    for one in found.criteria:
        if one.agreement is None or one.kappa is None:
            continue
        agreed, kappa = one.agreement, one.kappa
        found_kappa = "undefined" if math.isnan(kappa.value) else f"{kappa.value:.2f}"
        yield (
            f"agreement on {one.name}: {agreed.value:.1%} of {one.n} ({agreed.low:.1%} to {agreed.high:.1%}); "
            f"kappa {found_kappa}, {kappa.between()}"
        )
