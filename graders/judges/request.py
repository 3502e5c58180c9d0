"""Request bodies for questions to judges: messages, parameters and the answer's format. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graders.ask import ModelAsk
from graders.config.route import Route
from graders.endpoints.wire import NotSendable, fit_roles
from graders.messages import AudioPart, ImagePart, Message, Part, TextPart, with_text
from graders.verdict import Verdict


@dataclass(frozen=True, slots=True)
class RequestForm:
    """The form of a request that a server accepts.

    Attributes:
        mode: One of STRUCTURED_MODES.
        key: The result's key in the answer; "result" under json_schema.
        refused: Parameters and roles that the server refuses.
        grid: Whole numbers to ask for with log-probabilities; () for the ordinary verdict.
    """

    mode: str = "json_schema"
    key: str = "result"
    refused: frozenset[str] = frozenset()
    grid: tuple[int, ...] = ()


def body_of(ask: ModelAsk, route: Route, form: RequestForm) -> dict[str, Any]:
    """The request body.

    Raises:
        NotSendable: the API has no form for the question.
    """
    messages = ask.messages
    if form.mode != "json_schema":
        messages = with_text(messages, _instruction(ask.verdict, form))
    sampling, model = ask.sampling, route.model or ask.model
    body: dict[str, Any]
    if route.api == "responses":
        effort = None if "reasoning_effort" in form.refused else sampling.reasoning_effort
        body = {
            "model": model,
            "input": fit_roles([_response_message(message) for message in messages], form.refused),
            # the service stores responses by default
            "store": False,
            "stream": False,
            "max_output_tokens": sampling.max_completions_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "reasoning": effort and {"effort": effort},
            "text": {"format": _format(ask.verdict, form, nested=False)},
        }
    else:
        limit = "max_tokens" if "max_completion_tokens" in form.refused else "max_completion_tokens"
        body = {
            "model": model,
            "messages": fit_roles([_chat_message(message) for message in messages], form.refused),
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
    if form.mode == "prompt":
        body.pop("text" if route.api == "responses" else "response_format")
    return {name: value for name, value in body.items() if value is not None and name not in form.refused}


def mode_of(body: Mapping[str, Any]) -> str:
    """The mode of a request: one of STRUCTURED_MODES."""
    given = body.get("response_format") or body.get("text", {}).get("format") or {"type": "prompt"}
    mode: str = given["type"]
    return mode


def not_applied(ask: ModelAsk, route: Route, refused: frozenset[str]) -> list[str]:
    """Sampling parameters and roles of the spec that are not sent, since this server refuses them."""
    missing = refused | ({"seed"} if route.api == "responses" else set())
    # the limit was sent under its older name
    if "max_tokens" not in missing:
        missing -= {"max_completion_tokens"}
    limits = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    names = dict.fromkeys(limits, "max_completions_tokens")
    parameters = {
        names.get(name, name)
        for name in missing
        if getattr(ask.sampling, names.get(name, name), None) is not None
    }
    roles = {message.role for message in ask.messages} & {"system", "developer"}
    return sorted(parameters | ({"system role"} if roles and "system" in refused else set()))


@lru_cache(maxsize=256)
def _schema(verdict: Verdict, form: RequestForm) -> dict[str, Any]:
    """The answer's schema, with the result under the form's key. The returned object is shared: do not change it."""
    schema = verdict.json_schema()
    properties = dict(schema["properties"])
    result = properties.pop("result")
    if form.grid:
        result = {"type": "integer", "enum": list(form.grid), "description": result["description"]}
    properties[form.key] = result
    return {**schema, "properties": properties, "required": list(properties)}


def _format(verdict: Verdict, form: RequestForm, *, nested: bool) -> dict[str, Any]:
    if form.mode != "json_schema":
        return {"type": "json_object"}
    schema = {"name": verdict.schema_name, "strict": True, "schema": _schema(verdict, form)}
    return {"type": "json_schema", "json_schema": schema} if nested else {"type": "json_schema", **schema}


def _instruction(verdict: Verdict, form: RequestForm) -> str:
    """The instructions for the answer's form, added only where the server does not accept a schema."""
    schema = json.dumps(_schema(verdict, form), ensure_ascii=False)
    return f"Answer with one JSON object and nothing else. It must match this JSON Schema:\n{schema}"


def _chat_message(message: Message) -> dict[str, Any]:
    parts = message.parts
    # sent as a plain string, which has the widest support
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return {"role": message.role, "content": parts[0].text}
    return {"role": message.role, "content": [_chat_part(part) for part in parts]}


def _chat_part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        detail = {} if part.detail is None else {"detail": part.detail}
        return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}


def _response_message(message: Message) -> dict[str, Any]:
    kind = "output_text" if message.role == "assistant" else "input_text"
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": kind, "text": part.text})
        elif isinstance(part, ImagePart):
            image = {"image_url": part.image_url, "detail": part.detail or "auto"}
            content.append({"type": "input_image", **image})
        elif isinstance(part, AudioPart):
            raise NotSendable('audio cannot be sent to /responses; use api = "chat" for this model')
    return {"role": message.role, "content": content}
