"""Runs suites: each test's data is graded as by `grader batch` and checked against the test's gates.

suite = read_suite("graders.toml")
with graders.Backends() as backends:
    for outcome in SuiteRun(suite, compile_suite(suite, backends), "results").outcomes():
        print(outcome.name, outcome.verdict)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from graders.batch.progress import Progress, Run, Stop
from graders.batch.run import grade_dataset
from graders.datasets.rows import DataError
from graders.documents.reading import read_document
from graders.engine.compile import compile
from graders.errors import Problem, SpecError
from graders.report.report import Report, ReportRow, make_report
from graders.results.read import ResultsError
from graders.spec.reading import load
from graders.stats.gates import Gate, all_pass
from graders.testing.suites import Suite, SuiteTest
from graders.usage import Usage

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.engine.grader import Grader

Verdict = Literal["passed", "failed", "error", "interrupted"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a test of a suite.

    Attributes:
        name: The test's.
        verdict: "error" when the grading itself broke, or no row could be graded; "interrupted" when not all rows were.
        error: Why it broke; "" when it did not.
        report: What its results say; None without results.
        results: Its results file.
    """

    name: str
    test: SuiteTest
    verdict: Verdict
    error: str
    report: Report | None
    results: Path
    seconds: float

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates of the test; () if they were not decided."""
        return () if self.report is None or self.verdict == "interrupted" else self.report.gates

    @property
    def unmet(self) -> tuple[Gate, ...]:
        """The gates that are not met."""
        return tuple(gate for gate in self.gates if not gate.met)

    def worst(self, n: int) -> list[ReportRow]:
        """Up to `n` rows: failed ones, then the lowest rewards that do not pass or are below `fail_under`."""
        if self.report is None:
            return []
        threshold = self.report.summary.threshold
        wanted = self.test.fail_under if threshold is None else threshold
        rows = [
            row
            for row in self.report.rows
            if row.row.reward is None or (wanted is not None and row.row.reward < wanted)
        ]
        return sorted(rows, key=lambda row: (row.row.reward is not None, row.row.reward or 0.0))[:n]

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON, without rows."""
        return {
            "name": self.name,
            "tags": self.test.tags,
            "verdict": self.verdict,
            "error": self.error,
            "seconds": round(self.seconds, 3),
            "report": None if self.report is None else self.report.to_json(),
        }


def compile_suite(suite: Suite, backends: Backends, *, strict: bool = False) -> Mapping[str, Grader]:
    """The graders of all tests, by the tests' names.

    Raises:
        SpecError: a spec is not valid; it lists the problems of all specs.
    """
    graders: dict[str, Grader] = {}
    problems: list[Problem] = []
    for name, test in suite.tests.items():
        try:
            document = read_document(load(suite.path(test.spec)))
            sources = document.only(test.grader).sources if test.grader is not None else document.sources
            if len(sources) > 1:
                known = ", ".join(map(repr, sources))
                message = f"tests.{name}.grader is missing: {test.spec} holds several graders ({known})"
                problems.append(Problem("", message, "missing_required_parameter", file=str(suite.file)))
                continue
            (source,) = sources.values()
            graders[name] = compile(source, backends=backends, strict=strict)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(dict.fromkeys(problems))
    return graders


class SuiteRun:
    """Runs the tests of a suite one after the other."""

    def __init__(
        self,
        suite: Suite,
        graders: Mapping[str, Grader],
        folder: str | Path,
        *,
        limit: int | None = None,
        price: Callable[[str, Usage], float | None] = lambda model, usage: None,
        progress: Callable[[str, Progress], None] | None = None,
        stop: Stop | None = None,
    ) -> None:
        """
        Args:
            graders: The result of `compile_suite`.
            folder: Folder for results, `NAME.jsonl` for each test; those of an earlier run are overwritten.
            limit: Largest number of rows of a test.
            price: As for `make_report`.
            progress: Called a few times a second with the test's name.
            stop: As for `grade_dataset`; the tests after a stop are not run, which is the verdict "interrupted" as
                well.
        """
        self._suite, self._graders, self._folder = suite, graders, Path(folder)
        self._limit, self._price, self._progress, self._stop = limit, price, progress, stop

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes, each as soon as its test has ended."""
        for name, test in self._suite.tests.items():
            started = time.monotonic()
            # characters that a file system may refuse are percent-encoded
            results = self._folder / f"{quote(name, safe=' ')}.jsonl"
            try:
                verdict, error, report = self._judged(name, test, results)
            except KeyboardInterrupt:
                if self._stop is None:
                    raise
                verdict, error, report = "interrupted", "", None
            yield Outcome(name, test, verdict, error, report, results, time.monotonic() - started)

    def _judged(self, name: str, test: SuiteTest, results: Path) -> tuple[Verdict, str, Report | None]:
        if self._stop is not None and self._stop.requested:
            return "interrupted", "", None
        try:
            run = self._graded(name, test, results)
            report = make_report(
                results,
                fail_under=test.fail_under,
                min_coverage=test.min_coverage,
                surely=test.surely,
                pass_threshold=test.pass_threshold,
                price=self._price,
            )
        except (DataError, ResultsError) as error:
            return "error", str(error), None
        if run.interrupted:
            return "interrupted", "", report
        if broken := _broken(run):
            return "error", broken, report
        passed = all_pass(report.gates, inconclusive=test.inconclusive)
        return "passed" if passed else "failed", "", report

    def _graded(self, name: str, test: SuiteTest, results: Path) -> Run:
        progress = self._progress
        return grade_dataset(
            self._graders[name],
            [str(self._suite.path(data)) for data in test.data],
            str(results),
            force=True,
            sample_field=test.sample_field,
            item_field=test.item_field,
            id_field=test.id_field,
            item_map=test.map,
            selection=test.selection(self._limit),
            format=test.format,
            progress=None if progress is None else lambda now: progress(name, now),
            stop=self._stop,
        )


def _broken(run: Run) -> str:
    """The reason why the results are useless; "" when they are not."""
    if run.broken:
        return run.broken
    if not run.tally.rows:
        return "the test chooses no row of its data"
    if not run.tally.scored:
        return "no row could be graded"
    return ""
