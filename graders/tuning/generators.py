"""The generator processes, which answer chat: one for each requested base model, ended after an idle time.

Everything runs on one event loop; only the pipes are read and written on threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any

from graders.config.tuning import TuningConfig
from graders.store.home import private_folder
from graders.tuning.models import Model
from graders.tuning.worker import Worker

#: Requests that are answered or wait; more are refused.
REQUESTS_MOST = 64
LEAVE_S = 10.0  # for a process to leave before it is killed


class TooManyRequests(RuntimeError):
    """Raised when too many requests wait."""


class GeneratorFailed(RuntimeError):
    """Raised when the process cannot be started, or ended within an answer; the message ends with its log."""


class RefusedPrompt(ValueError):
    """Raised for a request that the model cannot answer.

    Attributes:
        code: The wire's code.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Generators:
    """The generator processes of one server.

    Args:
        home: The folder of their logs.
    """

    def __init__(self, config: TuningConfig, home: Path) -> None:
        self._config = config
        self._home = home
        self._running: dict[str, _GeneratorProcess] = {}
        self._waiting = 0

    async def answer(self, model: Model, request: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any]]:
        """The process's messages about one request: `text` and `finish` of its choices, and `answered` at the end.

        Raises:
            TooManyRequests: too many requests wait.
            GeneratorFailed: the process cannot be started, or ends early.
            RefusedPrompt: the model cannot answer the request.
        """
        if self._waiting >= REQUESTS_MOST:
            raise TooManyRequests(f"{REQUESTS_MOST} requests to tuned models wait already")
        self._waiting += 1
        try:
            adapter = None if model.adapter is None else str(model.adapter)
            async with aclosing(self._of(model.base).ask({**request, "adapter": adapter})) as messages:
                async for message in messages:
                    if message["type"] == "refused":
                        raise RefusedPrompt(message["message"], message["code"])
                    yield message
        finally:
            self._waiting -= 1

    def _of(self, base: str) -> _GeneratorProcess:
        generator = self._running.get(base)
        if generator is None or generator.left:
            assert not isinstance(self._config.generator, str)
            log = private_folder(self._home / "generators") / f"{base.replace('/', '-')}.log"
            try:
                worker = Worker(self._config.generator, self._config.environment, log)
            except OSError as error:
                text = f"the process that answers chat cannot be started: {error}"
                raise GeneratorFailed(text) from None
            folder, threads = str(self._config.models[base]), self._config.settings["threads"]
            worker.send("serve", model=folder, threads=threads)
            generator = self._running[base] = _GeneratorProcess(worker, self._config.generator_idle_s)
        return generator

    async def close(self) -> None:
        """End all processes at once."""
        running, self._running = self._running, {}
        await asyncio.gather(*(generator.close() for generator in running.values()))


class _GeneratorProcess:
    """One process with its pending requests.

    Attributes:
        left: Whether it has ended, or was told to.
    """

    def __init__(self, worker: Worker, idle_s: float) -> None:
        self._worker = worker
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Queue[Mapping[str, Any] | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._why = ""
        self._gone = asyncio.Event()
        self.left = False
        threading.Thread(target=self._read, name="graders-generator", daemon=True).start()

    async def ask(self, request: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any]]:
        if self._timer is not None:
            self._timer.cancel()
        number, arrived = next(self._numbers), asyncio.Queue[Mapping[str, Any] | None]()
        self._asked[number] = arrived
        ended = False
        try:
            await asyncio.to_thread(self._worker.send, "generate", number=number, **request)
            while not ended:
                message = await arrived.get()
                if message is None:
                    ended = True
                    raise GeneratorFailed(f"the process that answers chat has left. {self._why}".rstrip())
                ended = message["type"] in ("answered", "refused")
                yield message
        finally:
            del self._asked[number]
            if not ended:
                self._loop.run_in_executor(None, lambda: self._worker.send("cancel", number=number))
            if not self._asked and not self.left:
                self._timer = self._loop.call_later(self._idle_s, self._stop_idle)

    def _stop_idle(self) -> None:
        """Tell an idle process to exit."""
        self.left = True
        self._loop.run_in_executor(None, self._worker.close_input)

    def _read(self) -> None:
        """Pass the process's messages to the event loop, on a thread."""
        for message in self._worker.messages():
            self._loop.call_soon_threadsafe(self._on_message, message)
        self._worker.close()
        self._loop.call_soon_threadsafe(self._on_end)

    def _on_message(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "failed":
            self._why = str(message["message"])
        elif (waiting := self._asked.get(message.get("number", 0))) is not None:
            waiting.put_nowait(message)

    def _on_end(self) -> None:
        self.left = True
        self._why = self._why or f"Its log ends: {self._worker.log_end().strip()}"
        for waiting in self._asked.values():
            waiting.put_nowait(None)
        self._gone.set()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.left = True
        self._loop.run_in_executor(None, self._worker.close_input)
        try:
            await asyncio.wait_for(self._gone.wait(), LEAVE_S)
        except TimeoutError:
            self._worker.kill()
            await self._gone.wait()
