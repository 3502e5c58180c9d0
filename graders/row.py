"""One row: the two roots that a template can name, `sample` and `item`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.errors import SampleParseError
from graders.samples import Sample
from graders.shapes import read_sample
from graders.values import json_value


class Row:
    """One sample and its item, as the templates see them.

    Attributes:
        sample: See graders.shapes.
        item: The dataset row's fields.
        id: The caller's name for the row; "" when it has none. Rows are identified by id, never by position.
    """

    __slots__ = ("id", "item", "sample")

    def __init__(self, sample: object, item: Mapping[str, Any] | None = None, row_id: str = "") -> None:
        """
        Args:
            sample: The model's text, or any shape that `read_sample` takes; None when the row has no sample.
            item: A JSON object; None is {}.

        Raises:
            SampleParseError: the sample has none of the known shapes, or the item is not an object.
        """
        self.sample = Sample(output_text=sample) if sample.__class__ is str else read_sample(sample)
        if item.__class__ is not dict and not isinstance(item, Mapping):
            item = json_value(item, "item")
            if item is None:
                item = {}
            elif not isinstance(item, Mapping):
                raise SampleParseError(f"item is a {type(item).__name__}; expected an object")
        self.item: Mapping[str, Any] = item
        self.id = row_id
