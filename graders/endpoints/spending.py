"""Token totals per model, prices, budgets, and estimates before a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graders.ask import ModelAsk
from graders.config.config import Config
from graders.config.route import Price
from graders.errors import ModelStop
from graders.messages import AudioPart, ImagePart, TextPart
from graders.usage import Usage
from graders.wording import plural

if TYPE_CHECKING:
    import asyncio

#: Characters per token, a rule of thumb for English: tokenizers differ, so this is for estimates only.
CHARS_A_TOKEN = 4
#: Tokens that a message has beside its text.
MESSAGE_TOKENS = 4
#: Tokens of the answer's schema.
SCHEMA_TOKENS = 120
#: Tokens of a medium-sized image.
IMAGE_TOKENS = 1000
#: Tokens of an answer with reasoning steps, where the spec sets no limit.
ASSUMED_ANSWER = 400


@dataclass(slots=True)
class ModelTotals:
    """Requests to one model, with their tokens, seconds and cost.

    Attributes:
        calls: HTTP requests sent, retries included.
        retries: The calls that were not the first of a question.
        answers: Valid verdicts.
        cache_hits, merged: Verdicts without a request: from the cache, and from an equal question in flight.
        responses: Requests with a complete response of status 200.
        unreported: Responses without usage.
        usage: Tokens of the responses that reported them; None where none did.
        latency_s, slowest_s: Seconds of the answered requests, in all and the longest.
        cost: By the price table; None without a price.
    """

    calls: int = 0
    retries: int = 0
    answers: int = 0
    cache_hits: int = 0
    merged: int = 0
    responses: int = 0
    unreported: int = 0
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    slowest_s: float = 0.0
    cost: float | None = None

    def answered(self, seconds: float, usage: Usage, price: Price | None) -> None:
        """Count a response with status 200."""
        self.responses += 1
        self.latency_s += seconds
        self.slowest_s = max(self.slowest_s, seconds)
        if usage.prompt_tokens is None:
            self.unreported += 1
        self.usage += usage
        if price is not None:
            self.cost = (self.cost or 0.0) + cost_of(usage, price)

    def __str__(self) -> str:
        """A line such as `1,000 requests (12 again), 30 from the cache, 310 ms each, most 2,100 ms`."""
        parts = [plural(self.calls, "request") + (f" ({self.retries:,} again)" if self.retries else "")]
        if self.cache_hits:
            parts.append(f"{self.cache_hits:,} from the cache")
        if self.merged:
            parts.append(f"{self.merged:,} shared")
        if self.responses:
            each_ms = self.latency_s / self.responses * 1000
            parts.append(f"{each_ms:,.0f} ms each, most {self.slowest_s * 1000:,.0f} ms")
        if self.unreported:
            parts.append(f"{self.unreported:,} did not say what they used")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "retries": self.retries,
            "answers": self.answers,
            "cache_hits": self.cache_hits,
            "merged": self.merged,
            "responses": self.responses,
            "unreported": self.unreported,
            "usage": {**self.usage.to_wire(), "reasoning_tokens": self.usage.reasoning_tokens},
            "latency_s": round(self.latency_s, 6),
            "slowest_s": round(self.slowest_s, 6),
            "cost": self.cost,
        }


class Totals:
    """Counts over the life of a client, for reports and limits.

    Attributes:
        models: The spec's model name -> its totals.
    """

    def __init__(self) -> None:
        self.models: dict[str, ModelTotals] = defaultdict(ModelTotals)

    @property
    def calls(self) -> int:
        return sum(model.calls for model in self.models.values())

    @property
    def cost(self) -> float | None:
        """The cost of the models that have a price; None when none has."""
        costs = [model.cost for model in self.models.values() if model.cost is not None]
        return sum(costs) if costs else None

    def to_json(self) -> dict[str, Any]:
        return {name: model.to_json() for name, model in self.models.items()}


def cost_of(usage: Usage, price: Price) -> float:
    """The cost in the price table's currency; tokens that the server did not report count as 0."""
    cached = usage.cached_tokens or 0
    fresh = max(0, (usage.prompt_tokens or 0) - cached)
    cached_price = price.input if price.cached is None else price.cached
    return (fresh * price.input + cached * cached_price + (usage.completion_tokens or 0) * price.output) / 1e6


