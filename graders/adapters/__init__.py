"""Adapters of graders to training and evaluation frameworks: each file has one framework's signature.

No adapter imports a framework before it is used. Each compiles once, grades by `run_batch` or `arun`, takes the ground
truth by an explicit map, and defines the result of a failed row, which is never a silent 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from graders.adapters.decoded import SpecialTokens
from graders.errors import GradeError, SampleParseError

if TYPE_CHECKING:
    from graders.result import RunResult

#: The mapping of a framework's fields to the item: {item key: field}, or a function of all fields.
#: None uses all fields unchanged.
ItemMap: TypeAlias = Mapping[str, str] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None


class RowFailed(GradeError):
    """Raised for a failed row where the framework has no value for one; `result` has the flags and errors."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        reasons = "; ".join(f"{failure.flag}: {failure}" for failure in result.failures)
        super().__init__(f"the row {result.id or '(no id)'} was not graded: {reasons}")


def item_of(fields: Mapping[str, Any], item: ItemMap) -> Mapping[str, Any]:
    """The item of one row.

    Raises:
        KeyError: the map names a field that the row lacks; the message lists its fields.
    """
    if item is None:
        return fields
    if callable(item):
        return item(fields)
    missing = [field for field in item.values() if field not in fields]
    if missing:
        raise KeyError(
            f"the item map names {', '.join(map(repr, missing))}; the row has {', '.join(map(repr, fields))}"
        )
    return {key: fields[field] for key, field in item.items()}


def rows_of(samples: Sequence[Any], columns: Mapping[str, Any], item: ItemMap) -> Iterable[dict[str, Any]]:
    """Rows for `run_batch` from a list of samples and columns of the same length.

    Columns are lists, tuples, or arrays and tensors (objects with `tolist`); other values are ignored.
    """
    n = len(samples)
    lists = {name: column for name, values in columns.items() if len(column := _column(values)) == n}
    for index, sample in enumerate(samples):
        yield {
            "sample": sample,
            "item": item_of({name: column[index] for name, column in lists.items()}, item),
        }


def _column(values: Any) -> Sequence[Any]:
    if isinstance(values, (list, tuple)):
        return values
    listed = values.tolist() if callable(getattr(values, "tolist", None)) else ()
    return listed if isinstance(listed, list) else ()


def decoded(special: SpecialTokens, text: str, prompt: str = "") -> Any:
    """The sample in a decoded text: the answer, or the error that makes it unreadable."""
    try:
        return special.answer(text, prompt)
    except SampleParseError as error:
        return error


def reward_of(result: RunResult) -> float:
    """The reward of a graded row.

    Raises:
        RowFailed: the row failed.
    """
    if not result.ok:
        raise RowFailed(result)
    return result.reward
