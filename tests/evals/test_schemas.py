"""item_schema: what it refuses, and what a hostile one cannot do."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from graders.evals.requests import InvalidRequest
from graders.evals.schemas import ItemSchema, read_config

ITEMS = [
    # schema, item, problems
    pytest.param({"foo": "bar"}, {"foo": 1}, [], id="unknown keywords say nothing"),
    pytest.param({"required": ["a"]}, {}, ["item: 'a' is a required property"], id="required"),
    pytest.param(
        {"properties": {"a": {"type": "array", "items": {"type": "integer"}}}}, {"a": [1, "x"]},
        ["item.a[1]: 'x' is not of type 'integer'"], id="the place is named",
    ),
    pytest.param(
        {"$defs": {"x": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/x"}}}, {"a": 1},
        ["item.a: 1 is not of type 'string'"], id="references within it, as pydantic makes them",
    ),
    pytest.param({"properties": {"a": {"pattern": "^x+$"}}}, {"a": "xy"}, ["item.a: 'xy' does not match '^x+$'"], id="a pattern"),
    pytest.param({"properties": {"a": {"pattern": "^x+$"}}}, {"a": "xx"}, [], id="a pattern that fits"),
    pytest.param({"patternProperties": {"^n_": {"type": "integer"}}}, {"n_a": "x", "m": "y"}, ["item.n_a: 'x' is not of type 'integer'"], id="patterns of names"),
    pytest.param({"properties": {"a": {"pattern": "("}}}, {"a": "x"}, ["item.a: the schema's pattern '(' cannot be read: missing ) at position 1"], id="no pattern"),
    pytest.param({"type": "object"}, {"a": 10**30}, [], id="a whole number of any size"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "item", "problems"), ITEMS)
def test_invalid_items_are_problems(schema: Any, item: Any, problems: list[str]) -> None:
    assert list(ItemSchema(schema).problems(item)) == problems


SCHEMAS: list[Any] = [
    {"type": "text"},
    {"properties": []},
    {"required": "a"},
    {"minimum": "x"},
    {"type": "object", "properties": {"a": {"enum": 5}}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_invalid_schemas_are_refused(schema: Any) -> None:
    with pytest.raises(InvalidRequest, match="Invalid schema at 'data_source_config"):
        read_config({"type": "custom", "item_schema": schema})


def test_an_exponential_pattern_is_given_up() -> None:
    """One that takes exponential time by backtracking: a problem of the item, after the bound."""
    schema = ItemSchema({"properties": {"a": {"pattern": "^(a|a|b?a)+(a|aa)+$"}}})
    found: list[str] = []

    work = threading.Thread(target=lambda: found.extend(schema.problems({"a": "a" * 60 + "!"})), daemon=True)
    work.start()
    work.join(60)

    assert not work.is_alive()
    assert len(found) == 1


def test_a_remote_reference_is_not_fetched() -> None:
    """A reference to another document is a problem of the item; nobody is connected to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x.json"

        problems = list(ItemSchema({"properties": {"a": {"$ref": address}}}).problems({"a": 1}))

        assert problems == [f"item: the schema refers to {address!r}, which is not in it"]
        with pytest.raises(TimeoutError):
            listener.accept()


def test_an_endless_schema_is_refused() -> None:
    """References in a circle, and nesting as deep as JSON can be read."""
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"properties": {"a": deep}}
    item: dict[str, Any] = {}
    for _ in range(900):
        item = {"a": item}

    assert list(ItemSchema({"$ref": "#"}).problems({})) == ["item: nested too deeply to be validated"]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        ItemSchema(deep).check()
    assert all(
        one.startswith("item") for one in ItemSchema({"properties": {"a": {"$ref": "#"}}}).problems(item)
    )
