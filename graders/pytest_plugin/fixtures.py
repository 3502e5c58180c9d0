"""The plugin's fixtures, described in docs/pytest.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from graders.pytest_plugin.rewards import Reward, graded_of, reward_of
from graders.pytest_plugin.state import STATE

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.judges.scripted import ScriptedJudge
    from graders.testing.golden import Golden
    from graders_sandbox import Limits


@pytest.fixture
def grader(request: pytest.FixtureRequest) -> Grader:
    """This test's compiled grader, by its marker `grader(spec)` or `grader_rows(spec=)`, --grader-spec, or the ini file."""
    if "fake_judge" in request.fixturenames:
        request.getfixturevalue("fake_judge")
    return request.config.stash[STATE].grader(request.node)


@pytest.fixture(scope="session")
def grade(request: pytest.FixtureRequest) -> Callable[..., Reward]:
    """grade(sample, item=None, *, spec=None, id=""): the Reward of one sample, by this test's spec or another."""
    state = request.config.stash[STATE]

    def grade(
        sample: Any,
        item: Mapping[str, Any] | None = None,
        *,
        spec: Any = None,
        id: str = "",  # noqa: A002  # the keyword is named as in rows
    ) -> Reward:
        return reward_of(state.grader(state.running(), spec), sample, item, id)

    return grade


@pytest.fixture
def reward(request: pytest.FixtureRequest, row: Mapping[str, Any], grader: Grader) -> Reward:
    """The Reward of this test's row, for its `sample`, else its `gold`. Needs the marker grader_rows."""
    return reward_of(grader, *graded_of(row), row["id"])


@pytest.fixture
def row() -> Mapping[str, Any]:
    """This test's row of the file named by its marker grader_rows, with its id."""
    raise pytest.UsageError("`row` and `reward` need @pytest.mark.grader_rows('rows.jsonl') on the test")


@pytest.fixture(scope="session")
def grader_batch(request: pytest.FixtureRequest) -> Callable[..., list[Reward]]:
    """grader_batch(rows, *, spec=None): a Reward for each row ({"sample" or "gold", "item", "id"}) or file of rows, in order."""
    state = request.config.stash[STATE]

    def grader_batch(rows: Iterable[Mapping[str, Any]] | str | Path, *, spec: Any = None) -> list[Reward]:
        item = state.running()
        grader = state.grader(item, spec)
        if isinstance(rows, (str, Path)):
            from graders.datasets.load import load_rows

            rows = load_rows(state.located(rows, item))
        whole = []
        for row in rows:
            sample, of_row = graded_of(row)
            whole.append({"sample": sample, "item": of_row, "id": str(row.get("id", ""))})
        results = grader.run_batch(whole)
        return [
            Reward(grader, result, row["sample"], row["item"])
            for row, result in zip(whole, results, strict=True)
        ]

    return grader_batch


@pytest.fixture
def sandbox_limits(request: pytest.FixtureRequest) -> Limits:
    """The sandbox limits of a python grader in this test: the marker's `limits`, over the ini key grader_limits."""
    return request.config.stash[STATE].backends(request.node).sandbox.limits


@pytest.fixture
def fake_judge(request: pytest.FixtureRequest) -> Iterator[ScriptedJudge]:
    """A scripted judge on loopback, to which all judges of this test are routed.

    `fake_judge.default = say({"result": 1.0})` answers every request, `fake_judge.queue(say(...), fail(429))` the next
    ones (`say` and `fail` are in graders.testing); `fake_judge.received` has the received requests.
    """
    from graders.judges.scripted import ScriptedJudge

    state = request.config.stash[STATE]
    with ScriptedJudge() as judge:
        state.judge = judge
        yield judge
        state.forget(judge)


@pytest.fixture
def grader_golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """grader_golden(rewards, *, name="", tolerance=None): compares rewards with the golden file, or writes it.

    `rewards` is one Reward (compared by its id) or all of them, as grader_batch returns them. The file is
    golden/<test file>__<test>.json beside the test, or golden/<name>.json; --grader-update writes it.
    """
    state = request.config.stash[STATE]

    def grader_golden(
        rewards: Reward | Iterable[Reward], *, name: str = "", tolerance: float | None = None
    ) -> None:
        __tracebackhide__ = True
        from graders.testing.golden import Golden

        several = not isinstance(rewards, Reward)
        graded = [rewards] if isinstance(rewards, Reward) else list(rewards)
        if not graded:
            raise ValueError("there is no reward to compare with the golden file")
        function = getattr(request.node, "originalname", None) or request.node.name
        file = f"{name or f'{request.path.stem}__{function}'}.json"
        golden: Golden = Golden(
            request.path.parent / request.config.getini("grader_golden_dir") / file,
            update=request.config.getoption("--grader-update"),
            parts=state.parts,
        )
        results = [reward.result for reward in graded]
        golden.check(graded[0].grader, results if several else results[0], tolerance=tolerance)

    return grader_golden
