"""The adapters in the frameworks themselves. Each test needs its framework, which no extra of ours installs:

    python -m venv .venv-trl && .venv-trl/bin/pip install torch trl tinker-cookbook pytest hypothesis -e .
    .venv-trl/bin/python -m pytest -m slow tests/adapters/test_frameworks.py

and the same with `inspect-ai verifiers`, and with `eval-protocol`; these three sets do not go into one environment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.adapters import RowFailed
from graders.engine.backends import Backends
from tests.adapters.golden import SPEC, UNSOUND, expected, rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with Backends() as backends:
        yield backends


@pytest.mark.filterwarnings("default")
def test_trl_grpo(tmp_path: Path, backends: Backends) -> None:
    """Two GRPO steps on a tiny random model: what TRL logs as rewards is what run_batch gives for its completions."""
    pytest.importorskip("trl", reason="pip install torch trl")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    from graders.adapters.trl import reward_func

    letters = {
        token: number for number, token in enumerate(["<pad>", "<eos>", *"abcdefghijklmnopqrstuvwxyz 0123"])
    }
    model = Tokenizer(models.WordLevel(letters, unk_token="<pad>"))
    model.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", eos_token="<eos>")
    config = Qwen2Config(
        vocab_size=len(letters),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=1,
    )
    dataset = Dataset.from_list(
        [{"prompt": f"say {word}", "answer": word} for word in ("ab", "cd", "ef", "gh")]
    )

    reward = reward_func(SPEC, item={"answer": "answer"}, backends=backends)
    calls: list[tuple[list[Any], list[str], list[float | None]]] = []

    def recorded(prompts: Any, completions: Any, answer: Any, **more: Any) -> list[float | None]:
        rewards = reward(prompts=prompts, completions=completions, answer=answer, **more)
        calls.append((list(completions), list(answer), rewards))
        return rewards

    recorded.__name__ = "many"
    arguments = GRPOConfig(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=8,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        seed=1,
    )
    trainer = GRPOTrainer(
        model=Qwen2ForCausalLM(config),
        reward_funcs=recorded,
        args=arguments,
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    trainer.train()

    assert len(calls) >= 2
    means = []
    for completions, answers, rewards in calls:
        batch = [{"sample": c, "answer": a} for c, a in zip(completions, answers, strict=True)]
        assert rewards == expected(SPEC, batch, backends)
        means.append(sum(rewards) / len(rewards))  # type: ignore[arg-type]  # none failed
    logged = [
        entry["rewards/many/mean"] for entry in trainer.state.log_history if "rewards/many/mean" in entry
    ]
    # TRL averages in float32
    assert logged == pytest.approx(means[: len(logged)], rel=1e-6)
    assert len(logged) == 2


def test_inspect_scorer(backends: Backends) -> None:
    """On real TaskStates: the reward as the score, a failed row unscored and left out of the mean."""
    pytest.importorskip("inspect_ai", reason="pip install inspect-ai")
    from inspect_ai.model import ModelName, ModelOutput
    from inspect_ai.scorer import SampleScore, Target, mean
    from inspect_ai.solver import TaskState

    from graders.adapters.inspect_ai import grader_scorer

    some = rows(20)

    async def scores(spec: Any, samples: list[str], answers: list[str]) -> list[Any]:
        scorer = grader_scorer(spec, item={"answer": "target"}, backends=backends)
        made = []
        for number, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
            output = ModelOutput.from_content("mockllm/model", sample)
            state = TaskState(
                model=ModelName("mockllm/model"),
                sample_id=number,
                epoch=1,
                input="q",
                messages=[],
                output=output,
                metadata={"level": 1},
            )
            made.append(await scorer(state, Target(answer)))
        return made

    good = asyncio.run(scores(SPEC, [r["sample"] for r in some], [r["answer"] for r in some]))
    assert [score.value for score in good] == expected(SPEC, some, backends)
    assert set(good[0].metadata["sub_rewards"]) == {"exact", "close", "length"}

    mixed = asyncio.run(scores(UNSOUND, ["a", "fail", "b"], ["a", "a", "a"]))
    assert mixed[1].value != mixed[1].value, "not a number: unscored"
    assert "python_grader_runtime_error" in mixed[1].explanation
    assert mean()([SampleScore(score=score) for score in (mixed[0], mixed[2])]) == 0.5


def test_verifiers_task(backends: Backends) -> None:
    """As @vf.reward and @vf.metric of a real Task, scored by its own `score`."""
    vf = pytest.importorskip("verifiers.v1", reason="pip install verifiers")
    from graders.adapters.verifiers import reward_of

    graded = reward_of(SPEC, item=lambda task: {"answer": task.data.answer}, backends=backends)
    unsound = reward_of(UNSOUND, item=lambda task: {"answer": task.data.answer}, backends=backends)

    class Data(vf.TaskData):  # type: ignore[misc, name-defined]  # verifiers may be absent
        answer: str

    class Graded(vf.Task[Data]):  # type: ignore[misc, name-defined]  # verifiers is not installed everywhere
        many = vf.reward(weight=2.0)(graded)

    class Unsound(vf.Task[Data]):  # type: ignore[misc, name-defined]  # verifiers is not installed everywhere
        many = vf.reward(unsound)

    some = rows(10)
    for row, reward in zip(some, expected(SPEC, some, backends), strict=True):
        task = Graded(Data(answer=row["answer"], prompt=row["prompt"]), vf.TaskConfig())
        trace = _Trace(vf.AssistantMessage(content=row["sample"]))
        asyncio.run(task.score(trace))
        assert trace.recorded == {"many": (reward, 2.0)}
    with pytest.raises(Exception, match="python_grader_runtime_error"):
        asyncio.run(
            Unsound(Data(answer="a", prompt="q"), vf.TaskConfig()).score(
                _Trace(vf.AssistantMessage(content="fail"))
            )
        )


class _Trace:
    """What Task.score touches of a trace: building a real one takes a finished rollout."""

    def __init__(self, message: Any) -> None:
        self.messages = [message]
        self.rewards: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self.recorded: dict[str, tuple[float, float]] = {}

    def record_reward(self, name: str, value: float, weight: float) -> None:
        self.recorded[name] = (value, weight)


def test_eval_protocol_rows(backends: Backends) -> None:
    """Real rows and results: the fields fit, a failed row is not valid; the generated module runs."""
    pytest.importorskip("eval_protocol", reason="pip install eval-protocol")
    from eval_protocol.models import EvaluateResult, EvaluationRow, Message, MetricResult

    from graders.adapters.eval_protocol import evaluator
    from graders.documents.convert import convert
    from graders.spec.reading import Source

    def row_of(sample: str, answer: str) -> Any:
        messages = [Message(role="user", content="q"), Message(role="assistant", content=sample)]
        return EvaluationRow(messages=messages, ground_truth=answer)

    some = rows(10)
    evaluate = evaluator(SPEC, item={"answer": "ground_truth"}, backends=backends)
    for row, reward in zip(some, expected(SPEC, some, backends), strict=True):
        fields = evaluate(row_of(row["sample"], row["answer"]))
        result = EvaluateResult(
            **{**fields, "metrics": {k: MetricResult(**v) for k, v in fields["metrics"].items()}}
        )
        assert (result.score, result.is_score_valid) == (reward, True)
    failed = EvaluateResult(**evaluator(UNSOUND, backends=backends)(row_of("fail", "a")))
    assert not failed.is_score_valid

    spec = json.loads(json.dumps(SPEC).replace("item.answer", "item.ground_truth"))
    spec["graders"].pop("length")
    spec["calculate_output"] = "0.5 * exact + 0.5 * close"
    scope: dict[str, Any] = {}
    exec(compile(convert(Source(spec), "eval-protocol").document, "generated", "exec"), scope)
    graded = scope["evaluate_many"](row_of("x", "x")).evaluation_result
    assert (graded.score, set(graded.metrics)) == (1.0, {"exact", "close"})


def test_tinker_problem(backends: Backends) -> None:
    """A ProblemEnv's own step adds our reward to its format term."""
    pytest.importorskip("tinker_cookbook", reason="pip install torch tinker-cookbook")
    from tinker_cookbook.rl.problem_env import ProblemEnv

    from graders.adapters.tinker import GradedProblem

    class Termination:
        is_stop_sequence = is_clean = True

    class Renderer:
        """Hands back the text that the test put in."""

        def __init__(self, text: str) -> None:
            self.text = text

        def parse_response(self, action: Any) -> Any:
            return {"role": "assistant", "content": self.text}, Termination()

        def get_stop_sequences(self) -> list[int]:
            return [0]

    class Problem(GradedProblem, ProblemEnv):  # type: ignore[misc]  # tinker_cookbook may be absent
        grader = graders.compile(SPEC, backends=backends)

        def __init__(self, row: dict[str, Any]) -> None:
            super().__init__(Renderer(row["sample"]))
            self.row = row

        def get_question(self) -> str:
            return str(self.row["prompt"])

        def check_format(self, sample_str: str) -> bool:
            return True

        def get_reference_answer(self) -> str:
            return str(self.row["answer"])

        def grader_item(self) -> dict[str, Any]:
            return {"answer": self.row["answer"]}

    some = rows(10)
    rewards = [asyncio.run(Problem(row).step([1])).reward for row in some]
    assert rewards == expected(SPEC, some, backends)

    class Unsound(Problem):
        grader = graders.compile(UNSOUND, backends=backends)

    with pytest.raises(RowFailed):
        asyncio.run(Unsound({"prompt": "q", "answer": "a", "sample": "fail"}).step([1]))


def test_openrlhf_function(backends: Backends) -> None:
    """The file form: tensors of float32, one a query."""
    torch = pytest.importorskip("torch", reason="pip install torch")
    from graders.adapters.openrlhf import reward_func_of

    some = rows(20)
    reward_func = reward_func_of(SPEC, item={"answer": "label"}, backends=backends)
    graded = reward_func(
        [row["prompt"] + row["sample"] for row in some],
        [row["prompt"] for row in some],
        [row["answer"] for row in some],
    )

    assert torch.equal(graded["rewards"], torch.tensor(expected(SPEC, some, backends)))
    assert set(graded["extra_logs"]) == {"exact", "close", "length"}
