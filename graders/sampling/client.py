"""The sampler: the answer of a model to one question, or a GradeError.

Only requests that failed on the way are repeated. An answer is never rejected for its content, since that would change
the measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.ask import SampleAsk, SampleReply
from graders.config.config import Config
from graders.endpoints.call import EndpointCall
from graders.endpoints.contract import Reply
from graders.endpoints.endpoint import Endpoint, Endpoints
from graders.endpoints.spending import ASSUMED_ANSWER, IMAGE_TOKENS, MESSAGE_TOKENS, text_tokens
from graders.endpoints.wire import Completion, read_completion
from graders.errors import ModelParseError, ModelRefusal
from graders.sampling.request import LIMITS, body_of, not_applied
from graders.usage import Usage

_PATHS = {"chat": "/chat/completions", "responses": "/responses"}


class Sampler:
    """A SampleClient for the models that the configuration names. Used on one event loop.

    Limits, connections, budget and totals belong to `endpoints`, which judges may share.
    """

    def __init__(self, config: Config, endpoints: Endpoints | None = None) -> None:
        """
        Args:
            config: The routes of model names; [sampler] takes precedence over [judge].
            endpoints: Limits, connections, budget and totals to share; None: new ones.
        """
        self._config = config.for_sampler()
        self._endpoints = endpoints or Endpoints(self._config)

    async def answer(self, ask: SampleAsk, *, deadline: float | None = None) -> SampleReply:
        """See SampleClient."""
        route = self._config.route(ask.model)
        api = ask.api or route.api
        endpoint = self._endpoints.find(ask.model, self._config, _PATHS[api])
        ends = endpoint.timing.clock() + route.timeout_s
        return await SampleCall(
            endpoint, ask, api, ends if deadline is None else min(deadline, ends)
        ).answer()

    async def aclose(self) -> None:
        """See SampleClient."""
        await self._endpoints.aclose()


class SampleCall(EndpointCall[Completion, SampleReply]):
    """One request for a model's answer, with its attempts."""

    def __init__(self, endpoint: Endpoint, ask: SampleAsk, api: str, deadline: float) -> None:
        super().__init__(endpoint, deadline)
        self._ask = ask
        self._api = api

    def body(self) -> dict[str, Any]:
        return body_of(self._ask, self.endpoint.route, self._api, self.endpoint.capabilities.refused)

    def form(self) -> Mapping[str, Any]:
        dropped = not_applied(self._ask, self._api, self.endpoint.capabilities.refused)
        return {"api": self._api, **({"dropped": dropped} if dropped else {})}

    def expected_tokens(self) -> Usage:
        limit = next((self._ask.params[name] for name in LIMITS if self._ask.params.get(name)), None)
        prompt = sum(MESSAGE_TOKENS + _content_tokens(message) for message in self._ask.messages)
        return Usage(prompt, limit or ASSUMED_ANSWER)

    def parse(self, reply: Reply) -> Completion:
        return read_completion(reply.body, self._api)

    def accept(self, parsed: Completion, body: Mapping[str, Any]) -> SampleReply:
        """
        Raises:
            ModelRefusal: the model or its content filter refused.
            ModelParseError: the answer is empty.
        """
        if parsed.refusal:
            raise ModelRefusal(f"the model refused: {parsed.refusal[:500]}")
        if parsed.finish_reason == "content_filter":
            raise ModelRefusal(f"the model's content filter ended the answer: {parsed.text[:200]!r}")
        if not parsed.text.strip() and not parsed.acts:
            used = parsed.usage.completion_tokens
            why = f"; {parsed.elsewhere}" if parsed.elsewhere else ""
            cut = (
                f"; it ended for {parsed.finish_reason!r} after {used} tokens" if parsed.finish_reason else ""
            )
            raise ModelParseError(f"the model's answer is empty{why}{cut}", parsed.text)
        endpoint = self.endpoint
        endpoint.capabilities.proven = True
        endpoint.totals.answers += 1
        model = parsed.model or endpoint.route.model or self._ask.model
        return SampleReply(
            parsed.raw,
            parsed.text,
            parsed.finish_reason,
            model,
            self.usage,
            self.provenance(),
            self.seconds,
        )


def _content_tokens(message: Mapping[str, Any]) -> int:
    """An estimate of a message's tokens."""
    content = message.get("content") or message.get("arguments") or message.get("output") or ""
    parts = content if isinstance(content, (list, tuple)) else [content]
    texts = [part if isinstance(part, str) else part.get("text") for part in parts]
    return sum(IMAGE_TOKENS if text is None else text_tokens(text) for text in texts)
