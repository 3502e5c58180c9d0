"""Factories that fill in a valid spec, so that a test names only the field it is about."""

from __future__ import annotations

from typing import Any


def string_check(**fields: Any) -> dict[str, Any]:
    return {
        "type": "string_check",
        "name": "check",
        "operation": "eq",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        **fields,
    }


def text_similarity(**fields: Any) -> dict[str, Any]:
    return {
        "type": "text_similarity",
        "name": "similar",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": "fuzzy_match",
        **fields,
    }


def python(source: str = "def grade(sample, item):\n    return 1.0\n", **fields: Any) -> dict[str, Any]:
    return {"type": "python", "name": "program", "source": source, **fields}


def score_model(**fields: Any) -> dict[str, Any]:
    return {
        "type": "score_model",
        "name": "score",
        "model": "judge",
        "input": [{"role": "user", "content": "Rate this: {{sample.output_text}}"}],
        **fields,
    }


def label_model(**fields: Any) -> dict[str, Any]:
    return {
        "type": "label_model",
        "name": "label",
        "model": "judge",
        "input": [{"role": "user", "content": "Label this: {{sample.output_text}}"}],
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
        **fields,
    }


def multi(calculate_output: str = "a", graders: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "type": "multi",
        "name": "many",
        "graders": {"a": string_check()} if graders is None else graders,
        "calculate_output": calculate_output,
        **fields,
    }


def endpoint(**fields: Any) -> dict[str, Any]:
    return {"type": "endpoint", "name": "remote", "url": "https://grader.example.com/grade", **fields}
