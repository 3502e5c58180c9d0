"""Suites: tests of graders on data, defined by tables of graders.toml or of a YAML file.

    [tests.capitals]
    spec = "capitals.grader.json"
    data = "answers.jsonl"
    fail_under = 0.8

    suite = read_suite("graders.toml")
    suite.tests["capitals"].fail_under

Paths are relative to the suite's file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from graders.batch.selection import Condition, Selection
from graders.config import files
from graders.config.config import ConfigError, config_of
from graders.datasets.read import FORMATS, files_of
from graders.datasets.rows import DataError
from graders.errors import Problem, SpecError
from graders.jsontext import text_of_file
from graders.spec.problems import Problems
from graders.spec.reading import Source, parse_text
from graders.spec.translation import OneOf, translate

YAML_ENDINGS = (".yaml", ".yml")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


#: A text, or a list of texts.
Texts = Annotated[list[str], BeforeValidator(_listed)]


class SuiteTest(BaseModel):
    """A grader, its data, and its gates. The keys are named as the options of `grader batch`.

    Attributes:
        spec: The grader's file; for a document with several graders, `grader` is the name of one.
        data: Files, patterns or folders.
        filter: Conditions such as `topic=algebra`.
        tags: Words for `grader test --tag`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    spec: str
    data: Texts
    grader: str | None = None
    sample_field: str | None = None
    item_field: str | None = None
    id_field: str | None = None
    map: dict[str, str] = {}
    format: Annotated[str, OneOf(lambda: FORMATS)] | None = None
    filter: Texts = []
    sample: int | None = Field(None, ge=1)
    seed: int = 0
    limit: int | None = Field(None, ge=1)
    repeat: int = Field(1, ge=1)
    fail_under: float | None = None
    surely: bool = False
    min_coverage: float | None = Field(None, ge=0, le=1)
    inconclusive: Literal["fail", "pass"] = "fail"
    pass_threshold: float | None = None
    tags: Texts = []

    def selection(self, limit: int | None = None) -> Selection:
        """The selection of rows, at most `limit`.

        Raises:
            ValueError: a condition of `filter` is not valid.
        """
        conditions = tuple(map(Condition.parse, self.filter))
        least = min((n for n in (self.limit, limit) if n is not None), default=None)
        return Selection(conditions, None, self.sample, self.seed, least, self.repeat)


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests by name, in their file's order."""

    file: Path
    tests: Mapping[str, SuiteTest]

    def path(self, name: str) -> Path:
        """The path of a file that a test names, relative to the suite."""
        return self.file.parent / name

    def chosen(
        self, names: Sequence[str] = (), tags: Sequence[str] = (), without_tags: Sequence[str] = ()
    ) -> Suite:
        """The tests that match one of the name patterns, have one of `tags`, and none of `without_tags`."""

        def fits(name: str, test: SuiteTest) -> bool:
            return (
                (not names or any(fnmatchcase(name, pattern) for pattern in names))
                and (not tags or not set(tags).isdisjoint(test.tags))
                and set(without_tags).isdisjoint(test.tags)
            )

        return replace(self, tests={name: test for name, test in self.tests.items() if fits(name, test)})


def read_suite(path: str | Path) -> Suite:
    """Read the suite in a file: TOML, or YAML by its ending.

    Raises:
        SpecError: a test is not valid; it lists every problem with file, test and key.
        ConfigError: the file cannot be read, or is not a graders.toml.
    """
    path = Path(path)
    try:
        file = files.read_file(path)
    except files.NotUsable as error:
        raise ConfigError(str(error)) from None
    if path.suffix not in YAML_ENDINGS:
        return suite_in(Source(config_of(file).tables, file=str(path)))
    try:
        text = text_of_file(file.content)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    source = parse_text(text, str(path), yaml=True)
    others = sorted(set(source.value) - {"tests"}) if isinstance(source.value, dict) else ["tests"]
    if others:
        raise ConfigError(
            f"{path}: a suite in YAML has one key, tests; {', '.join(map(str, others))} belongs into graders.toml"
        )
    return suite_in(source)


def suite_in(source: Source) -> Suite:
    """The suite in a document's `tests`.

    Raises:
        SpecError: a test is not valid.
    """
    problems = Problems()
    tables = source.value.get("tests", {})
    if not isinstance(tables, Mapping):
        problems.error("'tests' has to be tables by the tests' names", "invalid_type", "tests")
        tables = {}
    suite = Suite(Path(source.file), {})
    tests = {}
    for name, table in tables.items():
        at = problems.at("tests", str(name))
        try:
            tests[str(name)] = SuiteTest.model_validate(table)
        except ValidationError as error:
            translate(error, SuiteTest, at)
            continue
        _check_test(suite, tests[str(name)], at)
    if problems.problems:
        raise SpecError(_placed(source, problem) for problem in problems.problems)
    return replace(suite, tests=tests)


def _placed(source: Source, problem: Problem) -> Problem:
    """The problem with its file, its key in the message, and for YAML its line."""
    line, column = (0, 0) if source.positions is None else source.positions.locate(problem.path)
    message = problem.message if problem.path in problem.message else f"{problem.path}: {problem.message}"
    return replace(problem, message=message, file=source.file, line=line, column=column)


def _check_test(suite: Suite, test: SuiteTest, problems: Problems) -> None:
    """Report the mistakes of a well-formed table: missing files, no gate, invalid conditions."""
    if not suite.path(test.spec).is_file():
        message = f"{problems.where('spec')}: there is no file {suite.path(test.spec)}"
        problems.error(message, "unreadable_file", "spec")
    for name in test.data:
        try:
            missing = [file for file in files_of(str(suite.path(name))) if not Path(file).exists()]
            message = f"there is no file {missing[0]}" if missing else ""
        except DataError as error:
            message = str(error)
        if message:
            problems.error(f"{problems.where('data')}: {message}", "unreadable_file", "data")
    if test.fail_under is None and test.min_coverage is None:
        message = f"{problems.where()} can not fail: it needs fail_under, min_coverage or both"
        problems.error(message, "no_demand")
    try:
        test.selection()
    except ValueError as error:
        problems.error(f"{problems.where('filter')}: {error}", "invalid_value", "filter")
