"""Helpers of several commands: arguments, judges' costs, and problems of specs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from graders.documents.reading import ReadDocument
    from graders.engine.grader import Grader
    from graders.errors import Problem
    from graders.spec.reading import Source
    from graders.store import Store
    from graders.usage import Usage

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    help="graders.toml with endpoints and limits; default: GRADERS_CONFIG, else found upward from here (see `grader trust`).",
)
grader_option = click.option(
    "--grader",
    "grader_name",
    metavar="NAME",
    help="The grader to use of a document with several; default: all.",
)
strict_option = click.option("--strict", is_flag=True, help="Refuse what the hosted service would refuse.")
label_threshold_option = click.option(
    "--label-threshold", type=float, metavar="X", help="Labels are numbers; those of at least X mean yes."
)
group_option = click.option(
    "--group",
    metavar="FIELD",
    help="Rows with the same FIELD belong to one item; '': each row to its own. Default: `x` and `x#2` belong together.",
)
unsandboxed_option = click.option(
    "--unsandboxed", is_flag=True, help="Run python graders without a jail; only for programs that you wrote."
)


def _pairs(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    for text in given:
        if not all(text.partition("=")):
            raise click.BadParameter(f"{text!r}; expected NAME=FIELD, such as answer=gold", context, option)
    return {name: source for name, _, source in (text.partition("=") for text in given)}


_DATA_OPTIONS = (
    click.option("--sample-field", metavar="FIELD", help="A row's field, or path, with the model's output."),
    click.option("--item-field", metavar="FIELD", help="A row's field with the item; '' is the whole row."),
    click.option(
        "--map",
        "item_map",
        multiple=True,
        metavar="NAME=FIELD",
        callback=_pairs,
        help="Give the item a field NAME with the row's FIELD; may be repeated.",
    ),
    click.option(
        "--id-field", metavar="FIELD", help="A row's field with the id; '' makes ids from the content."
    ),
    click.option(
        "--format",
        "format_",
        type=click.Choice(("jsonl", "json", "csv", "tsv", "parquet", "arrow")),
        help="DATA's format; default: by its ending.",
    ),
)


def data_options(command: Callable[..., int]) -> Callable[..., int]:
    """Options for reading DATA: --sample-field, --item-field, --map, --id-field, --format."""
    for option in reversed(_DATA_OPTIONS):
        command = option(command)
    return command


_JUDGE_OPTIONS = (
    click.option(
        "--cache",
        type=click.Path(dir_okay=False),
        help="Keep judges' verdicts in this file, and use those in it.",
    ),
    click.option(
        "--max-calls", type=click.IntRange(0), metavar="N", help="Stop after this number of judge calls."
    ),
    click.option(
        "--max-cost",
        type=click.FloatRange(0),
        metavar="X",
        help="Stop when the judges have cost this, by [prices].",
    ),
)


def judge_options(command: Callable[..., int]) -> Callable[..., int]:
    """Options for judges' costs, as for `judges_of`: --cache, --max-calls, --max-cost."""
    for option in reversed(_JUDGE_OPTIONS):
        command = option(command)
    return command


def open_store() -> Store:
    """The store of GRADERS_HOME, or of the platform's data folder.

    Raises:
        click.ClickException: it cannot be used.
    """
    from graders.store import Store, StoreError

    try:
        return Store()
    except StoreError as error:
        raise click.ClickException(str(error)) from None


def read_text(argument: str) -> str:
    """The text of an argument: TEXT itself, @FILE's content, or standard input for -.

    Raises:
        click.BadParameter: the file cannot be read.
    """
    if argument == "-":
        return sys.stdin.read()
    if argument.startswith("@"):
        from graders.jsontext import text_of_file

        try:
            return text_of_file(Path(argument[1:]).read_bytes())
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"cannot read {argument[1:]!r}: {error}") from None
    return argument


def read_object(argument: str, what: str) -> dict[str, Any]:
    """The JSON object in TEXT, @FILE or -.

    Raises:
        click.BadParameter: it is not JSON, or not an object.
    """
    from graders.jsontext import parse

    try:
        value = parse(read_text(argument))
    except ValueError as error:
        raise click.BadParameter(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f"{what} is a JSON {type(value).__name__}; expected an object like {{}}")
    return value


def spec_argument(argument: str) -> Source:
    """The JSON of a SPEC argument: a file's, or standard input's for -.

    Raises:
        SpecError: there is no such file, or it is neither JSON nor YAML.
    """
    from graders.spec.reading import load, parse_text

    return parse_text(sys.stdin.read(), "<stdin>", guess=True) if argument == "-" else load(Path(argument))


def document_argument(argument: str, grader: str | None = None) -> ReadDocument:
    """The graders of a SPEC argument, which may be any document with graders in it; or the one of that name.

    Raises:
        SpecError: the argument cannot be read, or holds no grader of that name.
    """
    from graders.documents.reading import read_document

    found = read_document(spec_argument(argument))
    return found if grader is None else found.only(grader)


def compile_spec(
    source: Source, *, strict: bool, config: str | None = None, unsandboxed: bool = False, **more: Any
) -> Grader:
    """The compiled grader of a document; its warnings go to stderr.

    Raises:
        SpecError: it is not valid; a command prints it with `show_problems` and exits 1.
    """
    import graders

    backends = graders.Backends(config=config, unsandboxed=unsandboxed, **more)
    grader = graders.compile(source, backends=backends, strict=strict)
    show_problems(grader.warnings)
    return grader


def judges_of(
    config: str | None, cache: str | None, max_calls: int | None, max_cost: float | None
) -> dict[str, Any]:
    """The judges for Backends: None for the configured ones, or a client with the run's own limits."""
    if max_calls is None and max_cost is None:
        return {"cache": cache}
    from graders.models import connect, load_config

    limits = {"max_calls": max_calls, "max_cost": max_cost}
    given: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    return {"models": connect(load_config(config), cache=cache, **given)}


def price_by(config: str | None) -> Callable[[str, Usage], float | None]:
    """The cost of a judge's tokens by the [prices] of graders.toml; None without a price.

    Raises:
        ConfigError: graders.toml cannot be used.
    """
    from graders.endpoints.spending import cost_of, price_of
    from graders.models import load_config

    settings = load_config(config)

    def price(model: str, usage: Usage) -> float | None:
        found = price_of(settings, model)
        return None if found is None else cost_of(usage, found)

    return price


def show_problems(problems: Iterable[Problem]) -> None:
    """Print one line for each problem on stderr: position, severity, path, message, suggestion."""
    for problem in problems:
        place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
        severity = click.style(
            problem.severity, fg="red" if problem.severity == "error" else "yellow", bold=True
        )
        hint = f" {problem.suggestion}" if problem.suggestion else ""
        prefix = f"{place}: " if place else ""
        click.echo(
            f"{prefix}{severity}: {problem.message}{hint} [{problem.code}]",
            err=True,
            color=colors(sys.stderr),
        )


def colors(stream: Any) -> bool:
    """Whether to use colours: on a terminal unless NO_COLOR is set; always with FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or bool(stream.isatty())


def save(text: str, path: str, sources: Sequence[str]) -> None:
    """Write a file atomically, and never over one of its sources.

    Raises:
        click.UsageError: it cannot be written, or is one of `sources`.
    """
    if any(os.path.exists(path) and os.path.samefile(path, source) for source in sources):
        raise click.UsageError(f"-o {path} is the results file itself")
    temporary = Path(f"{path}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None
    click.echo(f"{path}: {len(text.encode()):,} bytes", err=True, color=sys.stderr.isatty())
