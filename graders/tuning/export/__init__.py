"""Exports a fine-tuning job for another trainer: its rows, its configuration, and its grader as the reward.

for name, text in exported("trl", JobExport(job, rows, None, arguments, "models/smollm2")).items():
    (folder / name).write_text(text)

A trainer is one file and one line in TARGETS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graders.tuning.export.job import JobExport, NotExportable, arguments_of
from graders.tuning.export.openrlhf import openrlhf
from graders.tuning.export.trl import trl
from graders.tuning.export.verl import verl

__all__ = ["TARGETS", "JobExport", "NotExportable", "arguments_of", "exported"]

#: Target -> its writer.
TARGETS: Mapping[str, Callable[[JobExport], dict[str, str]]] = {
    "trl": trl,
    "verl": verl,
    "openrlhf": openrlhf,
}


def exported(target: str, export: JobExport) -> dict[str, str]:
    """File name -> text.

    Args:
        target: A key of TARGETS.

    Raises:
        NotExportable: the target does not support the job's method.
    """
    return TARGETS[target](export)
