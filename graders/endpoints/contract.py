"""The interface of transports: one HTTP exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Makes HTTP exchanges."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """The complete response, of any status. Never retries.

        Raises:
            TimeoutError: it was not complete within `timeout_s`.
            OSError: there is no response, or it is incomplete.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the transport may be used again after."""
        ...
