"""Request limits of one address: an adaptive number in flight, a pause after 429, requests and tokens per minute."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

#: Lower bound of the limit in flight, after any number of 429s.
FEWEST = 1
#: Factor of the limit after a 429, as in TCP after a loss: it finds any server's limit in a few rounds.
CUT = 0.5


class NotAdmitted(Exception):
    """Raised when the deadline is before the request may start. `wait_s`: seconds until then, 0.0 when unknown."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class ConcurrencyLimiter:
    """Admits requests to one endpoint, shared by all graders and members. Used on one event loop.

    Attributes:
        most: Upper bound of `limit`.
        limit: Requests in flight at most: halved by a 429, raised by one after as many answers.
        open_at: The clock's time before which no request starts: a common pause after a 429.
    """

    def __init__(
        self,
        most: int,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.most = max(FEWEST, most)
        self.limit = float(self.most)
        self.in_flight = 0
        self.peak = 0
        self.open_at = float("-inf")
        self._clock = clock
        self._sleep = sleep
        self._waiting: deque[asyncio.Future[None]] = deque()
        # places of requests that have been woken and are about to enter
        self._promised = 0
        self._cut_at = float("-inf")
        self._requests = Bucket(requests_per_minute, clock)
        self._tokens = Bucket(tokens_per_minute, clock)

    async def enter(self, deadline: float, tokens: float = 0) -> None:
        """Wait for a place and take it; `release` returns it. The wait can be cancelled.

        Raises:
            NotAdmitted: the deadline comes first.
        """
        placed = False
        try:
            while True:
                now = self._clock()
                wait = max(self.open_at - now, self._requests.wait(1), self._tokens.wait(tokens))
                if now + max(wait, 0.0) >= deadline:
                    raise NotAdmitted(max(wait, 0.0))
                if wait > 0:
                    await self._sleep(wait)
                elif placed or (not self._waiting and self._has_place()):
                    break
                else:
                    await self._wait_in_line(deadline - now)
                    placed = True
        except BaseException:
            if placed:
                self._release_promise()
            raise
        self._promised -= placed
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        self._requests.take(1)
        self._tokens.take(tokens)

    def _has_place(self) -> bool:
        return self.in_flight + self._promised < int(self.limit)

    async def _wait_in_line(self, left: float) -> None:
        """Wait until a place is promised; first come, first served."""
        import asyncio

        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(left):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                self._release_promise()
            elif future in self._waiting:
                self._waiting.remove(future)
            if isinstance(error, TimeoutError):
                raise NotAdmitted(0.0) from None
            raise

    def release(self) -> None:
        self.in_flight -= 1
        self._promise()

    def _release_promise(self) -> None:
        self._promised -= 1
        self._promise()

    def _promise(self) -> None:
        """Promise the free places to the waiting requests, in order, so that a later request cannot take them."""
        while self._waiting and self._has_place():
            future = self._waiting.popleft()
            if not future.done():
                self._promised += 1
                future.set_result(None)

    def succeeded(self) -> None:
        """Record an answer; after `limit` answers the limit is raised by one."""
        if self.limit < self.most:
            self.limit = min(float(self.most), self.limit + 1 / self.limit)
            self._promise()

    def throttled(self, sent_at: float, pause_s: float) -> None:
        """Record a 429 for a request sent at `sent_at`: halve the limit, and pause.

        Several requests of a burst may get one; only a request sent after the last cut cuts again.
        """
        self.open_at = max(self.open_at, self._clock() + pause_s)
        self.overloaded(sent_at)

    def overloaded(self, sent_at: float) -> None:
        """Record a time-out of a request sent at `sent_at`: halve the limit, as after a 429."""
        if sent_at >= self._cut_at:
            self._cut_at = self._clock()
            self.limit = max(float(FEWEST), min(self.limit, float(max(self.in_flight, FEWEST))) * CUT)

    def settle(self, expected: float, used: float) -> None:
        """Replace the expected tokens of a request by the used ones."""
        self._tokens.take(used - expected)


class Bucket:
    """At most `per_minute` a minute, refilled evenly; 0 is no limit."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.rate = per_minute / 60
        self.size = float(per_minute)
        self._level = self.size
        self._clock = clock
        self._at = clock()

    def wait(self, amount: float) -> float:
        """Seconds until `amount` may be taken; an amount beyond the bucket's size counts as a full bucket."""
        if not self.rate:
            return 0.0
        now = self._clock()
        self._level = min(self.size, self._level + (now - self._at) * self.rate)
        self._at = now
        short = min(amount, self.size) - self._level
        return short / self.rate if short > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        if self.rate:
            self._level = min(self.size, self._level - amount)


# Matches only at the start of a number; matching from every digit of a long one would take quadratic time.
_DURATION = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
#: The longest plausible wait, in seconds.
MOST_WAIT_S = 366 * 86400.0


def retry_after(headers: Mapping[str, str], now_wall: float) -> float:
    """Seconds that the server asks to wait; 0.0 when unknown.

    The headers are retry-after-ms, Retry-After in seconds or as a date, and x-ratelimit-reset-requests and -tokens as
    durations ("6m0s") where none remain.

    Args:
        headers: With lower-case names.
        now_wall: Seconds since the epoch, for dates.
    """
    if (ms := _number(headers.get("retry-after-ms", ""))) is not None:
        return ms / 1000
    if after := headers.get("retry-after", ""):
        if (seconds := _number(after)) is not None:
            return seconds
        from email.utils import parsedate_to_datetime

        try:
            wait = parsedate_to_datetime(after).timestamp() - now_wall
        except (TypeError, ValueError, OverflowError):
            pass
        else:
            return min(max(0.0, wait), MOST_WAIT_S)
    waits = [
        duration(value)
        for name, value in headers.items()
        if name.startswith("x-ratelimit-reset-")
        and headers.get(name.replace("reset", "remaining")) in (None, "0")
    ]
    return max(waits, default=0.0)


def duration(text: str) -> float:
    """Seconds in "6m0s", "250ms", "2 minutes", or plain seconds; 0.0 where there are none."""
    if (seconds := _number(text)) is not None:
        return seconds
    return min(sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text)), MOST_WAIT_S)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return min(max(0.0, value), MOST_WAIT_S) if value == value else None
