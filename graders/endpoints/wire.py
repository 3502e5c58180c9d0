"""The wire: a question as a request body, a response body as an answer. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graders.ask import AudioPart, ImagePart, Message, ModelAsk, Part, TextPart, Verdict, with_text
from graders.endpoints.config import Route
from graders.usage import Usage

#: The ladder of structured output, best first.
RUNGS = ("json_schema", "json_object", "prompt")


@dataclass(frozen=True, slots=True)
class Form:
    """How a question is put to one server: what it was found to accept.

    Attributes:
        rung: One of RUNGS.
        key: The result's key in the answer; "result" under json_schema.
        dropped: Parameters the server refused, and "developer" where it refused that role.
        grid: Ask for one of these whole numbers with its log-probabilities; () asks for the verdict as it is.
    """

    rung: str = "json_schema"
    key: str = "result"
    dropped: frozenset[str] = frozenset()
    grid: tuple[int, ...] = ()


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


class NotSendable(ValueError):
    """A question that the chosen API cannot carry."""


class NotAnAnswer(ValueError):
    """A response body with status 200 that is not what the API describes.

    Attributes:
        status: The status it should have had, where the body is an error that names one; else 0.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def body_of(ask: ModelAsk, route: Route, form: Form) -> dict[str, Any]:
    """The request body.

    Raises:
        NotSendable: the API cannot carry what is asked.
    """
    messages = ask.messages
    if form.rung != "json_schema":
        messages = with_text(messages, _instruction(ask.verdict, form))
    sampling, model = ask.sampling, route.model or ask.model
    body: dict[str, Any]
    if route.api == "responses":
        effort = None if "reasoning_effort" in form.dropped else sampling.reasoning_effort
        body = {
            "model": model,
            "input": [_response_message(message, form) for message in messages],
            "store": False,  # the service keeps them otherwise
            "stream": False,
            "max_output_tokens": sampling.max_completions_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "reasoning": effort and {"effort": effort},
            "text": {"format": _format(ask.verdict, form, nested=False)},
        }
    else:
        limit = "max_tokens" if "max_completion_tokens" in form.dropped else "max_completion_tokens"
        body = {
            "model": model,
            "messages": [_chat_message(message, form) for message in messages],
            "stream": False,
            limit: sampling.max_completions_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "reasoning_effort": sampling.reasoning_effort,
            "response_format": _format(ask.verdict, form, nested=True),
        }
        if form.grid:
            body |= {"logprobs": True, "top_logprobs": 20}
    if form.rung == "prompt":
        body.pop("text" if route.api == "responses" else "response_format")
    return {name: value for name, value in body.items() if value is not None and name not in form.dropped}


def not_applied(ask: ModelAsk, route: Route, form: Form) -> list[str]:
    """Sampling parameters that the spec sets and this server does not get."""
    dropped = form.dropped | ({"seed"} if route.api == "responses" else set())
    if "max_tokens" not in dropped:  # the limit went out under its older name
        dropped -= {"max_completion_tokens"}
    names = {"max_completion_tokens": "max_completions_tokens", "max_tokens": "max_completions_tokens"}
    return sorted(
        {
            names.get(name, name)
            for name in dropped
            if getattr(ask.sampling, names.get(name, name), None) is not None
        }
    )


@lru_cache(maxsize=256)
def _schema(verdict: Verdict, form: Form) -> dict[str, Any]:
    """The answer's schema, with the result under the form's key. Shared: not to be changed."""
    schema = verdict.json_schema()
    properties = dict(schema["properties"])
    result = properties.pop("result")
    if form.grid:
        result = {"type": "integer", "enum": list(form.grid), "description": result["description"]}
    properties[form.key] = result
    return {**schema, "properties": properties, "required": list(properties)}


def _format(verdict: Verdict, form: Form, *, nested: bool) -> dict[str, Any]:
    if form.rung != "json_schema":
        return {"type": "json_object"}
    schema = {"name": verdict.schema_name, "strict": True, "schema": _schema(verdict, form)}
    return {"type": "json_schema", "json_schema": schema} if nested else {"type": "json_schema", **schema}


def _instruction(verdict: Verdict, form: Form) -> str:
    """The one text that is added, and only where the server cannot be given the schema."""
    schema = json.dumps(_schema(verdict, form), ensure_ascii=False)
    return f"Answer with one JSON object and nothing else. It must match this JSON Schema:\n{schema}"


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
            raise NotSendable('audio cannot be sent to /responses; use api = "chat" for this model')
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
    if error := data.get("error"):
        code = error.get("code") if isinstance(error, dict) else None
        status = code if type(code) is int and 400 <= code <= 599 else 0
        raise NotAnAnswer(f"status 200, but the body is an error: {json.dumps(error)[:300]}", status)
    return _read_response(data) if api == "responses" else _read_chat(data)


