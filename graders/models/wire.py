"""The wire: a question as a request body, a response body as an answer. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from graders.ask import AudioPart, ImagePart, Message, ModelAsk, Part, TextPart, Usage
from graders.models.config import Route

#: The ladder of structured output, best first.
RUNGS = ("json_schema", "json_object", "prompt")


@dataclass(frozen=True, slots=True)
class Form:
    """How a question is put to one server: what it was found to accept.

    Attributes:
        rung: One of RUNGS.
        key: The result's key in the answer; "result" under json_schema.
        dropped: Parameters the server refused.
    """

    rung: str = "json_schema"
    key: str = "result"
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answered:
    """What a server answered.

    Attributes:
        text: The answer's text; "" when there is none.
        refusal: The refusal's text, or "".
        cut: Why it ended early ("length", "content_filter"), or "".
        model: The model the server names, or "".
        usage: Its tokens, None where it does not say.
        logprobs: Token log-probabilities as the server gave them, or None.
    """

    text: str
    refusal: str
    cut: str
    model: str
    usage: Usage
    logprobs: Any = None


class NotAnAnswer(ValueError):
    """A response body with status 200 that is not what the API describes."""


def body_of(ask: ModelAsk, route: Route, form: Form) -> dict[str, Any]:
    """The request body."""
    messages = _hint(ask.messages, ask, form)
    sampling = ask.sampling
    model = route.model or ask.model
    if route.api == "responses":
        body: dict[str, Any] = {
            "model": model,
            "input": [_response_message(m, form) for m in messages],
            "store": False,
            "max_output_tokens": sampling.max_completions_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.reasoning_effort is not None and "reasoning_effort" not in form.dropped:
            body["reasoning"] = {"effort": sampling.reasoning_effort}
        if form.rung != "prompt":
            body["text"] = {"format": _format(ask, form, nested=False)}
    else:
        limit = "max_tokens" if "max_completion_tokens" in form.dropped else "max_completion_tokens"
        body = {
            "model": model,
            "messages": [_chat_message(m, form) for m in messages],
            limit: sampling.max_completions_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "reasoning_effort": sampling.reasoning_effort,
            "stream": False,
        }
        if form.rung != "prompt":
            body["response_format"] = _format(ask, form, nested=True)
        if route.logprobs:
            body |= {"logprobs": True, "top_logprobs": 20}
    return {name: value for name, value in body.items() if value is not None and name not in form.dropped}


def _format(ask: ModelAsk, form: Form, *, nested: bool) -> dict[str, Any]:
    if form.rung == "json_object":
        return {"type": "json_object"}
    schema = {"name": ask.verdict.schema_name, "strict": True, "schema": ask.verdict.json_schema()}
    return {"type": "json_schema", "json_schema": schema} if nested else {"type": "json_schema", **schema}


def _hint(messages: tuple[Message, ...], ask: ModelAsk, form: Form) -> tuple[Message, ...]:
    """The messages as they are, and below json_schema one more that says what form the answer must have."""
    if form.rung == "json_schema":
        return messages
    schema = ask.verdict.json_schema()
    properties = {(form.key if name == "result" else name): v for name, v in schema["properties"].items()}
    schema = {**schema, "properties": properties, "required": list(properties)}
    text = "Answer with one JSON object and nothing else. It must match this JSON Schema:\n" + json.dumps(
        schema
    )
    return (*messages, Message("user", (TextPart(text),)))


def _role(message: Message, form: Form) -> str:
    return "system" if message.role == "developer" and "developer" in form.dropped else message.role


def _chat_message(message: Message, form: Form) -> dict[str, Any]:
    parts = message.parts
    if len(parts) == 1 and isinstance(parts[0], TextPart):  # a plain string has the widest support
        return {"role": _role(message, form), "content": parts[0].text}
    return {"role": _role(message, form), "content": [_chat_part(part) for part in parts]}


def _chat_part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        image = (
            {"url": part.image_url} if part.detail is None else {"url": part.image_url, "detail": part.detail}
        )
        return {"type": "image_url", "image_url": image}
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}


def _response_message(message: Message, form: Form) -> dict[str, Any]:
    role = _role(message, form)
    kind = "output_text" if role == "assistant" else "input_text"
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": kind, "text": part.text})
        elif isinstance(part, ImagePart):
            content.append(
                {"type": "input_image", "image_url": part.image_url, "detail": part.detail or "auto"}
            )
        elif isinstance(part, AudioPart):
            raise NotAnAnswer('audio cannot be sent to /responses; use api = "chat" for this model')
    return {"role": role, "content": content}


def read_answer(body: bytes, api: str) -> Answered:
    """What a 200 body says.

    Raises:
        NotAnAnswer: it is not JSON, not an object, an error after all, or without a choice.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        start = body[:60].decode("utf-8", "replace")
        raise NotAnAnswer(f"status 200, but the body is not JSON: {start!r}") from None
    if not isinstance(data, dict):
        raise NotAnAnswer(f"status 200, but the body is a JSON {type(data).__name__}")
    if data.get("error"):
        raise NotAnAnswer(f"status 200, but the body is an error: {json.dumps(data['error'])[:300]}")
    try:
        return _read_response(data) if api == "responses" else _read_chat(data)
    except (AttributeError, TypeError, KeyError) as error:
        raise NotAnAnswer(f"status 200, but the body is not the API's: {error!r}") from None


