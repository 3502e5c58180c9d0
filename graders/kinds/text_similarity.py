"""text_similarity: the similarity of two texts, 0 to 1, by the metric that the spec names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from graders.ask import Answer, Ask, EmbedAsk, EmbedReply, unwrap
from graders.errors import GradeError, Problem
from graders.kinds.columns import column
from graders.metrics import bind, facts_of, is_known, known_metrics
from graders.result import Score
from graders.row import Row
from graders.spec.kind import ColumnScores, GradeColumns, Kind, NotColumnar
from graders.spec.model import Field, SpecModel, TemplateText
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.translation import OneOf
from graders.spec.wording import Json
from graders.template import Template

#: The one metric that needs an embedder; every other is a function of the two texts.
COSINE = "cosine"


def metric_names() -> tuple[str, ...]:
    return (COSINE, *known_metrics())


class TextSimilaritySpec(SpecModel):
    """The similarity of `input` to `reference`, from 0 to 1."""

    hosted: ClassVar[bool] = True

    type: Literal["text_similarity"]
    input: TemplateText
    reference: TemplateText
    evaluation_metric: Annotated[str, OneOf(metric_names)] = Field(
        description="Which measure; docs/metrics.md defines each."
    )

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        problems.template(raw.get("input"), "input")
        problems.template(raw.get("reference"), "reference")
        metric, text = raw.get("evaluation_metric"), raw.get("reference")
        if metric == COSINE:
            problems.lenient(
                "'cosine' is documented for evals only, not for the run endpoint; here it runs with an embedder.",
                "cosine_evals_only",
                "evaluation_metric",
                source="the graders guide says so; Azure's answer to it is a 400",
            )
        if not isinstance(metric, str) or not is_known(metric):
            return
        facts = facts_of(metric)
        if problems.strict and not facts.hosted:
            message = f"The hosted service has no '{metric}' metric."
            problems.error(message, "not_hosted", "evaluation_metric")
        if facts.equal_texts and raw.get("pass_threshold") == 1:
            message = f"{facts.equal_texts}, so a pass_threshold of 1 is never met."
            problems.warn(message, f"{metric}_never_one", "pass_threshold")
        reference = Template(text).constant if isinstance(text, str) else None
        if reference is not None and (mistake := facts.reference_mistake(metric, reference)):
            problems.warn(f"{mistake.message}, so every score is 0.", mistake.code, "reference")

    def build(self, options: Options) -> Kind:
        return Cosine(self, options) if self.evaluation_metric == COSINE else TextSimilarity(self, options)

    def compared(self) -> tuple[str, str]:
        return self.input, self.reference

    def embedder_field(self) -> str:
        return "evaluation_metric" if self.evaluation_metric == COSINE else ""

    def reference_mistake(self, text: str) -> Problem | None:
        if not text.strip():
            message = "the reference is empty: nothing is similar to it"
            return Problem("reference", message, "empty_reference", "error")
        if self.evaluation_metric == COSINE:
            return None
        mistake = facts_of(self.evaluation_metric).reference_mistake(self.evaluation_metric, text)
        if mistake is None:
            return None
        message = f"{mistake.message}: the score is 0 whatever the output is"
        return Problem("reference", message, mistake.code, "error")


class TextSimilarity(Kind):
    def __init__(self, spec: TextSimilaritySpec, options: Options) -> None:
        name = spec.evaluation_metric
        self.metric = bind(name, options.metric_options.get(name), options.metrics)
        self.provenance = {"metric": self.metric.provenance}
        self.input = Template(spec.input, options.values)
        self.reference = Template(spec.reference, options.values)
        self._score = self.metric.score

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        return Score(self._score(self.input.render(row), self.reference.render(row)))

    def columns(self) -> GradeColumns:
        scores, got, want = self.metric.scores, column(self.input), column(self.reference)

        def grade(samples: Sequence[str], items: Sequence[Any]) -> ColumnScores:
            try:
                return ColumnScores(scores(got(samples, items), want(samples, items)))
            except GradeError:
                raise NotColumnar from None

        return grade


class Cosine(Kind):
    """The cosine of the two texts' vectors, which an embedder makes."""

    n_asks = 1

    def __init__(self, spec: TextSimilaritySpec, options: Options) -> None:
        self.input = Template(spec.input, options.values)
        self.reference = Template(spec.reference, options.values)

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        return (EmbedAsk((self.input.render(row), self.reference.render(row))),)

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        from graders.metrics.cosine import cosine

        reply = unwrap(answers[0], EmbedReply)
        return Score(cosine(*reply.vectors), provenance={"metric": {"metric": COSINE, **reply.provenance}})
