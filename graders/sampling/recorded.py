"""Samples from a recording. A missing answer is requested once and added; failures are not recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graders.ask import SampleAsk, SampleReply
from graders.endpoints.recording import RecordingFile, question_key
from graders.endpoints.wire import NotAnAnswer
from graders.errors import ModelServerError
from graders.sampling.contract import SampleClient
from graders.sampling.scripted import reply_of


class RecordedSampler:
    """A SampleClient that answers from a recording.

    Args:
        path: The recording; it need not exist when there is a client.
        client: The client for questions that the recording lacks; None: such a question is an error.

    Raises:
        ConfigError: the file is not a recording, or is missing while there is no client.
    """

    def __init__(self, path: str | Path, client: SampleClient | None = None) -> None:
        self._recording = RecordingFile(path, may_grow=client is not None)
        self._client = client

    async def answer(self, ask: SampleAsk, *, deadline: float | None = None) -> SampleReply:
        """See SampleClient."""
        question = _question(ask)
        key = question_key(question)
        entry = self._recording.get(key)
        if entry is not None:
            try:
                return reply_of(entry["completion"], ask, provenance={"recorded": True})
            except (KeyError, TypeError, NotAnAnswer) as error:
                # a recording that was edited by hand
                raise ModelServerError(f"the recorded answer {key} cannot be used: {error}") from None
        if self._client is None:
            raise ModelServerError(
                f"{self._recording.path} has no answer to this question to {ask.model!r} (it has "
                f"{len(self._recording)} others); record it with a client"
            )
        reply = await self._client.answer(ask, deadline=deadline)
        self._recording.add(key, {**question, "completion": reply.completion})
        return reply

    async def aclose(self) -> None:
        """See SampleClient."""
        self._recording.close()
        if self._client is not None:
            await self._client.aclose()


def _question(ask: SampleAsk) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(ask).items() if value}
