"""Judges' answers from a recording. A missing answer is requested once and added."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graders.ask import ModelAsk, ModelReply
from graders.endpoints.recording import RecordingFile, question_key
from graders.errors import GradeError, ModelParseError, ModelRefusal, ModelServerError
from graders.judges.contract import ModelClient
from graders.usage import Usage
from graders.verdict import AmbiguousVerdict

#: Failures that are recorded: those of the judge, not those of its server.
_FAILURES: Mapping[str, Callable[[str, str], GradeError]] = {
    "refusal": lambda message, text: ModelRefusal(message),
    "parse_error": ModelParseError,
}
_NAMES: Mapping[type[GradeError], str] = {ModelRefusal: "refusal", ModelParseError: "parse_error"}


class Recorded:
    """A ModelClient that answers from a recording.

    Args:
        path: The recording; it need not exist when there is a client.
        client: The client for questions that the recording lacks; None: such a question is an error.

    Attributes:
        totals: The client's totals, None without a client; recorded answers cost nothing.
        endpoints: The client's endpoints, which a sampler may share.

    Raises:
        ConfigError: the file is not a recording, or is missing while there is no client.
    """

    def __init__(self, path: str | Path, client: ModelClient | None = None) -> None:
        self._recording = RecordingFile(path, may_grow=client is not None)
        self._client = client
        self.totals = getattr(client, "totals", None)
        self.endpoints = getattr(client, "endpoints", None)

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """See ModelClient."""
        key = question_key(_question(ask))
        entry = self._recording.get(key)
        if entry is not None:
            return _replayed(entry, ask)
        if self._client is None:
            raise ModelServerError(
                f"{self._recording.path} has no answer to this question to {ask.model!r} (it has "
                f"{len(self._recording)} others); "
                "record it with a client"
            )
        try:
            reply = await self._client.answer(ask, deadline=deadline)
        except (ModelRefusal, ModelParseError) as error:
            failed = {"message": str(error), "text": getattr(error, "text", "")}
            self._add(key, ask, {_NAMES[type(error)]: failed, "model": error.model, "usage": error.usage})
            raise
        self._add(
            key,
            ask,
            {"verdict": reply.verdict, "text": reply.text, "model": reply.model, "usage": reply.usage},
        )
        return reply

    async def aclose(self) -> None:
        """See ModelClient."""
        self._recording.close()
        if self._client is not None:
            await self._client.aclose()

    def _add(self, key: str, ask: ModelAsk, outcome: Mapping[str, Any]) -> None:
        usage = outcome["usage"]
        self._recording.add(key, {**_question(ask), **outcome, "usage": usage and asdict(usage)})


def _question(ask: ModelAsk) -> dict[str, Any]:
    return {
        "asked": ask.model,
        "messages": [asdict(message) for message in ask.messages],
        "answer": {name: value for name, value in asdict(ask.verdict).items() if value != ()},
        "sampling": {name: value for name, value in asdict(ask.sampling).items() if value is not None},
    }


def _replayed(entry: Mapping[str, Any], ask: ModelAsk) -> ModelReply:
    try:
        usage = Usage(**entry["usage"]) if entry.get("usage") else Usage()
        for name, failure in _FAILURES.items():
            if name in entry:
                error = failure(entry[name]["message"], entry[name]["text"])
                raise error.replace(usage=usage, model=entry["model"], provenance={"recorded": True})
        verdict = ask.verdict.read({"result": entry["verdict"]})
        return ModelReply(verdict, entry["text"], entry["model"], usage, {"recorded": True})
    except (TypeError, KeyError, AmbiguousVerdict) as error:
        # a recording that was edited by hand
        raise ModelServerError(f"the recorded answer {entry['key']} cannot be used: {error}") from None
