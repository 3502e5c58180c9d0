"""Two runs side by side, paired by item: which verdicts changed, and whether that can be chance.

Rows of equal items are repeats of one item, not independent: every interval and test is over items.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from graders.store import RunRecord, Store

if TYPE_CHECKING:
    from graders.stats.estimates import Estimate

#: The suffix that the service adds to a criterion's name to make its id.
_UUID = re.compile(r"-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
#: The name of the comparison of items' status over all criteria.
ALL = "all criteria"


class NotComparable(ValueError):
    """Raised for two runs without a common item or criterion."""


@dataclass(frozen=True, slots=True)
class Flip:
    """An item with different verdicts: its numbers in both runs, and whether it passed in the first."""

    n_a: int
    n_b: int
    passed_a: bool


@dataclass(frozen=True, slots=True)
class CriterionComparison:
    """The comparison by one criterion, over the items with a verdict in both runs.

    Attributes:
        name: Of the criterion, without the service's suffix; ALL: whether the item passed.
        n: Items with a verdict in both.
        left_out: Items that are in both runs, with an error in one.
        rate_a, rate_b: The part that passed, with a Wilson interval; None where n is 0.
        difference: Of B from A, paired.
        p_value: Of McNemar's exact test, or, where items repeat, of the sign-flip test, which is the same for whole
            items; 1.0 where nothing flipped.
        agreement: The part with the same verdict in both.
        kappa: Cohen's; NaN where it is undefined, since both runs give all the same verdict.
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
        """The agreement as JSON, for `grader evals regrade --json`."""
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
    """The comparison of two runs.

    Attributes:
        n_pairs: Rows that are in both.
        n_items: Different items among them; fewer than n_pairs where items repeat.
        only_a, only_b: Finished items that are in one alone.
        criteria: Of all criteria together first, then each that both runs have.
    """

    a: RunRecord
    b: RunRecord
    n_pairs: int
    n_items: int
    only_a: int
    only_b: int
    criteria: tuple[CriterionComparison, ...]

    @property
    def repeats(self) -> bool:
        """Whether items repeat, so that p values are of the sign-flip test."""
        return self.n_items < self.n_pairs


def base_name(criterion: str) -> str:
    """A criterion's name without the suffix that makes its id."""
    return _UUID.sub("", criterion)


def compare_runs(store: Store, a: RunRecord, b: RunRecord) -> RunComparison:
    """Pair the finished items of two runs by their content, and compare each criterion that both have.

    Raises:
        NotComparable: they have no item in common.
    """
    keys_a, keys_b = item_keys(store, a), item_keys(store, b)
    # by their numbers in A: the order of the flips
    pairs = sorted((n, keys_b[key], key[0]) for key, n in keys_a.items() if key in keys_b)
    if not pairs:
        raise NotComparable(f"{a.id} and {b.id} have no item in common")
    verdicts = [(ALL, store.items.statuses(a.number), store.items.statuses(b.number))]
    places_b = {base_name(one.name): place for place, one in enumerate(b.criteria)}
    for place, criterion in enumerate(a.criteria):
        name = base_name(criterion.name)
        if name in places_b:
            verdicts.append(
                (name, store.items.verdicts(a.number, place), store.items.verdicts(b.number, places_b[name]))
            )
    numbers: dict[str, int] = {}
    items = [numbers.setdefault(content, len(numbers)) for *_, content in pairs]
    criteria = tuple(
        _compared(name, in_a, in_b, pairs, items if len(numbers) < len(pairs) else None)
        for name, in_a, in_b in verdicts
    )
    only_a, only_b = len(keys_a) - len(pairs), len(keys_b) - len(pairs)
    return RunComparison(a, b, len(pairs), len(numbers), only_a, only_b, criteria)


