"""grader completion: the shell completes commands, options and files."""

from __future__ import annotations

import click

from graders.cli import OK

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print a script with which SHELL completes `grader`'s commands and options.

    \b
    eval "$(grader completion bash)"      in ~/.bashrc
    eval "$(grader completion zsh)"       in ~/.zshrc
    grader completion fish > ~/.config/fish/completions/grader.fish
    """
    from click.shell_completion import BashComplete, get_completion_class

    from graders.cli import group

    if shell == "bash":
        # click would start bash to look at its version, which says nothing about the shell that reads the script
        BashComplete._check_version = staticmethod(lambda: None)  # type: ignore[method-assign]  # click asks bash for its version, which takes a process
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(group, {}, "grader", "_GRADER_COMPLETE").source())
    return OK
