"""Readiness checks: the configuration is valid, and a program runs in the sandbox."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from graders.engine.backends import Backends

#: Seconds for the first program in the sandbox, on a machine that is busy starting.
LOOK_S = 60.0
#: Seconds until a failed check is repeated.
AGAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """The result of one check.

    Attributes:
        text: The tier, or the problem and its remedy.
    """

    ok: bool
    text: str


class Readiness:
    """Runs the checks once, and repeats them while one fails. Used on one event loop."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._checks: dict[str, ReadinessCheck] = {}
        self._looked = 0.0
        self._looking = asyncio.Lock()

    async def checks(self) -> dict[str, ReadinessCheck]:
        """The results of the checks "config" and "sandbox"."""
        async with self._looking:
            stale = time.monotonic() - self._looked > AGAIN_S
            if not self._checks or (stale and not all(check.ok for check in self._checks.values())):
                self._checks = await self._check_all()
                self._looked = time.monotonic()
            return self._checks

    async def _check_all(self) -> dict[str, ReadinessCheck]:
        try:
            async with asyncio.timeout(LOOK_S):
                sandbox = await asyncio.to_thread(self._sandbox)
        except TimeoutError:
            sandbox = ReadinessCheck(False, f"a program in the sandbox did not end within {LOOK_S:g} s")
        return {"config": self._config(), "sandbox": sandbox}

    def _config(self) -> ReadinessCheck:
        try:
            config = self._backends.config
        except ValueError as error:
            return ReadinessCheck(False, str(error))
        return ReadinessCheck(
            True, "graders.toml" if config.path else "no graders.toml; the environment's settings"
        )

    def _sandbox(self) -> ReadinessCheck:
        """The tier of the sandbox, as found by a program inside it."""
        try:
            return ReadinessCheck(True, self._backends.sandbox.tier)
        except (ValueError, TypeError, RuntimeError) as error:
            return ReadinessCheck(False, str(error))
