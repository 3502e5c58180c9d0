"""run_untrusted: what a model's code may answer, and that it cannot forge a pass."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders_sandbox import TIERS, Limits, Outcome, Sandbox, run_untrusted
from graders_sandbox.jail.untrusted import plain
from tests.cases import first
from tests.sandbox.jails import need

#: Reports everything instead of a number: the text of the exception is the verdict.
REPORT = """
import json
from graders_sandbox import run_untrusted

def grade(sample, item):
    kept = dict(item)
    verdict = run_untrusted(sample["output_text"], kept.pop("tests"), **kept)
    report = {"score": verdict.score, "ok": verdict.ok, "results": [[r.status, r.text] for r in verdict.results]}
    raise RuntimeError("REPORT" + json.dumps(report))
"""

# Problems in the manner of HumanEval: a prompt's function, a canonical solution, and check(candidate).
RUNS = {
    "entry": "longest_run",
    "canonical": """
def longest_run(text: str) -> int:
    best = here = 0
    last = None
    for letter in text:
        here = here + 1 if letter == last else 1
        last = letter
        best = max(best, here)
    return best
""",
    "check": """
def check(candidate):
    assert candidate("") == 0
    assert candidate("aabbbc") == 3
    for n in range(1, 20):
        assert candidate("x" * n + "y") == n, n
""",
    "wrong": "def longest_run(text):\n    return len(text)",
}
MEANS = {
    "entry": "running_means",
    "canonical": """
from typing import List

def running_means(numbers: List[float]) -> List[float]:
    total, means = 0.0, []
    for count, number in enumerate(numbers, 1):
        total += number
        means.append(total / count)
    return means
""",
    "check": """
import math

def check(candidate):
    got = candidate([1.0, 2.0, 6.0])
    assert len(got) == 3
    assert all(math.isclose(a, b) for a, b in zip(got, [1.0, 1.5, 3.0]))
    assert candidate([]) == []
    try:
        candidate(["x"])
        assert False, "a text is no number"
    except TypeError:
        pass
""",
    "wrong": "def running_means(numbers):\n    return [sum(numbers) / len(numbers)] * len(numbers)",
}
PAIRS = {
    "entry": "count_pairs",
    "canonical": """
from collections import Counter

def count_pairs(numbers, goal):
    seen, pairs = Counter(), 0
    for number in numbers:
        pairs += seen[goal - number]
        seen[number] += 1
    return pairs
""",
    "check": """
def check(candidate):
    assert candidate([1, 2, 3, 4], 5) == 2
    assert candidate([2, 2, 2], goal=4) == 3
    assert candidate([], 0) == 0
""",
    "wrong": "def count_pairs(numbers, goal):\n    return sum(n == goal - n for n in numbers)",
}
PROBLEMS = [RUNS, MEANS, PAIRS]

ALWAYS_EQUAL = """
class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __len__(self): return 3
    def __iter__(self): return iter([self] * 3)
    def __float__(self): return 1.0
    def __bool__(self): return True
def longest_run(text):
    return Always()
"""
#: Looks for the tests, the item, the answer or the grader's frames in everything that it can reach.
WALKER = """
import gc, sys
def longest_run(text):
    found = []
    frame = sys._getframe()
    while frame is not None:
        found += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    found += [thing for thing in gc.get_objects() if isinstance(thing, (dict, list, tuple, str))]
    for thing in found:
        try:
            if "SECRET" + "-REFERENCE" in repr(thing) or "aabb" + "bc" in repr(thing).replace(repr(text), ""):
                return 3
        except Exception:
            pass
    for fd in range(4, 256):
        try:
            import os
            os.write(fd, b"V" + bytes(8))
            return 3
        except OSError:
            pass
    return -1
"""
PATCHES = """
import builtins, json, math, operator, sys
builtins.all = builtins.any = lambda *a: True
builtins.len = lambda x: 3
math.isclose = lambda *a, **k: True
builtins.AssertionError = type("AssertionError", (BaseException,), {})
json.dumps = lambda *a, **k: '[1, "value", true]'
for module in list(sys.modules.values()):
    for name in ("_same", "check", "_result"):
        if hasattr(module, name):
            setattr(module, name, lambda *a: True)
