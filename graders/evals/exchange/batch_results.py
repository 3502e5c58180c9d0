"""Imports and exports results files of `grader batch` (docs/results-format.md) as runs with one criterion."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from graders._version import __version__
from graders.engine.grader import digest
from graders.errors import GradeError, SpecError
from graders.evals.comparison import base_name
from graders.evals.criteria import pass_threshold
from graders.evals.exchange.imported import ExchangeError, RunImports, as_text
from graders.evals.samples import shown_sample
from graders.evals.schemas import SAMPLE_SCHEMA, whole_schema
from graders.fields import FieldMap
from graders.jsontext import loads
from graders.kinds.reading import read
from graders.results.read import Header, ResultRow, header_of, parse_row
from graders.shapes import read_sample
from graders.spec.model import SpecModel
from graders.spec.reading import load
from graders.store import EvalRecord, ItemRecord, ModelUsage, RunRecord, Store

#: Type of the `source` of an imported results file. It holds the file's header, and each result holds its line.
SOURCE = "results"
#: Field map in the header of files that are exported from other runs.
_FIELDS = {"sample": "sample", "item": "item", "id": "datasource_item_id"}


class ResultsImport:
    """Imports the lines of one results file. Files with equal specs become runs of one eval."""

    def __init__(
        self, store: Store, imports: RunImports, name: str, header: Mapping[str, Any], run_id: str
    ) -> None:
        """
        Args:
            name: Name of the run.
            run_id: Id of the run; a run that is in the store already is skipped.
            header: The file's first line.

        Raises:
            ResultsError: it has another version. TypeError, KeyError: it is not a header.
        """
        found = header_of(header, name)
        self._field_map = FieldMap(**found.options.get("fields", {}))
        self._now = int(time.time())
        self._threshold = _threshold(found.spec)
        self._type = found.type
        eval_id = f"eval_{found.digest[:32]}"
        known = store.evals.get(eval_id)
        if known is None:
            self._criterion = f"{found.name or found.type}-{uuid.uuid4()}"
            criteria = [{**found.spec, "name": found.name, "id": self._criterion}]
            config = {"type": "custom", "schema": whole_schema({"type": "object"}, SAMPLE_SCHEMA)}
            title = found.name or found.type
            store.evals.add(
                EvalRecord(eval_id, self._now, self._now, title, "{}", as_text(config), as_text(criteria))
            )
            imports.counts.evals += 1
        else:
            (criterion,) = loads(known.testing_criteria.encode())
            self._criterion = criterion["id"]
        self._run = imports.begin(
            run_id,
            eval_id,
            created_at=self._now,
            source={"type": "jsonl", "source": {"type": SOURCE, "header": header}},
            criteria=[self._criterion],
            name=name,
        )

    def add(self, line: Mapping[str, Any]) -> None:
        """Import one row. Raises ValueError, KeyError or TypeError for an invalid line."""
        if self._run is None:
            return
        row = parse_row(line, self._field_map)
        passed = row.ok and row.reward is not None and row.reward >= self._threshold
        result: dict[str, Any] = {
            "name": self._criterion,
            "type": self._type,
            "passed": passed,
            "score": row.reward or 0.0,
            "sample": None,
            "line": line,
        }
        if row.sub_rewards:
            result["sub_scores"] = row.sub_rewards
        if not row.ok:
            result["error"] = {"code": row.flags[0], "message": "; ".join(row.errors) or row.flags[0]}
        self._run.append(
            # without texts the id is all that identifies a row
            row.item if row.row else {"id": row.id},
            sample=None if row.sample is None else as_text(row.sample),
            shown=as_text(_shown(row)),
            results=[result],
            status="error" if not row.ok else "pass" if passed else "fail",
            created_at=self._now,
        )
        self._run.add_usage(
            ModelUsage(model, "grader", 1, *(used.get(name) or 0 for name in _TOKENS))
            for model, used in row.usage.items()
        )


_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")


def _threshold(spec: Mapping[str, Any]) -> float:
    """The least reward of a passing row: as in an eval, or a full score where an eval would have to set it."""
    try:
        found = pass_threshold(_spec_of(spec))
    except SpecError:
        # a spec of another version, or of a type that is not installed here
        found = None
    return 1.0 if found is None else found


def _spec_of(wire: Mapping[str, Any]) -> SpecModel:
    return read(load(dict(wire))).spec


def _shown(row: ResultRow) -> dict[str, Any]:
    """The wire's sample of a graded row."""
    if row.sample is None:
        return shown_sample()
    try:
        return shown_sample(sample=read_sample(row.sample))
    except GradeError as error:
        return shown_sample(error=error)


def exported_results(store: Store, run: RunRecord, criterion: str | None = None) -> Iterator[str]:
    """A run's verdicts by one criterion as lines of a results file; an imported file is returned unchanged.

    Args:
        criterion: Its name, with or without the service's suffix; None: the only one.

    Raises:
        ExchangeError: there is no such criterion, or several and none is named, or the eval lacks its spec.
    """
    name = _named(run, criterion)
    yield as_text(_header(store, run, name))
    for item in store.items.each(run.number, run.id):
        for result in loads((item.results or "[]").encode()):
            if result["name"] == name:
                yield as_text(result.get("line") or _line(item, result))


def _named(run: RunRecord, criterion: str | None) -> str:
    names = [one.name for one in run.criteria]
    found = [name for name in names if criterion in (None, name, base_name(name))]
    if len(found) != 1:
        have = ", ".join(map(base_name, names)) or "none"
        raise ExchangeError(
            f"a results file holds one criterion: name it with --criterion; {run.id} has {have}"
        )
    return found[0]


def _header(store: Store, run: RunRecord, name: str) -> Mapping[str, Any]:
    source = loads(run.data_source.encode())["source"]
    if source["type"] == SOURCE:
        header: Mapping[str, Any] = source["header"]
        return header
    record = store.evals.get(run.eval_id)
    criteria = [] if record is None else loads(record.testing_criteria.encode())
    wire = next((one for one in criteria if one.get("id") == name), None)
    if wire is None:
        raise ExchangeError(
            f"the eval of {run.id} does not have the spec of {base_name(name)!r}, as an imported export does not; "
            "`grader evals regrade` with --criteria makes a run that does"
        )
    spec = _spec_of(wire).to_json()
    engine = f"local-graders {__version__}"
    return Header(
        digest=digest(spec),
        spec=spec,
        name=base_name(name),
        type=spec["type"],
        engine=engine,
        data=run.id,
        provenance={"engine": engine},
        options={"fields": _FIELDS, "texts": True},
    ).to_json()


def _line(item: ItemRecord, result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as a line of a results file."""
    error = result.get("error")
    line: dict[str, Any] = {
        "id": str(item.n),
        "reward": None if error else result["score"],
        "ok": not error,
    }
    if error:
        line |= {"flags": [error.get("code") or "other_error"], "errors": [error.get("message", "")]}
    if result.get("sub_scores"):
        line["sub_rewards"] = result["sub_scores"]
    judged = result.get("sample") or {}
    if judged.get("usage"):
        line["usage"] = {judged["model"]: judged["usage"]}
    sample = None if item.sample is None else loads(item.sample.encode())
    line["row"] = {"datasource_item_id": item.n, "item": loads(item.item.encode()), "sample": sample}
    return line
