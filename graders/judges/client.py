"""The judge client: one question in, one valid verdict or one GradeError out.

    Client.answer      votes, then for each: cache, equal questions in flight
    _Question.verdict  attempts within a deadline; what the server lacks is learned and remembered
    Transport.post     one HTTP exchange

Statuses lie, parameters vanish and schemas are ignored with 200 (docs/models.md says who does what), so what to do
is decided from what came back, and every answer is validated here whatever the server promised.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import os
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graders.ask import Ambiguous, ModelAsk, ModelReply, parse_error
from graders.endpoints.concurrency import Closed, Gate, retry_after
from graders.endpoints.config import OPENAI_URL, Config, Price, Route, load_config
from graders.endpoints.spending import (
    Budget,
    ModelTotals,
    Totals,
    answer_tokens,
    cost_of,
    price_of,
    prompt_tokens,
)
from graders.endpoints.transport import WAYS, Reply, Transport
from graders.endpoints.wire import (
    REFUSABLE,
    RUNGS,
    Answered,
    Form,
    NotAnAnswer,
    NotSendable,
    body_of,
    not_applied,
    read_answer,
    refused_part,
    said,
    unsupported,
)
from graders.errors import GradeError, ModelParseError, ModelRefusal, ModelServerError, ModelStop
from graders.jsontext import request_body
from graders.judges.cache import Cache, cache_key
from graders.judges.quality import decide, expected_score, grid_of
from graders.judges.reading import read_verdict
from graders.usage import Usage

if TYPE_CHECKING:
    from graders.judges.recorded import Recorded

BASE_S, MOST_S = 0.5, 30.0  # of the delay between attempts, before jitter
MISSES_A_RUNG = (
    2  # answers in a row that are no verdict, before a server counts as one that ignores the schema
)
REASKS = 1  # after an answer that is no verdict, where the schema is known to work
MOST_LESSONS = len(RUNGS) + len(REFUSABLE)  # things a server can be found not to take
STOPPED_S = 30.0  # how long an endpoint that refused the key or the quota is not asked again

Token = Callable[[Route], "str | Awaitable[str]"]


class _Again(Exception):
    """This attempt brought nothing; another may. `pause_s`: the server's own lower bound."""

    def __init__(self, trouble: str, pause_s: float = 0.0, reask: bool = False) -> None:
        super().__init__(trouble)
        self.pause_s = pause_s
        self.reask = reask


class _Learned(Exception):
    """The question will be put differently now."""


class _OutOfTime(ModelServerError):
    """The deadline of one asker; another who waits for the same question may have more time."""


@dataclass(slots=True)
class _Known:
    """What one model behind one endpoint was found to accept.

    Attributes:
        rung: Index into RUNGS.
        proven: The rung has brought a valid verdict.
        misses: Answers in a row that were none.
        dropped: Parameters that the server refused.
        stop: Why it is not asked until `stop_ends` of the clock: no later call could succeed.
    """

    rung: int = 0
    proven: bool = False
    misses: int = 0
    dropped: frozenset[str] = frozenset()
    stop: str = ""
    stop_ends: float = 0.0


@dataclass(slots=True)
class _Target:
    """Where one model name of the specs goes, with what is shared there."""

    route: Route
    url: str
    origin: str
    gate: Gate
    known: _Known
    transport: Transport
    totals: ModelTotals
    price: Price | None


