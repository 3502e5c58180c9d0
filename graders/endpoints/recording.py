"""Recordings: files with one JSON object a line, looked up by key, readable, diffable, kept beside tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from graders.config.config import ConfigError


class RecordingFile:
    """A recording that new entries are appended to.

    Args:
        may_grow: Whether new entries may be added, so that the file need not exist.

    Raises:
        ConfigError: the file is not a recording, or is missing and may not grow.
    """

    def __init__(self, path: str | Path, *, may_grow: bool) -> None:
        self.path = Path(path)
        self._may_grow = may_grow
        self._file: IO[str] | None = None
        self._entries = self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Mapping[str, Any] | None:
        return self._entries.get(key)

    def add(self, key: str, entry: Mapping[str, Any]) -> None:
        """Append an entry, unless the key has one already."""
        if key in self._entries:
            return
        line = {"key": key, **entry}
        self._entries[key] = line
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
        self._file.flush()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _read(self) -> dict[str, Mapping[str, Any]]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            if not self._may_grow:
                raise ConfigError(f"{self.path}: there is no such recording") from None
            return {}
        lines = data.split(b"\n")
        entries: dict[str, Mapping[str, Any]] = {}
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    entry = json.loads(line)
                    entries.setdefault(entry["key"], entry)
            except (ValueError, TypeError, KeyError):
                # an interrupted run left an incomplete last line, which is recorded again
                if number == len(lines) and self._may_grow:
                    self.path.write_bytes(data[: len(data) - len(line)])
                    break
                raise ConfigError(f"{self.path}:{number}: not a line of a recording: {line[:60]!r}") from None
        return entries


def question_key(question: Mapping[str, Any]) -> str:
    """The key of a question, 32 hex digits, independent of the endpoint."""
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:32]
