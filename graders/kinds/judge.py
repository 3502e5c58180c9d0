"""The base of score_model and label_model: a model, its messages, one ask, one verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graders.ask import Answer, Ask, ModelAsk, ModelReply, unwrap
from graders.errors import GradeError
from graders.kinds.messages import (
    Messages,
    MessageSpec,
    SamplingParams,
    check_messages,
    check_model,
    lenient_input,
    lenient_sampling,
    message_texts,
)
from graders.result import JudgeUsage, Score
from graders.row import Row
from graders.spec.kind import Kind
from graders.spec.model import Field, SpecModel
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json
from graders.template import check_rendered
from graders.verdict import Verdict


class JudgeSpec(SpecModel):
    model: str = Field(description="Any name; the model map of graders.toml says where it goes.")
    input: list[MessageSpec]
    sampling_params: SamplingParams = SamplingParams()

    @classmethod
    def lenient(cls, raw: dict[str, Json], problems: Problems) -> dict[str, Json]:
        return lenient_input(lenient_sampling(super().lenient(raw, problems), problems))

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        check_model(raw.get("model"), problems)
        check_messages(raw.get("input"), problems)

    def templates(self) -> Iterator[tuple[str, str]]:
        return message_texts(self.input)

    def judge(self) -> str:
        return self.model


class Judge(Kind):
    """Asks a model once a row; subclasses turn its verdict into a score."""

    n_asks = 1

    def __init__(self, spec: JudgeSpec, verdict: Verdict, options: Options) -> None:
        self.model = spec.model
        self.messages = Messages(spec.input, options)
        self._verdict = verdict
        self._sampling = spec.sampling_params.build()
        self.provenance = {"harden": True} if options.harden else {}

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        ask = ModelAsk(self.model, self.messages.render(row), self._verdict, self._sampling)
        check_rendered(ask.n_chars)
        return (ask,)

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        reply = unwrap(answers[0], ModelReply)
        return Score(
            self.value(reply.verdict),
            judge_usage=(JudgeUsage(self.model, reply.model, reply.usage),),
            provenance={"judge": {"verdict": reply.verdict, "text": reply.text, **reply.provenance}},
        )

    def value(self, verdict: float | str) -> float:
        """The reward for a verdict."""
        raise NotImplementedError(f"{type(self).__name__} has no value")
