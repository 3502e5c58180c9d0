"""grader run: one row."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.common import (
    colors,
    compile_spec,
    config_option,
    document_argument,
    grader_option,
    read_object,
    read_text,
    show_problems,
    strict_option,
    unsandboxed_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from graders.engine.explain import Explanation
    from graders.result import RunResult
    from graders_sandbox import Sandbox


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@click.option(
    "--sample",
    metavar="TEXT|@FILE|-",
    help="The model's text; default: the model_sample of the request in SPEC.",
)
@click.option(
    "--sample-json", is_flag=True, help="Read --sample as JSON: a sample object, messages, a completion."
)
@click.option(
    "--item", metavar="JSON|@FILE", help="The dataset row; default: the item of the request in SPEC, else {}."
)
@grader_option
@click.option(
    "--debug",
    is_flag=True,
    help="Run python graders in this process, WITHOUT A SANDBOX, where breakpoint() and pdb work; asks first.",
)
@click.option("--yes", is_flag=True, help="Do not ask before --debug: the programs are yours.")
@click.option(
    "--explain",
    is_flag=True,
    help="Print the steps to the reward: rendered texts, messages to judges, the formula's values.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON also on a terminal.")
@strict_option
@config_option
@unsandboxed_option
def command(
    spec: str,
    sample: str | None,
    sample_json: bool,
    item: str | None,
    grader_name: str | None,
    debug: bool,
    yes: bool,
    explain: bool,
    as_json: bool,
    strict: bool,
    config: str | None,
    unsandboxed: bool,
) -> int:
    """Grade one row and print the result.

    Prints the run endpoint's JSON; on a terminal a table, unless --json. SPEC may also be a document with graders in
    it, such as a fine-tuning job, an eval or the run endpoint's own body; of several graders each prints its result,
    by name; or a .py file that defines grade(sample, item). Exits 1 when the row was not graded (a flag is set) or a spec is not valid. What python graders print goes
    to standard error.

    \b
    grader run grader-examples/exact.grader.json --sample Paris --item '{"answer": "Paris"}'
    grader run spec.json --sample @answer.txt --item @row.json
    grader run spec.json --sample @answer.txt --item @row.json --explain
    grader run grade.py --sample Paris --item '{"answer": "Paris"}'
    grader run spec.json --sample @answer.txt --item @row.json --debug
    """
    from graders.errors import SpecError

    if yes and not debug:
        raise click.UsageError("--yes goes with --debug.")
    backends = {"sandbox": _debug_sandbox(yes)} if debug else {}

    try:
        found = document_argument(spec, grader_name)
        row = found.document.row
        if sample is None and "model_sample" not in row:
            raise click.UsageError(f"--sample is missing: {found.document.form} holds no model_sample.")
        text = row["model_sample"] if sample is None else _sample(sample, sample_json)
        fields = row.get("item") if item is None else read_object(item, "--item")
        graders = {
            name: compile_spec(source, strict=strict, config=config, unsandboxed=unsandboxed, **backends)
            for name, source in found.sources.items()
        }
    except SpecError as error:
        show_problems(error.problems)
        return NOT_MET
    results, explained = {}, {}
    for name, grader in graders.items():
        with grader.backends:
            if explain:
                explained[name] = grader.explain(text, fields)
            results[name] = explained[name].result if explain else grader.run(text, fields)
    if explain:
        _show_explained(explained, as_json)
    else:
        _show(results, as_json)
    if debug:
        _warn_unsandboxed("python graders were run unsandboxed, without limits")
    return OK if all(result.ok for result in results.values()) else NOT_MET


def _debug_sandbox(yes: bool) -> Sandbox:
    """A sandbox that runs programs in this process, after the user has agreed to it.

    Raises:
        click.UsageError: standard input is no terminal, so the user cannot be asked.
        click.Abort: the answer is no.
    """
    from graders_sandbox.host.debugging import DebugSandbox

    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "--debug runs python graders unsandboxed and asks before it does, which needs a terminal. "
                "For programs that you wrote yourself: --yes."
            )
        click.confirm(
            "--debug runs the spec's programs unsandboxed: they can read, change and send whatever you can. Run them?",
            abort=True,
            err=True,
        )
    _warn_unsandboxed("python graders run unsandboxed, without limits")
    return DebugSandbox()


def _warn_unsandboxed(text: str) -> None:
    click.secho(f"--debug: {text}", fg="red", err=True, color=colors(sys.stderr))


def _sample(argument: str, as_json: bool) -> object:
    text = read_text(argument)
    if not as_json:
        return text
    from graders.jsontext import parse

    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(f"--sample is not JSON: {error}") from None


def _show_explained(explained: Mapping[str, Explanation], as_json: bool) -> None:
    """The steps as text, or with --json as JSON, of several graders by name."""
    for name, explanation in explained.items():
        title = [click.style(name, bold=True)] if len(explained) > 1 else []
        if not as_json:
            click.echo("\n".join([*title, str(explanation)]), color=colors(sys.stdout))
    if as_json:
        documents = {name: explanation.to_dict() for name, explanation in explained.items()}
        shown = next(iter(documents.values())) if len(documents) == 1 else documents
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))


def _show(results: Mapping[str, RunResult], as_json: bool) -> None:
    """One result as it is, several by the names of their graders; what failed goes to stderr."""
    if sys.stdout.isatty() and not as_json:
        for result in results.values():
            _table(result)
    else:
        wires = {name: result.to_wire() for name, result in results.items()}
        shown = next(iter(wires.values())) if len(wires) == 1 else wires
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    for name, result in results.items():
        where = f"{name}: " if len(results) > 1 else ""
        for title, text in _printed(result.provenance):
            message = click.style(title, bold=True) + f":\n{text.rstrip()}"
            click.echo(f"{where}{message}", err=True, color=colors(sys.stderr))
        for failure in result.failures:
            message = click.style(failure.flag, fg="red", bold=True) + f": {failure}"
            click.echo(f"{where}{message}", err=True, color=colors(sys.stderr))


def _printed(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(title, text) of the output of programs, of the grader or of its members."""
    if "printed" in provenance:
        yield "printed", provenance["printed"]
    for key, member in provenance.get("graders", {}).items():
        if "printed" in member:
            yield f"printed by {key}", member["printed"]


def _table(result: RunResult) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    metadata = result.metadata
    table.add_row(
        "reward", f"[bold]{result.reward:g}[/bold]" + ("" if result.ok else "  (not a score: the row failed)")
    )
    for key, value in result.sub_rewards.items():
        table.add_row(escape(f"  {key}"), "failed" if key in result.failed_members else f"{value:g}")
    table.add_row("grader", escape(f"{metadata.name} ({metadata.type})"))
    table.add_row("time", f"{metadata.execution_time * 1000:.2f} ms")
    if metadata.token_usage:
        table.add_row("tokens", str(metadata.token_usage.total_tokens))
    for key, value in result.provenance.items():
        if key != "printed":
            for path, leaf in _leaves(value, key):
                table.add_row(escape(path), escape(leaf))
    Console().print(table)


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Each value of nested JSON with its path, `graders close metric version`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key != "printed":
                yield from _leaves(inner, f"{path} {key}")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
