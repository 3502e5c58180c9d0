"""grade_dataset: grades one dataset with one grader into a results file.

    run = grade_dataset(spec, "answers.jsonl", "results.jsonl", resume=True)
    run.tally.rows, run.interrupted, run.broken

Local graders run in this process, a chunk of rows at a time and over columns where the rows are plain, or in worker
processes if a row takes longer than sending it there. The others go through `Grader.run_batch`, which keeps rows in
flight in the sandbox and at the judges, each within its own limits; each of their results is written as soon as it is
ready, since it cost time or money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from graders.batch.chunks import Workers
from graders.batch.grading import DatasetRun
from graders.batch.progress import Progress, Run, Stop, notebook_line
from graders.batch.selection import Selection
from graders.datasets.dataset import Dataset, open_dataset
from graders.datasets.ids import ID_SCHEME, has_question
from graders.datasets.read import open_data
from graders.engine.compile import compile
from graders.engine.grader import digest
from graders.results.read import Header
from graders.results.write import Writer
from graders.template import Template

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.engine.grader import Grader
    from graders.spec.model import SpecModel


def grade_dataset(
    spec: object,
    data: object,
    output: str,
    *,
    resume: bool = False,
    retry_failed: bool = False,
    force: bool = False,
    sample_field: str | None = None,
    item_field: str | None = None,
    id_field: str | None = None,
    item_map: Mapping[str, str] | None = None,
    selection: Selection | None = None,
    format: str | None = None,
    texts: bool = True,
    jobs: int | None = None,
    merge: bool | None = None,
    backends: Backends | None = None,
    workers: Workers | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
    until_width: float | None = None,
) -> Run:
    """Grade every row of a dataset that is not yet in the results file.

    Args:
        spec: As `graders.compile` takes it.
        data: A path or several, "-" for standard input, or an iterable of mappings (see `open_data`).
        output: The results file; "-" is standard output.
        resume: Continue an existing file.
        retry_failed: As resume, and grade the failed rows again.
        force: Overwrite an existing file.
        sample_field, item_field, id_field: Fields of these in a row; None: by the hosted shapes (see `detect_fields`).
        item_map: Fields that the item gets beside its own: name in the item -> field of the data row.
        selection: Which rows are graded, and how often; None: each once.
        format: The data's format; None: by the file's ending.
        texts: Whether result lines include their data row.
        jobs: Rows in flight at judges and sandbox; for local graders, the number of processes. None: as many as keep
            everything busy.
        merge: As in `Grader.run_batch`.
        backends: As in `graders.compile`.
        workers: The workers that grade; None: this process and worker processes of its own.
        progress: Called a few times a second, from its own thread, and once at the end. None: a line under the cell
            in a notebook, nothing elsewhere.
        stop: Checked between rows; None: Ctrl-C raises KeyboardInterrupt as usual.
        until_width: Stop when the 95 % interval of the mean is at most this wide. The interval accounts for the
            repeated looks. Rows are taken in the data's order, which should be random.

    Raises:
        SpecError, DataError, ResultsError: raised before the first row: the spec is not valid, the data cannot be read,
            the results cannot be written or belong to another run. A later failure is in `Run.broken`.
    """
    grader = compile(spec, backends=backends)
    dataset = open_dataset(
        open_data(data, format),
        sample=sample_field,
        item=item_field,
        row_id=id_field,
        item_map=item_map,
        samples=reads_sample(grader.spec),
        wanted=item_fields(grader.spec),
    )
    header = header_of(grader, dataset, texts=texts, merge=merge, until_width=until_width)
    writer = Writer(output, header, resume=resume, retry_failed=retry_failed, force=force)
    narrow_enough = _watcher(output, until_width)
    return DatasetRun(
        grader,
        dataset,
        selection or Selection(),
        writer,
        texts,
        jobs,
        merge,
        workers,
        progress or notebook_line(),
        stop,
        narrow_enough,
    ).run()


def _watcher(output: str, until_width: float | None) -> Callable[[], bool]:
    if until_width is None:
        return lambda: False
    # here, since statistics need numpy
    from graders.stats.sequential import WidthWatcher

    return WidthWatcher(output, until_width).update


def header_of(
    grader: Grader, dataset: Dataset, *, texts: bool, merge: bool | None, until_width: float | None = None
) -> Header:
    """The header of this grader's results on this dataset."""
    field_map = dataset.field_map
    spec = grader.spec.to_json()
    options = grader.backends.options
    return Header(
        digest=digest(spec),
        spec=spec,
        name=grader.name,
        type=grader.type,
        engine=str(grader.identity.provenance["engine"]),
        data=dataset.data.name,
        provenance=dict(grader.identity.provenance),
        options={
            "fields": {
                "sample": field_map.sample,
                "item": field_map.item,
                "id": field_map.id,
                **({"item_map": field_map.item_map} if field_map.item_map else {}),
            },
            "texts": texts,
            "merge": merge,
            "ids": ID_SCHEME,
            "question": has_question(dataset.first, field_map),
            "values": options.values,
            "steps": options.judge_steps,
            **({} if until_width is None else {"until_width": until_width}),
        },
    )


def item_fields(spec: SpecModel) -> list[str]:
    """The fields of the item that a grader's templates name, in their order."""
    texts = [text for leaf in spec.leaves().values() for _, text in leaf.templates()]
    paths = [path for text in texts for path in Template(text).paths]
    firsts = [path.steps[0] for path in paths if path.namespace == "item" and path.steps]
    return list(dict.fromkeys(first for first in firsts if isinstance(first, str)))


def reads_sample(spec: SpecModel) -> bool:
    """Whether a grader needs the model's output: in a template, or as the input of a member without templates."""
    for leaf in spec.leaves().values():
        paths = [path for _, text in leaf.templates() for path in Template(text).paths]
        if not any(True for _ in leaf.templates()) or any(path.namespace == "sample" for path in paths):
            return True
    return False
