"""Parts of files for several trainers: rows as lines, the grader as the reward, and a start script."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from graders.training_files.conversation import DataRow
from graders.training_files.rows import METHODS
from graders.tuning.export.job import JobExport


def row_files(export: JobExport, form: Callable[[DataRow], Iterable[Any]]) -> dict[str, str]:
    """File name -> JSON lines: the rows of a trainer, of which one row may give several."""
    return {name: json_lines(made for row in rows for made in form(row)) for name, rows in export.splits()}


def json_lines(rows: Iterable[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def prompt_and_item(row: DataRow) -> tuple[Any, str]:
    """The prompt of a reinforcement row, and its item as JSON text: columns of a table have one type, items have not."""
    written = METHODS["reinforcement"].for_trainer(row)
    return written["prompt"], json.dumps(written["item"], ensure_ascii=False)


def prompts_and_completions(row: DataRow) -> Iterator[dict[str, Any]]:
    """A supervised row as prompts and completions: one for each assistant message with a weight."""
    written = METHODS["supervised"].for_trainer(row)
    if "completion" in written:
        yield written
        return
    messages = [{key: value for key, value in one.items() if key != "weight"} for one in written["messages"]]
    tools = {"tools": written["tools"]} if written.get("tools") else {}
    for at, message in enumerate(written["messages"]):
        if message["role"] == "assistant" and message.get("weight") != 0:
            yield {"prompt": messages[:at], "completion": [messages[at]], **tools}


def reward_file(target: str, function: str, setup: str, arguments: str, source: str) -> str:
    """reward.py: the job's grader as the reward of one trainer."""
    return (
        f'"""The job\'s grader as the reward of {target}; judges and limits as graders.toml says."""\n\n'
        f"import json\nfrom pathlib import Path\n\n{setup}\n"
        f"HERE = Path(__file__).parent\n\n\n"
        f"def item(fields):\n    return json.loads(fields[{source!r}])\n\n\n"
        f'{function}(str(HERE / "grader.json"), item=item{arguments})\n'
    )


def grader_files(export: JobExport, reward: str) -> dict[str, str]:
    if export.method != "reinforcement":
        return {}
    grader = json.dumps(export.grader, indent=2, ensure_ascii=False)
    return {"grader.json": grader + "\n", "reward.py": reward}


def shell_script(*commands: Sequence[str]) -> str:
    lines = [shlex.join(map(str, command)).replace(" --", " \\\n  --") for command in commands]
    return (
        "#!/usr/bin/env bash\n# One GPU; see the trainer's own documentation for more.\nset -euo pipefail\n"
        + "\n".join(lines)
        + "\n"
    )
