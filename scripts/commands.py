"""Write docs/commands.md: the help of every command, as the commands print it. Run it after changing an option."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from graders.cli import COMMANDS, group

FILE = Path(__file__).parents[1] / "docs" / "commands.md"


def text() -> str:
    """The document."""
    parts = [
        "# Commands\n\nWhat `grader COMMAND --help` prints. Exits: 0 fine; 1 checked and not met; 2 usage; 3 the grading "
        "itself broke; 130 interrupted, resumable.\n"
    ]
    for name in COMMANDS:
        command: click.Command = import_module(f"graders.cli.{name}").command
        parts += _sections(command, name)
    return "\n".join(parts)


def _sections(command: click.Command, name: str) -> list[str]:
    """The help of a command, and of the commands inside it."""
    context = click.Context(
        command,
        info_name=f"grader {name}",
        max_content_width=110,
        terminal_width=110,
        help_option_names=group.context_settings["help_option_names"],
    )
    sections = [f"## grader {name}\n\n```\n{command.get_help(context)}\n```\n"]
    inner = getattr(command, "commands", {})
    return sections + [part for key, one in inner.items() for part in _sections(one, f"{name} {key}")]


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
