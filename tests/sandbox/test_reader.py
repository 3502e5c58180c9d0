"""What the host learns of a source, and that it never parses one itself."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import graders
from graders_sandbox import Sandbox, SourceFacts, read_source
from graders_sandbox.host import visible
from graders_sandbox.host.sources import reading
from graders_sandbox.host.sources.imports import ImportPlan
from tests.sandbox.jails import PACKAGE, a_tier, descendants, until

GRADE = "def grade(sample, item): return 1.0\n"
MISTAKES = [
    pytest.param(GRADE, "", id="nothing"),
    pytest.param("def grade(sample, *rest): return 1.0", "", id="any number of parameters"),
    pytest.param("from mine import *", "", id="a star that may define it"),
    pytest.param("if True:\n    grade = max", "", id="assigned"),
    pytest.param("x = 1", "The source does not define grade(sample, item).", id="no grade"),
    pytest.param(
        "async def grade(s, i): pass", "grade must be a plain function, not async.", id="a coroutine"
    ),
    pytest.param(
        "def grade(s): pass",
        "grade takes (sample, item): two positional parameters, not 's'.",
        id="one parameter",
    ),
    pytest.param(
        "\ndef grade(", "The source does not compile: '(' was never closed, line 2.", id="a syntax error"
    ),
    pytest.param("x = '\ud800'", "surrogates not allowed", id="half a character"),
    pytest.param("\0", "null bytes", id="a zero byte"),
]


@pytest.mark.parametrize(("source", "mistake"), MISTAKES)
def test_mistakes_are_found(source: str, mistake: str) -> None:
    """Why no row can be graded, with the line of a syntax error."""
    found = read_source(source).mistake

    assert mistake in found
    assert bool(found) == bool(mistake)


TEXTS = [
    # source, what grade returns
    pytest.param(
        "# coding: latin-1\ndef grade(s, i): return float(len('é'))", 1.0, id="a cookie of another coding"
    ),
    pytest.param("# coding: utf-7\ndef grade(s, i): return float(len('+AGE-'))", 5.0, id="a cookie of utf-7"),
    pytest.param("# coding: none-such\ndef grade(s, i): return 2.0", 2.0, id="a cookie of no coding"),
    pytest.param("\ufeffdef grade(s, i): return 3.0", 3.0, id="a byte order mark"),
    pytest.param("def grade(s, i):\r    return 4.0\r", 4.0, id="old line ends"),
]


@pytest.mark.parametrize(("source", "value"), TEXTS)
def test_coding_cookies_do_not_change_a_source(source: str, value: float) -> None:
    """A source is passed as text, so that its coding cookie changes nothing in the reader and in the sample."""
    assert read_source(source).mistake == ""
    with Sandbox(tier=a_tier()) as sandbox:
        assert sandbox.run(source, {}, {}).value == value


HOSTILE = [
    pytest.param("y = 1" + "+1" * 120_000, id="M9 a chain of sums"),
    pytest.param("y = x" + "()" * 100_000, id="M9 a chain of calls"),
    pytest.param("y = x" + ".a" * 100_000, id="M9 a chain of names"),
    pytest.param("y = " + "(" * 100_000, id="brackets"),
    pytest.param("y = f'" + "{a}" * 40_000 + "'", id="H1 a formatted text", marks=pytest.mark.slow),
    pytest.param("a;" * 120_000, id="H1 many statements", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_host_does_not_parse(text: str) -> None:
    """A source that is hostile to the compiler neither costs the caller processor time nor ends it.

    The caller has a recursion limit at which parsing such a text would end it by SIGSEGV.
    """
    script = """
import sys, time
sys.setrecursionlimit(10**6)
from graders_sandbox import read_source
text = sys.stdin.read()
start = time.process_time()
read_source("import re;" + text)
print(time.process_time() - start)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )

    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0


@pytest.mark.parametrize("folder", [Path(reading.__file__).parent, Path(graders.__file__).parent / "kinds"])
def test_nothing_of_the_host_reads_python(folder: Path) -> None:
    """No module of the host's side imports what parses programs."""
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not imported & {"ast", "tokenize", "symtable", "py_compile"}, path


ANSWERS = [
    # what a reader's child wrote, the facts
    pytest.param(b"", None, id="nothing"),
    pytest.param(b"{", reading.UNREADABLE, id="no JSON"),
    pytest.param(b"[" * 60_000, reading.UNREADABLE, id="deep JSON"),
    pytest.param(b"x" * 70_000, reading.UNREADABLE, id="too much"),
    pytest.param(
        b'{"mistake": 1, "names": [], "patterns": [], "resources": []}', reading.UNREADABLE, id="no text"
    ),
    pytest.param(
        b'{"mistake": "", "names": [], "patterns": [["a"]], "advice": "", "resources": []}',
        reading.UNREADABLE,
        id="no pattern",
    ),
    pytest.param(
        b'{"mistake": "\\u001b[31m", "advice": "", "names": [7, "os", "/etc", "numpy./etc"], "patterns": [["a", 2]], "resources": []}',
        SourceFacts("\\x1b[31m", ImportPlan(standard=frozenset({"os"})), (("a", 2),)),
        id="more than was asked",
    ),
]


