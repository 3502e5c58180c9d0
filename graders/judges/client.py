"""The judge client: one valid verdict for a question, or a GradeError.

    Client.answer     votes, and for each: cache, equal questions in flight
    JudgeCall.answer  attempts within a deadline; missing capabilities are learned and remembered
    Transport.post    one HTTP exchange

Servers return wrong statuses, drop parameters and ignore schemas with a 200 (docs/models.md lists them), so decisions
depend on the actual response, and every answer is validated here regardless of the server's promises.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graders.ask import ModelAsk, ModelReply, without_usage
from graders.config.config import Config, load_config
from graders.endpoints.contract import Transport
from graders.endpoints.endpoint import Endpoint, Endpoints, Timing, Token
from graders.endpoints.failures import OutOfTime
from graders.endpoints.spending import Totals
from graders.endpoints.wire import NotSendable
from graders.errors import GradeError, ModelServerError
from graders.judges.cache import Cache, cache_key
from graders.judges.call import JudgeCall
from graders.judges.quality import decide

if TYPE_CHECKING:
    from graders.judges.recorded import Recorded


class Client:
    """A ModelClient for the configured endpoints. Used on one event loop.

    Attributes:
        endpoints: The endpoints, which other clients may share.
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
            config: The routes of model names.
            cache: A file for verdicts, or None.
            transport, token, max_calls, max_cost: See Endpoints.
            clock, sleep, jitter: Clock and randomness, which tests replace.
        """
        self.config = config
        self.endpoints = Endpoints(
            config,
            transport=transport,
            token=token,
            max_calls=max_calls,
            max_cost=max_cost,
            timing=Timing(clock, sleep, jitter),
        )
        self._clock = clock
        self._cache = Cache(cache) if cache else None
        self._pid = os.getpid()
        self._of_parents: list[object] = []
        self._in_flight: dict[str, asyncio.Future[ModelReply]] = {}

    @property
    def totals(self) -> Totals:
        """Requests, tokens and cost so far."""
        return self.endpoints.totals

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """See ModelClient."""
        if self._pid != os.getpid():
            self._forked()
        endpoint = self.endpoints.find(ask.model)
        route = endpoint.route
        if ask.verdict.steps and not route.steps:
            ask = replace(ask, verdict=replace(ask.verdict, steps=False))
        ends = self._clock() + route.timeout_s
        deadline = ends if deadline is None else min(deadline, ends)
        if route.votes == 1:
            return await self._vote(ask, endpoint, deadline, 0)
        votes = range(route.votes)
        return decide(await asyncio.gather(*(self._settled(ask, endpoint, deadline, vote) for vote in votes)))

    async def _settled(
        self, ask: ModelAsk, endpoint: Endpoint, deadline: float, vote: int
    ) -> ModelReply | GradeError:
        try:
            return await self._vote(ask, endpoint, deadline, vote)
        except GradeError as error:
            return error

    async def _vote(self, ask: ModelAsk, endpoint: Endpoint, deadline: float, vote: int) -> ModelReply:
        """A verdict from the cache, else from the judge; with a cache, equal questions in flight are asked once."""
        if self._cache is None:
            return await JudgeCall(endpoint, ask, deadline).answer()
        try:
            key = cache_key(ask, endpoint.url, endpoint.route, vote)
        except NotSendable as error:
            raise ModelServerError(str(error)) from None
        while True:
            kept = self._cache.get(key, ask)
            if kept is not None:
                endpoint.totals.cache_hits += 1
                return without_usage(kept, "cached")
            other = self._in_flight.get(key)
            if other is None:
                return await self._ask_as_leader(key, ask, endpoint, deadline, self._cache)
            try:
                reply = await asyncio.wait_for(asyncio.shield(other), max(0.0, deadline - self._clock()))
            except TimeoutError:
                raise OutOfTime(
                    "the deadline passed before the same question, already asked, had an answer"
                ) from None
            except OutOfTime:
                # the caller that asked gave up; this one still wants the answer
                continue
            except GradeError as error:
                endpoint.totals.merged += 1
                raise without_usage(error, "merged") from error.__cause__
            endpoint.totals.merged += 1
            return without_usage(reply, "merged")

    async def _ask_as_leader(
        self, key: str, ask: ModelAsk, endpoint: Endpoint, deadline: float, cache: Cache
    ) -> ModelReply:
        """Ask, and share the answer with callers that have the same question meanwhile."""
        mine: asyncio.Future[ModelReply] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = mine
        try:
            reply = await JudgeCall(endpoint, ask, deadline).answer()
        except BaseException as error:
            shared = error if isinstance(error, GradeError) else OutOfTime("the first to ask gave up")
            mine.set_exception(shared)
            # retrieved, since asyncio reports an exception that no call retrieves
            mine.exception()
            raise
        finally:
            del self._in_flight[key]
        cache.put(key, reply)
        mine.set_result(reply)
        return reply

    def _forked(self) -> None:
        """Drop the questions in flight in a forked child, where they belong to the parent's loop."""
        self._of_parents.append(self._in_flight)
        self._in_flight = {}
        self._pid = os.getpid()
        self.endpoints.forked()
        if self._cache is not None:
            self._cache.forked()

    async def aclose(self) -> None:
        """See ModelClient."""
        await self.endpoints.aclose()
        if self._cache is not None:
            self._cache.close()


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
    """The client for a configuration; it opens nothing before the first question.

    Args:
        config: A Config, or its tables; None: the result of load_config().
        recording: A file of recorded verdicts; missing ones are requested and added.
        settings: Keys of [judge], such as votes=3, for every model.
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
    named: str = config.table("judge").get("recording", "")
    if not recording and not named:
        return client
    from graders.judges.recorded import Recorded

    return Recorded(recording or config.path_of(named), client)
