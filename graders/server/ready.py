"""Whether rows can be graded here: the configuration read, and a program run in the sandbox."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from graders.engine.backends import Backends

LOOK_S = 60.0  # for the first program in the sandbox, on a machine that is busy starting
AGAIN_S = 15.0  # what was found wanting is looked at again after this


@dataclass(frozen=True, slots=True)
class Check:
    """What was witnessed.

    Attributes:
        text: The tier, or what is wrong and what helps.
    """

    ok: bool
    text: str


class Readiness:
    """Looks once, and again only while something is wanting. Used on one event loop."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._checks: dict[str, Check] = {}
        self._looked = 0.0
        self._looking = asyncio.Lock()

    async def checks(self) -> dict[str, Check]:
        """ "config" and "sandbox" -> what was found."""
        async with self._looking:
            stale = time.monotonic() - self._looked > AGAIN_S
            if not self._checks or (stale and not all(check.ok for check in self._checks.values())):
                self._checks = await self._look()
                self._looked = time.monotonic()
            return self._checks

    async def _look(self) -> dict[str, Check]:
        try:
            async with asyncio.timeout(LOOK_S):
                sandbox = await asyncio.to_thread(self._sandbox)
        except TimeoutError:
            sandbox = Check(False, f"a program in the sandbox did not end within {LOOK_S:g} s")
        return {"config": self._config(), "sandbox": sandbox}

    def _config(self) -> Check:
        try:
            config = self._backends.config
        except ValueError as error:
            return Check(False, str(error))
        return Check(True, "graders.toml" if config.path else "no graders.toml; the environment's settings")

    def _sandbox(self) -> Check:
        """The tier that holds python graders, as a program inside it found."""
        try:
            return Check(True, self._backends.sandbox.tier)
        except (ValueError, TypeError, RuntimeError) as error:
            return Check(False, str(error))
