"""Templates never crash, never render twice, and name what is missing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.errors import GradeError, MissingVariable, SampleParseError
from graders.row import Row
from graders.template import Template
from graders.template.mistakes import mistakes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.text() | st.text("{}item.sample[0] ab", max_size=80),
    st.dictionaries(st.text(max_size=5), JSON, max_size=5),
)
def test_any_text_renders_or_raises_a_grade_error(text: str, item: dict[str, object]) -> None:
    """No text and no item make rendering raise anything but a GradeError."""
    template = Template(text)

    try:
        rendered = template.render(Row("sample", item))
    except GradeError:
        return

    if template.constant is not None:
        assert rendered == text


@given(JSON)
def test_a_value_is_put_in_as_it_is(value: object) -> None:
    """Strings are rendered unchanged, and other values as JSON."""
    rendered = Template("<{{item.a}}|{{ item.a }}>").render(Row("", {"a": value, "b": "never"}))

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    assert rendered == f"<{text}|{text}>"


@given(st.text())
def test_mistakes_never_crash(text: str) -> None:
    """Any text has a list of template mistakes, and no exception."""
    mistakes(text)


def test_a_missing_variable_lists_the_existing_keys() -> None:
    """The error says how far the path went and what stands there."""
    row = Row("", {"user": {"name": "x", "mail": "y"}})

    with pytest.raises(MissingVariable, match=r"no 'item.user.nam' in this row; it has name, mail there"):
        Template("{{item.user.nam}}").render(row)


def test_values_are_rendered_as_python_by_choice() -> None:
    """The switch renders values that are not strings as Python writes them."""
    row = Row("", {"a": True, "b": None, "c": "text"})

    assert Template("{{item.a}} {{item.b}} {{item.c}}", values="python").render(row) == "True None text"


def test_a_value_without_json_form() -> None:
    """An object in an item from Python is the row's failure, not a crash."""
    with pytest.raises(SampleParseError, match=r"item\.a is a set, which has no JSON form"):
        Template("{{item.a}}").render(Row("", {"a": {1, 2}}))


@pytest.mark.parametrize(
    ("sample", "problem"),
    [
        pytest.param(5, "sample is 5, not text: put what the model wrote in quotes", id="a number"),
        pytest.param([], "no message with role", id="no messages"),
        pytest.param(
            [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}],
            "no message",
            id="users only",
        ),
        pytest.param({"object": "chat.completion", "choices": []}, "no choices", id="empty completion"),
        pytest.param([{"role": "assistant", "content": 5}], "content is a int", id="content that is no text"),
    ],
)
def test_unknown_shapes_of_samples_are_refused(sample: object, problem: str) -> None:
    """A sample of no known shape is sample_parse_error and says what was expected."""
    with pytest.raises(SampleParseError, match=problem):
        Row(sample)


class Completion:
    """Anything with model_dump, as the SDKs' objects have."""

    def __init__(self, data: dict[str, object]) -> None:
        self.data = data

    def model_dump(self, mode: str = "python") -> dict[str, object]:
        return self.data


@pytest.mark.parametrize(
    ("sample", "text", "tools"),
    [
        pytest.param("hi", "hi", [], id="text"),
        pytest.param({"output_text": "hi"}, "hi", [], id="sample"),
        pytest.param({"role": "assistant", "content": "hi"}, "hi", [], id="one message"),
        pytest.param(
            Completion({"object": "chat.completion", "choices": [{"message": {"content": "hi", "tool_calls": [{"id": "1"}]}}]}),
            "hi", [{"id": "1"}], id="completion object",
        ),
        pytest.param(
            Completion({"object": "response", "output": [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "message", "content": [{"type": "output_text", "text": "hi"}]},
            ]}),
            "hi", [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}], id="response object",
        ),
    ],
)  # fmt: skip
def test_every_sample_shape_has_four_keys(sample: object, text: str, tools: object) -> None:
    """Every shape ends in the same four keys."""
    complete = Row(sample).sample.complete()

    assert (complete["output_text"], complete["output_tools"], complete["output_json"]) == (text, tools, None)
    assert complete["choices"][0]["message"]["content"] == text


def test_deep_json_in_a_sample_is_absent_not_fatal() -> None:
    """A sample that is JSON too deep to read has no output_json."""
    assert Row("[" * 200_000 + "]" * 200_000).sample.complete()["output_json"] is None