@pytest.mark.parametrize(("answer", "facts"), ANSWERS)
def test_answers_are_taken_as_bounded_data(answer: bytes, facts: SourceFacts | None) -> None:
    """A reader's child may be in the hands of what it read."""
    assert reading._facts("", answer) == facts


def readers() -> list[int]:
    """Readers below this process; their children are not."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "graders_sandbox.jail.reader" in words and parent == os.getpid():
            found.append(pid)
    return found


def test_the_reader_is_behind_a_filter() -> None:
    """The process that reads may not gain privileges, and is held by seccomp."""
    read_source(GRADE + "# behind a filter")

    assert readers()
    for pid in readers():
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status


def test_a_killed_reader_is_started_again() -> None:
    """A reader that is killed, idle or at work, is replaced, and samples lose nothing."""
    read_source(GRADE + "# first")
    killed = readers()
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert read_source("def grade(s): pass # second").mistake.startswith("grade takes")

    with Sandbox(tier=a_tier()) as sandbox:
        sandbox.run(GRADE, {}, {})
        known = set(readers())
        future = sandbox.submit("import re\n" + "a = 1\n" * 40_000 + GRADE, {}, {})
        assert until(lambda: set(readers()) - known)
        for pid in set(readers()) - known:
            os.kill(pid, signal.SIGKILL)
        assert future.result(60).value == 1.0


def test_a_slow_source_does_not_delay_others() -> None:
    """H1: while one source keeps the compiler busy, samples of others are graded and callers are not held."""
    slow = "import re\nx = f'" + "{a}" * 30_000 + "'\n" + GRADE
    with Sandbox(tier=a_tier()) as sandbox:
        sandbox.run("import json\n" + GRADE, {}, {})
        started = time.process_time()
        future = sandbox.submit(slow, {}, {})
        outcomes = [sandbox.run("import json\n" + GRADE, {}, {}) for _ in range(3)]
        assert not future.done()
        future.cancel()

    assert [outcome.value for outcome in outcomes] == [1.0] * 3
    assert time.process_time() - started < 2.0


def test_one_reading_for_all_rows_of_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that wait for the same source share its reading, and come in order."""
    begun: list[str] = []
    begin = reading.Reader.begin

    def counted(self: reading.Reader, text: str) -> int:
        begun.append(text)
        return begin(self, text)

    monkeypatch.setattr(reading.Reader, "begin", counted)
    source = "import string\ndef grade(s, i): return i['x']"
    reading._known.pop(source, None)
    with Sandbox(tier=a_tier()) as sandbox:
        with sandbox.batch_submissions():
            futures = [sandbox.submit(source, {}, {"x": float(x)}) for x in range(20)]
        values = [future.result(60).value for future in futures]

    assert values == list(range(20))
    assert begun == [source]


NEEDS = [
    # source, packages, corpora and files
    pytest.param("import numpy as np, os.path", ("numpy",), (), id="packages"),
    pytest.param(
        "from nltk.corpus import stopwords\nfrom nltk import word_tokenize",
        ("nltk",),
        (("corpus", "punkt_tab"), ("corpus", "stopwords")),
        id="imported corpora",
    ),
    pytest.param(
        "import nltk\nnltk.download('names')\nnltk.corpus.wordnet.synsets('a')\nnltk.pos_tag([])",
        ("nltk",),
        (("corpus", "averaged_perceptron_tagger_eng"), ("corpus", "names"), ("corpus", "wordnet")),
        id="corpora by use",
    ),
    pytest.param("open('data.csv')\nopen('out', 'w')", (), (("file", "data.csv"),), id="files that are read"),
]


@pytest.mark.parametrize(("source", "packages", "resources"), NEEDS)
def test_imports_and_resources_are_found(
    source: str, packages: tuple[str, ...], resources: tuple[tuple[str, str], ...]
) -> None:
    """Which packages, corpora of nltk and files a source needs, without running it."""
    facts = read_source(source)

    assert (facts.packages, facts.resources) == (packages, resources)


def test_nltk_data_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corpora are found in the folders of NLTK_DATA, unpacked or not."""
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / "names.zip").write_bytes(b"")
    monkeypatch.setenv("NLTK_DATA", f"/nonexistent{os.pathsep}{tmp_path}")

    assert visible.nltk_data("names") == str(tmp_path / "corpora" / "names.zip")
    assert visible.nltk_data("name") == ""


def test_a_caller_ends_without_warnings() -> None:
    """A caller that ends says nothing: the reader's process and its socket are let go of before."""
    program = {"type": "python", "name": "p", "source": "def grade(sample, item): return 1.0"}
    code = f"import graders; graders.run({program!r}, 'x', {{}})"
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True
    )

    assert ended.stderr == ""