def longest_run(text):
    return 0
"""
FORGES = """
import os, struct, json
for n in range(1, 40):
    text = json.dumps([n, "value", True]).encode()
    os.write(3, struct.pack("<I", len(text)) + text)
print("all tests passed")
def longest_run(text):
    return 0
"""
#: code for RUNS, and how its check ends
HOSTILE = [
    pytest.param("import sys\ndef longest_run(text):\n    sys.exit(0)", {"exit"}, id="sys.exit"),
    pytest.param("import os\nos._exit(0)", {"exit"}, id="os._exit at the top"),
    pytest.param(ALWAYS_EQUAL, {"unreadable"}, id="equal to everything"),
    pytest.param("class I(int):\n    __eq__ = lambda s, o: True\ndef longest_run(t): return I()", {"unreadable"}, id="an int's child"),
    pytest.param(WALKER, {"failed"}, id="walks frames and objects"),
    pytest.param(PATCHES, {"failed", "unreadable", "timeout", "exit"}, id="patches everything"),
    pytest.param(FORGES, {"failed", "unreadable", "exit"}, id="forges answers"),
    pytest.param("def longest_run(text):\n    while True: pass", {"timeout"}, id="endless"),
    pytest.param("while True: pass", {"timeout"}, id="endless at the top"),
    pytest.param("def longest_run(text):\n    return [0] * 10**9", {"memory"}, id="memory hog"),
    pytest.param("def longest_run(text):\n    return 'x' * 50_000_000", {"unreadable", "memory"}, id="an answer too long"),
    pytest.param("def longest_run(text):\n    x = []\n    for _ in range(5000): x = [x]\n    return x", {"unreadable"}, id="an answer too deep"),
    pytest.param("def longest_run(text):\n    raise AssertionError", {"failed"}, id="raises what tests raise"),
    pytest.param("import os\nos.close(3)\ndef longest_run(text): return 0", {"exit", "timeout"}, id="closes its channel"),
    pytest.param("import _thread, time\n_thread.start_new_thread(time.sleep, (99,))\nimport os\nos.close(3)", {"exit", "timeout"}, id="closes it and stays"),
    pytest.param("import os\ndef longest_run(text): return os.fork()", {"error"}, id="forks"),
    pytest.param("from graders_sandbox import run_untrusted\nrun_untrusted('', [])", {"error"}, id="asks for a child itself"),
    pytest.param("def other(text): return 0", {"error"}, id="defines nothing of the name"),
    pytest.param("def longest_run(", {"error"}, id="does not compile"),
    pytest.param("import ctypes\nctypes.string_at(0)", {"crash", "error"}, id="segfault"),
    pytest.param("", {"error"}, id="nothing"),
]  # fmt: skip


@pytest.fixture(scope="module", params=first(2, TIERS))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    need(request.param)
    with Sandbox(tier=request.param) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def one() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def report(outcome: Outcome) -> dict[str, Any]:
    assert "REPORT" in outcome.text, outcome
    read: dict[str, Any] = json.loads(outcome.text.partition("REPORT")[2])
    return read


def verdict(sandbox: Sandbox, code: str, tests: Any, **options: Any) -> dict[str, Any]:
    return report(
        sandbox.run(REPORT, {"output_text": code}, {"tests": tests, "timeout": 20, **options}, timeout_s=60)
    )


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem["entry"])
def test_a_right_solution_passes_and_a_wrong_one_fails(sandbox: Sandbox, problem: dict[str, str]) -> None:
    """HumanEval's check(candidate) works unchanged in every tier."""
    right = verdict(sandbox, problem["canonical"], problem["check"], entry=problem["entry"])
    wrong = verdict(sandbox, problem["wrong"], problem["check"], entry=problem["entry"])

    assert (right["score"], right["ok"], right["results"]) == (1.0, True, [["passed", ""]])
    assert (wrong["score"], wrong["ok"], wrong["results"][0][0]) == (0.0, False, "failed")


