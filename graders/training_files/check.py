"""Checks files of training rows before a job: every error that the service would report after minutes, and more.

data = TrainingFile("supervised", "train.jsonl")
findings = Findings()
data.report(findings)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from graders.config.tuning import tuning_config
from graders.datasets.read import open_data
from graders.datasets.rows import UnreadableRow
from graders.documents.jobs import TRAIN_ROWS, job_method, method_problems, reinforcement_of
from graders.engine.compile import default_backends
from graders.preflight.check import check
from graders.preflight.findings import CheckReport, Findings, RowCount
from graders.spec.reading import load
from graders.spec.wording import Json
from graders.training_files.constant import constant_reward
from graders.training_files.conversation import DataRow, Fault
from graders.training_files.rows import METHODS
from graders.training_files.tokens import BaseTokens
from graders.wording import plural

#: Least number of rows of a job, by the service's error for fewer.
LEAST_ROWS = 10
#: Rows that are kept to try a grader on.
BEGIN_ROWS = 5
#: Validation rows that a reinforcement job accepts, by its guide.
VALIDATION_ROWS = 1000


class TrainingFile:
    """The rows of one file, read once.

    Attributes:
        n: Number of rows.
        first: The first error, in the service's words for a failed job; "" without one.
        digests: Digest of each distinct row's content -> its first line.
        begin: The first rows without errors.
    """

    def __init__(
        self, method: str, path: str | Path, *, name: str = "Training file", tokens: BaseTokens | None = None
    ) -> None:
        """
        Args:
            name: Its name in messages.
            tokens: The tokens of the base model.

        Raises:
            DataError: it cannot be read.
        """
        self.n = 0
        self.first = ""
        self.digests: dict[bytes, int] = {}
        self.begin: list[DataRow] = []
        self._tokens = tokens
        self._name = name
        self._method = METHODS[method]
        self._training = name == "Training file"
        self._is_reinforcement = method == "reinforcement"
        self._counts: dict[tuple[str, str], RowCount] = {}
        for number, row in rows_of(path):
            self.n += 1
            self._check_row(number, row)

    def _check_row(self, number: int, row: Json) -> None:
        if isinstance(row, UnreadableRow):
            fault = Fault(
                "unreadable_row", f"cannot be parsed. Error: line contains invalid json: {row.message}"
            )
            self._count(number, fault)
            return
        digest = blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=16).digest()
        before = self.digests.setdefault(digest, number)
        if before != number:
            self._count(number, Fault("duplicate_row", f"equals example {before}.", severity="warning"))
        faults = list(self._method.faults(row))
        if all(fault.severity != "error" for fault in faults):
            if len(self.begin) < BEGIN_ROWS:
                self.begin.append(row)
            if self._tokens is not None:
                faults += self._tokens.faults(self._method.for_trainer(row))
        for fault in faults:
            self._count(number, fault)

    def _count(self, number: int, fault: Fault) -> None:
        place = "" if fault.index is None else f", message {fault.index}:"
        text = f"Example {number}{place} {fault.message}"
        if fault.severity == "error" and not self.first:
            self.first = text
        self._counts.setdefault((fault.severity, fault.code), RowCount(text)).add(f"example {number}", number)

    def errors(self) -> Iterator[tuple[str, str]]:
        """Code and message of the error that fails a job, in the service's words: of rows first, then of their number."""
        if self.first:
            yield (
                "invalid_file_format",
                f"The job failed due to a file format error in the {self._name.lower()}. Invalid file format. "
                f"{self.first}",
            )
        if self._training and self.n < LEAST_ROWS:
            text = f"{self._name} has {self.n} example(s), but must have at least {LEAST_ROWS} examples"
            yield "invalid_n_examples", text
        most = TRAIN_ROWS if self._training else VALIDATION_ROWS
        if self._is_reinforcement and self.n > most:
            yield (
                "invalid_n_examples",
                f"{self._name} has {self.n} example(s), but must have at most {most} examples",
            )

    def report(self, findings: Findings) -> None:
        for code, message in self.errors():
            if code != "invalid_file_format":
                findings.add("error", code, message)
        for (severity, code), count in self._counts.items():
            message = f"{self._name}: {plural(count.n, 'row')}: {count.example}"
            findings.add(severity, code, message, path=self._path(), rows=count)

    def _path(self) -> str:
        return "" if self._training else "validation_file"

    def shared(self, other: TrainingFile) -> RowCount | None:
        """The rows of this file that the other one has too."""
        lines = [(line, other.digests[key]) for key, line in self.digests.items() if key in other.digests]
        if not lines:
            return None
        count = RowCount(
            f"example {lines[0][0]} of the validation file is example {lines[0][1]} of the training file"
        )
        for line, _ in lines:
            count.add(f"example {line}", line)
        return count


def rows_of(path: str | Path) -> Iterator[tuple[int, Json]]:
    """Line number and row of a JSONL file, unreadable ones included.

    Raises:
        DataError: it cannot be read.
    """
    for chunk in open_data(str(path), "jsonl").chunks():
        yield from zip(chunk.numbers, chunk.rows, strict=True)


def check_files(
    method: str,
    train: str | Path,
    validation: str | Path | None,
    findings: Findings,
    base: Path | None = None,
) -> tuple[TrainingFile, TrainingFile | None]:
    """Check a job's files and report findings.

    Args:
        base: The base model's folder, if there is one, whose tokenizer is used too.

    Raises:
        DataError: one of them cannot be read.
    """
    tokens = None if base is None else BaseTokens(base)
    training = TrainingFile(method, train, tokens=tokens)
    training.report(findings)
    if validation is None:
        return training, None
    held_out = TrainingFile(method, validation, name="Validation file", tokens=tokens)
    held_out.report(findings)
    if shared := held_out.shared(training):
        text = f"{plural(shared.n, 'row')} of the validation file are also trained on: {shared.example}"
        findings.add("warning", "rows_in_both_files", text, rows=shared)
    return training, held_out


def check_job(spec: object, train: str, validation: str | None = None, **options: Any) -> CheckReport | None:
    """Check a fine-tuning job; None when the document is not a job.

    Args:
        spec: The body of the request that creates the job.
        train, validation: Paths of JSONL files.
        options: Options of `graders.preflight.check.check`, for a reinforcement job's grader.

    Raises:
        DataError: a file cannot be read.
    """
    source = load(spec)
    method = job_method(source.value)
    if method is None:
        return None
    findings = Findings()
    for problem in method_problems(source.value):
        findings.problem(problem, "")
    if method not in METHODS:
        return CheckReport(findings.sorted(), 0, (), False, {})
    backends = options.get("backends") or default_backends()
    base = tuning_config(backends.config).models.get(str(source.value.get("model")))
    training, _ = check_files(method, train, validation, findings, base)
    if method != "reinforcement" or reinforcement_of(source.value) is None:
        return CheckReport(findings.sorted(), training.n, (), False, {})
    graded = check(source, train, **options)
    if options.get("run", True) and not any(finding.severity == "error" for finding in graded.findings):
        spec = source.value["method"]["reinforcement"]["grader"]
        if warning := constant_reward(spec, training.begin, backends):
            findings.add("warning", "constant_reward", warning)
    own = findings.sorted()
    merged = sorted((*own, *graded.findings), key=lambda finding: finding.severity != "error")
    return replace(graded, findings=tuple(merged))