def price_of(config: Config, model: str) -> Price | None:
    """The price of a model, by its name in specs or on the server."""
    return config.prices.get(model) or config.prices.get(config.route(model).model)


class Budget:
    """A budget that refuses requests beyond its limits. Used on one event loop.

    A request counts with its largest possible cost while it is in flight, and with its actual cost afterwards.

    Args:
        max_calls: HTTP requests in all; 0 or None: no limit.
        max_cost: Cost in the price table's currency; 0 or None: no limit.
    """

    def __init__(self, max_calls: int | None = None, max_cost: float | None = None) -> None:
        self.max_calls = max_calls or 0
        self.max_cost = max_cost or 0.0
        self.calls = 0
        self.spent = 0.0
        self._reserved = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    async def reserve(self, cost: float) -> None:
        """Count one more request.

        Raises:
            ModelStop: it would exceed a limit, as would every later request like it.
        """
        import asyncio

        while True:
            if self.max_calls and self.calls >= self.max_calls:
                raise ModelStop(f"the limit of {self.max_calls} judge calls is reached")
            if not self.max_cost or self.spent + self._reserved + cost <= self.max_cost:
                break
            if self.spent + cost > self.max_cost:
                raise ModelStop(
                    f"the limit of {self.max_cost:g} is reached: {self.spent:.6g} is spent and "
                    f"another judge call may cost {cost:.2g}"
                )
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        self.calls += 1
        self._reserved += cost

    def forked(self) -> None:
        """Forget the parent's requests in flight in a forked child."""
        self._reserved, self._waiting = 0.0, []

    def settle(self, reserved: float, spent: float) -> None:
        """Replace the reserved cost of a request that has ended by its actual cost."""
        self._reserved -= reserved
        self.spent += spent
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


@dataclass(frozen=True, slots=True)
class SpendingEstimate:
    """Expected requests, tokens and cost of questions.

    Attributes:
        calls: Requests, votes included, without retries; equal repeatable questions count once.
        prompt_tokens: Estimated at 4 characters a token.
        completion_tokens: The limit in the spec, else ASSUMED_ANSWER, for each answer.
        cost: The cost by the price table; None without a price.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def estimate(config: Config, asks: Iterable[ModelAsk]) -> Mapping[str, SpendingEstimate]:
    """The estimate for each model that the specs name. Sends no request."""
    found: dict[str, SpendingEstimate] = {}
    seen: set[ModelAsk] = set()
    for ask in asks:
        if ask.sampling.repeatable:
            if ask in seen:
                continue
            seen.add(ask)
        votes, prompt, completion = config.route(ask.model).votes, prompt_tokens(ask), answer_tokens(ask)
        price, known = price_of(config, ask.model), found.get(ask.model, SpendingEstimate(0, 0, 0, None))
        cost = known.cost
        if price is not None:
            cost = (cost or 0.0) + votes * cost_of(Usage(prompt, completion), price)
        found[ask.model] = SpendingEstimate(
            known.calls + votes,
            known.prompt_tokens + votes * prompt,
            known.completion_tokens + votes * completion,
            cost,
        )
    return found


def text_tokens(text: str) -> int:
    """An estimate of a text's tokens."""
    return len(text) // CHARS_A_TOKEN


def prompt_tokens(ask: ModelAsk) -> int:
    """An estimate of a question's tokens."""
    tokens = SCHEMA_TOKENS
    for message in ask.messages:
        tokens += MESSAGE_TOKENS
        for part in message.parts:
            if isinstance(part, TextPart):
                tokens += text_tokens(part.text)
            elif isinstance(part, ImagePart):
                tokens += IMAGE_TOKENS
            elif isinstance(part, AudioPart):
                # a second of speech has 10 tokens and, at 64 kbit/s in base64, 10 kB
                tokens += len(part.data) // 1000
    return tokens


def answer_tokens(ask: ModelAsk) -> int:
    return ask.sampling.max_completions_tokens or ASSUMED_ANSWER
