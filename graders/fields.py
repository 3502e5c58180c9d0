"""Which fields of a data row hold the sample, the item and the id.

    fields = detect_fields({"question": "2+2?", "answer": "4", "completion": "4"})
    sample_of(row, fields), item_of(row, fields)

Batches, datasets, results files, the server and pytest all read rows by a FieldMap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from graders.errors import SampleParseError
from graders.jsontext import loads
from graders.row import Row
from graders.suggest import closest, did_you_mean

#: The field of an exported Evals output item that holds the item.
EXPORTED_ITEM = "datasource_item"
#: Fields that hold the model's output, in the order in which they are looked for.
SAMPLE_FIELDS = ("sample", "model_sample", "output_text", "output", "response", "completion")
#: Fields that name a row: its own names first, then those of its item.
ID_FIELDS = (
    "id",
    "datasource_item_id",
    "custom_id",
    "data_source_idx",
    "item.id",
    f"{EXPORTED_ITEM}.id",
)

#: Groups of field names that public data sets use for the same thing, the likeliest first.
SYNONYMS = (
    (*SAMPLE_FIELDS, "prediction", "pred", "model_output", "generated_text", "generation", "model_answer", "generated"),
    (
        "answer", "reference", "gold", "expected", "ground_truth", "target", "label", "solution", "expected_output",
        "ideal", "correct_answer", "reference_answer", "correct",
    ),
    ("question", "prompt", "input", "query", "problem", "instruction"),
)  # fmt: skip

#: Separators of the words of a field's name.
_WORD_BREAK = re.compile(r"\W+")
_ABSENT = object()


class FieldError(ValueError):
    """A named field is not in the row, or no field holds the model's output."""


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The fields of a data row. A field is a key, or a path like `model_a.solution` or `outputs[0]`.

    Attributes:
        sample: Field of the sample; "" when rows have none.
        item: Field of the item; "" when the whole row is the item.
        id: Field of the id; "" when ids are made from the content.
        item_map: Fields that the item gets beside its own: name in the item -> field of the data row.
    """

    sample: str = "sample"
    item: str = "item"
    id: str = "id"
    item_map: Mapping[str, str] = field(default_factory=dict)


def detect_fields(
    row: Mapping[str, Any],
    *,
    sample: str | None = None,
    item: str | None = None,
    row_id: str | None = None,
    item_map: Mapping[str, str] | None = None,
    samples: bool = True,
    wanted: Iterable[str] = (),
) -> FieldMap:
    """The fields of sample, item and id of rows like this one: the named ones, else those of the known shapes.

    Known shapes are `{"item": ..., "sample": ...}`, exported Evals output items (`datasource_item`), rows of a
    reinforcement job's export, lines of the Batch API's output, training rows whose `messages` end with the
    assistant's, and flat rows with one of SAMPLE_FIELDS, where the whole row is the item.

    Args:
        sample, item, row_id: Fields that the caller names.
        item_map: Name in the item -> field of the row, as in FieldMap.
        samples: Whether rows must have a sample; if they need not, and have none, its field is "".
        wanted: Fields of the item that the grader reads, for the message of a FieldError.

    Raises:
        FieldError: a field that the caller names is not there, or no field holds the sample.
    """
    _check_named(row, {"--sample-field": sample, "--item-field": item, "--id-field": row_id})
    if item is None:
        item = _item_field(row)
    if item_map:
        own = _own_item(row, FieldMap("", item))
        has = {**own, **row} if isinstance(own, Mapping) else row
        _check_named(has, {f"--map {name}={source}": source for name, source in item_map.items()})
    if sample is None:
        sample = next((field for field in SAMPLE_FIELDS if field in row), None)
        if item == EXPORTED_ITEM and not row.get("sample"):
            # nothing was sampled: the data source held the outputs
            source = row[EXPORTED_ITEM]
            inner = next((field for field in SAMPLE_FIELDS if field in source), None)
            sample = f"{EXPORTED_ITEM}.{inner}" if inner else sample
            item = f"{EXPORTED_ITEM}.item" if inner and _is_item(source.get("item")) else item
    if sample is None and _ends_with_assistant(row.get("messages")):
        sample = "messages"
    if sample is None and not samples:
        sample = ""
    if sample is None:
        likely = likely_field(SAMPLE_FIELDS[0], row) or _likely_inside(row, item)
        options = map_options(row, FieldMap(likely, item, item_map=item_map or {}), wanted)
        raise FieldError(
            f"no field holds the model's output: the first row has {', '.join(row) or 'no fields'}; "
            f"looked for {', '.join(SAMPLE_FIELDS)}. Name it with "
            f"--sample-field {_quoted(likely) if likely else 'FIELD'}{options and f' {options}'}."
        )
    if row_id is None:
        row_id = next((field for field in ID_FIELDS if _is_id(field_of(row, field, None))), "")
    return FieldMap(sample, item, row_id, item_map or {})


def _check_named(row: Mapping[str, Any], named: Mapping[str, str | None]) -> None:
    for option, name in named.items():
        if name and field_of(row, name, _ABSENT) is _ABSENT:
            raise FieldError(
                f"{option}: the first row has no field '{name}'; it has {', '.join(row)}. "
                f"{did_you_mean(name, row)}".rstrip()
            )


def likely_field(name: str, row: Mapping[str, Any]) -> str:
    """The field of a row that probably holds what is looked for under this name; "" when none does.

    Case and signs do not count: `Model Answer` is `model_answer`, and `Gold Label` has the word `gold` in it.
    """
    fields = {_WORD_BREAK.sub("_", field.lower()): field for field in row}
    if close := closest(name, fields):
        return fields[close]
    others = [other for names in SYNONYMS if name in names for other in names]
    for has in (lambda field, other: field == other, lambda field, other: other in field.split("_")):
        for other in others:
            if found := next((field for field in fields if has(field, other)), None):
                return fields[found]
    return ""


def _likely_inside(row: Mapping[str, Any], item: str) -> str:
    """The path of a field of the row's item that probably holds the model's output; "" when none does."""
    inside = row.get(item)
    likely = likely_field(SAMPLE_FIELDS[0], inside) if isinstance(inside, Mapping) else ""
    return likely and f"{item}.{likely}"


def map_options(row: Mapping[str, Any], fields: FieldMap, wanted: Iterable[str]) -> str:
    """The --map options that probably give this row's item the fields that it lacks; "" without any."""
    item = item_of(row, fields)
    if not isinstance(item, Mapping):
        return ""
    has = {field: value for field, value in {**row, **item}.items() if field != fields.sample}
    likely = {name: likely_field(name, has) for name in wanted if name not in item}
    return " ".join(f"--map {_quoted(f'{name}={source}')}" for name, source in likely.items() if source)


