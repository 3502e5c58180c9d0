"""What honest graders do works inside: each program here is one that somebody would write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec

import pytest

from graders_sandbox import TIERS, Sandbox
from tests.cases import first
from tests.sandbox.jails import need

QUICK = TIERS[:2]
OTHERS = [pytest.param(tier, marks=pytest.mark.slow) for tier in TIERS[2:]]

ANYWHERE = [
    # a program whose grade returns 1.0
    pytest.param("""
import asyncio
async def double(x):
    await asyncio.sleep(0.001)
    return 2 * x
async def all_of_them():
    return await asyncio.gather(*(double(n) for n in range(10)))
def grade(sample, item):
    return float(sum(asyncio.run(all_of_them())) == 90)
""", id="asyncio.run"),
    pytest.param("""
import asyncio
def grade(sample, item):
    async def main():
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        except TimeoutError:
            return await asyncio.to_thread(sum, [0.5, 0.5])
    return asyncio.run(main())
""", id="asyncio timeouts and threads"),
    pytest.param("""
from concurrent.futures import ThreadPoolExecutor
def grade(sample, item):
    with ThreadPoolExecutor(8) as pool:
        return float(sum(pool.map(lambda n: n * n, range(100))) == 328350)
""", id="a pool of threads"),
    pytest.param("""
import queue, threading
def grade(sample, item):
    jobs, results = queue.Queue(), queue.Queue()
    def work():
        while (job := jobs.get()) is not None:
            results.put(job + 1)
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers: worker.start()
    for n in range(20): jobs.put(n)
    for _ in workers: jobs.put(None)
    for worker in workers: worker.join()
    return float(results.qsize() == 20)
""", id="threads and queues"),
    pytest.param("""
import signal, time
def grade(sample, item):
    class Late(Exception): pass
    def late(*_): raise Late
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        while True: time.sleep(0.01)
    except Late:
        return 1.0
""", id="a timer of the system"),
    pytest.param("""
import secrets, uuid, os
def grade(sample, item):
    return float(len({uuid.uuid4(), uuid.uuid4(), secrets.token_hex(8), os.urandom(8)}) == 4)
""", id="uuid and secrets"),
    pytest.param("""
