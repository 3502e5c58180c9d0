"""python: the spec's own `grade(sample, item)`, run in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from graders.ask import Answer, Ask, CodeAsk, CodeReply, unwrap
from graders.errors import GradeError
from graders.result import Score
from graders.row import Row
from graders.spec.kind import Kind
from graders.spec.model import Field, SpecModel
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json
from graders.values import json_value

#: The service's own cap.
CODE_MAX_BYTES = 256 * 1024
#: The tag that Evals fills in (recorded); fine-tuning's validate fills in none. This project has one image.
IMAGE_TAG = "2025-05-08"

#: Modules of the hosted image whose package has another name.
PACKAGES = {
    "ast_grep_py": "ast-grep-py",
    "rouge_score": "rouge-score",
    "skbio": "scikit-bio",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


class PythonSpec(SpecModel):
    """The number that `grade(sample, item)` of `source` returns: any finite one, never clamped."""

    hosted: ClassVar[bool] = True

    type: Literal["python"]
    source: str = Field(description="A Python module that defines grade(sample, item) and returns a number.")
    image_tag: str = Field(IMAGE_TAG, description="Accepted; the sandbox here has one image.")

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        source, tag = raw.get("source"), raw.get("image_tag")
        if isinstance(tag, str) and tag != IMAGE_TAG:
            problems.warn(
                f"image_tag '{tag}' is run with this machine's Python and packages, like every tag.",
                "image_tag",
                "image_tag",
            )
        if not isinstance(source, str):
            return
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > CODE_MAX_BYTES:
            problems.error(
                f"Invalid 'source': it has {size} bytes; the limit is {CODE_MAX_BYTES}.",
                "source_too_large",
                "source",
            )
            return
        # parsed in a process of its own, since a source can make Python's compiler take minutes, or crash
        from graders_sandbox import SandboxUnavailable, read_source
        from graders_sandbox.host.sources.imports import HOSTED

        try:
            facts = read_source(source)
        except (SandboxUnavailable, OSError) as error:
            problems.warn(f"The source was not read: {error}.", "source_not_read", "source")
            return
        # the service creates such a grader and fails its rows (docs/parity.md)
        if facts.mistake:
            source = "a recorded eval with such a grader was created, and failed every row"
            problems.lenient(facts.mistake, "invalid_source", "source", source=source)
        if facts.advice:
            problems.warn(facts.advice, "grade_signature", "source")
        for name in facts.missing:
            where = "It is in the hosted image; install" if name in HOSTED else "Install"
            problems.warn(
                f"The source imports '{name}', which is not installed here: rows that need it fail, or are graded by "
                f"whatever the program does without it. {where}: pip install {PACKAGES.get(name, name)}.",
                "missing_package",
                "source",
            )

    def to_json(self) -> dict[str, Json]:
        return {**super().to_json(), "image_tag": self.image_tag}

    def build(self, options: Options) -> Python:
        return Python(self)

    def reward_range(self) -> None:
        return None

    def program(self) -> str:
        return self.source


class Python(Kind):
    n_asks = 1

    def __init__(self, spec: PythonSpec) -> None:
        self._source = spec.source

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        sample, item = json_value(row.sample.complete(), "sample"), json_value(row.item, "item")
        return (CodeAsk(self._source, sample, item, row.id),)

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        reply = unwrap(answers[0], CodeReply)
        printed = {"printed": reply.printed} if reply.printed else {}
        return Score(reply.value, provenance={"sandbox": reply.tier, **printed})