@pytest.mark.parametrize(("code", "statuses"), HOSTILE)
def test_no_code_forges_a_pass(sandbox: Sandbox, code: str, statuses: set[str]) -> None:
    """Hostile code fails the check for a reason that the verdict names, and the grader goes on."""
    seconds = 0.5 if "timeout" in statuses else 20
    item = {"tests": [RUNS["check"]], "entry": "longest_run", "timeout": seconds, "memory_bytes": 100_000_000}
    if "patches" in code or "json.dumps = " in code:
        item["timeout"] = 2
    outcome = sandbox.run(REPORT, {"output_text": code, "reference": "SECRET-REFERENCE"}, item, timeout_s=60)

    result = report(outcome)
    assert result["score"] == 0.0
    assert result["results"][0][0] in statuses, result


FORMS = [
    # code, tests, options, statuses
    pytest.param("def f(a, b=1): return a + b", [{"args": [1, 2], "expect": 3}, {"args": [1], "kwargs": {"b": 4}, "expect": 5}, {"args": [1], "expect": 9}], {"entry": "f"}, ["passed", "passed", "failed"], id="calls"),
    pytest.param("def f(a): return a, a\ndef g(): return True", [{"call": "f", "args": [1], "expect": [1, 1]}, {"call": "g", "expect": 1}, {"call": "g", "expect": True}], {}, ["passed", "failed", "passed"], id="a tuple is a list, True is not 1"),
    pytest.param("def f(): return 0.1 + 0.2", [{"expect": 0.3}, {"expect": 0.3, "tolerance": 1e-9}, {"expect": 1, "tolerance": 0.8}], {"entry": "f"}, ["failed", "passed", "passed"], id="tolerance"),
    pytest.param("def f(x): return {'a': [x], 'b': None}", [{"args": [1], "expect": {"a": [1], "b": None}}], {"entry": "f"}, ["passed"], id="nested"),
    pytest.param("def add(a, b): return a + b", ["assert add(1, 2) == 3", "assert add('a', 'b') == 'ba'", "assert add((1,), (2,)) == (1, 2)"], {"entry": "add"}, ["passed", "failed", "passed"], id="assertions"),
    pytest.param("print(sum(map(int, input().split())))", [{"stdin": "1 2 3", "stdout": "6\n"}, {"stdin": "1", "stdout": "2"}], {}, ["passed", "failed"], id="programs"),
    pytest.param("import sys\nif __name__ == '__main__':\n    print(sys.stdin.read()[::-1])\n    sys.exit()", [{"stdin": "ab", "stdout": "ba"}], {}, ["passed"], id="a program with a main block that exits"),
    pytest.param("print(1); raise SystemExit(2)", [{"stdout": "1"}], {}, ["exit"], id="a program that fails"),
    pytest.param("def f(x):\n    if x: raise SystemExit\n    return 1", [{"args": [0], "expect": 1}, {"args": [1], "expect": 1}, {"args": [0], "expect": 1}], {"entry": "f"}, ["passed", "exit", "passed"], id="tests after one that ended the child go on"),
    pytest.param("n = 0\ndef f():\n    global n\n    n += 1\n    return n", [{"expect": 1}, {"expect": 2}], {"entry": "f"}, ["passed", "passed"], id="one child for all calls"),
    pytest.param("def isclose(*a): return True\ndef f(): return 9", ["assert isclose(f(), 1)"], {"entry": "f"}, ["error"], id="only entry reaches the child"),
    pytest.param("def len(x): return 5\ndef f(): return []", ["assert len(f()) == 5"], {"entry": "f"}, ["failed"], id="built-ins are the grader's"),
    pytest.param("", [], {}, [], id="no tests"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "tests", "options", "statuses"), FORMS)
def test_each_form_of_test_has_its_result(
    one: Sandbox, code: str, tests: Any, options: Any, statuses: list[str]
) -> None:
    """Calls, assertions, check functions and programs; each test has its own result."""
    result = verdict(one, code, tests, **options)

    assert [status for status, _ in result["results"]] == statuses, result
    assert result["ok"] == (set(statuses) == {"passed"})
    passed = statuses.count("passed")
    assert result["score"] == (passed / len(statuses) if statuses else 0.0)


