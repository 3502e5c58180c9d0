"""One spec as the reward of whatever trains or evaluates: each file translates one framework's signature.

Nothing here imports a framework before it calls us. Every adapter compiles once, grades through `run_batch` or
`arun`, takes the ground truth by an explicit map, and says what becomes of a failed row: never a silent 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from graders.adapters.decoded import SpecialTokens
from graders.errors import GradeError, SampleParseError

if TYPE_CHECKING:
    from graders.result import RunResult

#: How a framework's fields become the item: a map {item key: field}, or a function of all fields.
#: None takes every field as it is.
ItemMap: TypeAlias = Mapping[str, str] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None


class RowFailed(GradeError):
    """A row could not be graded, and the framework has no way to say so: `result` holds the flags and why."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        reasons = "; ".join(f"{failure.flag}: {failure}" for failure in result.failures)
        super().__init__(f"the row {result.id or '(no id)'} was not graded: {reasons}")


def item_of(fields: Mapping[str, Any], item: ItemMap) -> Mapping[str, Any]:
    """The item of one row.

    Raises:
        KeyError: the map names a field that the row does not have; the message lists those it has.
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

    Columns are lists, tuples, or arrays and tensors (what has `tolist`); other values are left out.
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
    """The answer in a decoded text, or why it is not known: a sample either way."""
    try:
        return special.answer(text, prompt)
    except SampleParseError as error:
        return error


def reward_of(result: RunResult) -> float:
    """The reward of a graded row.

    Raises:
        RowFailed: it was not graded.
    """
    if not result.ok:
        raise RowFailed(result)
    return result.reward