def _quoted(argument: str) -> str:
    """An argument as a shell takes it."""
    # here, since `import graders` must stay light
    import shlex

    return shlex.quote(argument)


def _item_field(row: Mapping[str, Any]) -> str:
    if EXPORTED_ITEM in row:
        return EXPORTED_ITEM
    if "item" not in row:
        return ""
    # beside `sample` or `model_sample`, `item` is the wire's field, so that a value other than an object is an error
    wire = "sample" in row or "model_sample" in row
    return "item" if wire or row["item"] is None or _is_item(row["item"]) else ""


def _is_item(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{"))


def _is_id(value: Any) -> bool:
    return value != "" and isinstance(value, (str, int))


def _ends_with_assistant(messages: Any) -> bool:
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, Mapping) and last.get("role") == "assistant"


def sample_of(row: Mapping[str, Any], fields: FieldMap) -> Any:
    """The sample of a data row; None when it has none."""
    return field_of(row, fields.sample, None) if fields.sample else None


def item_of(row: Mapping[str, Any], fields: FieldMap) -> Any:
    """The item of a data row: the field that holds it (JSON text is read), or the row itself; {} when it has none.

    The fields of `item_map` are added to it, each from the row or else from the item itself; one that neither has
    stays as it is.
    """
    item = _own_item(row, fields)
    if not fields.item_map or not isinstance(item, Mapping):
        return item
    mapped = {name: _mapped(row, item, source) for name, source in fields.item_map.items()}
    return {**item, **{name: value for name, value in mapped.items() if value is not _ABSENT}}


def _mapped(row: Mapping[str, Any], item: Any, source: str) -> Any:
    value = field_of(row, source, _ABSENT)
    return field_of(item, source, _ABSENT) if value is _ABSENT and isinstance(item, Mapping) else value


def _own_item(row: Mapping[str, Any], fields: FieldMap) -> Any:
    if not fields.item:
        return row
    item = field_of(row, fields.item, None)
    if item is None:
        return {}
    # a table's column holds the item as JSON text
    if isinstance(item, str) and item.lstrip().startswith("{"):
        try:
            return loads(item.encode())
        except ValueError:
            return item
    return item


def field_of(row: Mapping[str, Any], field: str, default: Any) -> Any:
    """The value of a field, which is a key of the row or a path into it."""
    if field in row:
        return row[field]
    value: Any = row
    for step in steps_of(field):
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return default
            value = value[step]
        else:
            if not isinstance(value, Mapping) or step not in value:
                return default
            value = value[step]
    return value


@cache
def steps_of(field: str) -> tuple[str | int, ...]:
    """`a[0].b` as ("a", 0, "b")."""
    from graders.template import parse_steps

    return parse_steps(field if field.startswith("[") else f".{field}")


def read_row(row: Mapping[str, Any], row_id: str = "") -> Row:
    """The Row of a mapping in any of the known shapes; one without a sample has a NoSample.

    Raises:
        SampleParseError: it is no mapping, or its sample or item has none of the known shapes.
    """
    if not isinstance(row, Mapping):
        raise SampleParseError(
            f"the row is a {type(row).__name__}; expected an object such as "
            '{"sample": "...", "item": {...}}'
        )
    fields = detect_fields(row, samples=False)
    return Row(sample_of(row, fields), item_of(row, fields), row_id)


def check_rows(source: Any) -> None:
    """Refuse a source that does not iterate over rows.

    Raises:
        TypeError: it is a mapping, a text or a data frame; the message says what to pass.
    """
    name = f"<{type(source).__name__}>"
    if isinstance(source, Mapping):
        keys = ", ".join(map(repr, list(source)[:5]))
        raise TypeError(
            f"{name} is a mapping; pass the rows, for a dataset of several splits one of them ({keys})"
        )
    if isinstance(source, (str, bytes)):
        raise TypeError(f"{name} is not an iterable of rows; `graders.batch.grade_dataset` reads files")
    if callable(getattr(source, "to_pylist", None)):
        raise TypeError(f"{name} iterates over its columns; pass its rows: table.to_pylist()")
    if hasattr(source, "columns") and callable(getattr(source, "to_dict", None)):
        raise TypeError(
            f"{name} iterates over its columns; pass its rows: frame.to_dict('records') of pandas, "
            "frame.iter_rows(named=True) of Polars"
        )
