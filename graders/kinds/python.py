"""python: the spec's own `grade(sample, item)`, run in the sandbox."""

from __future__ import annotations

import ast
import warnings
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

CODE_MAX_BYTES = 256 * 1024  # the service's own cap
#: The tag that Evals fills in (recorded); fine-tuning's validate fills in none. There is one image here.
IMAGE_TAG = "2025-05-08"


class PythonSpec(SpecModel):
    """What `grade(sample, item)` of `source` returns: any finite number, never clamped."""

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
                "image_tag", "image_tag",
            )  # fmt: skip
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
        mistake = _source_mistake(source)
        if mistake:  # the service creates such a grader and fails its rows (docs/parity.md)
            problems.lenient(mistake, "invalid_source", "source")

    def to_json(self) -> dict[str, Json]:
        return {**super().to_json(), "image_tag": self.image_tag}

    def build(self, options: Options) -> Python:
        return Python(self)

    def reward_range(self) -> None:
        return None

    def program(self) -> str:
        return self.source


def _source_mistake(source: str) -> str:
    """Why no row can be graded with this source; "" when nothing is wrong that can be seen without running it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in the user's text is not our warning
            tree = ast.parse(source)
    except SyntaxError as error:
        return f"The source does not compile: {error.msg}, line {error.lineno}."
    except (ValueError, RecursionError, MemoryError) as error:
        return f"The source does not compile: {error or type(error).__name__}."
    bound = [name for node in tree.body for name in _bound_names(node)]
    functions = [
        n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == "grade"
    ]
    if not functions:
        # defined in an if, imported, assigned: only running it tells
        return "" if "grade" in bound or "*" in bound else "The source does not define grade(sample, item)."
    grade = functions[-1]
    if isinstance(grade, ast.AsyncFunctionDef):
        return "grade must be a plain function, not async."
    arguments = grade.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    needs_keyword = any(default is None for default in arguments.kw_defaults)
    if needed > 2 or needs_keyword or (positional < 2 and arguments.vararg is None):
        return f"grade takes (sample, item): two positional parameters, not {ast.unparse(arguments)!r}."
    return ""


def _bound_names(node: ast.stmt) -> list[str]:
    """The names that a top-level statement other than a plain function may bind."""
    names = [
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    ]
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Import, ast.ImportFrom)):
            names += [alias.asname or alias.name for alias in inner.names]
        elif isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
            names.append(inner.name)
    return names


class Python(Kind):
    n_asks = 1

    def __init__(self, spec: PythonSpec) -> None:
        self._source = spec.source

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        sample, item = json_value(row.sample.complete(), "sample"), json_value(row.item, "item")
        return (CodeAsk(self._source, sample, item, row.id),)

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        reply = unwrap(answers[0], CodeReply)
        return Score(reply.value, provenance={"sandbox": reply.tier})
