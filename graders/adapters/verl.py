"""verl: a file whose `compute_score` is the reward.

    # my_reward.py, named in reward.custom_reward_function.path
    from graders.adapters.verl import compute_score_of
    compute_score = compute_score_of("spec.json")

By default the item holds `ground_truth`, `data_source` and everything in `extra_info`. A failed row raises RowFailed,
since verl cannot exclude a row and the model would learn from any number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import graders
from graders.adapters import ItemMap, decoded, item_of, reward_of
from graders.adapters.decoded import SpecialTokens
from graders.engine.backends import Backends
from graders.engine.grader import Grader


class VerlScore(dict[str, float]):
    """`score`, and one key a sub-reward, for verl's naive, batch and DAPO managers.

    The PRIME manager reads a number or `result[0]`. A plain dict would raise there, which that manager turns into 0.0
    for the whole batch. So `result[0]` is the score too, without being one of the keys.
    """

    def __missing__(self, key: object) -> float:
        if key == 0:
            return self["score"]
        raise KeyError(key)


def compute_score_of(
    spec: object, *, item: ItemMap = None, backends: Backends | None = None, special_tokens: Any = None
) -> Callable[..., VerlScore]:
    """verl's compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs).

    Returns a function whose result has `score` and one key a sub-reward, the same keys for every row, as verl requires
    (see VerlScore). It can be pickled.

    Args:
        special_tokens: As for SpecialTokens: removed from the end of `solution_str`.
    """
    return partial(
        _compute_score, graders.compile(spec, backends=backends), item, SpecialTokens(special_tokens)
    )


def _compute_score(
    grader: Grader,
    item: ItemMap,
    special: SpecialTokens,
    /,
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    **more: Any,
) -> VerlScore:
    fields = {**(extra_info or {}), **more, "data_source": data_source, "ground_truth": ground_truth}
    result = grader.run(decoded(special, solution_str), item_of(fields, item))
    return VerlScore({"score": reward_of(result), **result.sub_rewards})
