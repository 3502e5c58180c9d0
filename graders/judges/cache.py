"""A cache of valid verdicts in a SQLite file, by question. It holds no API keys, no headers and no pickles."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
import warnings
from dataclasses import asdict
from pathlib import Path

from graders.ask import ModelAsk, ModelReply
from graders.config.config import ConfigError
from graders.config.route import Route
from graders.judges.quality import grid_of
from graders.judges.request import RequestForm, body_of
from graders.usage import Usage

#: Part of every key, so that a change of the stored form invalidates old entries.
SCHEMA_VERSION = 2
#: Seconds to wait for another process's write.
BUSY_S = 5.0
#: Seconds of one statement. A look-up by key takes microseconds, but a foreign file can make it endless.
STATEMENT_S = 1.0
#: Steps of SQLite's virtual machine between looks at the clock, some 0.1 ms.
STEPS = 10_000


def cache_key(ask: ModelAsk, url: str, route: Route, vote: int) -> str:
    """sha256 of the canonical request.

    The request is the one for a server with all capabilities, so that missing ones do not change the key. An image's
    URL is part of it, the image behind the URL is not.

    Raises:
        NotSendable: the route's API has no form for the question.
    """
    body = body_of(
        ask, route, RequestForm(grid=grid_of(ask.verdict) if route.expected_score != "off" else ())
    )
    request = [SCHEMA_VERSION, url, body, route.out_of_range, route.expected_score, vote]
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Cache:
    """A cache in a SQLite file, safe for several processes. Opened at the first use, and again after `close`."""

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            ConfigError: there cannot be a file at the path.
        """
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        # the time at which the present statement is interrupted
        self._until = 0.0
        self._of_parents: list[sqlite3.Connection | None] = []
        try:
            self._open()
        except sqlite3.Error as error:
            raise ConfigError(f"{path}: cannot be used as a cache of verdicts: {error}") from None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
            # the file may come from an untrusted source
            db.execute("PRAGMA trusted_schema=OFF")
            self._until = time.monotonic() + STATEMENT_S
            db.set_progress_handler(self._is_too_long, STEPS)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, reply TEXT NOT NULL) WITHOUT ROWID"
            )
            self._db = db
        return self._db

    def _statement(self, sql: str, values: tuple[str, ...]) -> sqlite3.Cursor:
        """Run one statement, for STATEMENT_S at most."""
        db = self._open()
        self._until = time.monotonic() + STATEMENT_S
        return db.execute(sql, values)

    def _is_too_long(self) -> bool:
        return time.monotonic() > self._until

    def get(self, key: str, ask: ModelAsk) -> ModelReply | None:
        """The cached verdict, validated again; None when there is no valid one."""
        try:
            with self._lock:
                row = self._statement("SELECT reply FROM verdicts WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            kept = json.loads(row[0])
            verdict = ask.verdict.read({"result": kept["verdict"]})
            return ModelReply(
                verdict, kept["text"], kept["model"], Usage(**kept["usage"]), kept["provenance"]
            )
        except sqlite3.Error as error:
            self._warn(error)
        except (ValueError, KeyError, TypeError, OverflowError):
            # a foreign entry, or one of an older form
            pass
        return None

    def put(self, key: str, reply: ModelReply) -> None:
        """Store a verdict. If the file cannot be written, a warning is issued and the verdict still counts."""
        kept = json.dumps(asdict(reply))
        try:
            with self._lock:
                self._statement("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, kept))
        except sqlite3.Error as error:
            self._warn(error)

    def _warn(self, error: sqlite3.Error) -> None:
        warnings.warn(
            f"{self._path}: the cache of verdicts was not used: {error}", RuntimeWarning, stacklevel=3
        )

    def forked(self) -> None:
        """Drop the connection in a forked child, where SQLite allows neither using nor closing it."""
        self._of_parents.append(self._db)
        self._lock, self._db = threading.Lock(), None

    def close(self) -> None:
        with self._lock:
            db, self._db = self._db, None
            if db is not None:
                db.close()
