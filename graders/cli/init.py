"""grader init: examples to start from."""

from __future__ import annotations

from pathlib import Path

import click

from graders.cli import NOT_MET, OK

#: In an installation beside the package, in a checkout at its root.
HOMES = (Path(__file__).parents[1] / "examples", Path(__file__).parents[2] / "examples")
ENDINGS = (".json", ".jsonl", ".py", ".toml", ".md")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("grader-examples"))
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def command(folder: Path, force: bool) -> int:
    """Create FOLDER with a grader of each type and data to try them on.

    FOLDER/README.md has each spec with comments, and commands to try. The help of other commands uses these
    files. Exits 1 and writes nothing if one of the files exists.

    \b
    grader init
    grader test grader-examples/graders.toml
    grader batch grader-examples/exact.grader.json grader-examples/answers.jsonl -o results.jsonl
    """
    home = next(home for home in HOMES if home.is_dir())
    files = sorted(file for file in home.iterdir() if file.suffix in ENDINGS)
    there = [file.name for file in files if (folder / file.name).exists()]
    if there and not force:
        click.echo(f"{folder} has {', '.join(there)} already; --force overwrites them", err=True)
        return NOT_MET
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).write_bytes(file.read_bytes())
        click.echo(str(folder / file.name))
    first = next(file.name for file in files if file.name.startswith("exact."))
    click.echo(f"Try: grader batch {folder / first} {folder / 'answers.jsonl'} -o results.jsonl", err=True)
    return OK
