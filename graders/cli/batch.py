"""grader batch: a dataset."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from graders.cli import BROKEN, INTERRUPTED, NOT_MET, OK
from graders.cli.shared.common import (
    compile_spec,
    config_option,
    data_options,
    document_argument,
    grader_option,
    judge_options,
    judges_of,
    price_by,
    show_problems,
    strict_option,
    unsandboxed_option,
)
from graders.cli.shared.console import Console, is_file, say_from_signal
from graders.cli.shared.endings import ending, how_to_go_on
from graders.cli.shared.gates import exit_code, gate_options
from graders.cli.shared.github import github_option, show_on_github
from graders.cli.shared.selection import selection_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graders.batch.selection import Selection
    from graders.engine.grader import Grader
    from graders.stats.figures import Summary

#: Up to here OUT is read again for the summary, at most 0.3 s; beyond, `grader report` does it.
SUMMARY_ROWS = 200_000


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@click.argument("data", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "-o", "--output", default="results.jsonl", show_default=True, metavar="OUT",
    help="Results, a JSON line a row; - is stdout.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue OUT: grade the rows that it lacks.")
@click.option("--retry-failed", is_flag=True, help="As --resume, and grade the failed rows again.")
@click.option("--force", is_flag=True, help="Overwrite OUT.")
@data_options
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Rows in flight at judges and sandbox (default 512); for slow metrics, processes (default: one per core).",
)
@click.option(
    "--engine",
    type=click.Choice(("local", "ray")),
    default="local",
    show_default=True,
    help="Where rows are graded: here, or by actors on a Ray cluster.",
)
@click.option(
    "--address", metavar="ADDRESS", help="Address of the Ray cluster; default: a new one on this machine."
)
@click.option(
    "--merge/--no-merge", default=None, help="Ask a judge equal questions once; default: where repeatable."
)
@judge_options
@click.option(
    "--no-texts", is_flag=True, help="Leave the data rows out of OUT: smaller, but the report has no texts."
)
@click.option(
    "--sorted", "sorted_", metavar="FILE", help="At the end, write a copy sorted by id, .jsonl or .parquet."
)
@click.option(
    "--until-width",
    type=click.FloatRange(0, min_open=True),
    metavar="W",
    help="Stop when the 95 % interval of the mean reward is at most W wide. DATA should be in random order.",
)
@selection_options
@grader_option
@gate_options
@github_option
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
@strict_option
@config_option
@unsandboxed_option
def command(
    spec: str,
    data: tuple[str, ...],
    output: str,
    resume: bool,
    retry_failed: bool,
    force: bool,
    sample_field: str | None,
    item_field: str | None,
    item_map: dict[str, str],
    selection: Selection,
    id_field: str | None,
    format_: str | None,
    jobs: int | None,
    engine: str,
    address: str | None,
    merge: bool | None,
    cache: str | None,
    max_calls: int | None,
    max_cost: float | None,
    no_texts: bool,
    sorted_: str | None,
    until_width: float | None,
    grader_name: str | None,
    fail_under: float | None,
    surely: bool,
    min_coverage: float | None,
    inconclusive: Literal["pass", "fail"],
    pass_threshold: float | None,
    github: bool,
    quiet: bool,
    strict: bool,
    config: str | None,
    unsandboxed: bool,
) -> int:
    """Grade every row of DATA with SPEC and write the results to OUT.

    DATA is JSONL (also gzip, zstd, or - for standard input), JSON, CSV, Parquet or Arrow: files, patterns, or
    folders of them. Rows like {"sample": ..., "item": ...} and the hosted service's exports are understood; for
    others name the fields. Rows are identified by their ids. OUT can be followed while it grows; after Ctrl-C or
    a crash, --resume grades the missing rows. SPEC may also be a job, an eval or another document with graders in
    it: each of several writes a file of its own, OUT with its name in it.

    \b
    grader batch spec.json answers.jsonl -o results.jsonl
    grader batch spec.json 'runs/*.jsonl' -o results.jsonl --sample 50
    grader batch spec.json answers.jsonl -o again.jsonl --only wrong --of results.jsonl
    grader batch spec.json answers.csv -o results.jsonl --sample-field pred --map answer=gold
    grader batch spec.json answers.parquet -o results.jsonl --sample-field completion --resume
    """
    from graders.batch.progress import Stop
    from graders.batch.run import grade_dataset
    from graders.datasets.rows import DataError
    from graders.errors import SpecError
    from graders.models import ConfigError
    from graders.results.read import ResultsError
    from graders.results.write import CannotWrite

    if spec == "-" and "-" in data:
        raise click.UsageError("SPEC and DATA cannot both be standard input.")
    if not is_file(output) and (
        resume
        or retry_failed
        or sorted_
        or fail_under is not None
        or min_coverage is not None
        or github
        or until_width is not None
    ):
        raise click.UsageError(
            "--resume, --retry-failed, --sorted, --until-width and the gates need OUT to be a file."
        )
    if engine == "ray" and (cache or max_calls is not None or max_cost is not None or unsandboxed):
        raise click.UsageError("--cache, --max-calls, --max-cost and --unsandboxed are for --engine local.")
    if output != "-" and any(name != "-" and _same_file(name, output) for name in data):
        raise click.UsageError(f"OUT is DATA: {output}")
    try:
        sources = document_argument(spec, grader_name).sources
        if len(sources) > 1:
            return _each(sources, spec, output)
        (source,) = sources.values()
        judges = judges_of(config, cache, max_calls, max_cost)
        grader = compile_spec(source, strict=strict, config=config, unsandboxed=unsandboxed, **judges)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    console = Console(quiet)
    try:
        with (
            grader.backends,
            _engine(engine, address, grader, jobs) as workers,
            Stop(say_from_signal) as stop,
        ):
            run = grade_dataset(
                grader,
                data,
                output,
                resume=resume,
                retry_failed=retry_failed,
                force=force,
                sample_field=sample_field,
                item_field=item_field,
                item_map=item_map,
                selection=selection,
                id_field=id_field,
                format=format_,
                texts=not no_texts,
                jobs=jobs,
                merge=merge,
                workers=workers,
                progress=console.progress,
                stop=stop,
                until_width=until_width,
            )
    except KeyboardInterrupt:
        # a signal more than Stop waits for, while the grading or its processes come to an end
        console.say(f"interrupted. {how_to_go_on(output)}")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of standard output has enough, as `head` does; click would exit 1
        return OK
    except CannotWrite as error:
        console.say(f"error: {error}")
        return BROKEN
    except (DataError, ResultsError) as error:
        raise click.UsageError(str(error)) from None
    gated = fail_under is not None or min_coverage is not None or github
    wanted = gated or (not quiet and run.tally.rows <= SUMMARY_ROWS)
    summary = _summary(output, config, pass_threshold) if wanted else None
    console.summary(run, output, summary, grader.backends.asked)
    code = ending(run, spec, output, config, console)
    if code == OK and sorted_:
        code = _sort(output, sorted_, console)
    if code != OK or summary is None:
        return code
    from graders.stats.gates import gates

    found = gates(summary, fail_under, min_coverage, surely=surely)
    for gate in found:
        console.say(f"gate {gate.verdict}: {gate.name} {gate.text}")
    if github:
        show_on_github(summary, found)
    return exit_code(found, inconclusive)


def _sort(output: str, target: str, console: Console) -> int:
    """Write a sorted copy of the results."""
    from graders.results.copy import write_sorted
    from graders.results.read import ResultsError

    try:
        write_sorted(output, target)
    except ResultsError as error:
        console.say(f"error: {error}")
        return BROKEN
    return OK


def _each(names: Iterable[str], spec: str, output: str) -> int:
    """Grade the data with every grader of SPEC, each into a file of its own; the worst exit code."""
    if spec == "-" or not is_file(output):
        known = ", ".join(map(repr, names))
        raise click.UsageError(f"SPEC holds several graders ({known}): choose one with --grader NAME.")
    context = click.get_current_context()
    out = Path(output)
    codes: list[int] = []
    for name in names:
        safe = "".join(char if char.isalnum() or char in "-_" else "_" for char in name)
        arguments = {"grader_name": name, "output": str(out.with_name(f"{out.stem}.{safe}{out.suffix}"))}
        codes.append(context.invoke(command, **{**context.params, **arguments}))
        if codes[-1] == INTERRUPTED:
            break
    return max(codes)


def _engine(engine: str, address: str | None, grader: Grader, jobs: int | None) -> Any:
    """The workers that grade in place of this process, if any, as a context manager."""
    if engine == "local":
        return nullcontext()
    from graders.batch.ray import Actors

    return Actors(grader, jobs, address=address)


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _summary(output: str, config: str | None, pass_threshold: float | None) -> Summary | None:
    """The statistics of OUT; None where it cannot be read again."""
    if not is_file(output):
        return None
    from graders.stats.gather import gather
    from graders.stats.summary import summarise

    return summarise(gather(output), price_by(config), pass_threshold=pass_threshold)
