"""Judges: a wire client for any OpenAI-compatible endpoint, and what stands in for one.

config = load_config()          graders.toml and the environment
client = connect(config)        a ModelClient; nothing is opened before the first question
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graders.ask import ModelAsk, ModelReply
    from graders.models.client import connect
    from graders.models.config import Config, ConfigError, Route, load_config

_HOMES = {
    "Config": "graders.models.config",
    "ConfigError": "graders.models.config",
    "Route": "graders.models.config",
    "connect": "graders.models.client",
    "load_config": "graders.models.config",
}

__all__ = ["Config", "ConfigError", "ModelClient", "Route", "connect", "load_config"]


class ModelClient(Protocol):
    """Whoever answers judges' questions. Called on one event loop, many at a time."""

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """A valid verdict.

        Args:
            ask: The question. `ask.verdict.read` says what is valid.
            deadline: time.monotonic() seconds after which nobody waits any more.

        Raises:
            GradeError: ModelServerError, ModelStop, ModelRefusal or ModelParseError; `usage`, `model` and
                `provenance` are set on it where known.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the client may be used again after."""
        ...


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'graders.models' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
