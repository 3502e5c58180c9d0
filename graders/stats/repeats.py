"""Statistics of repeated samples of an item: pass@k, pass^k, and reliability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from graders.stats.estimates import Estimate, mean
from graders.stats.resampling import Bools, Floats, Ints, per_item


@dataclass(frozen=True, slots=True)
class Repeats:
    """pass@k and pass^k for one k, over the items with at least k scored rows.

    Attributes:
        any_of_k: pass@k, the probability that at least one of k samples passes.
        all_of_k: pass^k, the probability that all k samples pass.
    """

    k: int
    any_of_k: Estimate
    all_of_k: Estimate


@dataclass(frozen=True, slots=True)
class Reliability:
    """The agreement of rewards within items, over the items with at least two scored rows.

    Attributes:
        items: Number of these items.
        one_row: Reliability of a single row's reward, the intraclass correlation ICC(1): the fraction of the variance
            that is between items. 1: repeats agree; 0: items have no effect. NaN where rewards do not vary.
        item_mean: Reliability of an item's mean over the average number of rows, by the Spearman-Brown formula.
        same_verdict: The probability that two samples of an item both pass or both fail; None without a threshold.
    """

    items: int
    one_row: float
    item_mean: float
    same_verdict: Estimate | None


def pass_at_k(n: int, passed: int, k: int) -> float:
    """pass@k: an unbiased estimate of the probability that at least one of k samples passes, from n samples.

    Source: Chen et al. 2021, "Evaluating large language models trained on code", equation 1.
    """
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


def pass_hat_k(n: int, passed: int, k: int) -> float:
    """pass^k: an unbiased estimate of the probability that all k samples pass, from n samples.

    Source: Yao et al. 2024, "tau-bench", section 3.
    """
    return math.comb(passed, k) / math.comb(n, k)


def repeats_of(passed: Bools, items: Ints) -> tuple[Repeats, ...]:
    """pass@k and pass^k for k = 1, 2, 4 ... while at least half of the items have k rows."""
    sizes = np.bincount(items)
    passes = np.bincount(items, passed).astype(np.int64)
    made = []
    for k in _ks(sizes):
        enough = sizes >= k
        pairs = list(zip(sizes[enough].tolist(), passes[enough].tolist(), strict=True))
        estimates = []
        for chance in (pass_at_k, pass_hat_k):
            known = {pair: chance(*pair, k) for pair in set(pairs)}
            estimates.append(mean(np.array([known[pair] for pair in pairs]), span=(0.0, 1.0)))
        made.append(Repeats(k, *estimates))
    return tuple(made)


def _ks(sizes: Any) -> list[int]:
    """1, 2, 4 ... while at least half of the items have k rows, and the common size of the largest items."""
    ks, k = [], 1
    while (sizes >= k).mean() >= 0.5:
        ks.append(k)
        k *= 2
    most = int(sizes.max())
    return ks if most in ks or (sizes >= most).mean() < 0.5 else [*ks, most]


def reliability(rewards: Floats, items: Ints, passed: Bools | None) -> Reliability | None:
    """The reliability of rewards; None where no item has two scored rows.

    Source: Shrout and Fleiss 1979, "Intraclass correlations", case 1, with the mean group size of unequal groups by
    Snedecor and Cochran 1989, section 13.7.
    """
    sums, sizes = per_item(rewards, items)
    several = sizes >= 2
    n_items, n_rows = int(several.sum()), float(sizes[several].sum())
    if not n_items:
        return None
    one_row = item_mean = math.nan
    squares = np.bincount(items, rewards**2)[several]
    sums, sizes = sums[several], sizes[several]
    within = float((squares - sums**2 / sizes).sum()) / (n_rows - n_items)
    if n_items > 1:
        overall = sums.sum() / n_rows
        between = float((sizes * (sums / sizes - overall) ** 2).sum()) / (n_items - 1)
        group = (n_rows - float((sizes**2).sum()) / n_rows) / (n_items - 1)
        spread = between + (group - 1) * within
        if spread > 0:
            one_row = max(0.0, (between - within) / spread)
            item_mean = group * one_row / (1 + (group - 1) * one_row)
    same = None
    if passed is not None:
        yes = np.bincount(items, passed)[several]
        no = sizes - yes
        same = mean((yes * (yes - 1) + no * (no - 1)) / (sizes * (sizes - 1)), span=(0.0, 1.0))
    return Reliability(n_items, one_row, item_mean, same)