import decimal, fractions, statistics, math, re, json, datetime, collections, itertools, difflib, string, textwrap, html, csv, io
def grade(sample, item):
    rows = list(csv.reader(io.StringIO("a,b\\n1,2\\n")))
    ratio = difflib.SequenceMatcher(None, "kitten", "sitting").ratio()
    return float(rows[1] == ["1", "2"] and 0.6 < ratio < 0.7 and decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3"))
""", id="the standard library"),
    pytest.param("""
import sys, warnings, logging
def grade(sample, item):
    print("scoring", sample); print("error", file=sys.stderr)
    logging.warning("careful"); warnings.warn("old")
    return 1.0
""", id="output"),
    pytest.param("""
import ast
def grade(sample, item):
    tree = ast.parse("def f(x):\\n    return x + 1")
    space = {}
    exec(compile(tree, "<x>", "exec"), space)
    return float(space["f"](0))
""", id="compiling"),
    pytest.param("""
import os, platform, time, locale, getpass
def grade(sample, item):
    return float(os.cpu_count() >= 1 and bool(platform.python_version()) and time.time() > 1.7e9)
""", id="questions about the system"),
    pytest.param("""
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum
import pickle, copy
class Kind(Enum):
    A = 1
@dataclass
class Point:
    x: int
    kind: Kind = Kind.A
def grade(sample, item):
    return float(pickle.loads(pickle.dumps(Point(1))) == copy.deepcopy(Point(1)))
""", id="classes that are pickled"),
    pytest.param("""
import sys
sys.setrecursionlimit(20_000)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def grade(sample, item):
    return float(depth(8_000) == 8_000)
""", id="deep recursion"),
]  # fmt: skip

WITH_FILES = [
    pytest.param("""
import tempfile, os, shutil, pathlib, json
def grade(sample, item):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a", "b.json")
        path.parent.mkdir()
        path.write_text(json.dumps(item))
        shutil.copyfile(path, path.with_suffix(".bak"))
        shutil.copy(path, path.with_suffix(".bak")); shutil.copy2(path, path.with_suffix(".bak")); os.chmod(path, 0o600)
        os.rename(path, path.with_suffix(".old"))
        found = sorted(p.name for p in pathlib.Path(folder).rglob("*"))
    with tempfile.NamedTemporaryFile("w+") as file, tempfile.TemporaryFile() as other, tempfile.SpooledTemporaryFile() as third:
        file.write("x"); file.flush(); other.write(b"x"); third.write(b"x")
    return float(found == ["a", "b.bak", "b.old"] and not os.path.exists(folder))
""", id="temporary files"),
    pytest.param("""
import sqlite3
def grade(sample, item):
    db = sqlite3.connect("test.db")
    db.execute("create table t (x int)")
    with db:
        db.executemany("insert into t values (?)", [(n,) for n in range(100)])
    db.execute("pragma journal_mode=wal")
    db.close()
    memory = sqlite3.connect(":memory:")
    return float(sqlite3.connect("test.db").execute("select sum(x) from t").fetchone()[0] == 4950 and memory.execute("select 1").fetchone() == (1,))
""", id="sqlite3"),
    pytest.param("""
import zoneinfo, datetime
def grade(sample, item):
    paris = datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    return paris.utcoffset().total_seconds() / 7200
""", id="zoneinfo"),
    pytest.param("""
import mmap, zipfile, gzip, tarfile, io
def grade(sample, item):
    with open("f", "w+b") as file:
        file.write(b"x" * 4096); file.flush()
        with mmap.mmap(file.fileno(), 4096) as block: block[0] = 65
    with zipfile.ZipFile("z.zip", "w") as packed: packed.write("f")
    with tarfile.open("t.tar.gz", "w:gz") as packed: packed.add("f")
    with tarfile.open("t.tar.gz") as packed: packed.extractall("out", filter="data")
    return float(zipfile.ZipFile("z.zip").read("f")[:2] == b"Ax" and open("out/f", "rb").read(1) == b"A")
""", id="mapped, packed and unpacked files"),
    pytest.param("""
def grade(sample, item):
    import encodings.idna, ctypes.util, http.client, xml.etree.ElementTree as tree, email.message, unittest.mock, urllib.parse
    return float(tree.fromstring("<a><b/></a>")[0].tag == "b" and urllib.parse.quote(" ") == "%20" and "é.fr".encode("idna") == b"xn--9ca.fr")
""", id="late imports"),
    pytest.param("""
import subprocess
def grade(sample, item):
    try:
        subprocess.run(["true"])
    except OSError as error:
        return float(error.errno == 1)
""", id="a refused process is an ordinary error"),
]  # fmt: skip

PACKAGES = [
    # packages, source
    pytest.param("numpy", """
import numpy as np
def grade(sample, item):
    a = np.random.default_rng(0).normal(size=(100, 100))
    q, r = np.linalg.qr(a)
    return float(np.allclose(q @ r, a) and np.allclose(np.linalg.inv(a) @ a, np.eye(100)) and np.isfinite(np.linalg.svd(a)[1]).all())
""", id="numpy"),
    pytest.param("scipy", """
import numpy as np
from scipy import stats, optimize, linalg, spatial
def grade(sample, item):
    low = optimize.minimize(lambda x: (x[0] - 3) ** 2, [0.0]).x[0]
    return float(abs(low - 3) < 1e-4 and stats.pearsonr([1, 2, 3], [2, 4, 6.1])[0] > 0.99 and spatial.distance.cosine([1, 0], [1, 0]) == 0)
""", id="scipy", marks=pytest.mark.slow),
    pytest.param("sympy", """
import sympy
def grade(sample, item):
    x = sympy.symbols("x")
    return float(sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2) == 1 and sympy.solve(x ** 2 - 4) == [-2, 2])
""", id="sympy"),
    pytest.param("sympy", """
def grade(sample, item):
    from sympy.parsing.sympy_parser import parse_expr
    return float(parse_expr("2*x + x").equals(parse_expr("3*x")))
""", id="sympy, imported late"),
    pytest.param("pandas", """
import pandas as pd, io
def grade(sample, item):
    frame = pd.read_csv(io.StringIO("k,v\\na,1\\nb,2\\na,3\\n"))
    frame.to_csv("out.csv")
    return float(frame.groupby("k").v.sum()["a"] == 4 and len(pd.read_csv("out.csv")) == 3)
""", id="pandas"),
    pytest.param("sklearn", """
from sklearn.metrics import f1_score
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.ensemble import RandomForestClassifier
def grade(sample, item):
    x = TfidfVectorizer().fit_transform(["good film", "bad film", "good", "bad"])
    y = [1, 0, 1, 0]
    trees = RandomForestClassifier(5, n_jobs=2, random_state=0).fit(x.toarray(), y)
    return float(f1_score(y, LogisticRegression().fit(x, y).predict(x)) == 1 and trees.score(x.toarray(), y) >= 0.5)
""", id="sklearn"),
    pytest.param("rapidfuzz", """
from rapidfuzz import fuzz, process
def grade(sample, item):
    return float(fuzz.ratio("abc", "abc") == 100 and process.extractOne("new yrok", ["boston", "new york"])[0] == "new york")
