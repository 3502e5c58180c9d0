"""Migrations: the steps from an empty file to the present tables. A released step never changes; add another one.

The file's `user_version` is the number of steps taken. Numbers are AUTOINCREMENT, so that a deleted row's number is
never reused while work for it may be in progress. JSON columns hold the text of responses, so that a page is spliced
together without parsing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def files(db: sqlite3.Connection) -> None:
    """Uploaded files. A deleted file keeps its row, since runs and jobs refer to it."""
    db.execute("""
        CREATE TABLE files (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            purpose TEXT NOT NULL,
            filename TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            deleted_at INTEGER
        ) STRICT""")
    db.execute("CREATE INDEX file_content ON files (sha256) WHERE deleted_at IS NULL")


def evals(db: sqlite3.Connection) -> None:
    """Evals, their runs, and the counts on the wire, which are updated with each commit and never summed."""
    db.execute("""
        CREATE TABLE evals (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            name TEXT NOT NULL,
            metadata TEXT NOT NULL,
            data_source_config TEXT NOT NULL,
            testing_criteria TEXT NOT NULL
        ) STRICT""")
    _runs(db)
    _run_counts(db)


def _runs(db: sqlite3.Connection) -> None:
    db.execute("""
        CREATE TABLE runs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            eval INTEGER NOT NULL REFERENCES evals ON DELETE CASCADE,
            created_at INTEGER NOT NULL,
            started_at INTEGER,
            ended_at INTEGER,
            name TEXT NOT NULL,
            model TEXT,
            status TEXT NOT NULL,
            metadata TEXT NOT NULL,
            error TEXT,
            n_rows INTEGER,
            passed INTEGER NOT NULL DEFAULT 0,
            failed INTEGER NOT NULL DEFAULT 0,
            errored INTEGER NOT NULL DEFAULT 0
        ) STRICT""")
    db.execute("CREATE INDEX run_of_eval ON runs (eval, seq)")
    db.execute("CREATE INDEX run_to_execute ON runs (seq) WHERE status IN ('queued', 'in_progress')")
    # a table of its own: inline rows make a data source large, and most reads of a run do not need it
    db.execute("""
        CREATE TABLE run_sources (
            run INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
            data_source TEXT NOT NULL
        ) STRICT""")


def _run_counts(db: sqlite3.Connection) -> None:
    db.execute("""
        CREATE TABLE run_criteria (
            run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            criterion INTEGER NOT NULL,
            name TEXT NOT NULL,
            passed INTEGER NOT NULL DEFAULT 0,
            failed INTEGER NOT NULL DEFAULT 0,
            errored INTEGER NOT NULL DEFAULT 0,
            score_sum REAL NOT NULL DEFAULT 0,
            score_square_sum REAL NOT NULL DEFAULT 0,
            PRIMARY KEY (run, criterion)
        ) STRICT, WITHOUT ROWID""")
    db.execute("""
        CREATE TABLE run_usage (
            run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            model TEXT NOT NULL,
            role TEXT NOT NULL,
            calls INTEGER NOT NULL DEFAULT 0,
            prompt_tokens INTEGER NOT NULL DEFAULT 0,
            completion_tokens INTEGER NOT NULL DEFAULT 0,
            total_tokens INTEGER NOT NULL DEFAULT 0,
            cached_tokens INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (run, model, role)
        ) STRICT, WITHOUT ROWID""")


def items(db: sqlite3.Connection) -> None:
    """The rows of runs and their results.

    `state`: 0 waits for its sample, 1 has it, 2 is finished. `id` is null where it is computed from the run, the number
    and the time. `sample` is the graders' form of the sample, `shown` the wire's. Scores are also in a table of their
    own, so that comparing runs reads no JSON.
    """
    db.execute("""
        CREATE TABLE items (
            seq INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            n INTEGER NOT NULL,
            id TEXT,
            created_at INTEGER,
            state INTEGER NOT NULL,
            status TEXT,
            item TEXT NOT NULL,
            item_hash TEXT NOT NULL,
            sample TEXT,
            shown TEXT,
            results TEXT,
            UNIQUE (run, n)
        ) STRICT""")
    db.execute("CREATE INDEX item_by_status ON items (run, status, n)")
    db.execute("CREATE UNIQUE INDEX item_by_id ON items (run, id) WHERE id IS NOT NULL")
    db.execute("""
        CREATE TABLE scores (
            run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
            criterion INTEGER NOT NULL,
            n INTEGER NOT NULL,
            score REAL,
            passed INTEGER NOT NULL,
            error TEXT,
            PRIMARY KEY (run, criterion, n)
        ) STRICT, WITHOUT ROWID""")


def completions(db: sqlite3.Connection) -> None:
    """Logged requests with their responses, for evals to read."""
    db.execute("""
        CREATE TABLE completions (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            api TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            model TEXT NOT NULL,
            metadata TEXT NOT NULL,
            request TEXT NOT NULL,
            response TEXT NOT NULL
        ) STRICT""")
    db.execute("CREATE INDEX completion_by_time ON completions (api, created_at)")


def jobs(db: sqlite3.Connection) -> None:
    """Fine-tuning jobs. Each step has one row of metrics, even if a restarted trainer repeats it."""
    db.execute("""
        CREATE TABLE jobs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            created_at INTEGER NOT NULL,
            status TEXT NOT NULL,
            model TEXT NOT NULL,
            training_file TEXT NOT NULL,
            validation_file TEXT,
            suffix TEXT,
            seed INTEGER NOT NULL,
            method TEXT NOT NULL,
            hyperparameters TEXT NOT NULL,
            integrations TEXT,
            metadata TEXT,
            finished_at INTEGER,
            estimated_finish INTEGER,
            trained_tokens INTEGER,
            fine_tuned_model TEXT UNIQUE,
            error TEXT,
            result_files TEXT NOT NULL,
            attempts INTEGER NOT NULL
        ) STRICT""")
    db.execute("CREATE INDEX job_by_status ON jobs (status, seq)")
    db.execute("""
        CREATE TABLE job_events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
            created_at INTEGER NOT NULL,
            level TEXT NOT NULL,
            message TEXT NOT NULL,
            type TEXT NOT NULL,
            data TEXT NOT NULL,
            step INTEGER
        ) STRICT""")
    db.execute("CREATE INDEX event_of_job ON job_events (job, seq)")
    db.execute("CREATE UNIQUE INDEX event_of_step ON job_events (job, step) WHERE step IS NOT NULL")
    db.execute("""
        CREATE TABLE checkpoints (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
            created_at INTEGER NOT NULL,
            step INTEGER NOT NULL,
            name TEXT NOT NULL UNIQUE,
            metrics TEXT NOT NULL,
            UNIQUE (job, step)
        ) STRICT""")
    db.execute("""
        CREATE TABLE permissions (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            checkpoint TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            project_id TEXT NOT NULL,
            UNIQUE (checkpoint, project_id)
        ) STRICT""")


def deleted_models(db: sqlite3.Connection) -> None:
    """Deleted models, whose jobs stay."""
    db.execute("ALTER TABLE jobs ADD COLUMN model_deleted_at INTEGER")


def item_search(db: sqlite3.Connection) -> None:
    """Indexes that make a page of a run's items as fast with a filter as without.

    The words of a run's items are indexed at its first search; `n_searchable` is the number of indexed items. The
    rowid of `item_words` is the run's number times 2**32 plus the item's; the rows are deleted with their run.
    """
    db.execute("CREATE INDEX score_by_value ON scores (run, criterion, score, n) WHERE score IS NOT NULL")
    db.execute("""
        CREATE INDEX score_by_verdict
            ON scores (run, criterion, (CASE WHEN error IS NULL THEN passed ELSE 2 END), n)""")
    db.execute("ALTER TABLE runs ADD COLUMN n_searchable INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE VIRTUAL TABLE item_words USING fts5 (words, detail = 'full')")
    db.execute("""
        CREATE TRIGGER words_of_run AFTER DELETE ON runs BEGIN
            DELETE FROM item_words WHERE rowid BETWEEN old.seq << 32 AND (old.seq << 32) + 4294967295;
        END""")


def item_marks(db: sqlite3.Connection) -> None:
    """The index of words knows an item's status and verdicts too: a frequent word and a rare error are found at once.

    Runs that have been searched in are read again when they are the next time.
    """
    db.execute("DROP TABLE item_words")
    db.execute("CREATE VIRTUAL TABLE item_words USING fts5 (words, marks, detail = 'full')")
    db.execute("UPDATE runs SET n_searchable = 0")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    files, evals, items, completions, jobs, deleted_models, item_search, item_marks,
)  # fmt: skip
