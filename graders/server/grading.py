"""A cache of compiled graders, and grading that does not block the event loop.

A small row of a local grader takes microseconds and is graded on the event loop. A large one (a metric over long texts
may take seconds) goes to another event loop on its own thread. Rapidfuzz releases the interpreter while it compares,
and Python code of several threads takes turns of 5 ms.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import graders
from graders.endpoints.background import Loop
from graders.engine.backends import Backends
from graders.engine.grader import Grader
from graders.errors import Problem, SpecError
from graders.jsontext import dumps
from graders.server.errors import ApiError, invalid_spec
from graders.server.limits import Overloaded
from graders.spec.bounds import TEXT_MAX_CHARS

T = TypeVar("T")

#: Characters that the templates of a row may render to on the event loop. Their most expensive use, a comparison of two
#: texts of half that length, takes some 10 ms.
INLINE_CHARS = 32 * 1024
#: Threads for large rows, so that one slow metric does not delay all others.
LANES = 2
#: Bytes of a spec beyond which its hash is the cache's key.
KEY_BYTES = 64
#: Bytes of a spec that compiles in some 10 ms, whatever its contents.
SMALL_SPEC_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class CompiledGrader:
    """A grader, and the number of variables in its templates, which bounds the size of rendered texts."""

    grader: Grader
    n_variables: int

    def is_large(self, body_bytes: int) -> bool:
        """Whether grading a row of that size may take too long for the event loop."""
        return (self.n_variables + 1) * body_bytes > INLINE_CHARS


class Graders:
    """A least-recently-used cache of compiled graders, by their JSON. Used on one event loop."""

    def __init__(self, backends: Backends, *, keep: int, strict: bool) -> None:
        self._backends = backends
        self._keep = keep
        self._strict = strict
        self._kept: OrderedDict[bytes, CompiledGrader] = OrderedDict()
        self._coming: dict[bytes, asyncio.Task[CompiledGrader]] = {}
        # a thread of their own, since a large spec may take a second
        self._small = ThreadPoolExecutor(1, thread_name_prefix="graders-compile")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="graders-compile-large")
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, spec: Any) -> CompiledGrader:
        """The compiled grader of a spec's JSON, compiled once, on a thread.

        Raises:
            ApiError: 400 with every problem of the spec.
        """
        text = self._text(spec)
        key = text if len(text) <= KEY_BYTES else hashlib.blake2b(text, digest_size=32).digest()
        compiled = self._kept.get(key)
        if compiled is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return compiled
        coming = self._coming.get(key)
        if coming is None:
            self.misses += 1
            coming = self._coming[key] = asyncio.create_task(self._make(key, text, spec))
            coming.add_done_callback(partial(self._on_compiled, key))
        # shielded, since other requests may wait for it when this one's client leaves
        return await asyncio.shield(coming)

    def _on_compiled(self, key: bytes, done: asyncio.Task[CompiledGrader]) -> None:
        del self._coming[key]
        if not done.cancelled():
            # retrieved here, in case no request waits for it any more
            done.exception()

    def _text(self, spec: Any) -> bytes:
        """The spec's JSON text, in its own order of keys, which is the order of sub_rewards."""
        try:
            text = dumps(spec)
        except (RecursionError, ValueError):
            message = "Invalid 'grader': it is nested too deeply, or has a value that JSON does not have."
            raise ApiError(400, message, param="grader", code="invalid_value") from None
        if len(text) > TEXT_MAX_CHARS:
            message = f"Invalid 'grader': it has {len(text)} bytes; the limit is {TEXT_MAX_CHARS}."
            raise ApiError(400, message, param="grader", code="spec_too_large")
        return text

    async def _make(self, key: bytes, text: bytes, spec: Any) -> CompiledGrader:
        grader = await self._on_thread(len(text), self._compile, spec, self._backends)
        self._kept[key] = compiled = CompiledGrader(grader, text.count(b"{{"))
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return compiled

    async def make(self, spec: Any, backends: Backends) -> Grader:
        """Compile a grader without caching it.

        Raises:
            ApiError: 400 with every problem of the spec.
        """
        return await self._on_thread(len(self._text(spec)), self._compile, spec, backends)

    def _compile(self, spec: Any, backends: Backends) -> Grader:
        """As graders.compile; raises ApiError instead of SpecError."""
        try:
            return graders.compile(_as_spec(spec), backends=backends, strict=self._strict)
        except SpecError as error:
            raise invalid_spec(error) from None

    async def problems(self, text: str) -> tuple[list[Problem], dict[str, Any] | None]:
        """The problems of a spec's text, with lines, and the normalised spec if it is valid."""
        return await self._on_thread(len(text), self._problems, text)

    def _problems(self, text: str) -> tuple[list[Problem], dict[str, Any] | None]:
        from graders.spec.reading import parse_text

        try:
            grader = graders.compile(parse_text(text), backends=self._backends, strict=self._strict)
        except SpecError as error:
            return list(error.problems), None
        return list(grader.warnings), grader.spec.to_wire()

    async def _on_thread(self, n_bytes: int, function: Callable[..., T], *args: Any) -> T:
        """Run a function that may take milliseconds (a parser, a first import) on a compiling thread."""
        thread = self._small if n_bytes <= SMALL_SPEC_BYTES else self._large
        return await asyncio.get_running_loop().run_in_executor(thread, partial(function, *args))

    def close(self) -> None:
        self._small.shutdown(wait=False, cancel_futures=True)
        self._large.shutdown(wait=False, cancel_futures=True)


def _as_spec(spec: Any) -> Any:
    """The spec of a request. Strings are refused here, since they would name files."""
    if isinstance(spec, dict):
        return spec
    from graders.spec.wording import wrong_type

    raise ApiError(400, wrong_type("grader", "an object", spec), param="grader", code="invalid_type")


class WorkerLoops:
    """Event loops on threads, for rows that would block the server's loop. Started when first needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy = [0] * LANES
        self._loops: list[Loop] = []
        self.working = 0

    async def run(self, work: Coroutine[Any, Any, T], *, asks: bool) -> T:
        """Run a coroutine on the least busy loop. Cancelling the caller cancels it.

        Args:
            asks: Whether it mostly waits for judges or the sandbox, whose own limits then bound it.

        Raises:
            Overloaded: the admitted number of rows is running or waiting.
        """
        if not asks and self.working >= self._most:
            work.close()
            raise Overloaded(f"{self.working} rows with long texts run or wait already")
        if not self._loops:
            self._loops = [Loop(f"graders-lane-{n}") for n in range(LANES)]
        lane = self._busy.index(min(self._busy))
        self._busy[lane] += 1
        self.working += not asks
        try:
            return await asyncio.wrap_future(self._loops[lane].start(work))
        finally:
            self._busy[lane] -= 1
            self.working -= not asks

    def close(self) -> None:
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.close()