MISTAKES = [
    pytest.param(["assert f()"], "need entry="),
    pytest.param([{"args": []}], "needs 'expect' or 'stdout'"),
    pytest.param([{"expect": 1}], "needs 'call', or entry="),
    pytest.param([3], "a test is text or a dict, not int"),
]


@pytest.mark.parametrize(("tests", "text"), MISTAKES)
def test_a_test_of_no_known_form_is_the_graders_mistake(one: Sandbox, tests: Any, text: str) -> None:
    """A test of no known form is an error of the grader, before anything runs, and no verdict on the code."""
    outcome = one.run(REPORT, {"output_text": ""}, {"tests": tests})

    assert outcome.status == "grader_error"
    assert text in outcome.text


def test_outside_a_sample_it_raises() -> None:
    """Nothing is run where there is no jail for it."""
    with pytest.raises(RuntimeError, match=r"works only inside grade\(sample, item\)"):
        run_untrusted("x = 1", [{"stdout": ""}])


def test_the_time_is_for_all_tests_together(one: Sandbox) -> None:
    """A slow code does not get more time by having more tests."""
    code = "import time\ndef f(): time.sleep(0.4); return 1"
    result = verdict(one, code, [{"expect": 1}] * 20, entry="f", timeout=1)

    statuses = [status for status, _ in result["results"]]
    assert statuses[-1] == "timeout"
    assert 0 <= statuses.count("passed") <= 2


@pytest.mark.slow
def test_the_child_ends_with_its_sample(one: Sandbox) -> None:
    """A grader that leaves or is out of time takes the code along, and its slot is free again."""
    source = REPORT.replace("raise RuntimeError", "pass\n    raise RuntimeError")
    code = "def f():\n    while True: pass"
    for _ in range(6):
        outcome = one.run(
            source,
            {"output_text": code},
            {"tests": [{"expect": 1}], "entry": "f", "timeout": 60},
            timeout_s=0.3,
        )
        assert outcome.status == "timeout"

    assert verdict(one, "def f(): return 1", [{"expect": 1}], entry="f")["ok"]


def test_several_graders_at_once_each_have_a_child() -> None:
    """Each of several samples in flight has a child of its own."""
    source = REPORT.replace("raise RuntimeError", "return verdict.score\n    raise RuntimeError")
    tests = [{"args": [x], "expect": x * x} for x in range(5)]
    with Sandbox(in_flight=3, limits=Limits(memory_bytes=600_000_000)) as sandbox:
        futures = [
            sandbox.submit(
                source, {"output_text": f"def f(x): return x ** {2 + n % 2}"}, {"tests": tests, "entry": "f"}
            )
            for n in range(12)
        ]

        assert [future.result().value for future in futures] == [1.0, 0.4] * 6


numbers = st.booleans() | st.integers() | st.floats() | st.complex_numbers()
sets = st.sets(st.integers() | st.text()) | st.frozensets(st.integers())
keys = st.integers() | st.text() | st.tuples(st.text())
values = st.recursive(
    st.none() | numbers | st.text() | st.binary() | sets,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(values)
def test_plain_data_is_returned_unchanged(value: Any) -> None:
    """Values and their types survive the way to the child and back."""
    back = plain.decode(json.loads(json.dumps(plain.encode(value))))

    assert repr(back) == repr(value) or _alike(back, value)


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, (set, frozenset)):
        return type(left) is type(right) and left == right
    if isinstance(left, float) and math.isnan(left):
        return isinstance(right, float) and math.isnan(right)
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(_alike, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_alike(left[key], right[key]) for key in left)
    return type(left) is type(right) and (left == right or repr(left) == repr(right))


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda i: st.lists(i) | st.dictionaries(st.text(), i),
        max_leaves=15,
    )
)
def test_any_answer_of_a_child_is_data_or_refused(said: Any) -> None:
    """No JSON makes the reader do more than build plain data or say no."""
    try:
        value = plain.decode(said)
    except (ValueError, TypeError, OverflowError):
        return

    plain.encode(value)
