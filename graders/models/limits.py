"""What holds requests back: an adaptive number in flight, a pause after 429, requests and tokens per minute."""

from __future__ import annotations

import email.utils
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

FEWEST = 1  # in flight, however often the server says 429
CUT = 0.8  # of the limit after a 429 ...
COOLDOWN_S = 15.0  # ... at most this often, since one burst brings many of them
GROWTH = 1.05  # of the limit after that many successes while it was reached


class Gate:
    """Admission to one endpoint, shared by all graders. Used on one event loop."""

    def __init__(
        self, most: int, per_minute: int, tokens_per_minute: int, clock: Callable[[], float]
    ) -> None:
        self.most = max(FEWEST, most)
        self.limit = float(self.most)
        self.in_flight = 0
        self.peak = 0
        self.open_at = 0.0  # nobody starts before: set by a 429, one pause for all
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._cut_at = -COOLDOWN_S
        self._successes = 0
        self._buckets = [Bucket(amount, clock) for amount in (per_minute, tokens_per_minute)]

    async def enter(self, sleep: Callable[[float], object], tokens: int = 0) -> None:
        """Wait for a place. Cancelling the wait gives it up."""
        import asyncio

        while True:
            wait = max(self.open_at - self._clock(), self._buckets[0].wait(1), self._buckets[1].wait(tokens))
            if wait > 0:
                await sleep(wait)  # type: ignore[misc]  # asyncio.sleep, or a test's
                continue
            if self.in_flight < int(self.limit):
                break
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._wake()
                elif future in self._waiting:
                    self._waiting.remove(future)
                raise
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        self._buckets[0].take(1)
        self._buckets[1].take(tokens)

    def leave(self) -> None:
        self.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    def succeeded(self) -> None:
        if self.limit < self.most and self.in_flight >= int(self.limit):
            self._successes += 1
            if self._successes >= self.limit:
                self._successes = 0
                self.limit = min(float(self.most), max(self.limit * GROWTH, self.limit + 1))
                self._wake()

    def throttled(self, pause_s: float) -> None:
        """A 429: fewer in flight, and nobody starts for a while."""
        now = self._clock()
        self.open_at = max(self.open_at, now + pause_s)
        self._successes = 0
        if now - self._cut_at >= COOLDOWN_S:
            self._cut_at = now
            self.limit = max(float(FEWEST), min(self.limit, self.in_flight or self.limit) * CUT)


class Bucket:
    """At most `per_minute` a minute, spread evenly; 0 is no limit."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.rate = per_minute / 60
        self.size = float(per_minute)
        self._level = self.size
        self._clock = clock
        self._at = clock()

    def wait(self, amount: float) -> float:
        """Seconds until `amount` may be taken."""
        if not self.rate:
            return 0.0
        now = self._clock()
        self._level = min(self.size, self._level + (now - self._at) * self.rate)
        self._at = now
        short = min(amount, self.size) - self._level
        return short / self.rate if short > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        if self.rate:
            self._level -= min(amount, self.size)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def retry_after(headers: Mapping[str, str], now_wall: float) -> float:
    """How long the server asks to wait, in seconds; 0.0 when it does not say.

    Read are retry-after-ms, Retry-After as seconds or as a date, and x-ratelimit-reset-* durations ("6m0s").

    Args:
        headers: With lower-case names.
        now_wall: Seconds since the epoch, for dates.
    """
    if (ms := headers.get("retry-after-ms")) and _number(ms) is not None:
        return max(0.0, (_number(ms) or 0.0) / 1000)
    if after := headers.get("retry-after"):
        if (seconds := _number(after)) is not None:
            return max(0.0, seconds)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - now_wall)
        except (TypeError, ValueError):
            pass
    waits = [
        sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(value))
        for name, value in headers.items()
        if name.startswith("x-ratelimit-reset-")
        and headers.get(name.replace("reset", "remaining")) in (None, "0")
    ]
    return max(waits, default=0.0)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None