def _read_chat(data: Mapping[str, Any]) -> Answered:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise NotAnAnswer("status 200, but without a choice")
    choice = choices[0]
    message = choice.get("message") or {}
    finish = choice.get("finish_reason") or ""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    return Answered(
        text=content or "",
        refusal=message.get("refusal") or "",
        cut=finish if finish in ("length", "content_filter") else "",
        model=data.get("model") or "",
        usage=_usage(data.get("usage"), "prompt_tokens", "completion_tokens"),
        logprobs=(choice.get("logprobs") or {}).get("content"),
    )


def _read_response(data: Mapping[str, Any]) -> Answered:
    texts, refusals = [], []
    for output in data.get("output") or ():
        for part in output.get("content") or ():
            texts.append(part.get("text") or "" if part.get("type") == "output_text" else "")
            refusals.append(part.get("refusal") or "" if part.get("type") == "refusal" else "")
    reason = (data.get("incomplete_details") or {}).get("reason") or ""
    return Answered(
        text="".join(texts),
        refusal="".join(refusals),
        cut={"max_output_tokens": "length"}.get(reason, reason),
        model=data.get("model") or "",
        usage=_usage(data.get("usage"), "input_tokens", "output_tokens"),
    )


def _usage(usage: Any, prompt: str, completion: str) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get(f"{prompt}_details") or {}
    out_details = usage.get(f"{completion}_details") or {}
    counts = (
        usage.get(prompt),
        usage.get(completion),
        usage.get("total_tokens"),
        details.get("cached_tokens"),
        out_details.get("reasoning_tokens"),
    )
    return Usage(*(count if type(count) is int else None for count in counts))


#: Words by which servers name a parameter they refuse -> what to drop.
_REFUSABLE: tuple[tuple[str, str], ...] = (
    ("max_completion_tokens", "max_completion_tokens"),
    ("reasoning_effort", "reasoning_effort"),
    ("temperature", "temperature"),
    ("top_logprobs", "top_logprobs"),
    ("logprobs", "logprobs"),
    ("top_p", "top_p"),
    ("seed", "seed"),
    ("developer", "developer"),
)
_STRUCTURE_WORDS = (
    "response_format",
    "json_schema",
    "json_object",
    "input should be 'text'",
    "text.format",
    "grammar",
)


def refused_part(status: int, text: str, asked: Mapping[str, Any], tried: Collection[str]) -> str:
    """What of the request an error names as unsupported: "structure", a parameter, or "" when it is something else.

    Servers answer 400, 404, 415, 422, 501 for it, and some 500 with the field's name in the text.
    """
    if status not in (400, 404, 415, 422, 500, 501):
        return ""
    text = text.lower()
    if any(word in text for word in _STRUCTURE_WORDS):
        return "structure"
    for word, part in _REFUSABLE:
        sent = part in asked or (
            part == "developer" and '"developer"' in json.dumps(asked.get("messages", ""))
        )
        if word in text and sent and part not in tried:
            return part
    return ""