class Client:
    """Answers judges' questions as the configuration says. Used on one event loop.

    Attributes:
        totals: What was asked and used so far.
    """

    def __init__(
        self,
        config: Config,
        *,
        cache: str | None = None,
        transport: Transport | None = None,
        token: Token | None = None,
        max_calls: int | None = None,
        max_cost: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            config: Where names go.
            cache: A file for verdicts, or None.
            transport: Makes every HTTP exchange; None: what each route says.
            token: Makes a bearer token for a route, sync or async, called for each attempt; "" for the route's key.
            max_calls, max_cost: Of HTTP requests and in the price table's currency, after which every further
                question is refused with ModelStop; None: what [judge] says, by default no limit.
            clock, sleep, jitter: Time and chance, so that tests need neither.
        """
        self.config = config
        self.totals = Totals()
        judge = config.table("judge")
        self._budget = Budget(
            judge.get("max_calls") if max_calls is None else max_calls,
            judge.get("max_cost") if max_cost is None else max_cost,
        )
        self._cache = Cache(cache) if cache else None
        self._given = transport
        self._transports: dict[str, Transport] = {}
        self._token = token
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._pid = os.getpid()
        self._of_parents: list[object] = []
        self._gates: dict[str, Gate] = {}
        self._known: dict[tuple[str, str], _Known] = {}
        self._targets: dict[str, _Target] = {}
        self._in_flight: dict[str, asyncio.Future[ModelReply]] = {}
        self._ids = _request_ids()

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """See ModelClient."""
        if self._pid != os.getpid():
            self._forked()
        target = self._targets.get(ask.model) or self._target(ask.model)
        route = target.route
        if ask.verdict.steps and not route.steps:
            ask = replace(ask, verdict=replace(ask.verdict, steps=False))
        ends = self._clock() + route.timeout_s
        deadline = ends if deadline is None else min(deadline, ends)
        if route.votes == 1:
            return await self._one(ask, target, deadline, 0)
        votes = range(route.votes)
        return decide(await asyncio.gather(*(self._settled(ask, target, deadline, vote) for vote in votes)))

    async def _settled(
        self, ask: ModelAsk, target: _Target, deadline: float, vote: int
    ) -> ModelReply | GradeError:
        try:
            return await self._one(ask, target, deadline, vote)
        except GradeError as error:
            return error

    async def _one(self, ask: ModelAsk, target: _Target, deadline: float, vote: int) -> ModelReply:
        """From the cache, else asked; where a cache is used, equal questions in flight are asked once."""
        if self._cache is None:
            return await _Question(self, ask, target, deadline).verdict()
        try:
            key = cache_key(ask, target.url, target.route, vote)
        except NotSendable as error:
            raise ModelServerError(str(error)) from None
        while True:
            kept = self._cache.get(key, ask)
            if kept is not None:
                target.totals.cache_hits += 1
                return _free(kept, "cached")
            other = self._in_flight.get(key)
            if other is None:
                return await self._first(key, ask, target, deadline)
            try:
                reply = await asyncio.wait_for(asyncio.shield(other), max(0.0, deadline - self._clock()))
            except TimeoutError:
                raise _OutOfTime(
                    "the deadline passed before the same question, already asked, had an answer"
                ) from None
            except _OutOfTime:
                continue  # it gave up, we need not
            target.totals.merged += 1
            return _free(reply, "merged")

    async def _first(self, key: str, ask: ModelAsk, target: _Target, deadline: float) -> ModelReply:
        mine: asyncio.Future[ModelReply] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = mine
        try:
            reply = await _Question(self, ask, target, deadline).verdict()
        except BaseException as error:
            shared = error if isinstance(error, GradeError) else _OutOfTime("the first to ask gave up")
            mine.set_exception(shared)
            mine.exception()  # nobody else may be waiting: it is not unhandled
            raise
        finally:
            del self._in_flight[key]
        if self._cache is not None:
            self._cache.put(key, reply)
        mine.set_result(reply)
        return reply

    def _target(self, model: str) -> _Target:
        route = self.config.route(model)
        url = route.url(model)
        origin = route.origin
        if origin not in self._gates:
            self._gates[origin] = Gate(*self.config.limits_of(origin), clock=self._clock, sleep=self._sleep)
        start = _Known(0 if route.structured == "auto" else RUNGS.index(route.structured))
        target = _Target(
            route=route,
            url=url,
            origin=origin,
            gate=self._gates[origin],
            known=self._known.setdefault((url, route.model or model), start),
            transport=self._given or self._way(route.transport),
            totals=self.totals.models[model],
            price=price_of(self.config, model),
        )
        self._targets[model] = target
        return target

    def _forked(self) -> None:
        """In a forked child: the parent's connections, and what waits on its loop, are not to be touched."""
        self._of_parents += [self._transports, self._targets, self._gates, self._in_flight]  # not even freed
        self._pid = os.getpid()
        self._ids = _request_ids()
        self._transports, self._targets, self._gates, self._in_flight = {}, {}, {}, {}
        self._budget.forked()
        if self._cache is not None:
            self._cache.forked()

    def _way(self, name: str) -> Transport:
        if name not in self._transports:
            self._transports[name] = WAYS[name]()
        return self._transports[name]

    async def aclose(self) -> None:
        """See ModelClient."""
        for transport in (self._given, *self._transports.values()):
            if transport is not None:
                await transport.aclose()
        if self._cache is not None:
            self._cache.close()


def _request_ids() -> Iterator[str]:
    """Names for requests, to be found in a server's log; no two processes have the same."""
    prefix = os.urandom(6).hex()
    return (f"{prefix}-{number}" for number in itertools.count(1))


def _free(reply: ModelReply, how: str) -> ModelReply:
    """A verdict that took no request: it used nothing this time."""
    told = {name: value for name, value in reply.provenance.items() if name not in _OF_A_REQUEST}
    return replace(reply, usage=Usage(0, 0, 0, 0, 0), provenance={**told, how: True})


_OF_A_REQUEST = ("attempts", "latency_s", "request_id")


class _Question:
    """One verdict, with the attempts it takes."""

    __slots__ = (
        "_ask", "_attempts", "_client", "_deadline", "_known", "_lessons", "_model", "_reasked", "_request_id",
        "_started", "_target", "_usage",
    )  # fmt: skip

    def __init__(self, client: Client, ask: ModelAsk, target: _Target, deadline: float) -> None:
        self._client = client
        self._ask = ask
        self._target = target
        self._known = target.known
        self._deadline = deadline
        self._attempts = 0
        self._lessons = 0  # attempts that taught what the server lacks
        self._reasked = 0
        self._usage = Usage()
        self._model = ""
        self._request_id = ""
        self._started = client._clock()

    async def verdict(self) -> ModelReply:
        """
        Raises:
            GradeError: with what is known of the attempts.
        """
        try:
            while True:
                form = self._form()
                try:
                    return await self._attempt(form)
                except _Learned:
                    self._lessons += 1
                except _Again as again:
                    await self._wait(again)
        except GradeError as error:
            error.usage = self._usage if self._usage != Usage() else None
            error.model = self._model or self._target.route.model or self._ask.model
            error.provenance = self._provenance(form)
            raise

    def _form(self) -> Form:
        """How to ask, by what is known of the server now."""
        known, route = self._known, self._target.route
        rung = RUNGS[known.rung]
        grid: tuple[int, ...] = ()
        if route.expected_score != "off" and "logprobs" not in known.dropped and route.api == "chat":
            grid = grid_of(self._ask.verdict)
        return Form(rung, "result" if rung == "json_schema" else _made_up_key(self._ask), known.dropped, grid)

    async def _attempt(self, form: Form) -> ModelReply:
        """
        Raises:
            _Learned: the server lacks something; ask again without.
            _Again: another attempt may help.
            GradeError: none will.
        """
        client, target, route = self._client, self._target, self._target.route
        try:
            body = body_of(self._ask, route, form)
        except NotSendable as error:
            raise ModelServerError(str(error)) from None
        data = request_body(body)
        headers, secret = await self._headers()
        tokens = prompt_tokens(self._ask) + answer_tokens(self._ask) if route.tokens_per_minute else 0
        reserved = self._most_cost()
        await self._enter(tokens, reserved)
        sent_at, usage = client._clock(), Usage()
        spent = reserved  # a request that ends without a whole response may have cost something, too
        try:
            self._attempts += 1
            target.totals.calls += 1
            target.totals.retries += self._attempts > 1
            reply = await self._post(headers, data)
            self._request_id = reply.headers.get("x-request-id", "")
            spent = 0.0
            if reply.status != 200:
                self._refused(
                    reply.status, reply.body.decode("utf-8", "replace"), reply, body, sent_at, secret
                )
            try:
                answered = read_answer(reply.body, route.api)
            except NotAnAnswer as error:
                if error.status:
                    self._refused(
                        error.status, reply.body.decode("utf-8", "replace"), reply, body, sent_at, secret
                    )
                raise _Again(redacted(str(error), secret)) from None
            usage = answered.usage
            spent = (
                reserved
                if target.price is None or usage.prompt_tokens is None
                else cost_of(usage, target.price)
            )
            target.gate.succeeded()
            target.totals.answered(client._clock() - sent_at, usage, target.price)
        finally:
            target.gate.leave()
            if tokens and usage.total_tokens is not None:
                target.gate.settle(tokens, usage.total_tokens)
            client._budget.settle(reserved, spent)
        self._usage += usage
        self._model = answered.model or self._model
        return self._read(answered, form, body)

    async def _enter(self, tokens: int, reserved: float) -> None:
        """Through the gate and the budget."""
        client, target = self._client, self._target
        if target.price is None and client._budget.max_cost:
            raise ModelStop(
                f"there is a limit on cost but no price: add [prices.\"{self._ask.model}\"] with input and output "
                "to graders.toml"
            )  # fmt: skip
        self._stopped()
        try:
            await target.gate.enter(self._deadline, tokens)
        except Closed as closed:
            raise self._closed(closed.wait_s) from None
        try:
            self._stopped()  # while this one waited, another may have learned that there is no use
            await client._budget.reserve(reserved)
        except BaseException:
            target.gate.leave()
            raise

    def _stopped(self) -> None:
        known = self._known
        if known.stop and self._client._clock() < known.stop_ends:
            raise ModelStop(known.stop)

    def _closed(self, wait_s: float, trouble: str = "") -> GradeError:
        """The deadline comes before the next attempt may start."""
        trouble = trouble or "the deadline passed before the judge could be asked"
        if not wait_s:
            return _OutOfTime(trouble)
        message = f"{trouble}; the endpoint wants no request for another {wait_s:.3g} s"
        if wait_s > self._target.route.timeout_s:  # then no fresh question has the time either
            return ModelStop(message)
        return _OutOfTime(
            f"{message}, and only {max(0.0, self._deadline - self._client._clock()):.3g} s are left"
        )

    async def _headers(self) -> tuple[dict[str, str], str]:
        """The request's headers, and the secret in them, which no message may show."""
        client, route = self._client, self._target.route
        secret = ""
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "local-graders",
            "x-client-request-id": next(client._ids),
        }
        if client._token is not None:
            made = client._token(route)
            secret = await made if inspect.isawaitable(made) else made
        if secret:
            headers["authorization"] = f"Bearer {secret}"
        elif secret := route.key():
            headers |= {"api-key": secret} if route.azure else {"authorization": f"Bearer {secret}"}
        elif route.base_url == OPENAI_URL and client._given is None and not route.headers:
            raise ModelStop(
                f"model {self._ask.model!r} goes to {OPENAI_URL}, and {route.api_key_env or 'no variable'} holds no key; "
                "set it, or send the model elsewhere in graders.toml ([models] and [endpoints])"
            )  # fmt: skip
        headers |= {name.lower(): value for name, value in route.headers.items()}
        return headers, secret

    async def _post(self, headers: Mapping[str, str], data: bytes) -> Reply:
        left = self._deadline - self._client._clock()
        timeout_s = min(self._target.route.attempt_timeout_s, max(0.001, left))
        try:
            return await self._target.transport.post(self._target.url, headers, data, timeout_s)
        except TimeoutError:
            raise _Again(f"no answer within {timeout_s:.3g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise ModelStop(
                f"the certificate of {self._target.origin} is not trusted: {error.verify_message}; name your own "
                "authority's certificates in SSL_CERT_FILE"
            ) from None
        except OSError as error:
            raise _Again(f"no response: {error}") from None

    def _refused(
        self, status: int, text: str, reply: Reply, body: Mapping[str, Any], sent_at: float, secret: str
    ) -> None:
        """Always raises: what a response without an answer means."""
        client, known = self._client, self._known
        part = refused_part(status, text, body)
        if part and self._lessons < MOST_LESSONS and self._learn(part, body):
            raise _Learned
        message = redacted(said(status, text), secret)
        if self._request_id:
            message += f" (request {self._request_id})"
        failure = final(status, text, message, known.proven)
        if isinstance(failure, ModelStop):
            known.stop, known.stop_ends = str(failure), client._clock() + STOPPED_S
        if failure is not None:
            raise failure
        pause = retry_after(reply.headers, time.time())
        if status == 429:
            pause = pause or self._backoff()
            self._target.gate.throttled(sent_at, pause)
        raise _Again(message, pause)

    def _learn(self, part: str, body: Mapping[str, Any]) -> bool:
        """Remember what a server refuses; False when there is nothing left to leave out."""
        known = self._known
        if part != "structure":
            known.dropped |= {part}
            return True
        sent = _rung_of(body)
        if self._target.route.structured != "auto" or sent + 1 >= len(RUNGS):
            return False
        if known.rung == sent:  # else another question has learned it meanwhile
            known.rung, known.proven, known.misses = sent + 1, False, 0
        return True

    def _read(self, answered: Answered, form: Form, body: Mapping[str, Any]) -> ModelReply:
        """The valid verdict in an answer, or what is wrong with it."""
        ask, known, route = self._ask, self._known, self._target.route
        text, used = answered.text, answered.usage.completion_tokens
        limit = body.get("max_completion_tokens")
        if limit and used is not None and used > limit:
            known.dropped |= {
                "max_completion_tokens"
            }  # it was ignored; from now on it goes out as max_tokens
        if answered.refusal:
            raise ModelRefusal(f"the judge refused: {answered.refusal[:500]}")
        if answered.cut == "content_filter":
            raise ModelRefusal(f"the judge's content filter ended the answer: {text[:200]!r}")
        if answered.cut:
            raise ModelParseError(
                f"the judge's answer was cut off ({answered.cut}) after {used if used is not None else 'some'} tokens; "
                "a higher max_completions_tokens may help", text,
            )  # fmt: skip
        rung = RUNGS.index(form.rung)
        try:
            verdict = read_verdict(text, ask.verdict, key=form.key, tolerant=form.rung != "json_schema")
        except Ambiguous as error:
            self._missed(rung, text)
            raise parse_error(error, text) from None
        if known.rung != rung and not known.proven and route.structured == "auto" and rung < known.rung:
            known.rung = rung  # others gave up on this rung, but it does work
        if known.rung == rung:
            known.proven, known.misses = True, 0
        provenance = self._provenance(form)
        low, high = ask.verdict.range
        if route.out_of_range == "error" and isinstance(verdict, float) and not low <= verdict <= high:
            raise ModelParseError(f"the judge's number {verdict:g} is outside [{low:g}, {high:g}]", text)
        if route.expected_score != "off" and isinstance(verdict, float):
            verdict = self._expected(verdict, answered, form, provenance)
        self._target.totals.answers += 1
        model = answered.model or route.model or ask.model
        return ModelReply(verdict, text, model, self._usage, provenance)

    def _missed(self, rung: int, text: str) -> None:
        """Count an answer that is no verdict, and raise _Again when asking once more is worthwhile."""
        known, route = self._known, self._target.route
        if self._attempts - self._lessons >= route.max_attempts:
            return
        if known.rung != rung and route.structured == "auto":
            raise _Again("the judge's answer was no verdict", reask=True)  # others have stepped on already
        known.misses += 1
        if not known.proven and known.misses >= MISSES_A_RUNG and route.structured == "auto":
            known.misses = 0
            if rung + 1 < len(RUNGS):
                known.rung = rung + 1
                self._reasked = 0
                raise _Again("the server ignores the schema", reask=True)
        if self._reasked < REASKS:
            self._reasked += 1
            raise _Again("the judge's answer was no verdict", reask=True)

    def _expected(self, sampled: float, answered: Answered, form: Form, provenance: dict[str, Any]) -> float:
        found = expected_score(answered.text, answered.logprobs, form.grid, form.key) if form.grid else None
        if found is not None:
            provenance["expected_score"] = {"sampled": sampled, "mass": round(found.mass, 6)}
            return found.value
        if self._target.route.expected_score == "required":
            low, high = self._ask.verdict.range
            why = (
                "gave no usable log-probabilities"
                if form.grid
                else (
                    f"was asked for [{low:g}, {high:g}], not whole numbers within 0..9"
                    if not grid_of(self._ask.verdict)
                    else "refuses log-probabilities"
                )
            )
            raise ModelParseError(f"an expected score is required, but the judge {why}", answered.text)
        provenance["expected_score"] = None
        return sampled

    async def _wait(self, again: _Again) -> None:
        """Until the next attempt; raises when there is none."""
        client, route = self._client, self._target.route
        tries = self._attempts - self._lessons
        if tries >= route.max_attempts:
            attempts = "1 attempt" if tries == 1 else f"{tries} attempts"
            raise ModelServerError(f"{again}; gave up after {attempts}")
        if again.reask:
            return
        delay = max(again.pause_s, self._backoff())
        if client._clock() + delay >= self._deadline:
            if again.pause_s:
                raise self._closed(again.pause_s, str(again))
            raise _OutOfTime(f"{again}; no time is left for another attempt")
        await client._sleep(delay)

    def _backoff(self) -> float:
        """Full jitter: anywhere up to a bound that doubles."""
        tries = max(1, self._attempts - self._lessons)
        return self._client._jitter() * min(MOST_S, BASE_S * 2.0 ** (tries - 1))

    def _most_cost(self) -> float:
        price = self._target.price
        if price is None or not self._client._budget.max_cost:
            return 0.0
        return cost_of(Usage(prompt_tokens(self._ask), answer_tokens(self._ask)), price)

    def _provenance(self, form: Form) -> dict[str, Any]:
        provenance: dict[str, Any] = {
            "endpoint": self._target.route.endpoint or self._target.origin,
            "structured": form.rung,
            "attempts": self._attempts,
            "latency_s": round(self._client._clock() - self._started, 6),
        }
        if form.dropped and (dropped := not_applied(self._ask, self._target.route, form)):
            provenance["dropped"] = dropped
        elif self._target.route.api == "responses" and self._ask.sampling.seed is not None:
            provenance["dropped"] = ["seed"]
        if self._request_id:
            provenance["request_id"] = self._request_id
        return provenance


