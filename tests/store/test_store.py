"""The store's contract: one battery over every operation, on a database on disk."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graders.store import (
    Cursor,
    EvalRecord,
    FinishedItem,
    ItemScore,
    LoggedCompletion,
    ModelUsage,
    NewItem,
    QuotaExceeded,
    Store,
    StoreBusy,
    StoreError,
)
from graders.store.ids import hex_id
from graders.store.migrations import MIGRATIONS
from graders.store.tables.completions import CompletionFilter


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "home") as opened:
        yield opened


def add_eval(store: Store, name: str = "", updated_at: int = 1) -> str:
    eval_id = hex_id("eval", 1)
    store.evals.add(EvalRecord(eval_id, 1, updated_at, name, "{}", "{}", "[]"))
    return eval_id


def add_run(store: Store, eval_id: str, rows: int = 0, criteria: tuple[str, ...] = ("c",)) -> int:
    run_id = hex_id("evalrun", 1)
    number = store.runs.add(
        run_id=run_id,
        eval_id=eval_id,
        created_at=1,
        name="",
        model=None,
        metadata="{}",
        data_source="{}",
        criteria=criteria,
    )
    assert number is not None
    if rows:
        store.items.add(number, 0, [NewItem(f'{{"n":{n}}}', "") for n in range(rows)], last=True)
    return number


def finished(n: int, status: str = "pass", score: float = 1.0) -> FinishedItem:
    error = "other_error" if status == "error" else None
    return FinishedItem(
        n, 7, status, "null", "[]", (ItemScore(0, None if error else score, status == "pass", error),)
    )


def upload(store: Store, content: bytes, **options: object) -> str:
    arriving = store.files.upload()
    arriving.write(content)
    return store.files.add(arriving, purpose="evals", filename="rows.jsonl", **options).id  # type: ignore[arg-type]  # the options are those of `add`, and what was added is there


# --- the file itself ---


def test_only_its_user_can_read_it(store: Store) -> None:
    """Folder and database, with SQLite's other files."""
    assert stat.S_IMODE(store.home.stat().st_mode) == 0o700
    for path in store.home.glob("graders.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_home_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADERS_HOME", str(tmp_path / "elsewhere"))

    with Store() as store:
        assert store.home == tmp_path / "elsewhere"


def test_an_old_store_is_brought_up_to_date(tmp_path: Path) -> None:
    """Each migration is taken once, whatever the version it starts from."""
    for version in range(len(MIGRATIONS) + 1):
        home = tmp_path / str(version)
        home.mkdir()
        with sqlite3.connect(home / "graders.db") as old:
            for migration in MIGRATIONS[:version]:
                migration(old)
            old.execute(f"PRAGMA user_version={version}")
        old.close()

        for _ in range(2):
            with Store(home) as store:
                assert store.database.read().execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
                assert store.evals.page(Cursor()).rows == []


