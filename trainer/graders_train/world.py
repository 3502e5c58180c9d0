"""Several training processes with one pipe: only the first talks to the supervisor.

With a single process every function is a plain call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from accelerate import PartialState

Value = TypeVar("Value")


def processes() -> PartialState:
    """accelerate's state of the training processes, which without an accelerator has to be asked for by `cpu`."""
    from accelerate import PartialState

    return PartialState(cpu=on_processor())


def on_processor() -> bool:
    """Whether this machine has no accelerator."""
    import torch

    return not torch.accelerator.is_available()


def on_first(compute: Callable[[], Value]) -> Value:
    """The result of the first process, in every process. All must call it, in the same order."""
    from accelerate.utils import broadcast_object_list

    state = processes()
    box: list[Value | None] = [compute() if state.is_main_process else None]
    if state.num_processes > 1:
        broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]  # filled by the first process


def gathered(values: list[Value]) -> tuple[list[Value], slice]:
    """The values of all processes in the order of ranks, and the slice of this process."""
    from accelerate.utils import gather_object

    state = processes()
    if state.num_processes == 1:
        return values, slice(0, len(values))
    parts: list[list[Value]] = gather_object([values])
    start = sum(map(len, parts[: state.process_index]))
    return [value for part in parts for value in part], slice(start, start + len(values))