def _rung_of(body: Mapping[str, Any]) -> int:
    """Which rung a request stood on."""
    given = body.get("response_format") or body.get("text", {}).get("format") or {"type": "prompt"}
    return RUNGS.index(given["type"])


def _made_up_key(ask: ModelAsk) -> str:
    """A name for the result that no sample can know, and that is the same for equal questions."""
    texts = repr((ask.messages, ask.verdict)).encode("utf-8", "backslashreplace")
    return f"result_{hashlib.sha256(texts).hexdigest()[:8]}"


_FILTERED = ("content_filter", "content_policy", "content management policy", "responsibleai")
_NO_QUOTA = (
    "insufficient_quota",
    "billing",
    "credit balance",
    "insufficient credit",
    "exceeded your current quota",
)


def final(status: int, text: str, message: str, proven: bool) -> GradeError | None:
    """The error that ends the question; None when another attempt may help.

    Args:
        proven: This model has answered before, so that a 403 or 404 is about this one question.
    """
    lower = text.lower()
    if status in (400, 403, 422) and any(word in lower for word in _FILTERED):
        return ModelRefusal(message)
    if status in (400, 402, 403, 429) and any(word in lower for word in _NO_QUOTA):
        return ModelStop(f"{message}; the endpoint has no quota left for this key")
    if status in (401, 402) or (status == 403 and not proven):
        return ModelStop(f"{message}; check the key that graders.toml names for this endpoint")
    if status == 404 and not proven:
        return ModelStop(f"{message}; check base_url and the model's name in graders.toml")
    if unsupported(status, text):
        return ModelServerError(message)
    if status in (408, 409, 425, 429) or status >= 500:
        return None
    return ModelServerError(message)


def redacted(message: str, secret: str) -> str:
    """Servers quote the key they refuse."""
    return message.replace(secret, "***") if secret else message


def connect(
    config: Config | Mapping[str, Any] | None = None,
    *,
    cache: str | None = None,
    transport: Transport | None = None,
    token: Token | None = None,
    max_calls: int | None = None,
    max_cost: float | None = None,
    recording: str | None = None,
    **settings: Any,
) -> Client | Recorded:
    """The client for a configuration; nothing is opened before the first question.

    Args:
        config: From load_config, or its tables; None: what load_config() finds.
        recording: A file of verdicts to answer from; what is missing in it is asked and added.
        settings: Keys of [judge], such as votes=3: they hold for every model.
        cache, transport, token, max_calls, max_cost: See Client.

    Raises:
        ConfigError: the configuration, or a setting, is not valid.
    """
    if config is None:
        config = load_config()
    elif not isinstance(config, Config):
        config = Config(config)
    if settings:
        config = config.with_settings(settings)
    client = Client(
        config, cache=cache, transport=transport, token=token, max_calls=max_calls, max_cost=max_cost
    )
    recording = recording or config.table("judge").get("recording")
    if not recording:
        return client
    from graders.judges.recorded import Recorded

    return Recorded(recording, client)
