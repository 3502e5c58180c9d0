"""Stopping when the mean is known closely enough: honest intervals, and a run that stops."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from graders.cli import group
from graders.stats import distributions, resampling
from graders.stats.gather import gather
from graders.stats.sequential import MIN_ITEMS, WidthWatcher, is_narrow, level_at, mean_at_any_stop
from graders.stats.summary import summarise
from tests.report.handmade import write_results
from tests.specs import string_check


def test_the_level_allows_for_every_look() -> None:
    """Above 0.95 everywhere, strictest where there are few rows or very many."""
    levels = {n: level_at(n) for n in (50, 500, 5_000, 500_000)}

    assert all(0.99 < level < 1 for level in levels.values())
    assert min(levels, key=levels.__getitem__) == 500


STREAMS: list[Any] = [
    # true mean, rewards of n rows
    pytest.param(0.5, lambda c, n: (c.random(n) < 0.5).astype(float), id="passes"),
    pytest.param(0.98, lambda c, n: (c.random(n) < 0.98).astype(float), id="nearly all pass"),
    pytest.param(2 / 7, lambda c, n: c.beta(2, 5, n), id="continuous"),
    pytest.param(0.05, lambda c, n: np.where(c.random(n) < 0.9, 0.0, c.random(n)), id="nearly all 0"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("true", "draw"), STREAMS)
def test_the_interval_holds_where_the_run_stops(
    true: float, draw: Callable[[Any, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 200 runs that are looked at every 10 rows and stop when 0.1 is reached, at least 95 % hold the true mean."""
    monkeypatch.setattr(resampling, "DRAWS", 1000)
    chance, held = np.random.default_rng(7), 0
    for _ in range(200):
        rewards = draw(chance, 4000)
        looks = range(MIN_ITEMS, len(rewards), 10)
        stop = next(n for n in looks if is_narrow(rewards[:n], None, (0.0, 1.0), 0.1))
        found = mean_at_any_stop(rewards[:stop], None, (0.0, 1.0))
        held += found.low <= true <= found.high

    assert held / 200 >= 0.95


@pytest.mark.slow
def test_the_interval_holds_for_any_stopping_rule() -> None:
    """Stopping where the mean looks best misses the truth in at most 5 % of 400 runs; a fixed level misses far more."""
    chance, missed, missed_by_fixed = np.random.default_rng(3), 0, 0
    z = np.array([distributions.normal.inv_cdf((1 + level_at(n)) / 2) for n in range(50, 3001)])
    for _ in range(400):
        rewards = chance.random(3000)
        n = np.arange(1, 3001)
        means = np.cumsum(rewards) / n
        errors = np.sqrt(np.maximum(np.cumsum(rewards**2) / n - means**2, 0) / n)
        off = np.abs(means - 0.5)[49:] / errors[49:]
        missed += bool((off > z).any())
        missed_by_fixed += bool((off > 1.96).any())

    assert missed / 400 <= 0.05
    assert missed_by_fixed / 400 > 0.3


def test_a_watcher_reads_new_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher reads whole lines, leaves failed rows out, and counts repeats as their item."""
    monkeypatch.setattr("graders.stats.sequential.LOOK_S", 0.0)
    path = write_results(tmp_path / "r.jsonl", [{"id": "x", "reward": None}])
    watcher = WidthWatcher(path, 0.3)
    line = '{"id":"%s","reward":%s,"ok":true}\n'

    with path.open("a") as file:
        file.writelines(line % (f"q0#{n}" if n else "q0", float(n % 2)) for n in range(400))
        file.write('{"id":"torn"')
    of_one_item = watcher.update()
    with path.open("a") as file:
        file.write(',"reward":1.0,"ok":true}\n')
        file.writelines(line % (f"r{n}", float(n % 2)) for n in range(4000))

    assert not of_one_item
    assert watcher.update()


def test_a_run_stops_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--until-width`: fewer rows than the data has, an interval as narrow as asked, which a later report keeps."""
    monkeypatch.setattr("graders.stats.sequential.LOOK_S", 0.0)
    monkeypatch.setattr("graders.batch.grading.PART_S", 0.0)
    spec, data, results = tmp_path / "s.json", tmp_path / "d.jsonl", tmp_path / "r.jsonl"
    spec.write_text(json.dumps(string_check()))
    data.write_text(
        "".join(f'{{"id": {n}, "sample": "{n * 7 % 3}", "item": {{"answer": "1"}}}}\n' for n in range(60_000))
    )
    arguments = ["batch", str(spec), str(data), "-o", str(results), "--until-width", "0.1"]

    out = CliRunner().invoke(group, arguments, standalone_mode=False)
    found = summarise(gather(results))

    assert out.return_value == 0
    assert "known as closely as --until-width asks" in out.output
    assert found.rewards is not None
    assert MIN_ITEMS < found.rows < 60_000
    assert found.rewards.mean.width <= 0.1
    assert found.rewards.mean.width > 2 * 1.96 * math.sqrt(2 / 9 / found.rows)