def _read_chat(data: Mapping[str, Any]) -> Answered:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NotAnAnswer("status 200, but without a choice")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise NotAnAnswer("status 200, but its choice has no message")
    finish, content, logprobs = choice.get("finish_reason"), message.get("content"), choice.get("logprobs")
    if finish == "error" or choice.get("error"):
        raise NotAnAnswer(f"status 200, but its choice is an error: {json.dumps(choice.get('error'))[:300]}")
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return Answered(
        text=_text(content),
        refusal=_text(message.get("refusal")),
        cut=finish if finish in ("length", "content_filter") else "",
        model=_text(data.get("model")),
        usage=_usage(data.get("usage"), "prompt_tokens", "completion_tokens"),
        logprobs=logprobs.get("content") if isinstance(logprobs, dict) else None,
    )


def _read_response(data: Mapping[str, Any]) -> Answered:
    outputs = data.get("output")
    if not isinstance(outputs, list):
        raise NotAnAnswer("status 200, but without an output")
    contents = [output.get("content") for output in outputs if isinstance(output, dict)]
    parts = [part for content in contents for part in content or () if isinstance(part, dict)]
    reason = _object(data.get("incomplete_details")).get("reason")
    if reason is None and data.get("status") in ("incomplete", "failed", "cancelled"):
        reason = data["status"]
    return Answered(
        text="".join(_text(part.get("text")) for part in parts if part.get("type") == "output_text"),
        refusal="".join(_text(part.get("refusal")) for part in parts if part.get("type") == "refusal"),
        cut={"max_output_tokens": "length"}.get(_text(reason), _text(reason)),
        model=_text(data.get("model")),
        usage=_usage(data.get("usage"), "input_tokens", "output_tokens"),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(value: Any, prompt: str, completion: str) -> Usage:
    usage = _object(value)
    counts = (
        usage.get(prompt),
        usage.get(completion),
        usage.get("total_tokens"),
        _object(usage.get(f"{prompt}_details")).get("cached_tokens"),
        _object(usage.get(f"{completion}_details")).get("reasoning_tokens"),
    )
    return Usage(*(count if type(count) is int and count >= 0 else None for count in counts))


#: Parameters that are dropped where a server refuses them, with the words it may use for them.
REFUSABLE: tuple[tuple[str, str], ...] = (
    ("max_completion_tokens", "max_completion_tokens"),
    ("max_output_tokens", "max_output_tokens"),
    ("max_tokens", "max_tokens"),
    ("reasoning_effort", "reasoning_effort"),
    ("reasoning.effort", "reasoning_effort"),
    ("temperature", "temperature"),
    ("top_logprobs", "top_logprobs"),
    ("logprobs", "logprobs"),
    ("top_p", "top_p"),
    ("seed", "seed"),
    ("developer", "developer"),
)
_STRUCTURE = ("response_format", "json_schema", "json_object", "text.format", "structured output", "grammar")
_SCHEMA_ONLY = "input should be 'text'"  # llama-cpp-python's words for: no json_schema here
_UNSUPPORTED = re.compile(
    r"unsupported|support|unrecogni[sz]ed|unknown|unexpected|not (?:permitted|allowed|available|implemented|compatible)"
    r"|incompatible|unavailable|extra (?:inputs|fields)|input should be|only the default|does not accept|invalid role"
)
UNSUPPORTED_STATUS = (400, 404, 415, 422, 500, 501)  # 500: see docs/models.md for who answers that


def refused_part(status: int, text: str, body: Mapping[str, Any]) -> str:
    """What of the request an error names as unsupported: "structure", one of REFUSABLE, or "" when neither.

    Args:
        text: The response's body.
        body: The request's, so that only what was sent can be refused.
    """
    lower = text.lower()
    if status not in UNSUPPORTED_STATUS or not _UNSUPPORTED.search(lower):
        return ""
    parameter = str(_error_field(text, "param") or "").lower()
    for words in (
        parameter,
        lower,
    ):  # what the error names as its parameter goes before what it also mentions
        if words and any(word in words for word in (*_STRUCTURE, _SCHEMA_ONLY)):
            return "structure" if "response_format" in body or "text" in body else ""
        for word, part in REFUSABLE:
            if words and word in words and _sent(part, body):
                return part
    return ""


def unsupported(status: int, text: str) -> bool:
    """Whether an error with a server's status says that asking again is of no use."""
    return status == 501 or (
        status == 500 and "support" in text.lower() and bool(_UNSUPPORTED.search(text.lower()))
    )


def _sent(part: str, body: Mapping[str, Any]) -> bool:
    if part == "developer":
        messages = body.get("messages") or body.get("input") or ()
        return any(message["role"] == "developer" for message in messages)
    return ("reasoning" if part == "reasoning_effort" and "input" in body else part) in body


def _error_field(text: str, name: str) -> Any:
    try:
        error = json.loads(text).get("error")
    except (ValueError, AttributeError, RecursionError):
        return None
    return error.get(name) if isinstance(error, dict) else error if name == "message" else None


def said(status: int, text: str) -> str:
    """The status and the server's own message, short."""
    message, code = _error_field(text, "message"), _error_field(text, "code")
    if not isinstance(message, str):
        message = text[:200]
    return (
        f"status {status}"
        + (f" {code}" if isinstance(code, str) and code else "")
        + (f": {message[:500]}" if message else "")
    )
