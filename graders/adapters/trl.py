"""TRL (GRPO, RLOO): `reward_funcs=reward_func(spec, item={"answer": "answer"})`.

TRL calls reward functions by keyword with the prompts, the completions (texts, or lists of chat messages) and every
column of the dataset, and expects a float or None per completion. A failed row is None, which TRL excludes from the
sum.

    from graders.adapters.trl import reward_func
    trainer = GRPOTrainer(..., reward_funcs=reward_func("spec.json", item={"answer": "solution"}))
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import graders
from graders.adapters import ItemMap, rows_of
from graders.engine.backends import Backends
from graders.engine.grader import Grader
from graders.result import RunResult

T = TypeVar("T")


def reward_func(
    spec: object, *, item: ItemMap = None, name: str = "", backends: Backends | None = None
) -> Callable[..., list[float | None]]:
    """A synchronous reward function, which can be pickled.

    Args:
        spec: As for graders.compile.
        item: The source of the item: {item key: dataset column}, a function of the columns, None for all columns.
        name: The name in TRL's logs; default: the grader's. Sub-rewards are logged as name/key.
    """
    return _named(_reward, graders.compile(spec, backends=backends), item, name)


def async_reward_func(
    spec: object, *, item: ItemMap = None, name: str = "", backends: Backends | None = None
) -> Callable[..., Awaitable[list[float | None]]]:
    """As reward_func, awaitable: TRL runs several of these at the same time."""
    return _named(_async_reward, graders.compile(spec, backends=backends), item, name)


def _named(function: Callable[..., T], grader: Grader, item: ItemMap, name: str) -> Callable[..., T]:
    name = name or grader.name
    reward = partial(function, grader, item, name)
    reward.__name__ = name  # type: ignore[attr-defined]  # TRL logs a reward function under its name
    return reward


def _reward(
    grader: Grader,
    item: ItemMap,
    name: str,
    /,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    **columns: Any,
) -> list[float | None]:
    results = list(grader.run_batch(rows_of(completions, {"prompt": prompts, **columns}, item)))
    return _rewards(results, name, columns)


async def _async_reward(
    grader: Grader,
    item: ItemMap,
    name: str,
    /,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    **columns: Any,
) -> list[float | None]:
    rows = rows_of(completions, {"prompt": prompts, **columns}, item)
    results = await asyncio.gather(*(grader.arun(row["sample"], row["item"]) for row in rows))
    return _rewards(results, name, columns)


def _rewards(results: Sequence[RunResult], name: str, columns: dict[str, Any]) -> list[float | None]:
    log = columns.get("log_metric")
    if callable(log):
        graded = [result for result in results if result.ok]
        log(f"{name}/failed", (len(results) - len(graded)) / max(1, len(results)))
        for key in graded[0].sub_rewards if graded else ():
            log(f"{name}/{key}", sum(result.sub_rewards[key] for result in graded) / len(graded))
    return [result.reward if result.ok else None for result in results]