""", id="rapidfuzz"),
    pytest.param("nltk", """
from nltk.translate.bleu_score import sentence_bleu
from nltk.stem import PorterStemmer
from nltk.metrics import edit_distance
def grade(sample, item):
    return float(sentence_bleu([["a", "b", "c", "d"]], ["a", "b", "c", "d"]) == 1 and PorterStemmer().stem("running") == "run" and edit_distance("ab", "ac") == 1)
""", id="nltk", marks=pytest.mark.slow),
    pytest.param("jsonschema", """
import jsonschema
def grade(sample, item):
    jsonschema.validate({"a": 1}, {"type": "object", "properties": {"a": {"type": "integer"}}})
    try:
        jsonschema.validate({"a": "x"}, {"properties": {"a": {"type": "integer"}}})
    except jsonschema.ValidationError:
        return 1.0
""", id="jsonschema"),
    pytest.param("pydantic", """
from pydantic import BaseModel, ValidationError, TypeAdapter
class Answer(BaseModel):
    value: float
    steps: list[str] = []
def grade(sample, item):
    try:
        Answer.model_validate_json('{"value": "x"}')
    except ValidationError:
        return Answer.model_validate_json('{"value": 1, "steps": ["a"]}').value
""", id="pydantic"),
    pytest.param("rouge_score", """
from rouge_score import rouge_scorer
def grade(sample, item):
    return rouge_scorer.RougeScorer(["rougeL"]).score("the cat sat", "the cat sat")["rougeL"].fmeasure
""", id="rouge_score", marks=pytest.mark.slow),
    pytest.param("yaml", """
import yaml
def grade(sample, item):
    return float(yaml.safe_load(yaml.safe_dump({"a": [1, 2]})) == {"a": [1, 2]})
""", id="yaml"),
    pytest.param("skbio", """
import skbio

def grade(sample, item):
    return float(skbio.DNA("ACGT").reverse_complement() == skbio.DNA("ACGT"))
""", id="skbio"),
    pytest.param("rdkit", """
from rdkit import Chem

def grade(sample, item):
    return float(Chem.MolFromSmiles("CCO").GetNumAtoms() == 3)
""", id="rdkit"),
    pytest.param("ast_grep_py", """
from ast_grep_py import SgRoot

def grade(sample, item):
    call = SgRoot("print(1)", "python").root().find(pattern="print($A)")
    return float(call["A"].text() == "1")
""", id="ast_grep_py"),
    pytest.param("regex", """
import regex
def grade(sample, item):
    return float(bool(regex.fullmatch(r"\\p{Lu}\\p{Ll}+", "Éric")) and bool(regex.search("(?:cats){e<=1}", "cat")))
""", id="regex"),
]  # fmt: skip


@pytest.fixture(scope="module")
def jails() -> Iterator[dict[str, Sandbox]]:
    with ExitStack() as stack:
        yield {tier: stack.enter_context(Sandbox(tier=tier, in_flight=2)) for tier in TIERS}


def graded(jails: dict[str, Sandbox], tier: str, source: str) -> None:
    need(tier)

    outcome = jails[tier].run(source, {"output_text": "x"}, {"answer": "x"}, timeout_s=60)

    assert outcome.value == 1.0, outcome.text or outcome


@pytest.mark.parametrize("tier", [*QUICK, *OTHERS])
@pytest.mark.parametrize("source", ANYWHERE)
def test_works_everywhere(source: str, tier: str, jails: dict[str, Sandbox]) -> None:
    """Programs that need no files work in each tier."""
    graded(jails, tier, source)


# the strict tier has no files, and loads nothing late
@pytest.mark.parametrize("tier", [*QUICK, OTHERS[0]])
@pytest.mark.parametrize("source", WITH_FILES)
def test_works_with_files(source: str, tier: str, jails: dict[str, Sandbox]) -> None:
    """Files in the own folder, and modules that are loaded late."""
    graded(jails, tier, source)


@pytest.mark.parametrize("tier", first(1, QUICK))
@pytest.mark.parametrize(("package", "source"), PACKAGES)
def test_packages_work(package: str, source: str, tier: str, jails: dict[str, Sandbox]) -> None:
    """The packages of the hosted service, where they are installed."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    graded(jails, tier, source)


def test_preloaded_packages_work_without_files(jails: dict[str, Sandbox]) -> None:
    """In the strict tier, too, numpy computes: it was loaded before."""
    source = "import numpy as np\ndef grade(sample, item):\n    return float(np.linalg.det(np.eye(3)))\n"

    graded(jails, "linux-strict", source)