def item_keys(store: Store, run: RunRecord) -> dict[tuple[str, int], int]:
    """(content, count of earlier equal items) -> number of a finished item, so that equal items are paired in order."""
    seen: dict[str, int] = {}
    keys = {}
    for n, item_hash in store.items.hashes(run.number):
        before = seen.get(item_hash, 0)
        keys[item_hash, before] = n
        seen[item_hash] = before + 1
    return keys


def _compared(
    name: str,
    in_a: Mapping[int, bool | None],
    in_b: Mapping[int, bool | None],
    pairs: Sequence[tuple[int, int, str]],
    items: Sequence[int] | None,
) -> CriterionComparison:
    """One criterion's comparison.

    Args:
        pairs: Numbers of a row in A and in B, and the hash of its item.
        items: Which item, from 0, each pair is of; None where no item repeats.
    """
    import numpy as np

    from graders.stats.agreement.association import kappa_estimate
    from graders.stats.distributions import mcnemar
    from graders.stats.estimates import difference, pass_rate
    from graders.stats.paired import sign_flip
    from graders.stats.resampling import per_item

    judged = [
        (place, n_a, n_b, one, other)
        for place, (n_a, n_b, _) in enumerate(pairs)
        if (one := in_a.get(n_a)) is not None and (other := in_b.get(n_b)) is not None
    ]
    flips = tuple(Flip(n_a, n_b, one) for _, n_a, n_b, one, other in judged if one != other)
    if not judged:
        return CriterionComparison(name, 0, len(pairs), None, None, None, 1.0, None, None, ())
    passed_a = np.array([one for *_, one, _ in judged])
    passed_b = np.array([other for *_, other in judged])
    deltas = passed_b.astype(np.float64) - passed_a
    if items is None:
        of_items, down = None, sum(flip.passed_a for flip in flips)
        p_value = mcnemar(down, len(flips) - down)
    else:
        of_items = np.unique([items[place] for place, *_ in judged], return_inverse=True)[1]
        p_value = sign_flip(per_item(deltas, of_items)[0])
    return CriterionComparison(
        name,
        len(judged),
        len(pairs) - len(judged),
        pass_rate(passed_a, of_items),
        pass_rate(passed_b, of_items),
        difference(deltas, of_items, scale=1.0),
        p_value,
        pass_rate(passed_a == passed_b, of_items),
        kappa_estimate(passed_a, passed_b, of_items),
        flips,
    )


def as_lines(found: RunComparison, most_flips: int) -> Iterable[str]:
    """The comparison for a terminal."""
    yield f"A  {found.a.id}  {found.a.name}  {found.a.model or ''}".rstrip()
    yield f"B  {found.b.id}  {found.b.name}  {found.b.model or ''}".rstrip()
    apart = f"; {found.only_a} only in A, {found.only_b} only in B" if found.only_a or found.only_b else ""
    repeats = f", {found.n_items} different ones: intervals and p are over these" if found.repeats else ""
    yield f"{found.n_pairs} items in both{repeats}{apart}"
    test = "sign-flip p" if found.repeats else "McNemar p"
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
            f"{test} = {one.p_value:.3g}"
        )
        for flip in one.flips[:most_flips]:
            verdicts = "pass -> fail" if flip.passed_a else "fail -> pass"
            yield f"    item {flip.n_a}: {verdicts}"
        if len(one.flips) > most_flips:
            yield f"    and {len(one.flips) - most_flips} more"


def agreement_lines(found: RunComparison) -> Iterable[str]:
    """The agreement of each criterion's verdicts, for a terminal."""
    for one in found.criteria:
        if one.agreement is None or one.kappa is None:
            continue
        agreed, kappa = one.agreement, one.kappa
        found_kappa = "undefined" if math.isnan(kappa.value) else f"{kappa.value:.2f}"
        yield (
            f"agreement on {one.name}: {agreed.value:.1%} of {one.n} ({agreed.low:.1%} to {agreed.high:.1%}); "
            f"kappa {found_kappa}, {kappa.between()}"
        )
