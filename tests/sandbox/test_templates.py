"""Each program has a template of its own: what one grader brings is in no other grader's samples."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from graders_sandbox import TIERS, Limits, Sandbox
from graders_sandbox.jail import hugepages
from tests.cases import first
from tests.sandbox.jails import PACKAGE, need

IMPORTS = "import {name}\ndef grade(sample, item):\n    return 1.0\n"
USES = "import {package}\ndef grade(sample, item):\n    return float(hasattr({package}, {attribute!r}))\n"


@pytest.fixture(scope="module", params=first(2, TIERS))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    need(request.param)
    with Sandbox(tier=request.param, in_flight=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("package", "attribute"), [("xml", "etree"), ("email", "mime"), ("concurrent", "futures")]
)
def test_modules_of_one_grader_do_not_change_another(sandbox: Sandbox, package: str, attribute: str) -> None:
    """M3: a program means the same whatever others have imported."""
    uses = USES.format(package=package, attribute=attribute)
    alone = sandbox.run(uses, "", {}).value

    assert sandbox.run(IMPORTS.format(name=f"{package}.{attribute}"), "", {}).value == 1.0

    assert sandbox.run(uses + "# compiled anew\n", "", {}).value == alone == 0.0


def test_compiled_code_takes_memory_of_its_own_samples_only() -> None:
    """H5: the compiler makes 80 MB of constants of 180 kB of text; others have their memory all the same."""
    heavy = (
        "".join(f"a = 'X{n:05}'*682\n" for n in range(9_000)) + "def grade(sample, item):\n    return 1.0\n"
    )
    innocent = "def grade(sample, item):\n    return float(len(bytes(120 << 20)) > 0)\n"
    with Sandbox(limits=Limits(memory_bytes=160 << 20), in_flight=1) as sandbox:
        for n in range(3):
            assert sandbox.run(heavy + f"# {n}\n", "", {}).value == 1.0

        assert sandbox.run(innocent, "", {}).value == 1.0


#: Looks for a constant of the grader's source from where a model's code runs.
FINDS = """
import gc, sys, types

def constants(code):
    for constant in code.co_consts:
        yield constant
        if isinstance(constant, types.CodeType):
            yield from constants(constant)

def f():
    frame, things = sys._getframe(), gc.get_objects()
    while frame is not None:
        things += [*frame.f_locals.values(), *frame.f_globals.values(), frame.f_code]
        for value in frame.f_locals.values():
            things += [getattr(value, name, None) for name in dir(value) if not name.startswith("__")]
        frame = frame.f_back
    for thing in things:
        held = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else [thing]
        for one in held:
            if isinstance(one, types.CodeType) and 918273645 - 1 + 0 * len(held) in [
                constant - 1 for constant in constants(one) if type(constant) is int and one.co_filename == "<grader>"
            ]:
                return 918273645
    return -1
"""


def test_a_models_code_finds_no_constant_of_any_grader(sandbox: Sandbox) -> None:
    """C4: run_untrusted forks from a template that never held a grader's code."""
    grader = (
        "from graders_sandbox import run_untrusted\n"
        "def grade(sample, item):\n"
        "    return run_untrusted(sample, [{'expect': 918273645}], timeout=10, entry='f').score\n"
    )
    assert sandbox.run(grader, "def f(): return 918273645", {}).value == 1.0

    assert sandbox.run(grader, FINDS, {}).value == 0.0


DRAWS = [
    "import random\ndef draw(): return random.Random().random()",
    "import random\ndef draw(): return random.random()",
    "import random\ndef draw():\n    random.seed()\n    return random.random()",
    "import numpy\ndef draw(): return numpy.random.default_rng().random()",
    "import numpy\ndef draw(): return numpy.random.RandomState().random()",
    "import numpy\ndef draw(): return numpy.random.rand()",
]


@pytest.mark.parametrize("draws", first(2, DRAWS))
def test_randomness_is_reproducible(draws: str) -> None:
    """M5: the same seed and key draw the same numbers; another key, or another generator of the same row, others."""
    if "numpy" in draws:
        pytest.importorskip("numpy")
    source = draws + "\ndef grade(sample, item):\n    return [draw() for _ in range(sample)][-1]\n"

    def run() -> list[float | None]:
        with Sandbox(in_flight=1) as sandbox:
            return [
                sandbox.run(source, count, {}, key=key).value for count, key in ((1, "a"), (2, "a"), (1, "b"))
            ]

    first = run()

    assert None not in first
    assert first == run()
    assert len(set(first)) == 3


def test_randomness_of_a_models_code_is_reproducible() -> None:
    """M5: a child of run_untrusted draws by the seed of its row."""
    source = (
        "from graders_sandbox import run_untrusted\n"
        "def grade(sample, item):\n"
        "    (result,) = run_untrusted(sample, [{'expect': 2}], entry='f').results\n"
        "    return float(result.text.split()[-1])\n"
    )
    code = "import random\ndef f(): return random.random() + random.Random().random()"
    values = []
    for key in ("a", "a", "b"):
        with Sandbox(in_flight=1) as sandbox:
            values.append(sandbox.run(source, code, {}, key=key).value)

    assert values[0] == values[1] != values[2]


def test_memory_moves_to_huge_pages_and_stays_what_it_is() -> None:
    """Whole pages of 2 MB that lie within a range, and nothing else."""
    size = 4 * hugepages.SIZE
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    content = os.urandom(4096) * (size // 4096)
    memory[:] = content
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))

    made = hugepages.use([(start, start + size), (start + 1, start + hugepages.SIZE)])

    assert memory[:] == content
    if not made:
        pytest.skip("the kernel makes no huge pages")
    # as the range begins on one or between two
    assert made in (3, 4)


#: Makes holes of every size, and prints where objects lie that are made after they were filled.
HOLES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from graders_sandbox.jail.packing import fill_holes
empty = sys.getsizeof(b"")
kept = [bytes(size - empty) for size in range(48, 513, 16) for _ in range(1500)]
del kept[::3]
if sys.argv[2] == "filled":
    fill_holes()
later = {size: [bytes(size - empty) for _ in range(3)] for size in range(48, 513, 16)}
print(json.dumps([[size, *map(id, objects)] for size, objects in later.items()]))
"""


@pytest.mark.parametrize("holes", ["filled", "open"])
def test_objects_lie_together_once_holes_are_filled(holes: str) -> None:
    """Objects of a size that are made one after the other are neighbours, since no block between others is free."""
    found = subprocess.run(
        [sys.executable, "-I", "-c", HOLES, str(PACKAGE), holes], capture_output=True, check=True
    )

    apart = [
        size
        for size, first, second, third in json.loads(found.stdout)
        if not second - first == third - second == size
    ]
    # a pool may end between two of them
    assert len(apart) <= 3 if holes == "filled" else len(apart) > 20
