"""grader evals run, wait, regrade."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graders.cli import BROKEN, NOT_MET, OK
from graders.cli.evals.printing import flips_option, json_option, print_run, unknown
from graders.cli.shared.common import (
    config_option,
    open_store,
    read_object,
    strict_option,
    unsandboxed_option,
)
from graders.cli.shared.progress import ProgressLine

if TYPE_CHECKING:
    from graders.evals.service import Evals
    from graders.store import EvalRecord, RunRecord, Store


@click.command()
@click.argument("evaluation", metavar="EVAL")
@click.argument("data", metavar="DATA")
@click.option(
    "--model", help="The model that is asked for each row's sample; default: the samples of the rows."
)
@click.option("--prompt", metavar="@FILE", help="The prompt: the data source's input_messages as JSON.")
@click.option("--sampling", metavar="JSON|@FILE", help="The data source's sampling_params.")
@click.option("--name", default="", help="Name of the run.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Exit 1 unless at least this fraction of the items passes.",
)
@json_option
@strict_option
@config_option
@unsandboxed_option
def run(
    evaluation: str,
    data: str,
    model: str | None,
    prompt: str | None,
    sampling: str | None,
    name: str,
    fail_under: float | None,
    as_json: bool,
    strict: bool,
    config: str | None,
    unsandboxed: bool,
) -> int:
    """Run an eval on rows, and wait for it.

    EVAL is an eval's id, or a JSON file with data_source_config and testing_criteria, which creates one. DATA is
    a JSONL file of {"item": ..., "sample": ...} rows, or the id of a file in the store. A server that uses the
    store executes the run; without one this command does. Exit 1: an item is an error, or too few pass. Exit 3:
    the run failed.
    """
    import graders
    from graders.evals.requests import InvalidRequest, NotFound
    from graders.evals.service import Evals

    with open_store() as store, graders.Backends(config=config, unsandboxed=unsandboxed) as backends:
        evals = Evals(store, backends, strict=strict)
        try:
            record = _eval_of(evals, evaluation)
            source = _source(store, data, model, prompt, sampling)
            made = evals.create_run(record.id, {"data_source": source, "name": name})
        except (InvalidRequest, NotFound) as error:
            click.echo(str(error), err=True)
            return NOT_MET
        return _print_end(made.id, _executed(evals, made), fail_under, as_json)


@click.command()
@click.argument("run_id")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS")
@json_option
def wait(run_id: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait for a run that a server executes. Exit 1: it has errors, or has not ended by the time-out."""
    from graders.evals.foreground import wait as wait_for

    line = ProgressLine(logged=False)
    with open_store() as store:
        found = wait_for(store, run_id, partial(_show, line), timeout_s)
        line.clear()
        return _print_end(run_id, found, None, as_json)


@click.command()
@click.argument("run_id")
@click.option(
    "--criteria",
    metavar="@FILE",
    help="A JSON file with an eval's testing_criteria, or with one grader; default: the run's own.",
)
@flips_option
@click.option(
    "--json", "as_json", is_flag=True, help="The new run, agreement and all flips of each criterion."
)
@config_option
@unsandboxed_option
def regrade(
    run_id: str, criteria: str | None, flips: int, as_json: bool, config: str | None, unsandboxed: bool
) -> int:
    """Grade a run's samples again, and compare the verdicts.

    Nothing is sampled. The new run belongs to a new eval, so that the old verdicts stay; criteria are compared by name.
    """
    import graders
    from graders.evals.comparison import agreement_lines, as_lines, compare_runs
    from graders.evals.regrading import regrade as prepared
    from graders.evals.requests import InvalidRequest
    from graders.evals.service import Evals

    with open_store() as store, graders.Backends(config=config, unsandboxed=unsandboxed) as backends:
        old = store.runs.get(run_id)
        if old is None:
            return unknown("run", run_id)
        evals = Evals(store, backends)
        try:
            given = (
                None if criteria is None else json.loads(Path(criteria.removeprefix("@")).read_text("utf-8"))
            )
            made = prepared(evals, old, given)
        except (InvalidRequest, OSError, ValueError) as error:
            click.echo(str(error), err=True)
            return NOT_MET
        new = _executed(evals, made)
        if new is None or new.status != "completed":
            return _print_end(made.id, new, None, as_json)
        found = compare_runs(store, old, new)
        if as_json:
            compared = [one.to_json() for one in found.criteria]
            click.echo(json.dumps({"run": _wire(new), "criteria": compared}, indent=2))
        else:
            print_run(new)
            for line in (*as_lines(found, flips), *agreement_lines(found)):
                click.echo(line)
        return _exit_code(new, None)


def _eval_of(evals: Evals, argument: str) -> EvalRecord:
    """The eval with this id, or a new one of what the file says."""
    if argument.startswith("eval_"):
        return evals.get(argument)
    return evals.create(read_object(f"@{argument}", "EVAL"))


def _source(
    store: Store, data: str, model: str | None, prompt: str | None, sampling: str | None
) -> dict[str, Any]:
    """The data source that the command line means."""
    rows = {"type": "file_id", "id": data if data.startswith("file-") else _upload(store, data)}
    if model is None:
        return {"type": "jsonl", "source": rows}
    if prompt is None:
        raise click.UsageError("--model needs --prompt @FILE: the data source's input_messages")
    return {
        "type": "completions",
        "source": rows,
        "model": model,
        "input_messages": read_object(prompt, "--prompt"),
        "sampling_params": read_object(sampling, "--sampling") if sampling else None,
    }


def _upload(store: Store, path: str) -> str:
    try:
        with click.open_file(path, "rb") as file:
            return store.files.add_from(file, purpose="evals", filename=path).id
    except OSError as error:
        raise click.BadParameter(f"cannot read {path!r}: {error.strerror or error}") from None


def _executed(evals: Evals, made: RunRecord) -> RunRecord | None:
    """The run once it has ended; None when it has been deleted."""
    from graders.evals.foreground import execute

    click.echo(made.id, err=True)
    line = ProgressLine(logged=False)
    found = execute(evals.store, evals.backends, made.id, partial(_show, line))
    line.clear()
    return found


def _show(line: ProgressLine, found: RunRecord) -> None:
    line.show(f"{found.status}: {found.done} of {found.n_rows or '?'}")


def _print_end(run_id: str, found: RunRecord | None, fail_under: float | None, as_json: bool) -> int:
    """Print how a run ended; its exit code."""
    if found is None:
        return unknown("run", run_id)
    if as_json:
        click.echo(json.dumps(_wire(found), indent=2))
    else:
        print_run(found)
    return _exit_code(found, fail_under)


def _wire(found: RunRecord) -> Any:
    """The service's object."""
    from graders.evals.wire import run_text

    return json.loads(run_text(found, ""))


def _exit_code(found: RunRecord, fail_under: float | None) -> int:
    if found.status == "failed":
        return BROKEN
    met = found.status == "completed" and not found.errored
    if fail_under is not None:
        met = met and found.passed >= fail_under * max(1, found.done)
    return OK if met else NOT_MET
