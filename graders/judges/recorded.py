"""A recording of judges' answers: replayed from a file, and what is missing in it is asked once and added.

One JSON object a line, made to be read, compared and kept beside tests: the question, then what came of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from graders.ask import Ambiguous, ModelAsk, ModelReply
from graders.endpoints.config import ConfigError
from graders.errors import GradeError, ModelParseError, ModelRefusal, ModelServerError
from graders.judges.contract import ModelClient
from graders.usage import Usage

#: What a judge itself did is recorded; that a server failed is not.
_FAILURES: Mapping[str, Callable[[str, str], GradeError]] = {
    "refusal": lambda message, text: ModelRefusal(message),
    "parse_error": ModelParseError,
}
_NAMES: Mapping[type[GradeError], str] = {ModelRefusal: "refusal", ModelParseError: "parse_error"}


class Recorded:
    """A ModelClient that answers from a recording.

    Args:
        path: The file; need not be there yet when there is a client.
        client: Who is asked what the recording lacks; None: such a question is an error.

    Attributes:
        totals: The client's, None without one: what comes from the file costs nothing.

    Raises:
        ConfigError: the file is not a recording, or is missing while there is no client.
    """

    def __init__(self, path: str | Path, client: ModelClient | None = None) -> None:
        self._path = Path(path)
        self._client = client
        self.totals = getattr(client, "totals", None)
        self._file: IO[str] | None = None
        self._entries = self._read()

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """See ModelClient."""
        key = recording_key(ask)
        entry = self._entries.get(key)
        if entry is not None:
            return _replayed(entry, ask)
        if self._client is None:
            raise ModelServerError(
                f"{self._path} has no answer to this question to {ask.model!r} (it has {len(self._entries)} others); "
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
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if self._client is not None:
            await self._client.aclose()

    def _add(self, key: str, ask: ModelAsk, outcome: Mapping[str, Any]) -> None:
        if key in self._entries:  # asked twice at the same time: the first answer stands
            return
        usage = outcome["usage"]
        entry = {"key": key, **_question(ask), **outcome, "usage": usage and asdict(usage)}
        self._entries[key] = entry
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps(entry, ensure_ascii=True) + "\n")
        self._file.flush()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            if self._client is None:
                raise ConfigError(f"{self._path}: there is no such recording") from None
            return {}
        lines = data.split(b"\n")
        entries: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    entry = json.loads(line)
                    entries.setdefault(entry["key"], entry)
            except (ValueError, TypeError, KeyError):
                if (
                    number == len(lines) and self._client is not None
                ):  # an interrupt cut the last line: it is made anew
                    self._path.write_bytes(data[: len(data) - len(line)])
                    break
                raise ConfigError(
                    f"{self._path}:{number}: not a line of a recording: {line[:60]!r}"
                ) from None
        return entries


def recording_key(ask: ModelAsk) -> str:
    """sha256 of the question; where it is sent, and how, does not matter."""
    return hashlib.sha256(json.dumps(_question(ask), sort_keys=True).encode()).hexdigest()[:32]


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
    except (TypeError, KeyError, Ambiguous) as error:  # edited by hand
        raise ModelServerError(f"the recorded answer {entry['key']} cannot be used: {error}") from None
