"""The judge client: one question in, one valid verdict or one GradeError out.

    answer     cache, equal questions in flight, votes
    _ask       one verdict: attempts within a deadline, what the server lacks is learned and remembered
    _send      one HTTP exchange

Statuses lie, parameters vanish and schemas are ignored with 200 (docs/models.md lists who does what), so what to
do is decided from what came back, and every answer is validated here whatever the server promised.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from graders.ask import Ambiguous, ModelAsk, ModelReply, Usage, parse_error
from graders.errors import GradeError, ModelParseError, ModelRefusal, ModelServerError, ModelStop
from graders.models.cache import Cache, cache_key
from graders.models.config import Config, Route
from graders.models.limits import Gate, retry_after
from graders.models.reading import read_verdict
from graders.models.wire import RUNGS, Answered, Form, NotAnAnswer, body_of, read_answer, refused_part

BASE_S, MOST_S = 0.5, 30.0  # of the delay between attempts, before jitter
TRIES_A_RUNG = 2  # answers that are no verdict, before a server counts as one that ignores the schema
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a verdict is small; more is a fault


class Transport(Protocol):
    """One HTTP exchange."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """Raises OSError (TimeoutError included) when no whole response came."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Httpx:
    """The transport over httpx2, imported with the first question."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._client: Any = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        import httpx2

        if self._client is None:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=self._most)
            self._client = httpx2.AsyncClient(limits=limits, timeout=httpx2.Timeout(None, connect=10.0))
        try:
            async with asyncio.timeout(timeout_s):
                async with self._client.stream("POST", url, headers=dict(headers), content=body) as response:
                    data = bytearray()
                    async for chunk in response.aiter_bytes():
                        data += chunk
                        if len(data) > MAX_ANSWER_BYTES:
                            raise ConnectionError(f"the response is longer than {MAX_ANSWER_BYTES} bytes")
                    return Reply(
                        response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(data)
                    )
        except httpx2.TransportError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from None
        except (httpx2.DecodingError, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from None

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


@dataclass(slots=True)
class Learned:
    """What one model behind one endpoint was found to accept."""

    rung: int = 0
    dropped: frozenset[str] = frozenset()
    proven: bool = False  # the rung has brought a valid verdict
    misses: int = 0


@dataclass(slots=True)
class Totals:
    """Counts over the life of a client, for reports and limits."""

    calls: int = 0
    retries: int = 0
    cache_hits: int = 0
    merged: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)


class Client:
    """Answers judges' questions as the configuration says. Used on one event loop.

    Args:
        config: Where names go.
        cache: A file for verdicts, or None.
        transport: One HTTP exchange; a test's own, or any other way out.
        max_calls: Requests after which every further question is refused; None: no limit.
        clock, sleep, jitter: Time and chance, so that tests need neither.
    """

    def __init__(
        self,
        config: Config,
        *,
        cache: str | None = None,
        transport: Transport | None = None,
        max_calls: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self.totals = Totals()
        self._cache = Cache(cache) if cache else None
        self._transport = transport or Httpx(max(route.max_in_flight for route in config.routes.values()))
        self._max_calls = max_calls
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._gates: dict[str, Gate] = {}
        self._learned: dict[tuple[str, str], Learned] = {}
        self._in_flight: dict[str, asyncio.Future[ModelReply]] = {}
        self._encode = _json_encoder()

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """See ModelClient."""
        route = self.config.route(ask.model)
        if not route.steps:
            ask = replace(ask, verdict=replace(ask.verdict, steps=False))
        ends = self._clock() + route.timeout_s
        deadline = ends if deadline is None else min(deadline, ends)
        if route.votes == 1:
            return await self._kept(ask, route, deadline, 0)
        votes = await asyncio.gather(*(self._kept(ask, route, deadline, vote) for vote in range(route.votes)))
        return _decide(votes)

    async def _kept(self, ask: ModelAsk, route: Route, deadline: float, vote: int) -> ModelReply:
        """From the cache, else asked; the same question in flight is asked once while a cache is used."""
        if self._cache is None:
            return await self._ask(ask, route, deadline)
        key = cache_key(ask, _url(route, ask), body_of(ask, route, Form()), vote)
        kept = self._cache.get(key, ask)
        if kept is not None:
            self.totals.cache_hits += 1
            return replace(kept, provenance={**kept.provenance, "cached": True})
        other = self._in_flight.get(key)
        if other is not None:
            self.totals.merged += 1
            return await asyncio.shield(other)
        mine: asyncio.Future[ModelReply] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = mine
        try:
            reply = await self._ask(ask, route, deadline)
        except BaseException as error:
            mine.set_exception(
                error if isinstance(error, GradeError) else GradeError("the same question was cancelled")
            )
            mine.exception()  # nobody else may be waiting: it is not unhandled
            raise
        finally:
            del self._in_flight[key]
        mine.set_result(reply)
        self._cache.put(key, reply)
        return reply

    async def _ask(self, ask: ModelAsk, route: Route, deadline: float) -> ModelReply:
        """One verdict, with the attempts it takes."""
        learned = self._learned.setdefault((route.base_url, route.model or ask.model), self._start(route))
        gate = self._gate(route)
        url, headers = _url(route, ask), _headers(route)
        usage, model, attempts, started = Usage(), "", 0, self._clock()

        def told(error: GradeError) -> GradeError:
            """What is known of the attempts, on the error that ends them."""
            error.usage = usage if usage != Usage() else None
            error.model = model or route.model or ask.model
            error.provenance = {"endpoint": _origin(route), "attempts": attempts}
            return error

        while True:
            rung = RUNGS[learned.rung]
            form = Form(
                rung, "result" if rung == "json_schema" else f"result_{secrets.token_hex(3)}", learned.dropped
            )
            try:
                body = body_of(ask, route, form)
            except NotAnAnswer as error:
                raise told(ModelServerError(str(error))) from None
            data = self._encode(body)
            await self._admit(
                gate, deadline, len(data) // 4 + (ask.sampling.max_completions_tokens or 0), told
            )
            attempts += 1
            self.totals.calls += 1
            trouble, pause = "", 0.0
            try:
                timeout_s = min(route.attempt_timeout_s, max(0.001, deadline - self._clock()))
                reply = await self._transport.post(url, headers, data, timeout_s)
            except TimeoutError:
                trouble = f"no answer within {timeout_s:.3g} s"
            except OSError as error:
                trouble = f"no response: {error}"
            finally:
                gate.leave()
            if not trouble:
                if reply.status == 200:
                    try:
                        answered = read_answer(reply.body, route.api)
                    except NotAnAnswer as error:
                        trouble = str(error)
                    else:
                        gate.succeeded()
                        usage, model = usage + answered.usage, answered.model or model
                        self._count(answered, route, ask)
                        try:
                            return self._verdict(
                                ask, route, form, answered, learned, usage, attempts, started
                            )
                        except ModelParseError as error:
                            if answered.cut or not self._again(learned, route, attempts):
                                raise told(error) from None
                            continue
                        except GradeError as error:
                            raise told(error) from None
                else:
                    text = reply.body.decode("utf-8", "replace")
                    part = refused_part(reply.status, text, body, learned.dropped)
                    if (
                        part
                        and attempts < route.max_attempts + len(RUNGS)
                        and self._adapt(learned, part, rung, route)
                    ):
                        continue
                    failure = _final(reply, text)
                    if failure is not None:
                        raise told(failure)
                    trouble = _status_text(reply.status, text)
                    pause = retry_after(reply.headers, time.time())
                    if reply.status == 429:
                        gate.throttled(pause or self._delay(attempts))
            if attempts >= route.max_attempts:
                raise told(ModelServerError(f"{trouble}; gave up after {attempts} attempts"))
            delay = max(pause, self._delay(attempts))
            if self._clock() + delay > deadline:
                again = f"; the server asks to come back in {pause:.3g} s" if pause else ""
                raise told(ModelServerError(f"{trouble}; no time is left for another attempt{again}"))
            self.totals.retries += 1
            await self._sleep(delay)

    def _start(self, route: Route) -> Learned:
        return Learned(0 if route.structured == "auto" else RUNGS.index(route.structured))

    def _gate(self, route: Route) -> Gate:
        origin = _origin(route)
        if origin not in self._gates:
            self._gates[origin] = Gate(
                route.max_in_flight, route.requests_per_minute, route.tokens_per_minute, self._clock
            )
        return self._gates[origin]

    async def _admit(
        self, gate: Gate, deadline: float, tokens: int, told: Callable[[GradeError], GradeError]
    ) -> None:
        if self._max_calls is not None and self.totals.calls >= self._max_calls:
            raise told(ModelStop(f"the limit of {self._max_calls} judge calls is reached"))
        left = deadline - self._clock()
        if left <= 0:
            raise told(ModelServerError("the deadline passed before the judge could be asked"))
        entering = asyncio.ensure_future(gate.enter(self._sleep, tokens))
        try:
            await asyncio.wait_for(entering, left)
        except TimeoutError:
            raise told(ModelServerError(f"no place at the judge's endpoint within {left:.3g} s")) from None

    def _delay(self, attempts: int) -> float:
        """Full jitter: anywhere up to a bound that doubles."""
        return self._jitter() * min(MOST_S, BASE_S * 2.0 ** (attempts - 1))

    def _count(self, answered: Answered, route: Route, ask: ModelAsk) -> None:
        name = answered.model or route.model or ask.model
        self.totals.usage[name] = self.totals.usage.get(name, Usage()) + answered.usage

    def _verdict(
        self, ask: ModelAsk, route: Route, form: Form, answered: Answered, learned: Learned,
        usage: Usage, attempts: int, started: float,
    ) -> ModelReply:  # fmt: skip
        """The valid verdict in an answer, or the error it is."""
        if answered.refusal:
            raise ModelRefusal(f"the judge refused: {answered.refusal[:500]}")
        if answered.cut == "content_filter":
            raise ModelRefusal("the judge's content filter ended the answer")
        if answered.cut:
            raise ModelParseError(
                f"the judge's answer was cut off ({answered.cut}) after {answered.usage.completion_tokens or 'some'} "
                "tokens; raise max_completions_tokens", answered.text,
            )  # fmt: skip
        try:
            verdict = read_verdict(
                answered.text, ask.verdict, key=form.key, tolerant=form.rung != "json_schema"
            )
        except Ambiguous as error:
            learned.misses += 1
            raise parse_error(error, answered.text) from None
        low, high = ask.verdict.range
        if route.out_of_range == "error" and isinstance(verdict, float) and not low <= verdict <= high:
            raise ModelParseError(
                f"the judge's number {verdict:g} is outside [{low:g}, {high:g}]", answered.text
            )
        learned.proven, learned.misses = True, 0
        provenance: dict[str, Any] = {
            "endpoint": _origin(route),
            "structured": form.rung,
            "attempts": attempts,
            "latency_s": round(self._clock() - started, 6),
        }
        if form.dropped:
            provenance["dropped"] = sorted(form.dropped)
        return ModelReply(
            verdict, answered.text, answered.model or route.model or ask.model, usage, provenance
        )

    def _again(self, learned: Learned, route: Route, attempts: int) -> bool:
        """Whether to ask again after an answer that was no verdict; steps down where the schema is ignored."""
        if attempts >= route.max_attempts:
            return False
        if learned.misses >= TRIES_A_RUNG and not learned.proven and route.structured == "auto":
            learned.misses = 0
            if learned.rung + 1 < len(RUNGS):
                learned.rung += 1
                return True
            return False
        return attempts < TRIES_A_RUNG

    def _adapt(self, learned: Learned, part: str, rung: str, route: Route) -> bool:
        """Learn from a refusal; False when there is nothing left to leave out."""
        if part != "structure":
            learned.dropped |= {part}
            return True
        if route.structured != "auto" or learned.rung + 1 >= len(RUNGS):
            return False
        if RUNGS[learned.rung] == rung:  # another question may have learned it meanwhile
            learned.rung += 1
            learned.proven, learned.misses = False, 0
        return True

    async def aclose(self) -> None:
        """See ModelClient."""
        await self._transport.aclose()
        if self._cache is not None:
            self._cache.close()
            self._cache = None


def connect(config: Config, *, cache: str | None = None, max_calls: int | None = None) -> Client:
    """The client for a configuration; nothing is opened before the first question."""
    return Client(config, cache=cache, max_calls=max_calls)


def _json_encoder() -> Callable[[Any], bytes]:
    try:
        import orjson
    except ImportError:
        return lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")

    def encode(value: Any) -> bytes:
        try:
            return bytes(orjson.dumps(value))
        except TypeError:  # lone surrogates, which orjson refuses
            return json.dumps(value).encode()

    return encode


def _origin(route: Route) -> str:
    parts = urlsplit(route.base_url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _url(route: Route, ask: ModelAsk) -> str:
    path = "/responses" if route.api == "responses" else "/chat/completions"
    url = route.base_url.rstrip("/").replace("{model}", route.model or ask.model) + path
    if route.query:
        from urllib.parse import urlencode

        url += "?" + urlencode(dict(route.query))
    return url


def _headers(route: Route) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": "local-graders",
    }
    if key := route.key():
        headers |= {"api-key": key} if route.azure else {"authorization": f"Bearer {key}"}
    return headers | dict(route.headers)


_FILTERED = ("content_filter", "content_policy", "responsibleai")
_NO_QUOTA = ("insufficient_quota", "billing", "credit balance", "quota exceeded")


def _final(reply: Reply, text: str) -> GradeError | None:
    """The error a response ends the question with; None when another attempt may help."""
    said, lower = _status_text(reply.status, text), text.lower()
    if reply.status in (401, 402, 403):
        return ModelStop(f"{said}; check the key that graders.toml names for this endpoint")
    if reply.status == 429 and any(word in lower for word in _NO_QUOTA):
        return ModelStop(said)
    if reply.status == 400 and any(word in lower for word in _FILTERED):
        return ModelRefusal(said)
    if reply.status in (408, 409, 429) or reply.status >= 500:
        return None
    return ModelServerError(said)


def _status_text(status: int, text: str) -> str:
    """The status and the server's own message, short."""
    try:
        error = json.loads(text)["error"]
        message = error["message"] if isinstance(error, dict) else error
        code = error.get("code") if isinstance(error, dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        message, code = text[:200], None
    return f"status {status}" + (f" {code}" if code else "") + (f": {str(message)[:500]}" if message else "")


def _decide(votes: list[ModelReply]) -> ModelReply:
    """The median number or the majority's label of an odd number of votes, with all of them named."""
    usage = Usage()
    for vote in votes:
        usage += vote.usage
    values = [vote.verdict for vote in votes]
    if isinstance(values[0], float):
        chosen: float | str = statistics.median([float(value) for value in values])
    else:
        (chosen, most), *others = Counter(values).most_common()
        if others and others[0][1] == most:
            raise ModelParseError(f"the judge's votes are split: {', '.join(map(str, values))}")
    first = next((vote for vote in votes if vote.verdict == chosen), votes[0])
    provenance = {**first.provenance, "votes": values}
    return ModelReply(chosen, first.text, first.model, usage, provenance)
