"""Verdicts kept in a SQLite file: what was asked in, a valid answer out. No keys, no headers, no pickle."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graders.ask import Ambiguous, ModelAsk, ModelReply, Usage

SCHEMA_VERSION = 1  # part of every key: a change of what is stored makes old entries invisible


def cache_key(ask: ModelAsk, url: str, body: Mapping[str, Any], vote: int) -> str:
    """sha256 of the canonical request. `body` is the request at the top rung, so that what a server was found to
    lack does not change the key."""
    request = [SCHEMA_VERSION, url, body, ask.verdict.json_schema(), vote]
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Cache:
    """A SQLite file, safe for several processes."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID"
        )

    def get(self, key: str, ask: ModelAsk) -> ModelReply | None:
        """The kept verdict, checked again; None when there is none that is still valid."""
        with self._lock:
            row = self._db.execute("SELECT reply FROM verdicts WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            kept = json.loads(row[0])
            verdict = ask.verdict.read({"result": kept["verdict"]})
            return ModelReply(
                verdict, kept["text"], kept["model"], Usage(**kept["usage"]), kept["provenance"]
            )
        except (ValueError, KeyError, TypeError, Ambiguous):
            return None

    def put(self, key: str, reply: ModelReply) -> None:
        kept = {
            "verdict": reply.verdict,
            "text": reply.text,
            "model": reply.model,
            "usage": asdict(reply.usage),
            "provenance": dict(reply.provenance),
        }
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, json.dumps(kept)))

    def close(self) -> None:
        with self._lock:
            self._db.close()
