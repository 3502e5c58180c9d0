"""The `grader` command. Each subcommand is a module of its own, imported when it is called.

A command is a function that returns its exit code. Results go to stdout, messages go to stderr, `-` is stdin.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from graders._version import __version__

OK = 0  # fine
NOT_MET = 1  # checked and not met: an invalid spec, a flagged row, a gate missed
USAGE = 2  # the command line is wrong (click's own code)
BROKEN = 3  # the grading itself broke: judge, sandbox, files
INTERRUPTED = 130  # Ctrl-C; what was written can be resumed

#: command -> one line for `grader --help`; the module graders.cli.<command> holds a click command `command`.
COMMANDS = {
    "init": "Write examples of graders, and data to try them on.",
    "run": "Grade one row and print the result.",
    "validate": "List every problem of specs.",
    "check": "Check a spec and a dataset before grading.",
    "audit": "Check that a grader rewards right answers and nothing else.",
    "attack": "Search for wrong answers that a grader rewards like right ones.",
    "mutate": "Find changes of a grader that its rows do not notice.",
    "calibrate": "Measure a grader's agreement with people's labels.",
    "batch": "Grade a dataset.",
    "test": "Run the tests of graders in graders.toml.",
    "report": "Make a page, or a short summary, of results.",
    "export": "Export results to MLflow, Weights & Biases or OpenTelemetry.",
    "compare": "Compare results files.",
    "serve": "Answer the hosted service's endpoints over HTTP.",
    "evals": "Run, show and compare evals of the store.",
    "jobs": "Create and manage fine-tuning jobs of a server.",
    "files": "Upload, list, read and delete files of the store.",
    "doctor": "Check what works on this machine.",
    "trust": "Trust the graders.toml that is found here.",
    "convert": "Extract graders from jobs and evals, or convert them.",
    "schema": "Print the JSON Schema of specs, for editors.",
    "completion": "Print the shell's completion script.",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"graders.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from graders.suggest import did_you_mean

            raise click.UsageError(
                f"{error.message} {did_you_mean(args[0], COMMANDS)}".rstrip(), ctx
            ) from None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: grader init, then grader test grader-examples/graders.toml",
)
@click.version_option(__version__, "-V", "--version", prog_name="grader")
@click.option(
    "-v", "--verbose", count=True, help="Log what is done to stderr; -vv every request of judges as well."
)
def group(verbose: int) -> None:
    """Run and validate OpenAI-style graders on your own machine."""
    if verbose:
        _log_to_stderr(verbose)


def _log_to_stderr(verbose: int) -> None:
    """The loggers `graders` and `graders_sandbox`, and those below them."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("graders", "graders_sandbox"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)


def main(argv: list[str] | None = None) -> Any:
    """Run the command line and exit with its code."""
    _open_streams()
    try:
        code = group.main(argv, prog_name="grader", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except MemoryError:
        click.echo("out of memory: a file or a text is larger than what this machine can hold", err=True)
        code = BROKEN
    except BrokenPipeError:  # the reader of stdout has gone, as `head` does
        _drop_stdout()
        code = OK
    except OSError as error:
        click.echo(f"error: {_failure_text(error)}: {error.strerror or error}", err=True)
        _drop_stdout()
        code = BROKEN
    sys.exit(code or OK)


def _open_streams() -> None:
    """Pipes and files are UTF-8 on every system; streams that were closed before we began are null devices.

    So no file of ours gets their numbers, and nothing is lost unsaid: messages have nowhere to go, and writing results fails.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for the whole run
    if sys.stdout is None:
        # opened for reading, so that every write fails
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # open for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open for as long as the process lives
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # Windows would use the code page of the machine for pipes and files, which lacks most of what texts hold
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")


def _drop_stdout() -> None:
    """Point stdout at /dev/null, since flushing what is buffered would fail again when Python ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failure_text(error: OSError) -> str:
    if error.filename is not None:
        return f"cannot use {os.fspath(error.filename)!r}"
    try:
        os.getcwd()
    except OSError:
        return "the working directory is gone; change to one that exists"
    return "standard output cannot be written"