BROKEN = [
    pytest.param(
        b"this is no database, whatever its name says" * 100, "file is not a database", id="not SQLite"
    ),
    pytest.param(None, "newer version", id="a later format"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_an_unusable_store_is_refused_with_a_reason(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "graders.db"
    if content is None:
        with sqlite3.connect(path) as newer:
            newer.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
        newer.close()
    else:
        path.write_bytes(content)

    with pytest.raises(StoreError, match=message):
        Store(tmp_path)


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    eval_id = add_eval(store)

    def fail_halfway() -> None:
        with store.database.write() as db:
            db.execute("DELETE FROM evals")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()

    assert store.evals.get(eval_id) is not None


# --- the claim ---


def test_one_process_holds_the_claim(store: Store) -> None:
    """The other is told who holds it; reading and writing go on. A killed holder frees it."""
    code = "import sys; from pathlib import Path; from graders.store import Store\n"
    code += "s = Store(Path(sys.argv[1])); s.claim(); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(store.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"

    with pytest.raises(StoreBusy, match=f"pid {holder.pid}"):
        store.claim()
    assert store.evals.get(add_eval(store)) is not None

    holder.kill()
    holder.communicate()
    with store.claim(), pytest.raises(StoreBusy):
        store.claim()
    store.claim().release()


# --- files ---


def test_equal_contents_are_kept_once(store: Store) -> None:
    """Contents are deleted with the last file that has them."""
    first, second = upload(store, b"same"), upload(store, b"same")
    path = store.files.path(store.files.get(first))  # type: ignore[arg-type]  # the options are those of `add`, and what was added is there

    assert first != second
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert store.files.delete(first)
    assert path.read_bytes() == b"same"
    assert store.files.delete(second)
    assert not path.exists()
    assert not store.files.delete(second)
    assert store.files.get(second) is None


NAMES = [
    ("rows.jsonl", "rows.jsonl"),
    ("../../etc/passwd", "passwd"),
    ("C:\\Users\\me\\rows.jsonl", "rows.jsonl"),
    ("/", "file"),
    ("", "file"),
    ("é" * 300, "é" * 255),
]


@pytest.mark.parametrize(("name", "kept"), NAMES)
def test_file_names_are_text(store: Store, name: str, kept: str) -> None:
    """A file's name is the last part of the given path, and its content lies under its hash."""
    arriving = store.files.upload()

    assert store.files.add(arriving, purpose="evals", filename=name).filename == kept


def test_a_file_beyond_the_quota_leaves_nothing(store: Store) -> None:
    """A file that does not fit leaves nothing behind."""
    upload(store, b"x" * 60, quota_bytes=100)

    with pytest.raises(QuotaExceeded, match="100 bytes in all"):
        upload(store, b"y" * 60, quota_bytes=100)

    assert len(store.files.page(Cursor()).rows) == 1
    assert len(list((store.home / "files").iterdir())) == 1
    assert list((store.home / "incoming").iterdir()) == []


def test_expired_files_are_not_found_and_swept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that never ended is swept with them."""
    expiring, staying = upload(store, b"old", lifetime_s=60), upload(store, b"new")
    store.files.upload().write(b"half")
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)

    assert store.files.get(expiring) is None
    assert [one.id for one in store.files.page(Cursor()).rows] == [staying]
    store.sweep()
    store.files.remove_unfinished()
    assert len(list((store.home / "files").iterdir())) == 1
    assert list((store.home / "incoming").iterdir()) == []


# --- lists ---


def lists(store: Store) -> dict[str, tuple[list[str], object]]:
    """Every list: its ids in order, and the function that gives a part of it."""
    evals = [add_eval(store, str(n), updated_at=10 - n) for n in range(5)]
    runs = [add_run(store, evals[0]) for _ in range(5)]
    run_ids = [run.id for run in store.runs.page(evals[0], Cursor(100)).rows]
    add_run(store, evals[1])
    store.items.add(runs[0], 0, [NewItem("{}", "") for _ in range(6)], last=True)
    store.items.finish(runs[0], [finished(n) for n in (0, 4, 1, 2, 3)])
    item_ids = [item.id for item in store.items.page(runs[0], run_ids[0], Cursor(100)).rows]
    logged = [LoggedCompletion(f"chatcmpl-{n}", "chat", n, None, "m", "{}", "{}", "{}") for n in range(5)]
    store.completions.add(logged)
    return {
        "files": ([upload(store, b"%d" % n) for n in range(5)], store.files.page),
        "evals": (evals, store.evals.page),
        "evals by update": (evals[::-1], lambda cursor: store.evals.page(cursor, by_update=True)),
        "runs": (run_ids, lambda cursor: store.runs.page(evals[0], cursor)),
        "items": (item_ids, lambda cursor: store.items.page(runs[0], run_ids[0], cursor)),
        "completions": (
            [one.id for one in logged],
            lambda cursor: store.completions.page(CompletionFilter("chat"), cursor),
        ),
    }


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_lists_are_read_part_by_part(store: Store, limit: int, descending: bool) -> None:
    """Following `after` gives every row once, in order; an id that is not in the list is its start."""
    for name, (ids, page) in lists(store).items():
        wanted = ids[::-1] if descending else ids
        assert len(set(ids)) == 5, name
        seen: list[str] = []
        more = True
        while more:
            part = page(Cursor(limit, seen[-1] if seen else "", descending))  # type: ignore[operator]  # the options are those of `add`, and what was added is there
            seen += [row.id for row in part.rows]
            more = part.has_more
            assert len(seen) <= 5, name
        assert seen == wanted, name
        assert [row.id for row in page(Cursor(1, "nobody", descending)).rows] == wanted[:1], name  # type: ignore[operator]  # the options are those of `add`, and what was added is there


# --- runs and items ---


def test_runs_move_from_status_to_status(store: Store) -> None:
    """A run that has ended stays as it is."""
    number = add_run(store, add_eval(store))
    run_id = store.runs.to_execute()[0][1]

    assert store.runs.start(number)
    assert store.runs.start(number), "after a crash it starts again"
    assert store.runs.end(number, "canceled")
    assert not store.runs.start(number)
    assert not store.runs.end(number, "completed")
    assert store.runs.to_execute() == []
    run = store.runs.get(run_id)
    assert run is not None
    assert (run.status, run.started_at is None, run.ended_at is None) == ("canceled", False, False)


def test_counts_are_kept_with_each_commit(store: Store) -> None:
    """Each commit updates the counts of the run, its criteria and its tokens; a row counts once."""
    number = add_run(store, add_eval(store), rows=4)
    run_id = store.runs.to_execute()[0][1]
    usage = ModelUsage("m", "sampler", 1, 10, 5, 15, 2)
    store.items.sampled(number, [(0, '"a"', "null"), (1, '"b"', "null")], [usage, usage])

    rows = [finished(0), finished(1, "fail", 0.5), finished(2, "error")]
    store.items.finish(number, rows, [ModelUsage("m", "grader", 1, 1, 1, 2, 0)])
    store.items.finish(number, [finished(0, "fail"), finished(3)])

    run = store.runs.get(run_id)
    assert run is not None
    assert (run.n_rows, run.passed, run.failed, run.errored) == (4, 2, 1, 1)
    criterion = run.criteria[0]
    assert (criterion.passed, criterion.failed, criterion.errored) == (2, 1, 1)
    assert (criterion.score_sum, criterion.score_square_sum) == (2.5, 2.25)
    assert run.usage == (
        ModelUsage("m", "sampler", 2, 20, 10, 30, 4),
        ModelUsage("m", "grader", 1, 1, 1, 2, 0),
    )


def test_unfinished_rows_go_on_where_they_were(store: Store) -> None:
    """A sample that has been paid for is kept; a finished row is not given out again."""
    number = add_run(store, add_eval(store), rows=4)
    store.items.sampled(number, [(1, '"paid"', '{"shown":1}')], [])
    store.items.sampled(number, [(1, '"again"', "null")], [])
    store.items.finish(number, [finished(2)])

    rows = store.items.unfinished(number, -1, 10)

    assert [(row.n, row.sample, row.shown) for row in rows] == [
        (0, None, None),
        (1, '"paid"', '{"shown":1}'),
        (3, None, None),
    ]
    assert [row.n for row in store.items.unfinished(number, 0, 1)] == [1]
    assert store.items.count(number) == 4


def test_items_are_found_by_id_and_status(store: Store) -> None:
    """Ids begin with the time; those of another run, of another time and of no form are nobody's."""
    eval_id = add_eval(store)
    number, other = add_run(store, eval_id, rows=3), add_run(store, eval_id, rows=3)
    run_id, other_id = (run.id for run in store.runs.page(eval_id, Cursor()).rows)
    store.items.finish(number, [finished(0), finished(2, "fail")])
    store.items.finish(other, [finished(0)])

    passed = store.items.page(number, run_id, Cursor(), "pass").rows
    failed = store.items.page(number, run_id, Cursor(), "fail").rows

    assert [row.n for row in passed] == [0]
    assert [row.n for row in failed] == [2]
    assert passed[0].id.startswith(f"outputitem_{7:08x}")
    assert store.items.get(number, run_id, failed[0].id) == failed[0]
    foreign = store.items.page(other, other_id, Cursor()).rows[0].id
    for unknown in (foreign, passed[0].id[:-1] + "1", "outputitem_", "x", ""):
        assert store.items.get(number, run_id, unknown) is None, unknown


def test_deleting_cascades(store: Store) -> None:
    """And what comes later for it is dropped, not counted for another."""
    eval_id = add_eval(store)
    number = add_run(store, eval_id, rows=2)
    run_id = store.runs.to_execute()[0][1]

    assert not store.runs.delete(run_id, "eval_other")
    assert store.runs.delete(run_id, eval_id)
    late = add_run(store, eval_id, rows=2)
    store.items.add(number, 2, [NewItem("{}", "")], last=True)
    store.items.sampled(number, [(0, '"x"', "null")], [ModelUsage("m", "sampler", 1)])
    store.items.finish(number, [finished(0)], [ModelUsage("m", "grader", 1)])

    assert late != number
    assert store.runs.page(eval_id, Cursor()).rows[0].done == 0
    assert store.evals.delete(eval_id)
    for table in ("runs", "run_sources", "run_criteria", "run_usage", "items", "scores"):
        assert store.database.read().execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table


def test_writers_wait_for_each_other(store: Store) -> None:
    """Writers of several threads and connections wait for each other."""
    with Store(store.home) as other:
        work = [threading.Thread(target=add_eval, args=(one,)) for one in (store, other) * 20]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()

    assert len(store.evals.page(Cursor(100)).rows) == 40


# --- logged completions ---

SELECTIONS = [
    (CompletionFilter("chat"), "abc"),
    (CompletionFilter("responses"), "d"),
    (CompletionFilter("chat", model="m1"), "a"),
    (CompletionFilter("chat", metadata=[("use", "bot")]), "ab"),
    (CompletionFilter("chat", metadata=[("use", "bot"), ("v", "2")]), "b"),
    (CompletionFilter("chat", created_after=1), "bc"),
    (CompletionFilter("chat", created_after=1, created_before=3), "b"),
]


@pytest.mark.parametrize(("selection", "found"), SELECTIONS)
def test_completions_are_selected(store: Store, selection: CompletionFilter, found: str) -> None:
    """Completions are selected by every filter; an existing id is not added again, and an expired one is not found."""
    records = [
        LoggedCompletion("a", "chat", 1, None, "m1", '{"use":"bot","v":"1"}', "{}", "{}"),
        LoggedCompletion("b", "chat", 2, None, "m2", '{"use":"bot","v":"2"}', "{}", "{}"),
        LoggedCompletion("c", "chat", 3, None, "m2", "{}", "{}", "{}"),
        LoggedCompletion("d", "responses", 3, None, "m2", "{}", "{}", "{}"),
        LoggedCompletion("e", "chat", 3, 4, "m1", '{"use":"bot","v":"2"}', "{}", "{}"),
    ]

    assert store.completions.add(records) == 5
    assert store.completions.add(records[:2]) == 0
    assert "".join(one.id for one in store.completions.select(selection)) == found
